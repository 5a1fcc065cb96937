//! The whole-file hash of a download, following the contiguous front: the chunks up to the first that is missing.
//!
//! Promise: a chunk whose turn it is when it is verified is taken in with the same pass over its bytes (see
//! [`super::lead`]); those that come a little early wait in the memory that they came in; the others are read back from
//! the page cache when their turn comes, on a thread of its own. At most a few buffers of the pool are kept waiting, so
//! those who receive are not starved. What was taken in is right, whether or not it is stored in the end. The state
//! can be saved at any time.

use crate::storage::{buffer::ParkedBytes, error::DiskError};
use p2p_shared::{
    chunker::Layout,
    hash::{FileHasher, HashAlgorithm},
    id::{ChunkHash, ChunkIndex, FileHash},
};
use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// Chunks parked in memory, a job: 4 MiB, as far as peers that are asked in order usually stray from it.
const PARKED: usize = 16;

/// Chunk hashes taken in by whoever stored a chunk, at a time: some microseconds.
const AT_ONCE: usize = 64;

/// What the front needs of its job.
pub(super) trait Chunks {
    /// Whether the chunk is stored.
    fn has(&self, chunk: ChunkIndex) -> bool;
    /// Appends the chunk's bytes as they are on the disk.
    fn read(&self, chunk: ChunkIndex, out: &mut Vec<u8>) -> Result<(), DiskError>;
    /// What it must hash to.
    fn hash(&self, chunk: ChunkIndex) -> ChunkHash;
}

/// The hash so far, and what it waits for.
#[derive(Debug)]
pub(super) struct Front {
    algorithm: HashAlgorithm,
    layout: Layout,
    state: Mutex<State>,
    /// Something in `state` (or in what is stored) is no longer as it was.
    moved: Condvar,
}

pub(super) struct State {
    /// Absent while the thread, or whoever verifies the next chunk, feeds it.
    pub(super) hasher: Option<Box<FileHasher>>,
    /// The chunk that it takes next.
    pub(super) next: u32,
    /// Chunks whose turn has not come.
    parked: BTreeMap<u32, ParkedBytes>,
    /// The disk failed when a chunk was read back; the thread waits until somebody has heard.
    failed: Option<DiskError>,
    /// Counts beginnings anew, so that what was computed before one is not put back after it.
    pub(super) round: u64,
    /// How many wait for the hasher, beside the thread.
    waiting: u32,
    pub(super) stopped: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "next {}, {} parked", self.next, self.parked.len())
    }
}

/// One step of the thread.
enum Step {
    /// Feed it the chunk, whose bytes may be parked, in this round.
    Hash(Box<FileHasher>, Option<ParkedBytes>, u64),
    Stop,
}

