//! Getting the list of chunk hashes from peers, for a download that has none.
//!
//! Promises that the list is asked for in order, from one peer at a time, of which the next one is asked when it has
//! nothing, leaves, or takes too long; and that only hashes which the session has checked against the Merkle root come in.
//! No session, no clock.

use p2p_shared::{
    chunker::Layout,
    id::{ChunkHash, PublicKey},
    protocol::MAX_HASHES,
};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// How long a peer may take for one answer: it may have to hash a tree of gigabytes of hashes first.
const PATIENCE: Duration = Duration::from_secs(10);

/// A question to be put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Whom.
    pub peer: PublicKey,
    /// From which chunk on.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// A list of hashes that grows.
#[derive(Debug)]
pub struct HashQuest {
    layout: Layout,
    known: Vec<ChunkHash>,
    able: BTreeSet<PublicKey>,
    asked: Option<(PublicKey, Instant)>,
}

impl HashQuest {
    /// Nothing known yet.
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            known: Vec::new(),
            able: BTreeSet::new(),
            asked: None,
        }
    }

    /// The list, once it is complete. Leaves nothing behind.
    pub fn take(&mut self) -> Option<Vec<ChunkHash>> {
        let complete = self.known.len() == self.layout.chunks() as usize;
        complete.then(|| std::mem::take(&mut self.known))
    }

    /// A peer of the file is there.
    pub fn on_peer(&mut self, peer: PublicKey, now: Instant) -> Option<Ask> {
        self.able.insert(peer);
        self.ask(now)
    }

    /// A peer is gone.
    pub fn on_peer_gone(&mut self, peer: &PublicKey, now: Instant) -> Option<Ask> {
        self.able.remove(peer);
        if self.asked.is_some_and(|(asked, _)| asked == *peer) {
            self.asked = None;
        }
        self.ask(now)
    }

    /// An answer came; without hashes: the peer does not have them.
    pub fn on_hashes(
        &mut self,
        peer: &PublicKey,
        first: u32,
        hashes: &[ChunkHash],
        now: Instant,
    ) -> Option<Ask> {
        if self.asked.is_some_and(|(asked, _)| asked == *peer) {
            self.asked = None;
        }
        if hashes.is_empty() {
            self.able.remove(peer);
        } else {
            // Slow, but able: it may be the only one.
            self.able.insert(*peer);
            if first as usize == self.known.len() {
                self.known.extend_from_slice(hashes);
            }
        }
        self.ask(now)
    }

    /// Time passed.
    pub fn on_tick(&mut self, now: Instant) -> Option<Ask> {
        let (peer, since) = self.asked?;
        if now.saturating_duration_since(since) < PATIENCE {
            return None;
        }
        // It may be asked again when everybody else has failed, which its next attachment says.
        self.able.remove(&peer);
        self.asked = None;
        self.ask(now)
    }

    fn ask(&mut self, now: Instant) -> Option<Ask> {
        let first = self.known.len() as u32;
        let left = self.layout.chunks().saturating_sub(first);
        if self.asked.is_some() || left == 0 {
            return None;
        }
        let peer = *self.able.first()?;
        self.asked = Some((peer, now));
        let count = left.min(MAX_HASHES as u32);
        Some(Ask { peer, first, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p2p_shared::chunker::CHUNK_SIZE;

    const A: PublicKey = PublicKey([1; 32]);
    const B: PublicKey = PublicKey([2; 32]);

    fn quest(chunks: u32) -> HashQuest {
        HashQuest::new(Layout::new(u64::from(chunks) * u64::from(CHUNK_SIZE)).unwrap())
    }

    fn hashes(count: u32) -> Vec<ChunkHash> {
        (0..count).map(|n| ChunkHash([n as u8; 32])).collect()
    }

    #[test]
    fn a_long_list_is_asked_for_in_parts_from_one_peer() {
        let mut quest = quest(5000);
        let now = Instant::now();
        let (peer, first, count) = (A, 0, 4096);
        assert_eq!(quest.on_peer(A, now), Some(Ask { peer, first, count }));
        assert_eq!(quest.on_peer(B, now), None);
        let (first, count) = (4096, 904);
        assert_eq!(
            quest.on_hashes(&A, 0, &hashes(4096), now),
            Some(Ask { peer, first, count })
        );
        assert_eq!(quest.take(), None);
        assert_eq!(quest.on_hashes(&A, 4096, &hashes(904), now), None);
        assert_eq!(quest.take().map(|list| list.len()), Some(5000));
    }

    #[test]
    fn the_next_peer_is_asked_when_one_has_nothing_leaves_or_takes_too_long() {
        let now = Instant::now();
        let (first, count) = (0, 8);
        let asked_b = Some(Ask {
            peer: B,
            first,
            count,
        });
        let fresh = || {
            let mut quest = quest(8);
            quest.on_peer(A, now);
            quest.on_peer(B, now);
            quest
        };
        assert_eq!(fresh().on_hashes(&A, 0, &[], now), asked_b);
        assert_eq!(fresh().on_peer_gone(&A, now), asked_b);
        assert_eq!(fresh().on_tick(now + Duration::from_secs(9)), None);
        assert_eq!(fresh().on_tick(now + PATIENCE), asked_b);
    }

    #[test]
    fn a_late_answer_of_a_peer_that_was_given_up_counts_if_it_fits() {
        let now = Instant::now();
        let mut quest = quest(8);
        quest.on_peer(A, now);
        quest.on_peer(B, now);
        quest.on_tick(now + PATIENCE);
        quest.on_hashes(&A, 0, &hashes(8), now + PATIENCE);
        assert_eq!(quest.on_hashes(&B, 0, &hashes(8), now + PATIENCE), None);
        assert_eq!(quest.take().map(|list| list.len()), Some(8));
    }

    #[test]
    fn a_slow_peer_that_is_the_only_one_is_asked_for_the_rest() {
        let now = Instant::now();
        let mut quest = quest(5000);
        quest.on_peer(A, now);
        assert_eq!(quest.on_tick(now + PATIENCE), None, "nobody else is there");
        let (peer, first, count) = (A, 4096, 904);
        assert_eq!(
            quest.on_hashes(&A, 0, &hashes(4096), now + PATIENCE),
            Some(Ask { peer, first, count })
        );
    }

    #[test]
    fn a_file_without_chunks_has_its_list_at_once() {
        assert_eq!(quest(0).take(), Some(Vec::new()));
    }
}
