//! What the peers of one API key may relay together, and what they have so far. Shared by their sessions.

use super::limits::{Rate, Usage};
use crate::storage::MonthUse;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// What the peers of one key may have together. A limit of 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ShareLimits {
    /// Connections at a time.
    pub(crate) connections: u32,
    /// Tunnels at a time that they have opened.
    pub(crate) tunnels: u32,
    /// Bytes a second that they send; above, they are read from more slowly.
    pub(crate) rate: u64,
    /// Bytes that they send in a calendar month (UTC).
    pub(crate) month: u64,
}

/// What they have.
#[derive(Debug)]
pub(crate) struct Share {
    limits: ShareLimits,
    rate: Mutex<Rate>,
    usage: Usage,
    connections: AtomicU64,
    tunnels: AtomicU64,
}

impl Share {
    pub(crate) fn new(limits: ShareLimits) -> Self {
        Self {
            rate: Mutex::new(Rate::new(limits.rate)),
            limits,
            usage: Usage::default(),
            connections: AtomicU64::new(0),
            tunnels: AtomicU64::new(0),
        }
    }

    /// One more connection, until what comes back is dropped; `None`: there are enough.
    pub(crate) fn connect(self: &Arc<Self>) -> Option<Taken> {
        Taken::take(self, |share| (&share.connections, share.limits.connections))
    }

    /// One more tunnel, until what comes back is dropped; `None`: there are enough.
    pub(super) fn tunnel(self: &Arc<Self>) -> Option<Taken> {
        Taken::take(self, |share| (&share.tunnels, share.limits.tunnels))
    }

    /// Bytes were received. Says for how many milliseconds nothing more is to be read.
    pub(super) fn take(&self, bytes: u64, now: u64) -> u64 {
        if self.limits.rate == 0 {
            return 0;
        }
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        rate.take(bytes, now)
    }

    /// Bytes were passed on. Whether they are still within the limit of the month.
    pub(super) fn add(&self, bytes: u64, now: u64) -> bool {
        self.usage.add(bytes, self.limits.month, now)
    }

    /// Whether the limit of the month has been reached.
    pub(super) fn is_used_up(&self, now: u64) -> bool {
        self.usage.is_used_up(self.limits.month, now)
    }

    /// What was passed on this month, all that is known of.
    pub(crate) fn month(&self) -> MonthUse {
        self.usage.month()
    }

    /// What was passed on and not given to the store yet.
    pub(crate) fn take_unsaved(&self) -> MonthUse {
        self.usage.take_unsaved()
    }

    /// The store has this much, of all trackers that share it.
    pub(crate) fn on_stored(&self, stored: MonthUse) {
        self.usage.on_stored(stored);
    }
}

/// One of what there may be a number of.
#[derive(Debug)]
pub(crate) struct Taken {
    share: Arc<Share>,
    what: fn(&Share) -> (&AtomicU64, u32),
}

impl Taken {
    fn take(share: &Arc<Share>, what: fn(&Share) -> (&AtomicU64, u32)) -> Option<Self> {
        let (count, most) = what(share);
        let more = |count: u64| (most == 0 || count < u64::from(most)).then_some(count + 1);
        count.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Self {
            share: Arc::clone(share),
            what,
        })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        (self.what)(&self.share).0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_and_tunnels_are_given_back() {
        let share = Arc::new(Share::new(ShareLimits {
            connections: 2,
            tunnels: 1,
            ..ShareLimits::default()
        }));
        let first = share.connect().unwrap();
        let _second = share.connect().unwrap();
        assert!(share.connect().is_none());
        drop(first);
        assert!(share.connect().is_some());
        let _tunnel = share.tunnel().unwrap();
        assert!(share.tunnel().is_none());
    }

    #[test]
    fn a_rate_is_that_of_all_together() {
        let share = Share::new(ShareLimits {
            rate: 1000,
            ..ShareLimits::default()
        });
        assert_eq!(share.take(600, 50_000), 0);
        assert_eq!(share.take(600, 50_000), 200);
        assert_eq!(Share::new(ShareLimits::default()).take(u64::MAX, 0), 0);
    }
}
