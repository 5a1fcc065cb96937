//! Which chunk to ask of whom next.
//!
//! Promises order where order is worth something, and spread where it is not: while only whole files are connected,
//! chunks are asked for from the front, so that the hash of the whole file follows from memory and the disk is written
//! in sequence; as soon as another incomplete peer is there, the rarest first, ties broken at random, so that peers who
//! began together fetch different things and can exchange them. Owns how often each chunk is held by others. Never
//! asks twice itself: what is missing it reads from [`Chunks`].

use super::chunks::Chunks;
use p2p_shared::{bitfield::Bitfield, id::ChunkIndex};
use std::ops::Range;

/// Rarest-first looks at this many missing chunks from the front (1 GiB): looking at all of a large file for every
/// request would cost more than the better choice gains.
const HORIZON: usize = 4096;

/// Chooses chunks for one download.
#[derive(Debug)]
pub struct Picker {
    /// How many incomplete peers hold each chunk; empty until there is such a peer.
    counts: Vec<u16>,
    /// Incomplete peers counted in `counts`.
    incomplete: u32,
    /// Breaks ties differently in every download.
    seed: u64,
    /// Chunks that come before all others.
    first: Range<u32>,
}

impl Picker {
    /// A picker whose ties fall by `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            counts: Vec::new(),
            incomplete: 0,
            seed,
            first: 0..0,
        }
    }

    /// These chunks come before all others: what is written to the disk depends on them.
    pub fn prefer(&mut self, first: Range<u32>) {
        self.first = first;
    }

    /// A peer that holds `bits` is there. Whole ones do not change what is rare, so they are not counted.
    pub fn on_peer(&mut self, bits: &Bitfield) {
        if bits.is_full() {
            return;
        }
        self.incomplete += 1;
        self.counts.resize(bits.len() as usize, 0);
        self.count(bits, |count| count.saturating_add(1));
    }

    /// A peer that held `bits`, as told by [`Picker::on_peer`] and [`Picker::on_have`], is gone.
    pub fn on_peer_gone(&mut self, bits: &Bitfield, was_whole: bool) {
        if was_whole {
            return;
        }
        self.incomplete = self.incomplete.saturating_sub(1);
        self.count(bits, |count| count.saturating_sub(1));
    }

    /// An incomplete peer holds one more.
    pub fn on_have(&mut self, chunk: ChunkIndex) {
        if let Some(count) = self.counts.get_mut(chunk.0 as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// An incomplete peer holds one less than it claimed.
    pub fn on_lost(&mut self, chunk: ChunkIndex) {
        if let Some(count) = self.counts.get_mut(chunk.0 as usize) {
            *count = count.saturating_sub(1);
        }
    }

    fn count(&mut self, bits: &Bitfield, change: impl Fn(u16) -> u16) {
        for chunk in bits.ones() {
            if let Some(count) = self.counts.get_mut(chunk.0 as usize) {
                *count = change(*count);
            }
        }
    }

    /// Up to `room` missing chunks that a holder of `theirs` should be asked for now.
    pub fn pick(&self, chunks: &Chunks, theirs: &Bitfield, room: usize) -> Vec<ChunkIndex> {
        if room == 0 {
            return Vec::new();
        }
        let mut picked: Vec<_> = self.preferred(chunks, theirs).take(room).collect();
        let others = chunks
            .missing_of(theirs)
            .filter(|chunk| !self.first.contains(&chunk.0));
        let room = room - picked.len();
        if self.incomplete == 0 {
            picked.extend(others.take(room));
        } else {
            picked.extend(self.rarest(others.take(HORIZON).collect(), room));
        }
        picked
    }

    fn preferred(&self, chunks: &Chunks, theirs: &Bitfield) -> impl Iterator<Item = ChunkIndex> {
        let first = self.first.clone().map(ChunkIndex);
        first.filter(|chunk| chunks.missing().has(*chunk) && theirs.has(*chunk))
    }

    fn rarest(&self, mut candidates: Vec<ChunkIndex>, room: usize) -> Vec<ChunkIndex> {
        let key = |chunk: &ChunkIndex| {
            let count = self.counts.get(chunk.0 as usize).copied().unwrap_or(0);
            (count, scatter(self.seed, chunk.0))
        };
        if room < candidates.len() {
            candidates.select_nth_unstable_by_key(room, key);
            candidates.truncate(room);
        }
        candidates.sort_unstable_by_key(key);
        candidates
    }
}

/// A number that looks random and belongs to this seed and chunk (the finaliser of SplitMix64).
fn scatter(seed: u64, chunk: u32) -> u64 {
    let mut x = seed.wrapping_add(u64::from(chunk).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use p2p_shared::id::PublicKey;

    fn bits(len: u32, ones: impl IntoIterator<Item = u32>) -> Bitfield {
        let mut bits = Bitfield::new(len);
        for one in ones {
            bits.set(ChunkIndex(one));
        }
        bits
    }

    fn fresh(len: u32) -> Chunks {
        Chunks::new(Bitfield::new(len), Bitfield::full(len))
    }

    fn indices(chunks: &[ChunkIndex]) -> Vec<u32> {
        chunks.iter().map(|chunk| chunk.0).collect()
    }

    #[test]
    fn from_whole_peers_chunks_come_in_order() {
        let mut picker = Picker::new(7);
        let mut chunks = fresh(100);
        picker.on_peer(&Bitfield::full(100));
        picker.on_peer(&Bitfield::full(100));
        let first = picker.pick(&chunks, &Bitfield::full(100), 3);
        assert_eq!(indices(&first), [0, 1, 2]);
        for chunk in first {
            chunks.ask(chunk, PublicKey([1; 32]));
        }
        assert_eq!(indices(&picker.pick(&chunks, &Bitfield::full(100), 3)), [3, 4, 5]);
    }

    #[test]
    fn the_rarest_comes_first_once_an_incomplete_peer_is_there() {
        let mut picker = Picker::new(7);
        let chunks = fresh(6);
        picker.on_peer(&Bitfield::full(6));
        picker.on_peer(&bits(6, [0, 1, 2, 4, 5]));
        picker.on_peer(&bits(6, [0, 1, 4, 5]));
        let picked = picker.pick(&chunks, &Bitfield::full(6), 2);
        assert_eq!(indices(&picked), [3, 2]);
    }

    #[test]
    fn a_peer_is_asked_only_for_what_it_holds() {
        let mut picker = Picker::new(7);
        let theirs = bits(6, [1, 5]);
        picker.on_peer(&theirs);
        let mut picked = indices(&picker.pick(&fresh(6), &theirs, 6));
        picked.sort_unstable();
        assert_eq!(picked, [1, 5]);
    }

    #[test]
    fn preferred_chunks_come_before_all_others_in_either_order() {
        let mut picker = Picker::new(7);
        picker.prefer(3..5);
        let whole = Bitfield::full(6);
        assert_eq!(indices(&picker.pick(&fresh(6), &whole, 4)), [3, 4, 0, 1]);
        picker.on_peer(&bits(6, [3, 4]));
        assert_eq!(indices(&picker.pick(&fresh(6), &whole, 2)), [3, 4]);
    }

    #[test]
    fn downloads_with_different_seeds_begin_with_different_chunks() {
        let pick = |seed| {
            let mut picker = Picker::new(seed);
            picker.on_peer(&bits(1000, []));
            indices(&picker.pick(&fresh(1000), &Bitfield::full(1000), 50))
        };
        let (one, other) = (pick(1), pick(2));
        let common = one.iter().filter(|chunk| other.contains(chunk)).count();
        assert!(common < 20, "{common} of 50 in common");
        assert_eq!(pick(1), one);
    }

    #[test]
    fn what_a_leaving_peer_held_is_rare_again() {
        let mut picker = Picker::new(7);
        picker.on_peer(&bits(3, [0]));
        picker.on_peer(&bits(3, [0, 1, 2]));
        let partial = bits(3, [1, 2]);
        picker.on_peer(&partial);
        picker.on_peer_gone(&partial, false);
        picker.on_have(ChunkIndex(2));
        let picked = picker.pick(&fresh(3), &Bitfield::full(3), 1);
        assert_ne!(indices(&picked), [0]);
        picker.on_peer_gone(&bits(3, [0, 2]), false);
        assert_eq!(indices(&picker.pick(&fresh(3), &Bitfield::full(3), 3)), [0, 1, 2]);
    }
}
