//! `pause` and `resume`: a download stands still, and goes on.

use super::{
    change::{change, say},
    output::Output,
};
use crate::{
    config::Settings,
    error::Failure,
    operation::{ShareInfo, ShareState},
};
use clap::Args;

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

pub(super) async fn pause(settings: &Settings, args: PauseArgs, output: &mut Output) -> Result<(), Failure> {
    let paused = change(settings, &args.id, async |peer, hash| peer.pause(hash).await).await?;
    say("paused", &paused, when(&paused), output)
}

pub(super) async fn resume(
    settings: &Settings,
    args: ResumeArgs,
    output: &mut Output,
) -> Result<(), Failure> {
    let resumed = change(settings, &args.id, async |peer, hash| peer.go_on(hash).await).await?;
    say("resumed", &resumed, when(&resumed), output)
}

/// What it waits for, if it does.
fn when(share: &ShareInfo) -> &'static str {
    match share.state {
        ShareState::Waiting => "; no peer runs here, `p2p-peer daemon` goes on with it",
        _ => "",
    }
}
