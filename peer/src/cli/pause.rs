//! `pause` and `resume`: a download stands still, and goes on.

use super::{
    output::{Output, note, shown},
    reach::Reached,
};
use crate::{
    config::Settings,
    error::Failure,
    operation::{ShareInfo, ShareState, find},
};
use clap::Args;
use serde::Serialize;

/// Let a download stand still until it is resumed, also after a restart
///
/// What is here of it stays, and is still served to others. A `get` of it resumes it, too.
#[derive(Debug, Args)]
pub(super) struct PauseArgs {
    /// A download: its hash, the beginning of it, or its ticket
    #[arg(value_name = "ID")]
    id: String,
}

/// Let a paused download go on
#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// A download: its hash, the beginning of it, or its ticket
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    #[serde(flatten)]
    share: &'a ShareInfo,
}

pub(super) async fn pause(settings: &Settings, args: PauseArgs, output: &mut Output) -> Result<(), Failure> {
    let reached = Reached::or_open(settings).await?;
    let paused = async { reached.pause(&hash(&reached, &args.id).await?).await }.await;
    reached.end().await?;
    say("paused", &paused?, output)
}

pub(super) async fn resume(
    settings: &Settings,
    args: ResumeArgs,
    output: &mut Output,
) -> Result<(), Failure> {
    let reached = Reached::or_open(settings).await?;
    let resumed = async { reached.go_on(&hash(&reached, &args.id).await?).await }.await;
    reached.end().await?;
    say("resumed", &resumed?, output)
}

/// Of the download that a person means. Found here: a ticket is longer than what an address may be.
async fn hash(reached: &Reached, id: &str) -> Result<String, Failure> {
    let shares = reached.list().await?;
    Ok(find(&shares, id)?.hash.to_string())
}

fn say(event: &'static str, share: &ShareInfo, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.object(&Line { event, share });
    }
    let when = match share.state {
        ShareState::Waiting => "; no peer runs here, `p2p-peer daemon` goes on with it",
        _ => "",
    };
    note(&format!("{event} {}{when}", shown(&share.name)));
    Ok(())
}
