//! When to look whether a peer is still there.
//!
//! One entry a peer in a queue by time. A heartbeat does not touch the queue: when an entry comes up, the peer is looked
//! at, and queued again if it was heard of since. So a heartbeat costs nothing here, and a sweep only what is due.

use super::swarm::PeerSlot;
use std::{cmp::Reverse, collections::BinaryHeap};

/// Tells the present holder of a slot from earlier ones.
pub(crate) type Generation = u64;

/// The queue of leases.
pub(crate) struct Leases {
    /// Milliseconds.
    length: u64,
    queue: BinaryHeap<Reverse<(u64, PeerSlot, Generation)>>,
    generations: Generation,
}

impl Leases {
    /// Leases of `length` milliseconds.
    pub(crate) fn new(length: u64) -> Self {
        Self {
            length,
            queue: BinaryHeap::new(),
            generations: 0,
        }
    }

    /// A generation that no slot had before.
    pub(crate) fn generation(&mut self) -> Generation {
        self.generations += 1;
        self.generations
    }

    /// When the lease of a peer ends that was heard of at `last_seen`.
    pub(crate) fn end(&self, last_seen: u64) -> u64 {
        last_seen.saturating_add(self.length)
    }

    /// Queues a peer to be looked at when its lease ends, going by `last_seen`.
    pub(crate) fn queue(&mut self, slot: PeerSlot, generation: Generation, last_seen: u64) {
        let end = self.end(last_seen);
        self.queue.push(Reverse((end, slot, generation)));
    }

    /// The next peer to look at, if one is due.
    pub(crate) fn next_due(&mut self, now: u64) -> Option<(PeerSlot, Generation)> {
        let Reverse((end, slot, generation)) = *self.queue.peek()?;
        if end > now {
            return None;
        }
        self.queue.pop();
        Some((slot, generation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_come_up_when_their_leases_end_and_in_that_order() {
        let mut leases = Leases::new(100);
        leases.queue(1, 1, 50);
        leases.queue(2, 2, 20);
        assert_eq!(leases.next_due(119), None);
        assert_eq!(leases.next_due(120), Some((2, 2)));
        assert_eq!(leases.next_due(149), None);
        assert_eq!(leases.next_due(150), Some((1, 1)));
        assert_eq!(leases.next_due(u64::MAX), None);
    }
}
