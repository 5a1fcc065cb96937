//! How long to wait before trying again: twice as long each time, up to a bound, spread by chance.
//!
//! Without the spread, everybody who lost the same tracker would come back in the same moment. Pure: who waits asks its
//! own clock and its own source of chance.

use std::time::Duration;

/// A rule for waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    most: Duration,
}

impl Backoff {
    /// Waits `first` before the first try after a failure, and never more than `most`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most }
    }

    /// The wait after `failures` in a row (1 after the first one), without chance: `first`, twice that, and so on.
    pub fn base(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1);
        let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.most)
    }

    /// The wait after `failures` in a row, between half of [`Self::base`] and all of it; where in between, `chance`
    /// decides: any random number.
    pub fn delay(&self, failures: u32, chance: u32) -> Duration {
        let base = self.base(failures);
        let half = base / 2;
        half.saturating_add(half.mul_f64(f64::from(chance) / f64::from(u32::MAX)))
    }
}

/// Counts failures in a row under a [`Backoff`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    rule: Backoff,
    failures: u32,
}

impl Retries {
    /// None yet.
    pub const fn new(rule: Backoff) -> Self {
        Self { rule, failures: 0 }
    }

    /// It failed (again): how long to wait now. `chance` is any random number.
    pub fn on_failure(&mut self, chance: u32) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.rule.delay(self.failures, chance)
    }

    /// It worked: the next failure is the first one again.
    pub fn on_success(&mut self) {
        self.failures = 0;
    }

    /// Failures since it last worked.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));

    #[test]
    fn waits_double_up_to_the_bound() {
        let waits: Vec<_> = (1..=4).map(|failures| RULE.base(failures).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800]);
        assert_eq!(RULE.base(10), Duration::from_secs(30));
        assert_eq!(RULE.base(u32::MAX), Duration::from_secs(30));
        assert_eq!(RULE.base(0), Duration::from_millis(100));
    }

    #[test]
    fn chance_spreads_a_wait_over_its_second_half() {
        assert_eq!(RULE.delay(1, 0), Duration::from_millis(50));
        assert_eq!(RULE.delay(1, u32::MAX), Duration::from_millis(100));
        let middle = RULE.delay(1, u32::MAX / 2).as_millis();
        assert!((74..=75).contains(&middle), "{middle}");
    }

    #[test]
    fn a_success_starts_again_from_the_shortest_wait() {
        let mut retries = Retries::new(RULE);
        let first = retries.on_failure(7);
        assert!(retries.on_failure(7) > first);
        assert_eq!(retries.failures(), 2);
        retries.on_success();
        assert_eq!(retries.on_failure(7), first);
    }

    #[test]
    fn the_longest_wait_does_not_overflow() {
        let rule = Backoff::new(Duration::MAX, Duration::MAX);
        assert!(rule.delay(u32::MAX, 0) <= Duration::MAX / 2);
        assert!(rule.delay(u32::MAX, u32::MAX) >= Duration::MAX / 2);
    }
}
