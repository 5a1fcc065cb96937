//! Following the front while a chunk is verified.
//!
//! Verifying a chunk and following the file are two hashes of the same bytes, and two made in one pass take the time of
//! one. So whoever verifies the chunk at the front takes the front's hasher along, and brings it back when it is known
//! whether the chunk is right. Chunks in order are hashed one after the other that way, and written side by side.
//!
//! Promise: the hasher comes back in every case, past the chunk only if its bytes are the expected ones. Such a chunk need not be
//! stored yet: whatever is stored in its place later will be the same bytes.

use super::front::{Chunks, Front};
use p2p_shared::{
    hash::FileHasher,
    id::{ChunkHash, ChunkIndex},
};

/// The front's hasher in the hands of whoever verifies the chunk that it takes next. Goes back when dropped.
struct Lead<'a, C: Chunks> {
    front: &'a Front,
    chunks: &'a C,
    /// There until it is dropped.
    hasher: Option<Box<FileHasher>>,
    round: u64,
}

impl Front {
    /// The hash of a chunk's bytes. If its turn is now, the front takes it in with the same pass over them, provided
    /// that the hash is the one `expected`.
    pub(super) fn hash_in_passing(
        &self,
        chunk: ChunkIndex,
        bytes: &[u8],
        expected: &ChunkHash,
        chunks: &impl Chunks,
    ) -> ChunkHash {
        let mut lead = self.lead(chunk, chunks);
        let after = lead.as_ref().and_then(|lead| lead.hasher.clone());
        let Some((lead, mut after)) = lead.as_mut().zip(after) else {
            return self.hash_alone(chunk, bytes);
        };
        let hash = after.update_and_hash(bytes);
        if hash == *expected {
            lead.hasher = Some(after);
        }
        hash
    }

    /// The hasher, if `chunk` is what it takes next. If that is the one before, which somebody is hashing now, waits for
    /// it: no longer than that takes.
    fn lead<'a, C: Chunks>(&'a self, chunk: ChunkIndex, chunks: &'a C) -> Option<Lead<'a, C>> {
        if !self.wants_bytes() {
            return None;
        }
        let mut state = self.lock();
        while state.hasher.is_none() && state.next.checked_add(1) == Some(chunk.0) && !state.stopped {
            state = self.wait_for_hasher(state);
        }
        if state.next != chunk.0 {
            return None;
        }
        let hasher = Some(state.hasher.take()?);
        Some(Lead {
            front: self,
            chunks,
            hasher,
            round: state.round,
        })
    }
}

impl<C: Chunks> Drop for Lead<'_, C> {
    fn drop(&mut self) {
        if let Some(hasher) = self.hasher.take() {
            self.front.put_back(hasher, self.round, None, self.chunks);
        }
    }
}
