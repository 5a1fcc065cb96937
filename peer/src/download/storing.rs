//! Between a chunk's arrival and the disk: verified and committed on blocking threads.
//!
//! Promises that every chunk put in comes back as exactly one [`ChunkStored`], also when its thread panics, and that at
//! most [`WORKERS`] threads work at a time. A worker goes on as long as there is something to do, so that under load chunks
//! cost no thread a wake-up each. Bounded by the pool that the chunks' buffers come from.

use crate::{
    event::PathKind,
    storage::{BadChunk, CommitError, Job, NotStored, ReceivedChunk},
};
use actix::{Message, Recipient};
use p2p_shared::id::{ChunkIndex, PublicKey};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::task::spawn_blocking;

/// Threads at a time, a download. Hashing and writing 500 MB/s takes less than two cores.
const WORKERS: usize = 2;

/// A chunk was dealt with.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct ChunkStored {
    /// Who sent it.
    pub peer: PublicKey,
    /// By which kind of path.
    pub path: PathKind,
    /// Which one.
    pub chunk: ChunkIndex,
    /// What became of it.
    pub outcome: Stored,
}

/// What became of a chunk.
#[derive(Debug)]
pub(super) enum Stored {
    /// Verified, on disk and journaled.
    Yes,
    /// It was not what its hash says.
    Bad(BadChunk),
    /// It was right, and could not be written.
    No(CommitError),
    /// The thread panicked over it.
    Panicked,
}

/// Chunks that wait for a thread, and the threads.
#[derive(Clone)]
pub(super) struct Storing {
    shared: Arc<Shared>,
}

struct Shared {
    job: Arc<Job>,
    waiting: Mutex<Waiting>,
    report: Recipient<ChunkStored>,
}

#[derive(Default)]
struct Waiting {
    chunks: VecDeque<(ReceivedChunk, PathKind)>,
    workers: usize,
}

impl Storing {
    /// Stores into `job` and tells `report`.
    pub(super) fn new(job: Arc<Job>, report: Recipient<ChunkStored>) -> Self {
        let waiting = Mutex::new(Waiting::default());
        Self {
            shared: Arc::new(Shared { job, waiting, report }),
        }
    }

    /// Puts a chunk in that came by `path`.
    pub(super) fn put(&self, chunk: ReceivedChunk, path: PathKind) {
        let mut waiting = self.shared.waiting();
        waiting.chunks.push_back((chunk, path));
        if waiting.workers < WORKERS {
            waiting.workers += 1;
            let shared = Arc::clone(&self.shared);
            drop(waiting);
            spawn_blocking(move || shared.work());
        }
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Only whole pushes and pops happen under this lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some((received, path)) = self.next() {
            let mut told = Told::new(self, &received, path);
            told.outcome = store(&self.job, received);
        }
    }

    /// The next chunk; a worker that finds none is one less.
    fn next(&self) -> Option<(ReceivedChunk, PathKind)> {
        let mut waiting = self.waiting();
        let next = waiting.chunks.pop_front();
        if next.is_none() {
            waiting.workers -= 1;
        }
        next
    }
}

/// Tells what became of a chunk when it is dropped, whatever that was.
struct Told<'a> {
    shared: &'a Shared,
    peer: PublicKey,
    path: PathKind,
    chunk: ChunkIndex,
    outcome: Stored,
}

impl<'a> Told<'a> {
    fn new(shared: &'a Shared, received: &ReceivedChunk, path: PathKind) -> Self {
        Self {
            shared,
            peer: received.peer,
            path,
            chunk: received.chunk,
            outcome: Stored::Panicked,
        }
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Stored::Panicked);
        if matches!(outcome, Stored::Panicked) {
            // This thread goes no further.
            self.shared.waiting().workers -= 1;
        }
        // One for each chunk that was put in.
        self.shared.report.do_send(ChunkStored {
            peer: self.peer,
            path: self.path,
            chunk: self.chunk,
            outcome,
        });
    }
}

fn store(job: &Job, received: ReceivedChunk) -> Stored {
    match job.store(received) {
        Ok(_) => Stored::Yes,
        Err(NotStored::Bad(bad)) => Stored::Bad(bad),
        Err(NotStored::Commit(error)) => Stored::No(error),
    }
}
