//! The whole-file hash of a download, following the contiguous front: the chunks up to the first that is missing.
//!
//! Promise: chunks that come (almost) in order are hashed from the memory that they came in; the others are read back
//! from the page cache when their turn comes. It runs on a thread of its own, so committing never waits for it, and it
//! parks at most a few buffers of the pool, so it never starves those who receive. Its state can be saved at any time.

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

struct State {
    /// Absent while the thread feeds it.
    hasher: Option<Box<FileHasher>>,
    /// The chunk that it takes next.
    next: u32,
    /// Chunks whose turn has not come.
    parked: BTreeMap<u32, ParkedBytes>,
    /// The disk failed when a chunk was read back; the thread waits until somebody has heard.
    failed: Option<DiskError>,
    /// Counts beginnings anew, so that what was computed before one is not put back after it.
    round: u64,
    stopped: bool,
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
            stopped: false,
        };
        Self {
            algorithm,
            layout,
            state: Mutex::new(state),
            moved: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The hasher is put back or replaced in one step; a panic elsewhere leaves a state that can be gone on from.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.moved.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether bytes are of any use to it (not with BLAKE3, which goes by the chunk hashes).
    pub(super) fn wants_bytes(&self) -> bool {
        self.algorithm == HashAlgorithm::Sha256
    }

    /// The chunk is stored. `bytes` are kept for a while if its turn comes soon.
    pub(super) fn on_stored(&self, chunk: ChunkIndex, bytes: Option<ParkedBytes>) {
        let mut state = self.lock();
        if let Some(bytes) = bytes.filter(|_| chunk.0 >= state.next) {
            state.parked.insert(chunk.0, bytes);
            if state.parked.len() > PARKED {
                // The one whose turn comes last can best be read back.
                state.parked.pop_last();
            }
        }
        drop(state);
        self.moved.notify_all();
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
            let mut state = self.lock();
            if state.round == round {
                state.next = hasher.next_index().0;
                state.hasher = Some(hasher);
                state.failed = fed.err();
            }
            drop(state);
            self.moved.notify_all();
        }
    }

    fn next_step(&self, chunks: &impl Chunks) -> Step {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return Step::Stop;
            }
            let chunk = ChunkIndex(state.next);
            if state.failed.is_none()
                && self.layout.contains(chunk)
                && chunks.has(chunk)
                && let Some(hasher) = state.hasher.take()
            {
                let parked = state.parked.remove(&chunk.0);
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
            state = self.wait(state);
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
            state = self.wait(state);
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
