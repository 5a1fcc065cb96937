//! Fixtures: a stream to be downloaded chunk by chunk, and a folder to put it in.

use super::{
    buffer::BufferPool,
    disk::Boot,
    error::{CommitError, StoreError},
    import::{HashOptions, Import, ScanOptions, hash, share_scan},
    job::{Committed, Job, JobSpec, NotStored, Surroundings},
    open_files::OpenFiles,
    verify::{ReceivedChunk, VerifiedChunk, verify},
};
use crate::selection::Selection;
use p2p_shared::{
    chunker::CHUNK_SIZE,
    hash::HashAlgorithm,
    id::{ChunkHash, ChunkIndex, PublicKey},
    manifest::Manifest,
    testing,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

pub(super) const CHUNK: usize = CHUNK_SIZE as usize;

/// A stream to be downloaded, and a folder to put it in.
pub(super) struct Download {
    pub(super) output: tempfile::TempDir,
    pub(super) manifest: Manifest,
    pub(super) hashes: Arc<[ChunkHash]>,
    pub(super) stream: Vec<u8>,
    pub(super) pool: BufferPool,
    /// What is wanted of it.
    pub(super) selection: Selection,
}

impl Download {
    pub(super) fn of_file(algorithm: HashAlgorithm, name: &str, stream: Vec<u8>) -> Self {
        let (manifest, hashes) = testing::file(algorithm, name, &stream);
        Self::new(manifest, hashes.into(), stream)
    }

    pub(super) fn new(manifest: Manifest, hashes: Arc<[ChunkHash]>, stream: Vec<u8>) -> Self {
        Self {
            output: tempfile::tempdir().unwrap(),
            manifest,
            hashes,
            stream,
            pool: BufferPool::default(),
            selection: Selection::default(),
        }
    }

    pub(super) fn chunks(&self) -> u32 {
        self.manifest.layout().chunks()
    }

    pub(super) fn spec(&self) -> JobSpec {
        JobSpec {
            manifest: self.manifest.clone(),
            hashes: self.hashes.clone(),
            output: self.output.path().to_owned(),
            selection: self.selection.clone(),
        }
    }

    pub(super) fn open_in(&self, boot: Boot) -> Result<Arc<Job>, StoreError> {
        let around = Surroundings {
            files: OpenFiles::new(8),
            cache: None,
            boot,
            // Threads of a job that was dropped need a moment to let go of it.
            patience: Duration::from_secs(60),
        };
        Job::open(self.spec(), &around)
    }

    pub(super) fn open(&self) -> Arc<Job> {
        self.open_in(Boot::numbered(1)).unwrap()
    }

    /// What a peer would send.
    pub(super) fn bytes(&self, chunk: u32) -> &[u8] {
        let extent = self.manifest.layout().extent(ChunkIndex(chunk));
        &self.stream[extent.start as usize..extent.end as usize]
    }

    pub(super) fn received(&self, chunk: u32, bytes: &[u8]) -> ReceivedChunk {
        let mut buffer = self.pool.try_acquire().expect("the job gives its buffers back");
        buffer.extend_from_slice(bytes);
        ReceivedChunk {
            peer: PublicKey([1; 32]),
            file: self.manifest.hash,
            chunk: ChunkIndex(chunk),
            bytes: buffer.into_chunk(0..bytes.len()),
        }
    }

    pub(super) fn verified(&self, chunk: u32) -> VerifiedChunk {
        let received = self.received(chunk, self.bytes(chunk));
        let layout = self.manifest.layout();
        verify(
            received,
            &self.hashes[chunk as usize],
            self.manifest.algorithm,
            layout,
        )
        .unwrap()
    }

    pub(super) fn commit(&self, job: &Job, chunk: u32) -> Result<Committed, CommitError> {
        job.commit(self.verified(chunk))
    }

    pub(super) fn store(&self, job: &Job, chunk: u32) -> Result<Committed, NotStored> {
        job.store(self.received(chunk, self.bytes(chunk)))
    }

    pub(super) fn commit_all(&self, job: &Job, chunks: impl IntoIterator<Item = u32>) {
        for chunk in chunks {
            self.commit(job, chunk).unwrap();
        }
    }

    /// All chunks in an order that only the seed knows.
    pub(super) fn shuffled(&self, seed: u64) -> Vec<u32> {
        let mut chunks: Vec<u32> = (0..self.chunks()).collect();
        chunks.sort_by_cached_key(|chunk| testing::content(seed * 1000 + u64::from(*chunk), 8));
        chunks
    }

    pub(super) fn target(&self) -> PathBuf {
        self.output.path().join(self.manifest.name.as_str())
    }

    /// The job's own folder.
    pub(super) fn hidden(&self) -> PathBuf {
        let names = self.names();
        let hidden = names
            .iter()
            .find(|name| name.starts_with('.'))
            .expect("a job is begun");
        self.output.path().join(hidden)
    }

    /// What is in the output folder.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.output.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The chunks held; every one of them is what it should be.
    pub(super) fn held(&self, job: &Job) -> Vec<u32> {
        let held: Vec<u32> = job.held().ones().map(|chunk| chunk.0).collect();
        for chunk in &held {
            let mut bytes = Vec::new();
            job.read_chunk(ChunkIndex(*chunk), &mut bytes).unwrap();
            assert_eq!(bytes, self.bytes(*chunk), "chunk {chunk}");
        }
        held
    }
}

pub(super) fn import(path: &Path) -> Import {
    let options = HashOptions {
        algorithm: HashAlgorithm::Sha256,
        cache: None,
        progress: &|_| {},
        cancel: &CancellationToken::new(),
    };
    hash(share_scan(path, ScanOptions::default()).unwrap(), options).unwrap()
}
