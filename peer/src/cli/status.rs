//! `status`: how the running peer is doing, or one share of it.

use super::{
    format, list,
    output::{Output, note, shown},
    reach::Reached,
};
use crate::{
    config::Settings,
    error::Failure,
    operation::{PeerStatus, SessionLine, ShareInfo, TrackerInfo, find},
};
use clap::Args;
use serde::Serialize;
use std::time::Duration;

/// Show how this peer is doing: trackers, connections, shares; or one share with ID
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// A share: its hash, the beginning of it, or its ticket
    #[arg(value_name = "ID")]
    id: Option<String>,
}

#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    running: bool,
    #[serde(flatten)]
    status: Option<&'a PeerStatus>,
}

pub(super) async fn run(settings: &Settings, args: StatusArgs, output: &mut Output) -> Result<(), Failure> {
    let reached = Reached::or_open(settings).await?;
    let status = reached.status().await;
    let shares = reached.list().await;
    reached.end().await?;
    let (status, shares) = (status?, shares?);
    if let Some(id) = args.id {
        return one(find(&shares, &id)?, output);
    }
    if output.is_json() {
        output.object(&Line {
            event: "status",
            running: status.is_some(),
            status: status.as_ref(),
        })?;
        return list::print(&shares, output);
    }
    match &status {
        Some(status) => output.text(&summary(status))?,
        None => note(&format!("no peer runs on {}", settings.data.display())),
    }
    list::print(&shares, output)
}

/// Everything about one share.
fn one(share: &ShareInfo, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        return list::print(std::slice::from_ref(share), output);
    }
    let mut rows = vec![
        ("hash", share.hash.to_string()),
        ("name", shown(&share.name)),
        ("path", shown(&share.path.to_string_lossy())),
        (
            "size",
            format!("{} ({} bytes)", format::size(share.size), share.size),
        ),
        ("here", here(share)),
        ("hashed with", share.algorithm.to_string()),
        ("state", share.state.to_string()),
    ];
    rows.extend(share.reason.as_deref().map(|reason| ("because", shown(reason))));
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), value])
        .collect();
    output.text(&format::table(&rows, &[]))
}

/// How much of what is wanted is here.
fn here(share: &ShareInfo) -> String {
    match share.wanted {
        Some(wanted) if wanted == share.size => format::percent(share.bytes, wanted),
        Some(wanted) => format!(
            "{} of the selected {}",
            format::percent(share.bytes, wanted),
            format::size(wanted)
        ),
        None => format!("{} (some files were selected)", format::size(share.bytes)),
    }
}

fn summary(status: &PeerStatus) -> String {
    let mut rows = vec![
        vec!["peer".to_owned(), status.identity.public_key.to_string()],
        vec![
            "process".to_owned(),
            format!(
                "{}, version {}, up {}",
                status.pid,
                status.version,
                format::duration(Duration::from_secs(status.uptime_seconds))
            ),
        ],
        vec!["listens on".to_owned(), status.listen.to_string()],
    ];
    rows.extend(
        status
            .trackers
            .iter()
            .map(|tracker| vec!["tracker".to_owned(), tracker_text(tracker)]),
    );
    rows.extend(
        status
            .sessions
            .iter()
            .map(|session| vec!["connected".to_owned(), session_text(session)]),
    );
    format::table(&rows, &[])
}

fn tracker_text(tracker: &TrackerInfo) -> String {
    match (&tracker.error, tracker.registered) {
        (Some(error), _) => shown(error),
        (None, true) => format!(
            "{}: registered, {} files announced",
            tracker.url, tracker.announced
        ),
        (None, false) => format!("{}: registering", tracker.url),
    }
}

fn session_text(session: &SessionLine) -> String {
    let rtt = session
        .rtt_ms
        .map(|rtt| format!(", {rtt:.1} ms"))
        .unwrap_or_default();
    let address = session
        .address
        .map(|address| format!(" at {address}"))
        .unwrap_or_default();
    format!(
        "{}{address}, {}{rtt} ({}), {} received, {} sent",
        session.peer,
        session.path.as_str(),
        session.reason,
        format::size(session.received),
        format::size(session.sent)
    )
}
