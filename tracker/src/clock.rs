//! What time it is, for everybody in this process.
//!
//! Unix milliseconds that never go back and never jump: the wall clock is read once, at the start, and a monotonic
//! clock counts from there. A wall clock that is set while the tracker runs would end every lease at once, or none.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A clock that counts from when it was made. Copies agree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
    start_unix: Duration,
}

impl Clock {
    /// A clock that goes by the wall clock as it is now.
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
            // Before 1970: then times count from the start of the process, which is as good as that wall clock.
            start_unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }

    /// A clock that shows this time now (Unix milliseconds): that of a database, by which all of its trackers go.
    pub(crate) fn showing(now: u64) -> Self {
        Self {
            start: Instant::now(),
            start_unix: Duration::from_millis(now),
        }
    }

    /// Unix milliseconds.
    pub(crate) fn now(&self) -> u64 {
        // Fits for half a billion years.
        (self.start_unix + self.start.elapsed()).as_millis() as u64
    }

    /// How long this clock has been counting.
    pub(crate) fn uptime(&self) -> Duration {
        self.start.elapsed()
    }
}
