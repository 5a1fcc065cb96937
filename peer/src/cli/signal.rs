//! What ends a command from outside.

use crate::error::Failure;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C and the signals that ask a process to end.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// From now on these signals do not end the process by themselves.
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::internal(format!("cannot listen for signals: {error}")))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the next of them.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
            _ = self.hangup.recv() => (),
        }
    }

    /// Runs `beginning`, what comes before the work proper; a signal ends it there.
    pub(super) async fn while_beginning<T>(
        &mut self,
        beginning: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            begun = beginning => begun,
            () = self.next() => Err(Failure::interrupted("interrupted; the same command goes on where it was")),
        }
    }

    /// Runs `ending`, what is left to do after a signal; a second signal ends the process at once. That costs nothing
    /// that is not on disk anyway: every command can be killed.
    pub(super) async fn while_ending<T>(&mut self, ending: impl Future<Output = T>) -> T {
        tokio::select! {
            ended = ending => ended,
            () = self.next() => std::process::exit(i32::from(crate::error::FailureKind::Interrupted.exit_code())),
        }
    }
}