impl Front {
    /// Goes on from a saved state, if it is one of this file; else from the beginning.
    pub(super) fn new(algorithm: HashAlgorithm, layout: Layout, saved: Option<&[u8]>) -> Self {
        let restored = saved.and_then(|saved| FileHasher::restore(algorithm, layout, saved));
        let hasher = restored.unwrap_or_else(|| FileHasher::new(algorithm, layout));
        let state = State {
            next: hasher.next_index().0,
            hasher: Some(Box::new(hasher)),
            parked: BTreeMap::new(),
            failed: None,
            round: 0,
            waiting: 0,
            stopped: false,
        };
        Self {
            algorithm,
            layout,
            state: Mutex::new(state),
            moved: Condvar::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // The hasher is put back or replaced in one step; a panic elsewhere leaves a state that can be gone on from.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.moved.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Until something happened, which may be that the hasher is back.
    pub(super) fn wait_for_hasher<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.waiting += 1;
        state = self.wait(state);
        state.waiting -= 1;
        state
    }

    /// Whether bytes are of any use to it (not with BLAKE3, which goes by the chunk hashes).
    pub(super) fn wants_bytes(&self) -> bool {
        self.algorithm == HashAlgorithm::Sha256
    }

    /// The chunk is stored. `bytes` are kept for a while if its turn comes soon.
    pub(super) fn on_stored(&self, chunk: ChunkIndex, bytes: Option<ParkedBytes>, chunks: &impl Chunks) {
        let mut state = self.lock();
        if let Some(bytes) = bytes.filter(|_| chunk.0 >= state.next) {
            state.parked.insert(chunk.0, bytes);
            if state.parked.len() > PARKED {
                // The one whose turn comes last can best be read back.
                state.parked.pop_last();
            }
        }
        if !self.wants_bytes() {
            self.advance(&mut state, chunks);
        }
        self.wake(state, chunks);
    }

    /// Takes in what is stored at the front, where that costs less than waking the thread for it. The rest, if it is long, is
    /// the thread's.
    fn advance(&self, state: &mut State, chunks: &impl Chunks) {
        for _ in 0..AT_ONCE {
            if !self.is_due(state, chunks) {
                return;
            }
            let hash = chunks.hash(ChunkIndex(state.next));
            if let Some(hasher) = &mut state.hasher {
                hasher.update(&[], &hash);
                state.next = hasher.next_index().0;
            }
        }
    }

    /// Whether the chunk was taken in already.
    pub(super) fn is_past(&self, chunk: ChunkIndex) -> bool {
        chunk.0 < self.lock().next
    }

    /// The hash of a chunk by itself.
    pub(super) fn hash_alone(&self, chunk: ChunkIndex, bytes: &[u8]) -> ChunkHash {
        self.algorithm.hash_chunk(self.layout, chunk, bytes)
    }

    /// The hasher comes back, unless what it was taken for began anew meanwhile.
    pub(super) fn put_back(
        &self,
        hasher: Box<FileHasher>,
        round: u64,
        failed: Option<DiskError>,
        chunks: &impl Chunks,
    ) {
        let mut state = self.lock();
        if state.round == round {
            state.next = hasher.next_index().0;
            state.hasher = Some(hasher);
            if failed.is_some() {
                state.failed = failed;
            }
            // One that was stored twice at once may have been parked, too.
            while state
                .parked
                .first_key_value()
                .is_some_and(|(chunk, _)| *chunk < state.next)
            {
                state.parked.pop_first();
            }
        }
        self.wake(state, chunks);
    }

    /// Wakes whoever has something to do now; mostly nobody.
    fn wake(&self, state: MutexGuard<'_, State>, chunks: &impl Chunks) {
        let wanted = state.waiting > 0 || self.is_due(&state, chunks);
        drop(state);
        if wanted {
            self.moved.notify_all();
        }
    }

    /// Whether the thread is to take the next chunk in.
    fn is_due(&self, state: &State, chunks: &impl Chunks) -> bool {
        let next = ChunkIndex(state.next);
        state.failed.is_none() && state.hasher.is_some() && self.layout.contains(next) && chunks.has(next)
    }

    /// Follows the front until it is stopped. The body of a thread.
    pub(super) fn follow(&self, chunks: &impl Chunks) {
        let mut buffer = Vec::new();
        // Should it end by a panic, nobody is to wait for it.
        let _stop = StopOnExit(self);
        while let Step::Hash(mut hasher, parked, round) = self.next_step(chunks) {
            let chunk = hasher.next_index();
            let bytes = match &parked {
                Some(bytes) => Ok(&**bytes),
                None => self.read_back(chunks, chunk, &mut buffer),
            };
            let fed = bytes.map(|bytes| hasher.update(bytes, &chunks.hash(chunk)));
            drop(parked);
            self.put_back(hasher, round, fed.err(), chunks);
        }
    }

    fn next_step(&self, chunks: &impl Chunks) -> Step {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return Step::Stop;
            }
            if self.is_due(&state, chunks)
                && let Some(hasher) = state.hasher.take()
            {
                let next = state.next;
                let parked = state.parked.remove(&next);
                return Step::Hash(hasher, parked, state.round);
            }
            state = self.wait(state);
        }
    }

    fn read_back<'a>(
        &self,
        chunks: &impl Chunks,
        chunk: ChunkIndex,
        buffer: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], DiskError> {
        buffer.clear();
        if self.wants_bytes() {
            chunks.read(chunk, buffer)?;
        }
        Ok(buffer)
    }

    /// The state, to go on from after a restart; empty if there is none.
    pub(super) fn save(&self) -> Vec<u8> {
        let mut state = self.lock();
        loop {
            if let Some(hasher) = &state.hasher {
                return hasher.save();
            }
            if state.stopped {
                return Vec::new();
            }
            state = self.wait_for_hasher(state);
        }
    }

    /// Waits for the last chunk, which must be stored, and returns the file hash; `None` if it was stopped.
    pub(super) fn finish(&self) -> Result<Option<FileHash>, DiskError> {
        let mut state = self.lock();
        loop {
            if let Some(error) = state.failed.take() {
                drop(state);
                // Whoever heard of it may try again.
                self.moved.notify_all();
                return Err(error);
            }
            if let Some(hash) = state
                .hasher
                .as_ref()
                .and_then(|hasher| hasher.clone().finish().ok())
            {
                return Ok(Some(hash));
            }
            if state.stopped {
                return Ok(None);
            }
            state = self.wait_for_hasher(state);
        }
    }

    /// Begins anew: what was hashed was not what is stored.
    pub(super) fn reset(&self) {
        let mut state = self.lock();
        state.hasher = Some(Box::new(FileHasher::new(self.algorithm, self.layout)));
        state.next = 0;
        state.parked.clear();
        state.failed = None;
        state.round += 1;
        drop(state);
        self.moved.notify_all();
    }

    /// Ends the thread.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        state.parked.clear();
        drop(state);
        self.moved.notify_all();
    }
}

struct StopOnExit<'a>(&'a Front);

impl Drop for StopOnExit<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
impl Front {
    pub(super) fn next(&self) -> u32 {
        self.lock().next
    }

    /// As if the state had been restored from `saved`.
    pub(super) fn replace(&self, saved: &[u8]) {
        let mut state = self.lock();
        let hasher = FileHasher::restore(self.algorithm, self.layout, saved).unwrap();
        state.next = hasher.next_index().0;
        state.hasher = Some(Box::new(hasher));
        state.round += 1;
    }
}
