//! What others may ask of the chunk store.
//!
//! Every verb may be repeated: asked twice it does the same as once. So a verb that meets a crash of the actor is
//! asked again of the next one, and its caller need not know.

use super::{
    actor::ChunkStore,
    error::{FinishError, StoreError},
    import::{HashCache, Import},
    job::{Job, JobSpec},
    messages::{
        AddShare, FinishJob, GiveUpJob, ListJobs, ListShares, OpenFile, OpenJob, RemoveFile, Reply,
        ResumeJob, VerifyFile,
    },
    served::Served,
};
use actix::{Handler, Message};
use p2p_shared::{
    id::{ChunkIndex, FileHash},
    manifest::Manifest,
    supervision::{CallError, Handle},
};
use std::{path::PathBuf, sync::Arc};

/// The way to the chunk store. Clones lead to the same one, also after it was rebuilt.
#[derive(Debug, Clone)]
pub struct ChunkStoreHandle {
    store: Handle<ChunkStore>,
    cache: HashCache,
}

/// A share, as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareInfo {
    /// What it is.
    pub manifest: Manifest,
    /// Where it lies.
    pub path: PathBuf,
    /// A file of it that was found to have changed since it was shared.
    pub changed: Option<PathBuf>,
}

/// A download that is not finished, as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobInfo {
    /// What it is.
    pub manifest: Manifest,
    /// The folder in which it will appear.
    pub output: PathBuf,
    /// Bytes in the chunks that are stored, of those that are wanted if that is known.
    pub held_bytes: u64,
    /// Bytes in the chunks that are wanted. None if files were selected and nobody works on it: which chunks they are in, its
    /// folder index says.
    pub wanted_bytes: Option<u64>,
    /// Whether somebody works on it.
    pub open: bool,
    /// Where what is stored of it lies meanwhile; none if nothing does.
    pub folder: Option<PathBuf>,
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// A share; its files stay where they are.
    pub share: bool,
    /// A download, with what had been stored of it.
    pub job: bool,
}

/// What a check of a whole share (or of what is stored of a download) found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Chunks that were read.
    pub checked: u32,
    /// Chunks whose bytes are not what their hash says (or are gone), in order.
    pub wrong: Vec<ChunkIndex>,
    /// The files they lie in, in order.
    pub files: Vec<PathBuf>,
}

impl ChunkStoreHandle {
    pub(super) fn new(store: Handle<ChunkStore>, cache: HashCache) -> Self {
        Self { store, cache }
    }

    /// The hashes of what was read before, for [`hash`](super::hash).
    #[must_use]
    pub fn cache(&self) -> &HashCache {
        &self.cache
    }

    /// Takes up a share (in place of an earlier one of the same file). Durable when this returns.
    pub async fn add_share(&self, import: Import) -> Result<Arc<Served>, StoreError> {
        self.ask(AddShare(Arc::new(import))).await
    }

    /// What can be served of this file: the share if there is one, else the download if it is open.
    pub async fn open(&self, file: FileHash) -> Result<Option<Arc<Served>>, StoreError> {
        self.ask(OpenFile(file)).await
    }

    /// Begins a download or goes on with it where it was; the same open job for whoever asks again. May take as long as
    /// hashing what stands under the final name already (if that is the same file, the job is full at once), or what
    /// a power cut has left in doubt.
    pub async fn open_job(&self, spec: JobSpec) -> Result<Arc<Job>, StoreError> {
        self.ask(OpenJob(spec)).await
    }

    /// Goes on with a download of the catalogue ([`Self::jobs`] lists them).
    pub async fn resume_job(&self, file: FileHash) -> Result<Arc<Job>, StoreError> {
        self.ask(ResumeJob(file)).await
    }

    /// Checks the whole, makes it durable under its final name, and makes a share of it, unless it is shared from somewhere
    /// else and that is open. Returns that path. After
    /// [`FinishError::Damaged`] the job goes on; after [`FinishError::Integrity`] and [`FinishError::BadIndex`] it is
    /// gone; after the others it can be finished again.
    pub async fn finish(&self, job: Arc<Job>) -> Result<PathBuf, FinishError> {
        self.ask(FinishJob(job)).await
    }

    /// Ends a download whose selection selects nothing, if it has nothing but the folder's index; else it stays as it is.
    pub async fn give_up(&self, job: Arc<Job>) -> Result<(), StoreError> {
        self.ask(GiveUpJob(job)).await
    }

    /// Forgets a share (its files stay) and ends a download (what was stored of it goes).
    pub async fn remove(&self, file: FileHash) -> Result<Removed, StoreError> {
        self.ask(RemoveFile(file)).await
    }

    /// All shares, by name.
    pub async fn shares(&self) -> Result<Vec<ShareInfo>, StoreError> {
        self.ask(ListShares).await
    }

    /// All downloads that are not finished, by name.
    pub async fn jobs(&self) -> Result<Vec<JobInfo>, StoreError> {
        self.ask(ListJobs).await
    }

    /// Reads a share (or what is stored of a download) and compares it with its hashes; `progress` is given the bytes
    /// done so far, from several threads. Wrong chunks of a download are given up, to be fetched again.
    pub async fn verify(
        &self,
        file: FileHash,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<VerifyReport, StoreError> {
        self.ask(VerifyFile(file, Arc::new(progress))).await
    }

    async fn ask<M, T, E>(&self, message: M) -> Result<T, E>
    where
        ChunkStore: Handler<M>,
        M: Message<Result = Reply<T, E>> + Clone + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let reply = match self.store.call(message.clone()).await {
            // It died of this message or beside it; if of this one, the second time it is not asked again.
            Err(CallError::Crashed) => self.store.call(message).await,
            reply => reply,
        };
        let reply = reply.map_err(|error| StoreError::Down(error.to_string()))?;
        let outcome = reply.await;
        outcome.unwrap_or_else(|_| Err(StoreError::Down("it failed in the middle of the work".into()).into()))
    }
}
