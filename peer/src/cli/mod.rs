//! The command line: one command a file. Each command talks to the peer that runs on the data folder; `share` and
//! `get` run one of their own if there is none.
//!
//! stdout carries the answer and nothing else (with `--json` one object a line); stderr carries what a person wants
//! to see meanwhile. A closed stdout is no error: what was asked for is still done.

mod change;
mod completions;
mod daemon;
mod doctor;
mod format;
mod get;
mod id;
mod list;
mod output;
mod pause;
mod peers;
mod progress;
mod reach;
mod remove;
mod share;
mod signal;
mod status;
mod verify;

use crate::{
    config::{Settings, flags::CommonFlags},
    error::Failure,
};
use clap::{
    CommandFactory as _, Parser, Subcommand,
    error::{ContextKind, ContextValue},
};
use output::Output;
use std::{
    ffi::OsString,
    num::NonZero,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Share files and folders, fetch them from many peers at once.
///
/// A share is passed on as a ticket: `p2p-peer share FILE` prints one, `p2p-peer get TICKET` fetches it. What travels
/// between peers is encrypted end to end and verified chunk by chunk; an interrupted command goes on where it was when
/// it is run again.
#[derive(Debug, Parser)]
#[command(
    name = "p2p-peer",
    version,
    disable_help_subcommand = true,
    max_term_width = 100
)]
#[command(
    after_help = "Exit codes: 0 done, 2 usage or damaged ticket, 3 not found, 4 nobody reachable, 5 integrity,\n\
                        6 refused (key, scope), 7 disk or permission on it, 130 interrupted."
)]
pub struct Cli {
    #[command(flatten)]
    common: CommonFlags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Share(share::ShareArgs),
    Get(get::GetArgs),
    List(list::ListArgs),
    Status(status::StatusArgs),
    Peers(peers::PeersArgs),
    Doctor(doctor::DoctorArgs),
    Pause(pause::PauseArgs),
    Resume(pause::ResumeArgs),
    Remove(remove::RemoveArgs),
    Verify(verify::VerifyArgs),
    Id(id::IdArgs),
    Daemon(daemon::DaemonArgs),
    Completions(completions::CompletionsArgs),
}

/// Runs the command of this process's arguments; the result is the process's exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(mut error) => {
            hide_secret(&mut error);
            // A closed stdout or stderr: there is nobody to tell.
            error.print().ok();
            if let Some(variable) = variable(&error, std::env::args_os()) {
                output::note(&format!(
                    "note: the value stands in the environment variable {variable}"
                ));
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let mut output = Output::new(cli.common.json);
    match run(cli, &mut output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Takes the value out of what is said of a proxy's address that cannot be used: it may hold a password, also when it came from the
/// environment.
fn hide_secret(error: &mut clap::Error) {
    let is_proxy = matches!(
        error.get(ContextKind::InvalidArg),
        Some(ContextValue::String(wrong)) if wrong.split_whitespace().next() == Some("--proxy")
    );
    if is_proxy && error.get(ContextKind::InvalidValue).is_some() {
        let hidden = ContextValue::String("(not shown)".to_owned());
        error.insert(ContextKind::InvalidValue, hidden);
    }
}

/// The variable of the environment that a value came from which cannot be used; none if it stands among `typed`.
fn variable(error: &clap::Error, typed: impl IntoIterator<Item = OsString>) -> Option<String> {
    let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let mut root = Cli::command();
    // An argument knows how it is shown only then.
    root.build();
    let commands = std::iter::once(&root).chain(root.get_subcommands());
    let mut flags = commands.flat_map(clap::Command::get_arguments);
    let flag = flags.find(|flag| flag.to_string() == *wrong)?;
    let (long, short) = (
        format!("--{}", flag.get_long()?),
        flag.get_short().map(|short| format!("-{short}")),
    );
    let is_it = |word: OsString| {
        let word = word.to_string_lossy().into_owned();
        word.starts_with(&long)
            || short
                .as_ref()
                .is_some_and(|short| word.starts_with(short.as_str()))
    };
    let variable = flag.get_env()?.to_str()?;
    (!typed.into_iter().any(is_it)).then(|| variable.to_owned())
}

fn run(cli: Cli, output: &mut Output) -> Result<(), Failure> {
    if let Command::Completions(args) = &cli.command {
        return completions::run(args, output);
    }
    let settings = Settings::load(&cli.common)?;
    output.set_json(settings.json);
    let is_daemon = matches!(cli.command, Command::Daemon(_));
    start_log(&settings, is_daemon)?;
    p2p_shared::freed_memory::keep();
    if let Err(error) = p2p_shared::open_files::raise_limit() {
        tracing::warn!(%error, "the limit of open files stays as it was");
    }
    if let Command::Id(_) = &cli.command {
        return id::run(&settings, output);
    }
    let system = start_system()?;
    let ended = system.block_on(async {
        match cli.command {
            Command::Share(args) => share::run(&settings, args, output).await,
            Command::Get(args) => get::run(&settings, args, output).await,
            Command::List(_) => list::run(&settings, output).await,
            Command::Status(args) => status::run(&settings, args, output).await,
            Command::Peers(_) => peers::run(&settings, output).await,
            Command::Doctor(args) => doctor::run(&settings, args, output).await,
            Command::Pause(args) => pause::pause(&settings, args, output).await,
            Command::Resume(args) => pause::resume(&settings, args, output).await,
            Command::Remove(args) => remove::run(&settings, args, output).await,
            Command::Verify(args) => verify::run(&settings, args, output).await,
            Command::Daemon(args) => daemon::run(&settings, args, output).await,
            Command::Id(_) | Command::Completions(_) => Ok(()),
        }
    });
    // Dropping the runtime would wait for reads that hang on a dead disk; what had to be finished is finished.
    std::mem::forget(system);
    ended
}

/// The actors' thread is this one; a worker a core beside it.
fn start_system() -> Result<actix_rt::SystemRunner, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    p2p_shared::supervision::system(cores)
        .map_err(|error| Failure::internal(format!("the system gives no threads: {error}")))
}

/// A daemon logs what it does; a command that a person waits for logs only what it is told to.
fn start_log(settings: &Settings, is_daemon: bool) -> Result<(), Failure> {
    let filter = match (&settings.log, is_daemon) {
        (Some(filter), _) => filter.as_str(),
        (None, true) => "info,actix_server=warn",
        (None, false) => "off",
    };
    output::start_log(filter, settings.log_format)
}

/// A path that means the same in another process.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::io("use", path, &error))
}

#[cfg(test)]
mod tests;
