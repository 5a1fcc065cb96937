//! `remove`: share something no longer, or give up a download.

use super::{
    output::{Output, note, shown},
    reach::Reached,
};
use crate::{
    config::Settings,
    error::Failure,
    operation::{ShareInfo, find},
};
use clap::Args;
use serde::Serialize;

/// Stop sharing something, or give up a download and what was fetched of it
///
/// The files of a share, and of a finished download, stay where they are.
#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// A share: its hash, the beginning of it, or its ticket
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    #[serde(flatten)]
    share: &'a ShareInfo,
}

pub(super) async fn run(settings: &Settings, args: RemoveArgs, output: &mut Output) -> Result<(), Failure> {
    let reached = Reached::or_open(settings).await?;
    let removed = remove(&reached, &args.id).await;
    reached.end().await?;
    let removed = removed?;
    if output.is_json() {
        return output.object(&Line {
            event: "removed",
            share: &removed,
        });
    }
    note(&format!("removed {}", shown(&removed.name)));
    Ok(())
}

async fn remove(reached: &Reached, id: &str) -> Result<ShareInfo, Failure> {
    let shares = reached.list().await?;
    reached.remove(&find(&shares, id)?.hash.to_string()).await
}
