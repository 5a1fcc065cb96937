//! What one end of a tunnel may still send. Pure.
//!
//! The reader's session adds, the sender's session takes away, on two threads: so a number that is changed in one step, and no lock.

use p2p_shared::protocol::relay::{FRAME_COST, MAX_CREDIT, MIN_GRANT};
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes that may be sent.
#[derive(Debug, Default)]
pub(super) struct Credit(AtomicU32);

/// A grant that is no grant: too much, or too little to be worth a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadGrant;

/// More was sent than was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exceeded;

impl Credit {
    /// The first grant, which may be small or nothing.
    pub(super) fn begin(&self, bytes: u32) -> Result<(), BadGrant> {
        self.add(bytes)
    }

    /// A further grant.
    pub(super) fn grant(&self, bytes: u32) -> Result<(), BadGrant> {
        if bytes < MIN_GRANT {
            return Err(BadGrant);
        }
        self.add(bytes)
    }

    /// A data frame of so many bytes was sent.
    pub(super) fn spend(&self, bytes: usize) -> Result<(), Exceeded> {
        let cost = u32::try_from(bytes).map_err(|_| Exceeded)?;
        let left = |open: u32| open.checked_sub(cost)?.checked_sub(FRAME_COST);
        let spent = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, left);
        spent.map(drop).map_err(|_| Exceeded)
    }

    fn add(&self, bytes: u32) -> Result<(), BadGrant> {
        let more = |open: u32| open.checked_add(bytes).filter(|open| *open <= MAX_CREDIT);
        let added = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        added.map(drop).map_err(|_| BadGrant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_granted_is_spent_once_headers_included() {
        let credit = Credit::default();
        assert_eq!(credit.spend(1), Err(Exceeded));
        credit.begin(1000 + FRAME_COST).unwrap();
        assert_eq!(credit.spend(1001), Err(Exceeded));
        credit.spend(1000).unwrap();
        assert_eq!(credit.spend(1), Err(Exceeded));
        credit.grant(MIN_GRANT).unwrap();
        credit.spend((MIN_GRANT - FRAME_COST) as usize).unwrap();
    }

    #[test]
    fn many_small_frames_cost_what_it_costs_to_keep_them() {
        let credit = Credit::default();
        credit.begin(MAX_CREDIT).unwrap();
        let frames = std::iter::repeat_with(|| credit.spend(1)).take_while(Result::is_ok);
        assert_eq!(frames.count(), (MAX_CREDIT / (FRAME_COST + 1)) as usize);
    }

    #[test]
    fn no_more_is_open_than_may_be_and_no_crumbs_are_granted() {
        let credit = Credit::default();
        credit.begin(MAX_CREDIT).unwrap();
        assert_eq!(credit.grant(MIN_GRANT), Err(BadGrant));
        credit.spend(5000).unwrap();
        assert_eq!(credit.grant(MIN_GRANT - 1), Err(BadGrant));
        credit.grant(5000).unwrap();
        assert_eq!(Credit::default().begin(MAX_CREDIT + 1), Err(BadGrant));
        assert_eq!(Credit::default().grant(u32::MAX), Err(BadGrant));
    }
}
