//! What a download keeps beside its state: what outlives a crash of its actor, and the job on disk.

use super::{
    DownloadSpec,
    progress::Report,
    status::{DownloadStatus, Stage},
    storing::Storing,
    wish::Wish,
};
use crate::{
    connection::state::Reach,
    error::Failure,
    event::{BytesByPath, PathKind},
    p2p::shelf::Shared,
    storage::Job,
};
use p2p_shared::id::{ChunkHash, PublicKey};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Instant,
};
use tokio::sync::watch;

/// What outlives a crash of the actor.
pub(super) struct Kept {
    pub status: watch::Sender<DownloadStatus>,
    /// Once they are known.
    pub hashes: OnceLock<Arc<[ChunkHash]>>,
    pub began: Instant,
    /// Bytes fetched and stored in this run.
    fetched: Mutex<BytesByPath>,
    /// Peers whose ban its owner has been told of.
    banned: Mutex<HashSet<PublicKey>>,
    /// What its owner wants.
    pub wish: Arc<Wish>,
}

impl Kept {
    pub(super) fn new(spec: &DownloadSpec) -> Self {
        let report = Report {
            bytes: 0,
            total: total(spec),
            rate: 0,
            eta: None,
        };
        let status = DownloadStatus {
            file: spec.manifest.hash,
            stage: Stage::Connecting,
            report,
            peers: 0,
            reach: Reach::default(),
            source_changed: false,
            trouble: None,
            index: None,
        };
        let hashes = spec.hashes.clone().map_or_else(OnceLock::new, OnceLock::from);
        Self {
            status: watch::Sender::new(status),
            hashes,
            began: now(),
            fetched: Mutex::default(),
            banned: Mutex::default(),
            wish: Arc::new(Wish::new(spec.paused, spec.policy)),
        }
    }

    /// The actor crashes again and again.
    pub(super) fn give_up(&self, reason: &str) {
        self.set_stage(Stage::Failed(Failure::internal(format!(
            "the download crashed again and again ({reason}); the same command goes on where it was"
        ))));
    }

    /// So many bytes came by `path` and are stored.
    pub(super) fn on_fetched(&self, path: PathKind, bytes: u32) {
        // A panic in between leaves counts that are still counts.
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        *fetched.by(path) += u64::from(bytes);
    }

    /// Bytes fetched and stored in this run.
    pub(super) fn fetched(&self) -> BytesByPath {
        *self.fetched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its owner has not been told yet that `peer` is banned; from now on they have.
    pub(super) fn is_first_ban(&self, peer: PublicKey) -> bool {
        // A panic in between leaves a set that is still a set.
        self.banned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(peer)
    }

    /// Goes over to another stage, unless it is over. True if that is news.
    pub(super) fn set_stage(&self, stage: Stage) -> bool {
        self.status.send_if_modified(|status| {
            let news = !status.stage.is_over() && status.stage != stage;
            if news {
                status.stage = stage;
            }
            news
        })
    }
}

/// Bytes that are wanted, before anything else is known: none yet, unless it is everything.
pub(super) fn total(spec: &DownloadSpec) -> u64 {
    match spec.aim.is_all() {
        true => spec.manifest.size,
        false => 0,
    }
}

/// The job on disk.
pub(super) struct Opened {
    pub job: Arc<Job>,
    /// The same, as others may read it.
    pub shared: Option<Arc<dyn Shared>>,
    pub storing: Storing,
}

pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
