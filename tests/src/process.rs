//! A real program, started, listened to and ended by its process id.
//!
//! Promises that nothing outlives the value: dropped, the program is killed and waited for. Both of its outputs are read
//! line by line as they come (a full pipe would stop it) and written to a log beside its folder. Waiting is always
//! for a line or for the end, never for a time; [`PATIENCE`] only turns a hang into a failure.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::lines::Lines;
use crate::netlab::Namespace;

/// After this long without what a test waits for, it fails. Long, because a loaded machine is slow, not wrong.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Where the programs are: beside the test's executable, or where `P2P_TEST_BIN_DIR` says.
pub fn binary(name: &str) -> PathBuf {
    let folder = std::env::var_os("P2P_TEST_BIN_DIR").map_or_else(beside_this_executable, PathBuf::from);
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is not there: cargo build --workspace --bins --tests",
        path.display()
    );
    path
}

fn beside_this_executable() -> PathBuf {
    let mut folder = std::env::current_exe().expect("the path of this executable");
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    folder
}

/// What is to be started; [`Launch::start`] starts it.
#[derive(Debug)]
pub struct Launch {
    command: Command,
    log: PathBuf,
    place: Option<Namespace>,
}

impl Launch {
    /// `program` (a name for [`binary`], or a path), with a home of its own in `folder`, where its log goes too.
    /// The settings of whoever runs the tests do not reach it.
    pub fn new(program: &str, folder: &Path) -> Self {
        let path = if program.contains('/') {
            PathBuf::from(program)
        } else {
            binary(program)
        };
        let mut command = Command::new(path);
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("P2P_") || key == "FAILPOINTS" || key == "RUST_LOG" {
                command.env_remove(key);
            }
        }
        command
            .env("HOME", folder)
            .env_remove("XDG_DATA_HOME")
            .env("RUST_BACKTRACE", "0")
            .env("NO_COLOR", "1");
        command.current_dir(folder);
        let name = Path::new(program)
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Self {
            command,
            log: folder.join(format!("{name}.log")),
            place: None,
        }
    }

    /// One more argument.
    pub fn arg(mut self, value: impl AsRef<OsStr>) -> Self {
        self.command.arg(value);
        self
    }

    /// Some more arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, values: impl IntoIterator<Item = S>) -> Self {
        self.command.args(values);
        self
    }

    /// A variable of its environment.
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Runs a copy of the program that is in this folder: another user may not reach the one that was built.
    pub fn within(mut self, folder: &Path) -> Self {
        let program = Path::new(self.command.get_program()).to_owned();
        let copy = folder.join(program.file_name().unwrap_or_default());
        if !copy.exists() {
            std::fs::copy(&program, &copy).expect("a copy of the program");
        }
        self.program(copy.as_os_str());
        self
    }

    /// Runs it under another program: `setpriv …`, `strace …`.
    pub fn under<S: Into<OsString>>(mut self, wrapper: impl IntoIterator<Item = S>) -> Self {
        let mut words: Vec<OsString> = wrapper.into_iter().map(Into::into).collect();
        words.push(self.command.get_program().to_owned());
        words.extend(self.command.get_args().map(OsStr::to_owned));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        self.replace(command);
        self
    }

    /// Runs it on another machine of the laboratory.
    pub fn inside(mut self, place: &Namespace) -> Self {
        self.place = Some(place.clone());
        self
    }

    fn program(&mut self, path: &OsStr) {
        let mut command = Command::new(path);
        command.args(self.command.get_args());
        self.replace(command);
    }

    /// Another command line with the same environment and folder.
    fn replace(&mut self, mut command: Command) {
        for (key, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        if let Some(folder) = self.command.get_current_dir() {
            command.current_dir(folder);
        }
        self.command = command;
    }

    /// Starts it.
    pub fn start(mut self) -> Program {
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        die_with_us(&mut self.command);
        if let Some(place) = &self.place {
            place.move_in(&mut self.command);
        }
        let started = Instant::now();
        let mut child = self
            .command
            .spawn()
            .unwrap_or_else(|error| panic!("{:?} does not start: {error}", self.command));
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .expect("a log file");
        let log = Arc::new(Mutex::new(log));
        let out = Lines::follow(child.stdout.take().expect("piped"), Arc::clone(&log), "");
        let err = Lines::follow(child.stderr.take().expect("piped"), log, "! ");
        Program {
            child,
            started,
            out,
            err,
            log: self.log,
            status: None,
        }
    }

    /// Starts it and waits for its end.
    pub fn run(self) -> Ended {
        self.start().end()
    }
}

