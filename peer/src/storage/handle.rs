//! What others may ask of the chunk store.
use super::{
    error::{FinishError, StoreError},
    import::Import,
    job::{Job, JobSpec},
    served::Served,
};
use p2p_shared::{
    id::{ChunkIndex, FileHash},
    manifest::Manifest,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The way to the chunk store. Clones lead to the same one, also after it was rebuilt.
#[derive(Debug, Clone)]
pub struct ChunkStoreHandle {}

/// A share, as listed.
#[derive(Debug, Clone)]
pub struct ShareInfo {
    /// What it is.
    pub manifest: Manifest,
    /// Where it lies.
    pub path: PathBuf,
    /// A file of it that was found to have changed since it was shared.
    pub changed: Option<PathBuf>,
}

/// A download that is not finished, as listed.
#[derive(Debug, Clone)]
pub struct JobInfo {
    /// What it is.
    pub manifest: Manifest,
    /// The folder in which it will appear.
    pub output: PathBuf,
    /// Bytes stored so far; `None` while the job is not open.
    pub held_bytes: Option<u64>,
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
    /// Chunks whose bytes are not what their hash says (or are gone).
    pub wrong: Vec<ChunkIndex>,
    /// The files they lie in, sorted.
    pub files: Vec<PathBuf>,
}

impl ChunkStoreHandle {
    /// Takes up a share (in place of an earlier one of the same file). On disk when this returns.
    pub async fn add_share(&self, import: Import) -> Result<Arc<Served>, StoreError> {
        let _ = import;
        todo!()
    }

    /// What can be served of this file: the share if there is one, else the download if it is open.
    pub async fn open(&self, file: FileHash) -> Result<Option<Arc<Served>>, StoreError> {
        let _ = file;
        todo!()
    }

    /// Begins a download or goes on with it where it was; the same open job for whoever asks again. May take as long as
    /// hashing what stands under the final name already: if that is the same file, the job is full at once.
    pub async fn open_job(&self, spec: JobSpec) -> Result<Arc<Job>, StoreError> {
        let _ = spec;
        todo!()
    }

    /// Goes on with a job of the catalogue.
    pub async fn resume_job(&self, file: FileHash) -> Result<Arc<Job>, StoreError> {
        let _ = file;
        todo!()
    }

    /// Checks the whole, makes it durable under its final name, and makes a share of it. Returns that path.
    pub async fn finish(&self, job: Arc<Job>) -> Result<PathBuf, FinishError> {
        let _ = job;
        todo!()
    }

    /// Forgets a share (its files stay) and a download (what was stored of it goes).
    pub async fn remove(&self, file: FileHash) -> Result<Removed, StoreError> {
        let _ = file;
        todo!()
    }

    /// All shares.
    pub async fn shares(&self) -> Result<Vec<ShareInfo>, StoreError> {
        todo!()
    }

    /// All downloads that are not finished.
    pub async fn jobs(&self) -> Result<Vec<JobInfo>, StoreError> {
        todo!()
    }

    /// Reads a share (or what is stored of a download) and compares it with its hashes; `progress` is given the bytes
    /// done so far. Wrong chunks of a download are given up and fetched again.
    pub async fn verify(
        &self,
        file: FileHash,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<VerifyReport, StoreError> {
        let _ = (file, progress);
        todo!()
    }
}

/// Everything the store needs to be (re)built.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The data directory.
    pub data: PathBuf,
}

impl StoreConfig {
    /// In this data directory.
    #[must_use]
    pub fn new(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
        }
    }
}
