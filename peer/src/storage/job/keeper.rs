//! Checkpoints in the background: what was stored is made durable while more comes in.
//!
//! Every 64 MiB, or 5 s after the first byte that is not durable yet. That bounds what a power cut costs, and since the
//! disk is kept writing, the wait at the end of a download is short. Runs on a thread of its own.

use super::Live;
use crate::storage::{
    disk,
    error::{DiskError, Named as _},
};
use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

/// Bytes stored since the last checkpoint that call for the next one.
const EVERY_BYTES: u64 = 64 << 20;

/// How long a stored byte waits for one.
const EVERY: Duration = Duration::from_secs(5);

/// When the next checkpoint is due, and how the last one went.
#[derive(Debug, Default)]
pub(super) struct Pace {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes stored since the last checkpoint began.
    fresh: u64,
    /// When the first of them came.
    since: Option<Instant>,
    /// A checkpoint failed, and nobody has heard of it yet.
    failed: Option<DiskError>,
    stopped: bool,
}

impl Pace {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Its fields stand for themselves; a panic elsewhere leaves them right.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// More was stored.
    pub(super) fn on_stored(&self, bytes: u64) {
        let mut state = self.lock();
        state.fresh += bytes;
        let began = state.since.is_none();
        state.since.get_or_insert_with(Instant::now);
        let due = state.fresh >= EVERY_BYTES;
        drop(state);
        if began || due {
            self.moved.notify_all();
        }
    }

    /// All that was stored until now is about to be made durable.
    fn on_checkpoint(&self) {
        let mut state = self.lock();
        state.fresh = 0;
        state.since = None;
    }

    /// Why the last checkpoint failed, once.
    pub(super) fn failed(&self) -> Option<DiskError> {
        self.lock().failed.take()
    }

    /// Ends the thread.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.moved.notify_all();
    }

    /// Waits until a checkpoint is due; false when there will be none.
    fn wait(&self) -> bool {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return false;
            }
            if state.fresh >= EVERY_BYTES {
                return true;
            }
            state = match state.since.map(|since| EVERY.saturating_sub(since.elapsed())) {
                None => self.moved.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return true,
                Some(left) => {
                    self.moved
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }
}

impl Live {
    /// Makes checkpoints until it is stopped. The body of a thread.
    pub(super) fn keep(&self) {
        while self.pace.wait() {
            if let Err(error) = self.checkpoint() {
                tracing::warn!(file = %self.manifest.hash, %error, "what was stored of a download may not be durable");
                self.pace.lock().failed.get_or_insert(error);
            }
        }
    }

    /// Makes durable what is stored by now, and notes that it is.
    pub(super) fn checkpoint(&self) -> Result<(), DiskError> {
        let _one = self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
        let journal = self.place.path();
        self.pace.on_checkpoint();
        self.log().mark().named("write the journal of", &journal)?;
        // Before the disk is asked: all that went into it is stored by now.
        let front = self.front.save();
        if let Err(error) = self.target.sync(&self.place).and_then(|()| self.sync_names()) {
            // The system has told once and will not again; what it had not written may be lost.
            self.log().distrust();
            return Err(error);
        }
        let file = {
            let mut log = self.log();
            log.durable(front).named("write the journal of", &journal)?;
            log.file()
        };
        disk::sync_data(&file).named("write the journal of", &journal)
    }

    /// That there are such files at all, once.
    fn sync_names(&self) -> Result<(), DiskError> {
        if !self.names_durable.load(Ordering::Relaxed) {
            self.place.sync_names()?;
            self.names_durable.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}
