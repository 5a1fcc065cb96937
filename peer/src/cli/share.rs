//! `share`: make files and folders fetchable, print their tickets, seed.

use super::{absolute, output::Output, progress::Display, reach::Reached, signal::Signals};
use crate::{
    config::{Role, Settings, flags::PeerFlags},
    connection::Policy,
    error::Failure,
    event::{self, EventSink},
    operation::ShareRequest,
};
use clap::{Args, builder::FalseyValueParser};
use p2p_shared::hash::HashAlgorithm;
use std::{cell::Cell, path::PathBuf};

/// Share files or folders: print a ticket for each and seed
///
/// What is shared stays where it is; nothing is copied. Pass the ticket on: `p2p-peer get TICKET` fetches the share. If
/// a peer runs on the data folder already (a daemon, say), it does the seeding and this command ends when the tickets
/// are printed; otherwise this command seeds until Ctrl-C.
#[derive(Debug, Args)]
pub(super) struct ShareArgs {
    /// Files or folders, each a share of its own
    #[arg(required = true, value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,

    /// Hash that names the share: sha256 (what sha256sum prints) or blake3 (faster) [default: sha256]
    #[arg(long, env = "P2P_HASH", value_name = "ALGORITHM", hide_env_values = true)]
    hash: Option<HashAlgorithm>,

    /// Leave out what cannot be read, instead of refusing the folder
    #[arg(long, env = "P2P_SKIP_UNREADABLE", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    skip_unreadable: bool,

    #[command(flatten)]
    pub(super) peer: PeerFlags,
}

pub(super) async fn run(settings: &Settings, args: ShareArgs, output: &mut Output) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let config = settings.peer(&args.peer, Role::Foreground)?;
    let request = ShareRequest {
        paths: args
            .paths
            .iter()
            .map(|path| absolute(path))
            .collect::<Result<_, _>>()?,
        algorithm: args.hash.or(settings.file.share.hash).unwrap_or_default(),
        skip_unreadable: args.skip_unreadable || settings.file.share.skip_unreadable.unwrap_or(false),
        trackers: config.tracker.urls.clone(),
    };
    let policy = config.policy;
    let reached = signals.while_beginning(Reached::or_start(config)).await?;
    if let Err(failure) = check_policy(&reached, policy).await {
        reached.end().await?;
        return Err(failure);
    }
    let seeding = Cell::new(false);
    let ended = {
        let mut display = Display::new(output);
        let (sink, events) = event::channel();
        let work = async {
            tokio::try_join!(share(&reached, request, sink, &seeding), display.follow(events))
                .map(|((), ())| ())
        };
        tokio::select! {
            ended = work => ended,
            failure = reached.failed() => Err(failure),
            () = signals.next() => interrupted(&reached, seeding.get()),
        }
    };
    let left = signals.while_ending(reached.end()).await;
    ended.and(left)
}

/// A peer that runs shares by its own policy: who hides with one share and is shown with the next does not hide.
async fn check_policy(reached: &Reached, said: Policy) -> Result<(), Failure> {
    match reached.status().await? {
        Some(running) if said != Policy::default() && said != running.policy => Err(Failure::usage(format!(
            "the peer that runs on this data folder (process {}) has the policy {}, not {}, and a share cannot have another; \
             start it with --policy {}, or share from another data folder",
            running.pid,
            running.policy.as_str(),
            said.as_str(),
            said.as_str()
        ))),
        _ => Ok(()),
    }
}

/// Shares, and in a peer of this process goes on seeding.
async fn share(
    reached: &Reached,
    request: ShareRequest,
    sink: EventSink,
    seeding: &Cell<bool>,
) -> Result<(), Failure> {
    reached.share(request, sink.clone()).await?;
    match reached {
        Reached::Own(peer) => {
            seeding.set(true);
            peer.watch(sink).await
        }
        Reached::Running(client) => {
            super::output::note(&format!(
                "seeded by the peer that runs on this data folder (process {}) for as long as it runs",
                client.pid()
            ));
            Ok(())
        }
    }
}

/// Ctrl-C is how seeding ends; before that it is an interruption.
fn interrupted(reached: &Reached, seeding: bool) -> Result<(), Failure> {
    match reached {
        Reached::Own(_) if seeding => Ok(()),
        Reached::Own(_) => Err(Failure::interrupted(
            "interrupted; the same command goes on where it was",
        )),
        Reached::Running(client) => Err(Failure::interrupted(format!(
            "interrupted; the running peer (process {}) finishes what it began",
            client.pid()
        ))),
    }
}
