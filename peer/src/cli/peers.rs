//! `peers`: whom the running peer is connected with, by which path, and how fast bytes go.
//!
//! Looks twice, a second apart: what went through a session meanwhile is its rate. Nothing is kept for that in the peer.

use super::{
    format,
    output::{Output, note, shown},
    reach::Reached,
};
use crate::{config::Settings, error::Failure, operation::SessionLine};
use clap::Args;
use p2p_shared::id::PeerId;
use serde::Serialize;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between the two looks: long enough for a rate, short enough to wait for.
const APART: Duration = Duration::from_secs(1);

/// Show the peers that this one is connected with: by which path, why, and how fast
#[derive(Debug, Args)]
pub(super) struct PeersArgs {}

/// One connected peer, as `--json` has it.
#[derive(Debug, PartialEq, Serialize)]
struct Line<'a> {
    event: &'static str,
    /// The short name of the peer.
    id: PeerId,
    #[serde(flatten)]
    session: &'a SessionLine,
    /// Bytes of chunks that came in the last second.
    down: u64,
    /// Bytes of chunks that went in the last second.
    up: u64,
}

pub(super) async fn run(settings: &Settings, output: &mut Output) -> Result<(), Failure> {
    let reached = Reached::or_open(settings).await?;
    let looked = look_twice(&reached).await;
    reached.end().await?;
    match looked? {
        Some((before, after, apart)) => print(&lines(&before, &after, apart), output),
        None => {
            note(&format!("no peer runs on {}", settings.data.display()));
            Ok(())
        }
    }
}

type Looks = (Vec<SessionLine>, Vec<SessionLine>, Duration);

/// The sessions now and a little later, and how much later; none if no peer runs.
async fn look_twice(reached: &Reached) -> Result<Option<Looks>, Failure> {
    let Some(before) = reached.status().await? else {
        return Ok(None);
    };
    let begin = Instant::now();
    sleep(APART).await;
    let after = reached.status().await?;
    Ok(after.map(|after| (before.sessions, after.sessions, begin.elapsed())))
}

/// What there is at the second look, with what it did since the first.
fn lines<'a>(before: &[SessionLine], after: &'a [SessionLine], apart: Duration) -> Vec<Line<'a>> {
    let lines = after.iter().map(|session| {
        let earlier = before.iter().find(|earlier| earlier.session == session.session);
        let rate = |now: u64, of: fn(&SessionLine) -> u64| {
            let more = now.saturating_sub(earlier.map_or(0, of));
            (more as f64 / apart.as_secs_f64()) as u64
        };
        Line {
            event: "peer",
            id: PeerId::of(&session.peer),
            session,
            down: rate(session.received, |session| session.received),
            up: rate(session.sent, |session| session.sent),
        }
    });
    lines.collect()
}

fn print(lines: &[Line<'_>], output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        return lines.iter().try_for_each(|line| output.object(line));
    }
    if lines.is_empty() {
        note("connected with nobody");
        return Ok(());
    }
    let head = [
        "PEER", "PATH", "AT", "RTT", "DOWN", "UP", "FILES", "CLIENT", "WHY",
    ];
    let rows: Vec<_> = std::iter::once(head.map(String::from).to_vec())
        .chain(lines.iter().map(row))
        .collect();
    let right = [false, false, false, true, true, true, true];
    output.text(&format::table(&rows, &right))
}

fn row(line: &Line<'_>) -> Vec<String> {
    let session = line.session;
    let address = session.address.map(|address| address.to_string());
    let at = address.or_else(|| session.relay.clone());
    let rtt = session.rtt_ms.map(|rtt| format!("{rtt:.1} ms"));
    vec![
        line.id.to_string(),
        session.path.as_str().to_owned(),
        at.unwrap_or_else(|| "-".to_owned()),
        rtt.unwrap_or_else(|| "-".to_owned()),
        format::rate(line.down),
        format::rate(line.up),
        session.files.to_string(),
        // The other peer says what it is.
        shown(&session.agent),
        session.reason.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::PathKind;
    use p2p_shared::id::PublicKey;

    fn session(session: u64, received: u64, sent: u64) -> SessionLine {
        SessionLine {
            session,
            peer: PublicKey([7; 32]),
            path: PathKind::Direct,
            reason: "it answered first".into(),
            address: None,
            relay: Some("wss://relay.example/relay".to_owned()),
            agent: "evil\u{1b}[31m".into(),
            files: 1,
            received,
            sent,
            rtt_ms: None,
        }
    }

    #[test]
    fn a_rate_is_what_the_same_session_did_between_the_looks() {
        let before = [session(1, 1000, 50), session(2, 9000, 9000)];
        let after = [session(1, 5000, 50), session(3, 800, 0)];
        let lines = lines(&before, &after, Duration::from_secs(2));
        let rates: Vec<_> = lines.iter().map(|line| (line.down, line.up)).collect();
        assert_eq!(rates, [(2000, 0), (400, 0)], "the second one is new since");
    }

    #[test]
    fn what_a_peer_calls_itself_steers_no_terminal() {
        let after = [session(1, 0, 0)];
        let lines = lines(&[], &after, Duration::from_secs(1));
        let row = row(&lines[0]).join(" ");
        assert!(row.contains("evil\\u{1b}[31m"), "{row}");
    }
}
