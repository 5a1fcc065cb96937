//! `doctor`: what this peer finds of the network, and what to do about it.

use super::{
    output::{Output, note, shown},
    reach::Reached,
    signal::Signals,
};
use crate::{
    config::{Role, Settings, flags::PeerFlags},
    doctor::{Finding, Verdict},
    error::Failure,
    event::{self, Event, EventStream},
    operation::DoctorRequest,
};
use clap::Args;
use serde::Serialize;

/// Look at the network: trackers, relays, NAT, clock, and which peers can be reached how
///
/// Asks the running peer, or runs one of its own meanwhile; takes 6 seconds at most and changes nothing. Exit codes: 0 if a
/// transfer can work, 4 if no tracker answers, 6 if none takes this peer in.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    peer: PeerFlags,
}

#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    #[serde(flatten)]
    verdict: &'a Verdict,
}

pub(super) async fn run(settings: &Settings, args: DoctorArgs, output: &mut Output) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let config = settings.peer(&args.peer, Role::Foreground)?;
    let mut request = DoctorRequest {
        trackers: config.tracker.urls.clone(),
        daemon_listens: None,
    };
    let reached = signals.while_beginning(Reached::or_start(config)).await?;
    if reached.is_own() {
        request.daemon_listens = Some(settings.peer(&args.peer, Role::Daemon)?.listen);
    }
    let ended = tokio::select! {
        ended = examine(&reached, request, output) => ended,
        () = signals.next() => Err(Failure::interrupted("interrupted; nothing was changed")),
    };
    let left = signals.while_ending(reached.end()).await;
    let verdict = ended?;
    left?;
    print(&verdict, output)?;
    match verdict.failure {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

async fn examine(reached: &Reached, request: DoctorRequest, output: &mut Output) -> Result<Verdict, Failure> {
    if !reached.is_own() && !output.is_json() {
        note("the running peer looks around");
    }
    let (sink, events) = event::channel();
    let (verdict, ()) = tokio::try_join!(reached.doctor(request, sink), follow(events, output))?;
    Ok(verdict)
}

/// Shows each finding as it comes.
async fn follow(mut events: EventStream, output: &mut Output) -> Result<(), Failure> {
    while let Some(event) = events.next().await {
        match (&event, output.is_json()) {
            (Event::Check(_), true) => output.object(&event)?,
            (Event::Check(finding), false) => output.text(&text(finding))?,
            _ => {}
        }
    }
    Ok(())
}

fn text(finding: &Finding) -> String {
    let of = finding
        .of
        .as_ref()
        .map(|of| format!("{of}: "))
        .unwrap_or_default();
    // Trackers, relays and routers say some of this.
    let message = shown(&format!("{of}{}", finding.message));
    let advice = finding
        .advice
        .as_ref()
        .map(|advice| format!("\n{:21}-> {}", "", shown(advice)));
    format!(
        "{:<4}  {:<13}  {message}{}",
        finding.state,
        finding.check,
        advice.unwrap_or_default()
    )
}

fn print(verdict: &Verdict, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.object(&Line {
            event: "verdict",
            verdict,
        });
    }
    if verdict.reach.is_empty() {
        return Ok(());
    }
    output.text("\nHow others are reached from here:")?;
    verdict.reach.iter().try_for_each(|reach| {
        let words: Vec<_> = reach.paths.iter().map(|path| path.as_str()).collect();
        let how = match words.as_slice() {
            [] => "not at all".to_owned(),
            words => words.join(", else "),
        };
        output.text(&format!("  {}: {how}", reach.description))
    })
}
