//! `daemon`: a peer that stays.

use super::{output::Output, signal::Signals};
use crate::{
    config::{Role, Settings, flags::PeerFlags},
    error::Failure,
    root::Peer,
};
use clap::Args;
use p2p_shared::supervision::Watchdog;
use std::time::Duration;

/// The actors' thread is given up when it has not moved for twice this long: handlers take microseconds.
const STUCK: Duration = Duration::from_secs(15);

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
    let _watchdog = watch_actors()?;
    let starting = Peer::start(settings.peer(&args.peer, Role::Daemon)?);
    let peer = tokio::select! {
        peer = starting => peer?,
        // Taking up a large download may mean hashing it; nothing is lost when that is cut short.
        () = signals.next() => return Ok(()),
    };
    let ended = tokio::select! {
        () = signals.next() => Ok(()),
        failure = peer.failed() => Err(failure),
    };
    let left = signals.while_ending(peer.shutdown()).await;
    ended.and(left)
}

/// Ends a daemon that does not move any more, for the service manager to start it anew. Not in good order: the thread that
/// would see to that is the one that is stuck. What is on disk is as after a kill.
fn watch_actors() -> Result<Watchdog, Failure> {
    let stuck = || {
        let failure = Failure::internal("the actors do not move any more: a handler does not return");
        tracing::error!(%failure, "daemon given up");
        std::process::exit(failure.exit_code().into());
    };
    Watchdog::start(STUCK, stuck)
        .map_err(|error| Failure::internal(format!("the system gives no threads: {error}")))
}
