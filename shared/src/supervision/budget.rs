//! When a child is restarted, and how soon. Pure: no clock, no actix.

use super::Outcome;
use crate::backoff::Backoff;
use std::{collections::VecDeque, time::Duration};

/// What the end of a child means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// It must not end: restarted whatever the reason; over budget, the program cannot go on.
    Permanent,
    /// It ends when its work is done: restarted after a crash only.
    Transient,
    /// Never restarted; its owner decides what to do.
    Temporary,
}

/// How a child's life ended, seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exit {
    /// It stopped itself.
    Finished,
    /// A panic, in it or in its factory, or it did not answer any more.
    Crashed(String),
}

/// What follows from the end of a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Build it again after this pause.
    Again(Duration),
    /// That was it.
    End(Outcome),
}

/// Restarts that a child may use up: some within a window, more means that restarting does not help.
#[derive(Debug, Clone)]
pub struct RestartBudget {
    most: usize,
    window: Duration,
    pause: Backoff,
    /// When it was struck, within the window, oldest first.
    strikes: VecDeque<Duration>,
}

impl Default for RestartBudget {
    /// 5 in 60 s. The first pause is 100 ms: short against the second within which work has to be back, long against a
    /// spin. The fifth is 1.6 s.
    fn default() -> Self {
        Self::new(
            5,
            Duration::from_secs(60),
            Backoff::new(Duration::from_millis(100), Duration::from_secs(10)),
        )
    }
}

impl RestartBudget {
    /// At most `most` restarts within `window`, `pause` before each.
    pub fn new(most: usize, window: Duration, pause: Backoff) -> Self {
        Self {
            most,
            window,
            pause,
            strikes: VecDeque::new(),
        }
    }

    /// A restart is wanted at `now` (time since any fixed moment): how long to pause before it, or `None` if
    /// there were too many. The pauses are not spread by chance: within one process nobody rushes in step.
    pub fn strike(&mut self, now: Duration) -> Option<Duration> {
        while self
            .strikes
            .front()
            .is_some_and(|strike| now.saturating_sub(*strike) >= self.window)
        {
            self.strikes.pop_front();
        }
        if self.strikes.len() >= self.most {
            return None;
        }
        self.strikes.push_back(now);
        Some(self.pause.base(self.strikes.len() as u32))
    }

    /// What follows from `exit` at `now` for a child under this rule.
    pub(super) fn on_exit(&mut self, rule: Restart, exit: Exit, now: Duration) -> Verdict {
        let reason = match (rule, exit) {
            (Restart::Transient | Restart::Temporary, Exit::Finished) => {
                return Verdict::End(Outcome::Finished);
            }
            (Restart::Temporary, Exit::Crashed(reason)) => return Verdict::End(Outcome::Crashed { reason }),
            (Restart::Permanent, Exit::Finished) => "it ended, which it must not".to_owned(),
            (_, Exit::Crashed(reason)) => reason,
        };
        match self.strike(now) {
            Some(pause) => Verdict::Again(pause),
            None => Verdict::End(Outcome::GivenUp { reason }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crash() -> Exit {
        Exit::Crashed("boom".into())
    }

    #[test]
    fn the_first_restart_comes_fast_and_each_further_one_later() {
        let mut budget = RestartBudget::default();
        let pauses: Vec<_> = (0..5)
            .map(|at| budget.strike(Duration::from_secs(at)).unwrap().as_millis())
            .collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600]);
    }

    #[test]
    fn the_sixth_restart_within_a_minute_is_one_too_many() {
        let mut budget = RestartBudget::default();
        for at in 0..5 {
            assert!(budget.strike(Duration::from_secs(at * 14)).is_some());
        }
        assert_eq!(budget.strike(Duration::from_millis(59_999)), None);
    }

    #[test]
    fn strikes_older_than_the_window_are_forgotten() {
        let mut budget = RestartBudget::default();
        for at in 0..100 {
            assert!(budget.strike(Duration::from_secs(at * 15)).is_some());
        }
        let late = budget.strike(Duration::from_secs(100_000));
        assert_eq!(late, Some(Duration::from_millis(100)));
    }

    #[test]
    fn what_an_end_means_depends_on_the_kind_of_child() {
        let verdict = |rule, exit| RestartBudget::default().on_exit(rule, exit, Duration::ZERO);
        let again = Verdict::Again(Duration::from_millis(100));
        assert_eq!(verdict(Restart::Permanent, crash()), again);
        assert_eq!(verdict(Restart::Permanent, Exit::Finished), again);
        assert_eq!(verdict(Restart::Transient, crash()), again);
        assert_eq!(
            verdict(Restart::Transient, Exit::Finished),
            Verdict::End(Outcome::Finished)
        );
        assert_eq!(
            verdict(Restart::Temporary, Exit::Finished),
            Verdict::End(Outcome::Finished)
        );
        let crashed = Outcome::Crashed {
            reason: "boom".into(),
        };
        assert_eq!(verdict(Restart::Temporary, crash()), Verdict::End(crashed));
    }

    #[test]
    fn over_budget_the_last_reason_is_told() {
        let mut budget = RestartBudget::new(
            0,
            Duration::from_secs(1),
            Backoff::new(Duration::ZERO, Duration::ZERO),
        );
        let given_up = Verdict::End(Outcome::GivenUp {
            reason: "boom".into(),
        });
        assert_eq!(
            budget.on_exit(Restart::Permanent, crash(), Duration::ZERO),
            given_up
        );
    }
}
