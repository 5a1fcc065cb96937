//! `get`: fetch a share.

use super::{absolute, output::Output, progress::Display, reach::Reached, signal::Signals};
use crate::{
    config::{Role, Settings, flags::PeerFlags},
    error::Failure,
    event::{self, Done, Event},
    operation::{GetRequest, Wanted},
};
use clap::{Args, builder::FalseyValueParser};
use std::path::{Path, PathBuf};

/// Seconds with nobody reached before `get` gives up: long enough for a tracker or a seeder that is being restarted,
/// short enough for a person who mistyped an address.
const DEFAULT_TIMEOUT: u64 = 30;

/// Fetch a share: print the path it was written to
///
/// Takes a ticket, or the hash of a file with --tracker. Every chunk is verified before it is written, and the whole
/// before it appears under its name. Interrupted, the same command goes on where it was. If a peer runs on the data
/// folder already (a daemon, say), it does the fetching, and goes on when this command is interrupted.
#[derive(Debug, Args)]
pub(super) struct GetArgs {
    /// A ticket (p2p:…), or the hash of a file
    #[arg(value_name = "TICKET|HASH")]
    what: String,

    /// Folder to put it in, under its own name [default: the current folder]
    #[arg(long, short, env = "P2P_OUTPUT", value_name = "DIR", hide_env_values = true)]
    output: Option<PathBuf>,

    /// Seconds to look for somebody who has it before giving up; 0: for ever [default: 30]
    ///
    /// A download that has begun waits for its peers to come back, however long that takes.
    #[arg(long, env = "P2P_TIMEOUT", value_name = "SECONDS", hide_env_values = true)]
    timeout: Option<u64>,

    /// Go on seeding when it is whole, until Ctrl-C
    #[arg(long, env = "P2P_SEED", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    seed: bool,

    #[command(flatten)]
    peer: PeerFlags,
}

pub(super) async fn run(settings: &Settings, args: GetArgs, output: &mut Output) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let what: Wanted = args.what.parse()?;
    let config = settings.peer(&args.peer, Role::Foreground)?;
    if matches!(what, Wanted::Hash(_)) && config.tracker.urls.is_empty() {
        return Err(Failure::usage(
            "a bare hash does not say where to look; add --tracker URL, or use the share's ticket",
        ));
    }
    let section = &settings.file.get;
    let folder = args.output.as_ref().or(section.output.as_ref());
    let seed = args.seed || section.seed.unwrap_or(false);
    let request = GetRequest {
        what,
        trackers: config.tracker.urls.clone(),
        output: absolute(folder.map_or_else(|| Path::new("."), PathBuf::as_path))?,
        timeout: args.timeout.or(section.timeout).unwrap_or(DEFAULT_TIMEOUT),
        keep: seed,
    };
    let reached = signals.while_beginning(Reached::or_start(config)).await?;
    let ended = fetch(&reached, request, seed, output, &mut signals).await;
    let left = signals.while_ending(reached.end()).await;
    ended.and(left)
}

async fn fetch(
    reached: &Reached,
    request: GetRequest,
    seed: bool,
    output: &mut Output,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let done = {
        let mut display = Display::new(output);
        let (sink, events) = event::channel();
        let work = async { tokio::try_join!(reached.get(request, sink), display.follow(events)) };
        tokio::select! {
            ended = work => ended?.0,
            failure = reached.failed() => return Err(failure),
            () = signals.next() => return Err(interrupted(reached)),
        }
    };
    report(&done, output)?;
    match reached {
        Reached::Own(peer) if seed => {
            let mut display = Display::new(output);
            let (sink, events) = event::channel();
            let work = async { tokio::try_join!(peer.watch(sink), display.follow(events)) };
            tokio::select! {
                ended = work => ended.map(|((), ())| ()),
                failure = peer.failed() => Err(failure),
                () = signals.next() => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn report(done: &Done, output: &mut Output) -> Result<(), Failure> {
    match output.is_json() {
        true => output.object(&Event::Done(done.clone())),
        false => output.path(&done.path),
    }
}

fn interrupted(reached: &Reached) -> Failure {
    Failure::interrupted(match reached {
        Reached::Own(_) => "interrupted; the same command goes on where it was".to_owned(),
        Reached::Running(client) => format!(
            "interrupted; the running peer (process {}) goes on fetching: `p2p-peer status` shows it, `p2p-peer remove` ends it",
            client.pid()
        ),
    })
}