/// A test that is killed cannot end what it started: the system does it then.
fn die_with_us(command: &mut Command) {
    let ask = || {
        Ok(rustix::process::set_parent_process_death_signal(Some(
            Signal::KILL,
        ))?)
    };
    // SAFETY: between fork and exec only a system call is made, which allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(ask);
    }
}

/// How a program ended and all that it said.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Ended {
    /// The events among its lines (`--json`).
    pub fn events(&self) -> Vec<Value> {
        self.out
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Fails the test unless it ended with `code`; gives itself back.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "exit code\n--- stdout\n{}\n--- stderr\n{}",
            self.out,
            self.err
        );
        self
    }
}

/// A program that runs.
#[derive(Debug)]
pub struct Program {
    child: Child,
    started: Instant,
    out: Arc<Lines>,
    err: Arc<Lines>,
    log: PathBuf,
    status: Option<ExitStatus>,
}

impl Program {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// When it was spawned.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The first line on stdout, from line `from` on, for which `wanted` says something; with the number of the line after it.
    #[track_caller]
    pub fn wait_out<T>(&self, from: usize, what: &str, wanted: impl Fn(&str) -> Option<T>) -> (T, usize) {
        self.wait_in(&self.out, from, what, wanted)
    }

    /// As [`Program::wait_out`], on stderr.
    #[track_caller]
    pub fn wait_err<T>(&self, from: usize, what: &str, wanted: impl Fn(&str) -> Option<T>) -> (T, usize) {
        self.wait_in(&self.err, from, what, wanted)
    }

    #[track_caller]
    fn wait_in<T>(
        &self,
        lines: &Lines,
        from: usize,
        what: &str,
        wanted: impl Fn(&str) -> Option<T>,
    ) -> (T, usize) {
        match lines.wait(from, Instant::now() + PATIENCE, wanted) {
            Some(found) => found,
            None => panic!("never said {what}\n{}", self.said()),
        }
    }

    /// The first event of this name from line `from` on, with the number of the line after it.
    #[track_caller]
    pub fn wait_event(&self, from: usize, name: &str) -> (Value, usize) {
        self.wait_out(from, &format!("event {name}"), |line| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event.get("event")?.as_str()? == name).then_some(event)
        })
    }

    /// The next event, of any name, from line `from` on; none when its output or the time ends before.
    pub fn next_event(&self, from: usize, deadline: Instant) -> Option<(Value, usize)> {
        self.out.wait(from, deadline, |line| {
            let event: Value = serde_json::from_str(line).ok()?;
            event.get("event").is_some().then_some(event)
        })
    }

    /// How many lines it has written to stdout and to stderr.
    pub fn lines(&self) -> (usize, usize) {
        (self.out.text().lines().count(), self.err.text().lines().count())
    }

    /// What it has written to stderr so far.
    pub fn err_text(&self) -> String {
        self.err.text()
    }

    /// What it has written to stdout so far.
    pub fn out_text(&self) -> String {
        self.out.text()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("the state of a child");
        }
        self.status.is_some()
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// As Ctrl-C does (SIGINT).
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            // An error means that it has ended already, which is what whoever sends a signal waits for.
            kill_process(pid, signal).ok();
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(mut self) -> Ended {
        self.child.kill().expect("kill a child");
        self.reap();
        self.ended()
    }

    /// Waits for its end.
    pub fn end(self) -> Ended {
        self.end_within(PATIENCE)
    }

    /// Waits for its end, for this long at most.
    pub fn end_within(mut self, patience: Duration) -> Ended {
        // Both outputs are closed when it ends, so their end is the event to wait for.
        let deadline = Instant::now() + patience;
        assert!(
            self.out.wait_closed(deadline) && self.err.wait_closed(deadline),
            "does not end\n{}",
            self.said()
        );
        self.reap();
        self.ended()
    }

    fn reap(&mut self) {
        if self.status.is_none() {
            self.status = Some(self.child.wait().expect("wait for a child"));
        }
        let deadline = Instant::now() + PATIENCE;
        self.out.wait_closed(deadline);
        self.err.wait_closed(deadline);
    }

    fn ended(&self) -> Ended {
        Ended {
            code: self.status.and_then(|status| status.code()),
            out: self.out.text(),
            err: self.err.text(),
        }
    }

    fn said(&self) -> String {
        let tail = |text: String| {
            let skipped = text.lines().count().saturating_sub(60);
            text.lines().skip(skipped).collect::<Vec<_>>().join("\n")
        };
        format!(
            "--- stdout\n{}\n--- stderr\n{}\n--- all of it: {}",
            tail(self.out.text()),
            tail(self.err.text()),
            self.log.display()
        )
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.status.is_none() {
            // Fails only when it has ended already; waiting for it is right in both cases.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}
