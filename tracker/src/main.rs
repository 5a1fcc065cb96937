//! The program `p2p-tracker`: reads its configuration, runs one tracker until it is told to stop, and ends with an exit
//! code that says how it went.

use clap::Parser as _;
use p2p_shared::{logger, supervision::EXIT_ESCALATED};
use p2p_tracker::{
    DataError, Ending, StartError, Tracker, TrackerHandle,
    config::{self, Cli, Command, LogFormat, Logging},
    key_command::{self, KeyAnswer, KeyError},
};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Usage or configuration: a flag, the file, an address that is taken, a folder that is in use.
const EXIT_CONFIGURATION: u8 = 2;

/// There is no such key.
const EXIT_NOT_FOUND: u8 = 3;

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
            | StartError::Tls(_)
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

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        let message = error.to_string();
        let code = match error {
            KeyError::Start(error) => return error.into(),
            KeyError::Store(_) => EXIT_DISK,
            KeyError::Unknown(_) => EXIT_NOT_FOUND,
            KeyError::BadOrder(_) => EXIT_CONFIGURATION,
            KeyError::System(_) => EXIT_ESCALATED,
        };
        Self { code, message }
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
    p2p_shared::freed_memory::keep();
    if let Err(error) = p2p_shared::open_files::raise_limit() {
        tracing::warn!(%error, "the limit of open files stays as it was");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::System(error.to_string()))?;
    if let Some(Command::Key { command, json }) = &cli.command {
        let answer = runtime.block_on(key_command::run(&config, command))?;
        tell(&answer, *json);
        return Ok(());
    }
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
    let ending = loop {
        tokio::select! {
            ending = tracker.ended() => break ending,
            signal = signals.next() => match signal {
                Told::Stop => break tracker.shutdown().await,
                Told::Reload => reload(&tracker),
            },
        }
    };
    match ending {
        Ending::Stopped => Ok(()),
        Ending::Failed(message) => Err(Failure {
            code: EXIT_ESCALATED,
            message,
        }),
    }
}

/// The two files are small; nothing else runs on this thread.
fn reload(tracker: &TrackerHandle) {
    match tracker.reload_certificates() {
        Ok(changed) => tracing::info!(changed, "certificates looked at"),
        Err(error) => tracing::error!(%error, "the certificates stay as they were"),
    }
}

/// What a signal means.
enum Told {
    Stop,
    Reload,
}

/// Ctrl-C and what service managers send.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    /// "Read again what you read at the start": the certificates.
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.terminate.recv() => Told::Stop,
            _ = self.hang_up.recv() => Told::Reload,
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

/// Answers a command about keys: on stdout what was asked for, and nothing else.
#[expect(clippy::print_stdout, reason = "the answer is what the program is asked for")]
fn tell(answer: &KeyAnswer, json: bool) {
    match answer {
        _ if json => answer.json().iter().for_each(|line| println!("{line}")),
        KeyAnswer::Made(made) => {
            println!("{}", made.key);
            say(&format!(
                "Key {} of scope {} for {:?}. It is shown this once and kept nowhere.",
                made.record.id,
                key_command::scope_name(made.record.scope),
                made.record.name
            ));
        }
        KeyAnswer::Keys(keys) => keys.iter().for_each(|key| println!("{}", key_command::line(key))),
        KeyAnswer::Revoked(id) => say(&format!(
            "Key {id} is worth nothing any more; a running tracker knows within 5 s."
        )),
    }
}

#[expect(clippy::print_stderr, reason = "for the person who started the program")]
fn say(text: &str) {
    eprintln!("{text}");
}
