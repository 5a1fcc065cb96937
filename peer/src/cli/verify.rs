//! `verify`: read a share again and compare it with its hashes.

use super::{
    output::{Output, shown},
    progress::Display,
    reach::Reached,
    signal::Signals,
};
use crate::{
    config::Settings,
    error::Failure,
    event::{self, Event},
    operation::{ShareInfo, Verified, find},
};
use clap::Args;

/// Read shares again and compare them with their hashes
///
/// Names every file that is not what it was. Chunks of an unfinished download that are wrong are fetched again.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// A share: its hash, the beginning of it, or its ticket [default: all]
    #[arg(value_name = "ID")]
    id: Option<String>,
}

pub(super) async fn run(settings: &Settings, args: VerifyArgs, output: &mut Output) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let reached = signals.while_beginning(Reached::or_open(settings)).await?;
    let ended = tokio::select! {
        ended = verify(&reached, args.id.as_deref(), output) => ended,
        () = signals.next() => Err(Failure::interrupted("interrupted; nothing was changed")),
    };
    let left = signals.while_ending(reached.end()).await;
    ended.and(left)
}

async fn verify(reached: &Reached, id: Option<&str>, output: &mut Output) -> Result<(), Failure> {
    let shares = reached.list().await?;
    let chosen: Vec<&ShareInfo> = match id {
        Some(id) => vec![find(&shares, id)?],
        None => shares.iter().collect(),
    };
    let mut damaged = Vec::new();
    for share in chosen {
        let verified = {
            let mut display = Display::new(output);
            let (sink, events) = event::channel();
            let id = share.hash.to_string();
            tokio::try_join!(reached.verify(&id, sink), display.follow(events))?.0
        };
        report(&verified, output)?;
        damaged.extend((verified.bad > 0).then_some(verified.name));
    }
    match damaged.as_slice() {
        [] => Ok(()),
        names => Err(Failure::integrity(format!(
            "no longer what was shared: {}; put the files back as they were, or remove the share and share it anew",
            names
                .iter()
                .map(|name| shown(name))
                .collect::<Vec<_>>()
                .join(", ")
        ))),
    }
}

fn report(verified: &Verified, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.object(&Event::Verified(verified.clone()));
    }
    let name = shown(&verified.name);
    if verified.bad == 0 {
        return output.text(&format!("{name}: {} chunks, all right", verified.good));
    }
    let head = format!(
        "{name}: {} of {} chunks are wrong",
        verified.bad,
        verified.good + verified.bad
    );
    output.text(&head)?;
    verified
        .files
        .iter()
        .try_for_each(|path| output.text(&format!("  {}", shown(&path.to_string_lossy()))))
}
