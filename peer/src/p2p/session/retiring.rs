//! The last part of a session that another one replaces: nothing new, and an end.
//!
//! Promises that what is outstanding either way has time to come, that the other side's last questions, which may be on
//! their way still, are not cut off, and that it ends within [`BOUND`] whatever the other side does. Never looks at a clock.

use super::state::{Answered, SessionState};
use std::time::{Duration, Instant};

/// With nothing outstanding either way for this long it is over: a question that was on its way has arrived.
const SETTLED: Duration = Duration::from_secs(1);
/// What has not come by then is asked for over the other session.
const BOUND: Duration = Duration::from_secs(15);

/// A session in retirement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retirement {
    since: Instant,
    /// When something was outstanding last.
    busy: Instant,
}

impl Retirement {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            busy: now,
        }
    }

    /// Time passed; true when it is over.
    fn on_tick(&mut self, is_busy: bool, now: Instant) -> bool {
        if is_busy {
            self.busy = now;
        }
        now.saturating_duration_since(self.busy) >= SETTLED
            || now.saturating_duration_since(self.since) >= BOUND
    }
}

impl SessionState {
    /// Another session with the peer is used from now on.
    pub fn retire(&mut self, now: Instant) {
        self.retirement.get_or_insert_with(|| Retirement::new(now));
    }

    /// Whether another session with the peer is used.
    pub fn is_retired(&self) -> bool {
        self.retirement.is_some()
    }

    pub(super) fn is_retirement_over(&mut self, answered: Answered, now: Instant) -> bool {
        let we_owe = self.accepted > answered.requests || self.accepted_hashes > answered.hashes;
        let is_busy = we_owe || self.is_owed();
        self.retirement
            .as_mut()
            .is_some_and(|retirement| retirement.on_tick(is_busy, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn it_is_over_a_second_after_the_last_that_was_outstanding() {
        let now = Instant::now();
        let mut retirement = Retirement::new(now);
        assert!(!retirement.on_tick(true, now + seconds(4.0)));
        assert!(!retirement.on_tick(false, now + seconds(4.9)));
        assert!(retirement.on_tick(false, now + seconds(5.0)));
    }

    #[test]
    fn whoever_never_answers_does_not_keep_it_for_ever() {
        let now = Instant::now();
        let mut retirement = Retirement::new(now);
        assert!(!retirement.on_tick(true, now + seconds(14.9)));
        assert!(retirement.on_tick(true, now + seconds(15.0)));
    }
}
