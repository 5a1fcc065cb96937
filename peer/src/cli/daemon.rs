//! `daemon`: a peer that stays.

use super::{output::Output, signal::Signals};
use crate::{
    config::{Role, Settings, flags::PeerFlags},
    error::Failure,
    root::Peer,
};
use clap::Args;

/// Run a peer that stays: it seeds, fetches, and takes orders from the other commands
///
/// Takes up again what earlier runs left: shares are seeded, unfinished downloads go on. Ends on SIGTERM or Ctrl-C, with
/// everything on disk.
#[derive(Debug, Args)]
pub(super) struct DaemonArgs {
    #[command(flatten)]
    peer: PeerFlags,
}

pub(super) async fn run(settings: &Settings, args: DaemonArgs, _: &mut Output) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let peer = Peer::start(settings.peer(&args.peer, Role::Daemon)?).await?;
    let ended = tokio::select! {
        () = signals.next() => Ok(()),
        failure = peer.failed() => Err(failure),
    };
    let left = signals.while_ending(peer.shutdown()).await;
    ended.and(left)
}
