//! How much one peer and one API key may relay. Pure.

use crate::storage::MonthUse;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a relay allows. A limit of 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayLimits {
    /// Tunnels that a peer may have at a time.
    pub tunnels: u32,
    /// Bytes per second that a peer may send; above, it is read from more slowly.
    pub rate: u64,
    /// Bytes that the peers of one API key may send in a calendar month (UTC).
    pub month: u64,
}

impl Default for RelayLimits {
    /// Tunnels to as many peers as a download talks to, and no limit of bytes.
    fn default() -> Self {
        Self {
            tunnels: 64,
            rate: 0,
            month: 0,
        }
    }
}

/// An even rate, with a burst of one second (the generic cell rate algorithm).
#[derive(Debug)]
pub(super) struct Rate {
    per_second: u64,
    /// Until when, in milliseconds, what was taken so far will last at that rate.
    lasts_until: u64,
}

impl Rate {
    /// So many per second; 0: as many as you like.
    pub(super) fn new(per_second: u64) -> Self {
        Self {
            per_second,
            lasts_until: 0,
        }
    }

    /// Takes some. Says for how many milliseconds nothing more is to be taken.
    pub(super) fn take(&mut self, amount: u64, now: u64) -> u64 {
        if self.per_second == 0 {
            return 0;
        }
        let lasts = amount.saturating_mul(1000).div_ceil(self.per_second);
        self.lasts_until = self.lasts_until.max(now).saturating_add(lasts);
        self.lasts_until.saturating_sub(now + 1000)
    }

    /// Takes one if there is one left.
    pub(super) fn try_one(&mut self, now: u64) -> bool {
        let free = self.per_second == 0 || self.lasts_until <= now + 1000;
        if free {
            self.take(1, now);
        }
        free
    }
}

/// What the peers of one API key have sent in the present month. Shared by their sessions.
#[derive(Debug, Default)]
pub(super) struct Usage {
    /// All that is known of: what the store has, and what came since.
    total: Counter,
    /// What the store does not know yet.
    unsaved: Counter,
}

/// The month in the upper 16 bits, bytes in the others: one number, so that it changes in one step.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

const BYTES: u64 = (1 << 48) - 1;

impl Counter {
    /// Adds bytes in a month, and forgets those of any other. Answers with their sum.
    fn add(&self, bytes: u64, month: u64) -> u64 {
        let add = |used: u64| {
            let before = if used >> 48 == month { used & BYTES } else { 0 };
            Some(month << 48 | before.saturating_add(bytes).min(BYTES))
        };
        let before = self.0.fetch_update(Relaxed, Relaxed, add);
        before.ok().and_then(add).unwrap_or_default() & BYTES
    }

    fn get(&self) -> MonthUse {
        month_use(self.0.load(Relaxed))
    }
}

fn month_use(value: u64) -> MonthUse {
    MonthUse {
        month: (value >> 48) as u16,
        bytes: value & BYTES,
    }
}

impl Usage {
    /// Counts bytes. Whether they are still within `limit` (0: none).
    pub(super) fn add(&self, bytes: u64, limit: u64, now: u64) -> bool {
        let month = month_of(now);
        self.unsaved.add(bytes, month);
        let after = self.total.add(bytes, month);
        limit == 0 || after <= limit
    }

    /// Whether the limit has been reached.
    pub(super) fn is_used_up(&self, limit: u64, now: u64) -> bool {
        let used = self.month();
        limit != 0 && u64::from(used.month) == month_of(now) && used.bytes >= limit
    }

    pub(super) fn month(&self) -> MonthUse {
        self.total.get()
    }

    /// What the store does not know yet; it is known to it from now on.
    pub(super) fn take_unsaved(&self) -> MonthUse {
        let take = |used: u64| Some(used & !BYTES);
        let before = self.unsaved.0.fetch_update(Relaxed, Relaxed, take);
        before.map_or_else(|_| MonthUse::default(), month_use)
    }

    /// The store has this much. Never turns back within a month: what is on its way to the store is in the total already.
    pub(super) fn on_stored(&self, stored: MonthUse) {
        let unsaved = self.unsaved.get();
        let since = if unsaved.month == stored.month {
            unsaved.bytes
        } else {
            0
        };
        let bytes = stored.bytes.saturating_add(since).min(BYTES);
        self.total
            .0
            .fetch_max(u64::from(stored.month) << 48 | bytes, Relaxed);
    }
}

/// Months since January 1970 (UTC) at a time in Unix milliseconds. The calendar is that of Howard Hinnant's `civil_from_days`.
pub(crate) fn month_of(now: u64) -> u64 {
    let days = now / 86_400_000 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Years that begin in March.
    let month = (5 * day_of_year + 2) / 153;
    (year_of_era + era * 400) * 12 + month + 2 - 1970 * 12
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;

    #[test]
    fn a_rate_gives_a_second_at_once_and_then_makes_wait() {
        let mut rate = Rate::new(1000);
        assert_eq!(rate.take(1000, 50_000), 0);
        assert_eq!(rate.take(500, 50_000), 500);
        assert_eq!(rate.take(500, 51_000), 0);
        assert_eq!(Rate::new(0).take(u64::MAX, 0), 0);
    }

    #[test]
    fn single_things_are_refused_when_they_come_too_fast() {
        let mut rate = Rate::new(10);
        let at_once = (0..100).filter(|_| rate.try_one(5000)).count();
        assert_eq!(at_once, 11);
        assert!(!rate.try_one(5000) && rate.try_one(5100));
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        let month = |days: u64| (month_of(days * DAY), month_of((days + 1) * DAY - 1));
        for (days, expected) in [(0, 0), (30, 0), (31, 1), (58, 1), (59, 2), (364, 11), (365, 12)] {
            assert_eq!(month(days), (expected, expected), "{days}");
        }
        // 29 February and 1 March 2024.
        assert_eq!((month(19_782).0, month(19_783).0), (54 * 12 + 1, 54 * 12 + 2));
    }

    #[test]
    fn a_month_has_its_limit_and_the_next_one_begins_anew() {
        let usage = Usage::default();
        assert!(usage.add(600, 1000, 0) && !usage.is_used_up(1000, 0));
        assert!(usage.add(400, 1000, 0) && usage.is_used_up(1000, 0));
        assert!(!usage.add(1, 1000, 0));
        assert!(!usage.is_used_up(1000, 31 * DAY));
        assert!(usage.add(1000, 1000, 31 * DAY));
        assert!(usage.add(u64::MAX, 0, 31 * DAY) && !usage.is_used_up(0, 31 * DAY));
    }

    #[test]
    fn what_the_store_has_counts_and_what_it_was_told_is_told_once() {
        let used = |month, bytes| MonthUse { month, bytes };
        let usage = Usage::default();
        usage.on_stored(used(0, 700));
        assert!(usage.add(200, 1000, 0));
        assert_eq!(usage.take_unsaved(), used(0, 200));
        assert_eq!(usage.take_unsaved(), used(0, 0));
        // The store was read before it had heard of the 200.
        usage.on_stored(used(0, 700));
        assert_eq!(usage.month(), used(0, 900));
        // Another tracker wrote 300, and 50 came meanwhile.
        usage.add(50, 1000, 0);
        usage.on_stored(used(0, 1200));
        assert_eq!(usage.month(), used(0, 1250));
        assert!(usage.is_used_up(1000, 0) && !usage.is_used_up(1000, 31 * DAY));
        assert!(usage.add(10, 1000, 31 * DAY));
        usage.on_stored(used(0, 1250));
        assert_eq!(usage.month(), used(1, 10));
    }
}
