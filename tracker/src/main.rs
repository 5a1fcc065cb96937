//! The program `p2p-tracker`: reads its configuration, runs one tracker until it is told to stop, and ends with an exit
//! code that says how it went.

use clap::Parser as _;
use p2p_shared::{logger, supervision::EXIT_ESCALATED};
use p2p_tracker::{
    DataError, Ending, StartError, Tracker, TrackerHandle,
    config::{self, Cli, Command, LogFormat, Logging},
};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Usage or configuration: a flag, the file, an address that is taken, a folder that is in use.
const EXIT_CONFIGURATION: u8 = 2;

/// The disk, or permission on it.
const EXIT_DISK: u8 = 7;

/// What ends the program, with its exit code.
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    #[expect(clippy::needless_pass_by_value, reason = "for map_err")]
    fn configuration(error: impl ToString) -> Self {
        Self {
            code: EXIT_CONFIGURATION,
            message: error.to_string(),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let code = match &error {
            StartError::Listen { .. }
            | StartError::ListenUdp { .. }
            | StartError::Data(DataError::Locked(_) | DataError::DatabaseLocked(_)) => EXIT_CONFIGURATION,
            StartError::Data(DataError::Io { .. }) | StartError::Database { .. } => EXIT_DISK,
            StartError::System(_) => EXIT_ESCALATED,
        };
        Self {
            code,
            message: error.to_string(),
        }
    }
}

fn main() -> ExitCode {
    // Fail points are compiled in for tests only; then FAILPOINTS in the environment says which of them do what.
    let _scenario = fail::FailScenario::setup();
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, message }) => {
            say(&format!("p2p-tracker: {message}"));
            ExitCode::from(code)
        }
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let (config, logging) = config::load(&cli.flags).map_err(Failure::configuration)?;
    start_logging(&logging)?;
    if cli.command == Some(Command::Migrate) {
        announce_migrated(p2p_tracker::migrate(&config)?);
        return Ok(());
    }
    if let Err(error) = p2p_shared::open_files::raise_limit() {
        tracing::warn!(%error, "the limit of open files stays as it was");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::System(error.to_string()))?;
    runtime.block_on(async {
        // Before the start: a signal that comes early is not lost.
        let signals = Signals::new().map_err(|error| StartError::System(error.to_string()))?;
        let tracker = Tracker::start(config)?;
        announce(&tracker);
        serve(tracker, signals).await
    })
}

fn start_logging(logging: &Logging) -> Result<(), Failure> {
    let format = match logging.format {
        LogFormat::Text => logger::Format::Text,
        LogFormat::Json => logger::Format::Json,
    };
    logger::init(format, &logging.filter).map_err(Failure::configuration)?;
    // A panic is an event like others: a field of the log, not a text between its lines.
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(%panic, %backtrace, "panic");
    }));
    Ok(())
}

async fn serve(mut tracker: TrackerHandle, mut signals: Signals) -> Result<(), Failure> {
    let ending = tokio::select! {
        ending = tracker.ended() => ending,
        () = signals.next() => tracker.shutdown().await,
    };
    match ending {
        Ending::Stopped => Ok(()),
        Ending::Failed(message) => Err(Failure {
            code: EXIT_ESCALATED,
            message,
        }),
    }
}

/// Ctrl-C and what service managers send.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[expect(
    clippy::print_stdout,
    reason = "what was done is what the program is asked for"
)]
fn announce_migrated(done: Option<usize>) {
    match done {
        Some(0) => println!("database was up to date"),
        Some(done) => println!("database is up to date after {done} migrations"),
        None => println!("database is up to date"),
    }
}

#[expect(
    clippy::print_stdout,
    reason = "where it listens is what the program is asked for"
)]
fn announce(tracker: &TrackerHandle) {
    tracing::info!(address = %tracker.address(), "tracker listening");
    println!("tracker listening on {}", tracker.url());
    if let Some(key) = tracker.admin_key() {
        say(&format!(
            "This tracker can be reached by others, so every call needs an API key. This is the operator's; it is shown \
             this once and kept nowhere:\n\n    {key}\n\nGive it to peers as P2P_API_KEY (or in a file, with \
             --api-key-file), and send it as X-API-Key otherwise."
        ));
    }
}

#[expect(clippy::print_stderr, reason = "for the person who started the program")]
fn say(text: &str) {
    eprintln!("{text}");
}
