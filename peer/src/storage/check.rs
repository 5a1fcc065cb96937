//! Hashes chunks that are already on the disk and says which are not what they should be, on all cores.
//!
//! Used for a share that is verified, for a download after a power cut, and for one that did not add up. Knows nothing
//! of files: it is given a function that reads a chunk.

use p2p_shared::{
    chunker::{CHUNK_SIZE, Layout},
    hash::HashAlgorithm,
    id::{ChunkHash, ChunkIndex},
};
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

/// What to compare with what.
pub(super) struct Check<'a> {
    pub(super) algorithm: HashAlgorithm,
    pub(super) layout: Layout,
    pub(super) hashes: &'a [ChunkHash],
    /// Appends one chunk's bytes, or says that it cannot.
    pub(super) read: &'a (dyn Fn(ChunkIndex, &mut Vec<u8>) -> bool + Sync),
    /// Given the bytes done so far, from several threads.
    pub(super) progress: &'a (dyn Fn(u64) + Sync),
}

impl Check<'_> {
    /// Which of `chunks` cannot be read or are not what their hash says, in order.
    pub(super) fn wrong(&self, chunks: &[ChunkIndex]) -> Vec<ChunkIndex> {
        let next = AtomicUsize::new(0);
        let done = AtomicU64::new(0);
        let wrong = Mutex::new(Vec::new());
        let work = || {
            let mut bytes = Vec::with_capacity(CHUNK_SIZE as usize);
            while let Some(chunk) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
                if !self.is_right(*chunk, &mut bytes) {
                    wrong.lock().unwrap_or_else(PoisonError::into_inner).push(*chunk);
                }
                let length = u64::from(self.layout.length(*chunk));
                (self.progress)(done.fetch_add(length, Ordering::Relaxed) + length);
            }
        };
        let threads = thread::available_parallelism()
            .map_or(1, usize::from)
            .min(chunks.len());
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        let mut wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
        wrong.sort_unstable();
        wrong
    }

    fn is_right(&self, chunk: ChunkIndex, bytes: &mut Vec<u8>) -> bool {
        bytes.clear();
        let expected = self.hashes.get(chunk.0 as usize);
        (self.read)(chunk, bytes) && expected == Some(&self.algorithm.hash_chunk(self.layout, chunk, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p2p_shared::testing;

    #[test]
    fn finds_what_is_wrong_or_cannot_be_read_and_nothing_else() {
        let content = testing::content(1, 10 * CHUNK_SIZE as usize + 5);
        let (manifest, hashes) = testing::file(HashAlgorithm::Sha256, "file", &content);
        let layout = manifest.layout();
        let seen = AtomicU64::new(0);
        let check = Check {
            algorithm: manifest.algorithm,
            layout,
            hashes: &hashes,
            read: &|chunk, out| {
                let extent = layout.extent(chunk);
                out.extend_from_slice(&content[extent.start as usize..extent.end as usize]);
                if chunk == ChunkIndex(7) {
                    out[0] ^= 1;
                }
                chunk != ChunkIndex(2)
            },
            progress: &|done| {
                seen.fetch_max(done, Ordering::Relaxed);
            },
        };
        let all: Vec<_> = layout.indices().collect();
        assert_eq!(check.wrong(&all), [ChunkIndex(2), ChunkIndex(7)]);
        assert_eq!(seen.load(Ordering::Relaxed), content.len() as u64);
        assert_eq!(check.wrong(&all[3..6]), []);
        assert_eq!(check.wrong(&[]), []);
    }
}
