//! Hashes a stream on all cores. With BLAKE3 every thread reads and hashes chunks. With SHA-256 the whole-file hash is
//! serial by its nature and gives the chunk hashes in passing, so one thread hashes and the others read ahead of it;
//! which one is decided chunk by chunk.
//!
//! Promise: no more than [`AHEAD`] chunks a thread are in memory; the first error ends everything; whoever cancels waits for one
//! chunk at most. Knows nothing of files: it is given a function that reads a chunk.

use p2p_shared::{
    chunker::{CHUNK_SIZE, Layout},
    hash::{FileHasher, HashAlgorithm},
    id::{ChunkHash, ChunkIndex, FileHash},
};
use std::{
    collections::BTreeMap,
    panic::resume_unwind,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// Chunks read ahead of the serial hash, a thread: enough that it seldom waits, little enough to stay in the cache.
const AHEAD: u32 = 4;

/// Chunks hashed ahead of one whose thread does not get on, a thread: of them only the hash is kept, so there can be as many as
/// are hashed while the system runs something else on its core.
const HASHED_AHEAD: u32 = 256;

/// What the pipeline needs to know and may call. The functions are called from several threads at once.
pub(super) struct Work<'a, E> {
    pub(super) algorithm: HashAlgorithm,
    pub(super) layout: Layout,
    /// Hashing threads, at least one.
    pub(super) threads: usize,
    /// Appends one chunk's bytes.
    pub(super) read: &'a Read<'a, E>,
    /// Told after every chunk that the whole-file hash has taken in, in order: its hasher and all hashes so far. An
    /// error ends the work (that is also how it is cancelled).
    pub(super) followed: &'a Followed<'a, E>,
}

/// Reads a chunk.
pub(super) type Read<'a, E> = dyn Fn(ChunkIndex, &mut Vec<u8>) -> Result<(), E> + Sync + 'a;

/// Takes note of how far the whole-file hash has come.
pub(super) type Followed<'a, E> = dyn Fn(&FileHasher, &[ChunkHash]) -> Result<(), E> + Sync + 'a;

/// Where to begin: at the beginning, or where an earlier run was interrupted.
pub(super) struct Start {
    pub(super) hasher: FileHasher,
    /// Of the chunks that `hasher` has taken in.
    pub(super) hashes: Vec<ChunkHash>,
}

impl Start {
    pub(super) fn new(algorithm: HashAlgorithm, layout: Layout) -> Self {
        Self {
            hasher: FileHasher::new(algorithm, layout),
            hashes: Vec::new(),
        }
    }
}

/// Hashes everything from `start` on.
pub(super) fn run<E: Send>(work: &Work<'_, E>, start: Start) -> Result<(FileHash, Vec<ChunkHash>), E> {
    let first = start.hasher.next_index().0;
    let left = (work.layout.chunks() - first) as usize;
    let line = Line {
        state: Mutex::new(State {
            next: first,
            ready: BTreeMap::new(),
            spare: Vec::new(),
            hasher: Some(start.hasher),
            followed: first,
            hashes: start.hashes,
            failed: None,
            abandoned: false,
        }),
        moved: Condvar::new(),
    };
    let threads = work.threads.clamp(1, left.max(1));
    let ahead = match work.algorithm {
        HashAlgorithm::Sha256 => AHEAD,
        HashAlgorithm::Blake3 => HASHED_AHEAD,
    };
    let window = ahead.saturating_mul(u32::try_from(threads).unwrap_or(u32::MAX));
    thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads)
            .map(|_| scope.spawn(|| line.help(work, window)))
            .collect();
        line.help(work, window);
        for helper in helpers {
            if let Err(panic) = helper.join() {
                resume_unwind(panic);
            }
        }
    });
    let state = line.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = state.failed {
        return Err(error);
    }
    let whole = state.hasher.and_then(|hasher| hasher.finish().ok());
    Ok((
        #[expect(
            clippy::expect_used,
            reason = "help() returns when all chunks are followed, or one failed or panicked"
        )]
        whole.expect("every chunk was followed"),
        state.hashes,
    ))
}

/// What the threads share.
struct Line<E> {
    state: Mutex<State<E>>,
    /// Something in `state` is no longer as it was.
    moved: Condvar,
}

struct State<E> {
    /// The chunk to be read next.
    next: u32,
    /// Not yet taken in by the whole-file hash.
    ready: BTreeMap<u32, Ready>,
    /// Buffers to be used again.
    spare: Vec<Vec<u8>>,
    /// The whole-file hash; absent while a thread feeds it.
    hasher: Option<FileHasher>,
    /// How many chunks it has taken in.
    followed: u32,
    hashes: Vec<ChunkHash>,
    failed: Option<E>,
    /// A thread panicked.
    abandoned: bool,
}

/// A chunk that the whole-file hash can take in.
enum Ready {
    /// With SHA-256: read, and hashed in the same pass as the whole.
    Bytes(Vec<u8>),
    /// With BLAKE3: hashed; the whole is made of these.
    Hash(ChunkHash),
}

/// What a thread does next.
enum Step {
    Follow(FileHasher, Ready),
    Read(ChunkIndex, Vec<u8>),
    Stop,
}

