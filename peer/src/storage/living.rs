//! What of the catalogue is open at this moment, so that everybody gets the same share and the same job.
//!
//! Outlives the store's actor: whoever holds a job or a share goes on with it while the actor is rebuilt, and the next
//! one finds it here. Holds nothing alive itself. Also keeps order: what changes a file's entry is done one at a time,
//! first come, first served.

use super::{job::Job, served::Served};
use p2p_shared::id::FileHash;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use tokio::sync::OwnedMutexGuard;

/// Everything that is open.
#[derive(Debug, Default)]
pub(super) struct Living {
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    shares: HashMap<FileHash, Weak<Served>>,
    jobs: HashMap<FileHash, Weak<Job>>,
    turns: HashMap<FileHash, Arc<tokio::sync::Mutex<()>>>,
}

/// Somebody's turn to change what is kept of a file; over when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _held: OwnedMutexGuard<()>,
}

impl Living {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        // Entries are put in and taken out whole, so a panic elsewhere leaves the tables right.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for its turn with this file.
    pub(super) async fn turn(&self, file: FileHash) -> Turn {
        let mutex = {
            let mut tables = self.tables();
            // Those that nobody waits for or holds.
            tables.turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(tables.turns.entry(file).or_default())
        };
        Turn {
            _held: mutex.lock_owned().await,
        }
    }

    /// The open share of this file.
    pub(super) fn share(&self, file: FileHash) -> Option<Arc<Served>> {
        self.tables().shares.get(&file)?.upgrade()
    }

    /// `share` is what is served of its file from now on.
    pub(super) fn put_share(&self, share: &Arc<Served>) {
        let mut tables = self.tables();
        tables.shares.retain(|_, share| share.strong_count() > 0);
        tables.shares.insert(share.manifest().hash, Arc::downgrade(share));
    }

    /// The share of this file that is open; else `new`, which is from now on.
    pub(super) fn share_or(&self, new: Arc<Served>) -> Arc<Served> {
        let mut tables = self.tables();
        let file = new.manifest().hash;
        if let Some(share) = tables.shares.get(&file).and_then(Weak::upgrade) {
            return share;
        }
        tables.shares.retain(|_, share| share.strong_count() > 0);
        tables.shares.insert(file, Arc::downgrade(&new));
        new
    }

    pub(super) fn remove_share(&self, file: FileHash) {
        self.tables().shares.remove(&file);
    }

    /// The open job of this file.
    pub(super) fn job(&self, file: FileHash) -> Option<Arc<Job>> {
        self.tables().jobs.get(&file)?.upgrade()
    }

    pub(super) fn jobs(&self) -> Vec<Arc<Job>> {
        self.tables().jobs.values().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn put_job(&self, job: &Arc<Job>) {
        let mut tables = self.tables();
        tables.jobs.retain(|_, job| job.strong_count() > 0);
        tables.jobs.insert(job.manifest().hash, Arc::downgrade(job));
    }

    pub(super) fn remove_job(&self, file: FileHash) {
        self.tables().jobs.remove(&file);
    }
}
