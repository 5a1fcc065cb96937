//! `remove`: share something no longer, or give up a download.

use super::{
    change::{change, say},
    output::Output,
};
use crate::{config::Settings, error::Failure};
use clap::Args;

/// Stop sharing something, or give up a download and what was fetched of it
///
/// The files of a share, and of a finished download, stay where they are.
#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// A share: its hash, the beginning of it, or its ticket
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) async fn run(settings: &Settings, args: RemoveArgs, output: &mut Output) -> Result<(), Failure> {
    let removed = change(settings, &args.id, async |peer, hash| peer.remove(hash).await).await?;
    say("removed", &removed, "", output)
}
