//! `get`: fetch a share.

use super::{
    absolute,
    output::{Output, note},
    progress::Display,
    reach::Reached,
    signal::Signals,
};
use crate::{
    config::{Config, Role, Settings, file::GetSection, flags::PeerFlags},
    error::Failure,
    event::{self, Done, Event},
    operation::{FilesRequest, GetRequest, Wanted},
    selection::Selection,
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

    /// Fetch only what this glob names in a shared folder; repeatable
    ///
    /// A glob without a slash names files and folders at any depth (`*.pdf`), one with a slash is a path from the shared
    /// folder (`docs/*.pdf`, `/README`), one that ends with a slash names folders only (`docs/`). Whatever names a
    /// folder names all beneath it, empty folders too. `*` and `?` stop at a slash, `**` does not; `[a-z]`,
    /// `{a,b}` and `\` before a special character are known; `?` and `[…]` stand for one ASCII character; case counts.
    /// What is named by --include and by --exclude is not fetched. A glob to include that names nothing is an error
    /// (exit code 3), one to exclude that names nothing a warning. A share that is a single file goes by its name.
    ///
    /// Only the chunks that hold the folder's index and the chosen files are fetched, each checked against the share's
    /// Merkle root; the hash of the whole cannot be. The same command goes on where it was; another selection for the same
    /// folder adds to what is there, fetches no chunk again whose bytes are there, and replaces nothing: a file that is something
    /// else is an error. `--include '*'` adds whatever is missing. A part of a folder is not seeded.
    #[arg(
        long,
        env = "P2P_INCLUDE",
        value_name = "GLOB",
        value_delimiter = '\n',
        hide_env_values = true
    )]
    include: Vec<String>,

    /// Leave out what this glob names, whatever --include says; repeatable
    ///
    /// Globs are as those of --include. Alone it means everything else.
    #[arg(
        long,
        env = "P2P_EXCLUDE",
        value_name = "GLOB",
        value_delimiter = '\n',
        hide_env_values = true
    )]
    exclude: Vec<String>,

    /// Print what is in the share (permissions, bytes, path), and fetch nothing but its index
    ///
    /// With --include and --exclude: what they select. With --json an object for each file.
    #[arg(long, env = "P2P_LIST", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    list: bool,

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
    let selection = selection(&args, section)?;
    let timeout = args.timeout.or(section.timeout).unwrap_or(DEFAULT_TIMEOUT);
    if args.list || section.list.unwrap_or(false) {
        let request = FilesRequest {
            what,
            trackers: config.tracker.urls.clone(),
            timeout,
            policy: config.policy,
            selection,
        };
        return list(config, request, output, &mut signals).await;
    }
    let folder = args.output.as_ref().or(section.output.as_ref());
    let seed = args.seed || section.seed.unwrap_or(false);
    let request = GetRequest {
        what,
        trackers: config.tracker.urls.clone(),
        output: absolute(folder.map_or_else(|| Path::new("."), PathBuf::as_path))?,
        timeout,
        policy: config.policy,
        keep: seed,
        selection,
    };
    let reached = signals.while_beginning(Reached::or_start(config)).await?;
    let ended = fetch(&reached, request, seed, output, &mut signals).await;
    let left = signals.while_ending(reached.end()).await;
    ended.and(left)
}

/// What the flags select, or the file where they say nothing. In a variable a glob is a line: it may have commas.
fn selection(args: &GetArgs, section: &GetSection) -> Result<Selection, Failure> {
    fn or<'a>(flags: &'a [String], file: Option<&'a Vec<String>>) -> &'a [String] {
        match flags {
            [] => file.map_or(&[], Vec::as_slice),
            flags => flags,
        }
    }
    let include = or(&args.include, section.include.as_ref());
    let exclude = or(&args.exclude, section.exclude.as_ref());
    Selection::new(include, exclude)
        .map_err(|bad| Failure::usage(format!("{bad}; `p2p-peer get --help` says what a glob is")))
}

/// Prints the files of a share as they are told.
async fn list(
    config: Config,
    request: FilesRequest,
    output: &mut Output,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let reached = signals.while_beginning(Reached::or_start(config)).await?;
    let ended = {
        let mut display = Display::new(output);
        let (sink, events) = event::channel();
        let work = async { tokio::try_join!(reached.files(request, sink), display.follow(events)) };
        tokio::select! {
            ended = work => ended.map(|((), ())| ()),
            failure = reached.failed() => Err(failure),
            () = signals.next() => Err(Failure::interrupted("interrupted; nothing was written")),
        }
    };
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
        Reached::Own(_) if seed && !is_share(reached, &done).await? => {
            note("a part of a folder is not seeded: this ends here");
            Ok(())
        }
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

/// Whether what was fetched is the whole of a share.
async fn is_share(reached: &Reached, done: &Done) -> Result<bool, Failure> {
    let shares = reached.list().await?;
    Ok(shares.iter().any(|share| share.hash == done.hash))
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