impl<E: Send> Line<E> {
    fn lock(&self) -> MutexGuard<'_, State<E>> {
        // A thread that panicked ends the work anyway: `run` passes its panic on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until there is nothing left to do.
    fn help(&self, work: &Work<'_, E>, window: u32) {
        // A panic in a function of the caller's must not leave the others waiting.
        let _stop = StopOnPanic(self);
        loop {
            let done = match self.next_step(work.layout.chunks(), window) {
                Step::Stop => return,
                Step::Follow(hasher, ready) => self.follow(work, hasher, ready),
                Step::Read(chunk, bytes) => self.read(work, chunk, bytes),
            };
            if let Err(error) = done {
                self.lock().failed.get_or_insert(error);
                self.moved.notify_all();
            }
        }
    }

    fn next_step(&self, chunks: u32, window: u32) -> Step {
        let mut state = self.lock();
        loop {
            if state.abandoned || state.failed.is_some() || state.followed == chunks {
                return Step::Stop;
            }
            if let Some(hasher) = state.hasher.take() {
                let followed = state.followed;
                if let Some(ready) = state.ready.remove(&followed) {
                    return Step::Follow(hasher, ready);
                }
                state.hasher = Some(hasher);
            }
            if state.next < chunks && state.next - state.followed < window {
                let chunk = ChunkIndex(state.next);
                state.next += 1;
                let bytes = state.spare.pop();
                return Step::Read(
                    chunk,
                    bytes.unwrap_or_else(|| Vec::with_capacity(CHUNK_SIZE as usize)),
                );
            }
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn read(&self, work: &Work<'_, E>, chunk: ChunkIndex, mut bytes: Vec<u8>) -> Result<(), E> {
        bytes.clear();
        (work.read)(chunk, &mut bytes)?;
        let hash = match work.algorithm {
            HashAlgorithm::Sha256 => None,
            HashAlgorithm::Blake3 => Some(work.algorithm.hash_chunk(work.layout, chunk, &bytes)),
        };
        let mut state = self.lock();
        let ready = match hash {
            None => Ready::Bytes(bytes),
            Some(hash) => {
                state.spare.push(bytes);
                Ready::Hash(hash)
            }
        };
        state.ready.insert(chunk.0, ready);
        drop(state);
        self.moved.notify_all();
        Ok(())
    }

    fn follow(&self, work: &Work<'_, E>, mut hasher: FileHasher, ready: Ready) -> Result<(), E> {
        let (hash, spare) = match ready {
            Ready::Hash(hash) => {
                hasher.update(&[], &hash);
                (hash, None)
            }
            Ready::Bytes(bytes) => (hasher.update_and_hash(&bytes), Some(bytes)),
        };
        let mut hashes = {
            let mut state = self.lock();
            state.spare.extend(spare);
            std::mem::take(&mut state.hashes)
        };
        // Only whoever holds the hasher touches the hashes, so they can be looked at without the lock.
        hashes.push(hash);
        let answer = (work.followed)(&hasher, &hashes);
        let mut state = self.lock();
        state.followed = hasher.next_index().0;
        state.hashes = hashes;
        state.hasher = Some(hasher);
        drop(state);
        self.moved.notify_all();
        answer
    }
}

/// Ends the work of the others when a thread panics.
struct StopOnPanic<'a, E: Send>(&'a Line<E>);

impl<E: Send> Drop for StopOnPanic<'_, E> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.lock().abandoned = true;
            self.0.moved.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Whatever the threads do in whatever order, and wherever an earlier run was interrupted: the hashes are those
        /// of the bytes.
        #[test]
        fn any_number_of_threads_hash_what_is_there(
            size in 0..6 * u64::from(CHUNK_SIZE),
            threads in 1..5usize,
            done in 0..6u32,
            algorithm in prop::sample::select(vec![HashAlgorithm::Sha256, HashAlgorithm::Blake3]),
        ) {
            let stream: Vec<u8> = (0..size).map(|at| (at % 251) as u8 ^ (at >> 16) as u8).collect();
            let layout = Layout::new(size).unwrap();
            let bytes_of = |chunk| {
                let extent = layout.extent(chunk);
                &stream[extent.start as usize..extent.end as usize]
            };
            let mut start = Start::new(algorithm, layout);
            for chunk in (0..done.min(layout.chunks())).map(ChunkIndex) {
                start.hashes.push(start.hasher.update_and_hash(bytes_of(chunk)));
            }
            let work = Work {
                algorithm,
                layout,
                threads,
                read: &|chunk, out| {
                    out.extend_from_slice(bytes_of(chunk));
                    Ok::<_, Infallible>(())
                },
                followed: &|hasher, hashes| {
                    assert_eq!(hasher.next_index().0 as usize, hashes.len());
                    Ok(())
                },
            };
            let Ok((file, hashes)) = run(&work, start);
            let expected = match algorithm {
                HashAlgorithm::Sha256 => <[u8; 32]>::from(<sha2::Sha256 as sha2::Digest>::digest(&stream)),
                HashAlgorithm::Blake3 => blake3::hash(&stream).into(),
            };
            prop_assert_eq!(file, FileHash(expected));
            let each: Vec<_> = (0..layout.chunks())
                .map(|chunk| algorithm.hash_chunk(layout, ChunkIndex(chunk), bytes_of(ChunkIndex(chunk))))
                .collect();
            prop_assert_eq!(hashes, each);
        }
    }
}
