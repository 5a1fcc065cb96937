//! A download on disk: verified chunks in, the finished file out.
use super::{
    error::{CommitError, FinishError, ReadError},
    verify::VerifiedChunk,
};
use p2p_shared::{
    bitfield::Bitfield,
    id::{ChunkHash, ChunkIndex},
    manifest::Manifest,
};
use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What is to be fetched, and where to.
#[derive(Debug, Clone)]
pub struct JobSpec {
    /// What it is.
    pub manifest: Manifest,
    /// The hashes of its chunks, checked against the manifest's Merkle root.
    pub hashes: Arc<[ChunkHash]>,
    /// The folder in which the file (or folder) will appear under its name.
    pub output: PathBuf,
}

/// What became of a committed chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It is stored and journaled: it survives a crash of this process.
    Stored,
    /// It was held already; nothing was written.
    AlreadyHeld,
}

/// A download that goes on. Shared by whoever fetches, serves and finishes it.
#[derive(Debug)]
pub struct Job {
    spec: JobSpec,
}

impl Job {
    /// What is fetched, and where to.
    #[must_use]
    pub fn spec(&self) -> &JobSpec {
        &self.spec
    }

    /// What is fetched.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.spec.manifest
    }

    /// The hashes of its chunks.
    #[must_use]
    pub fn hashes(&self) -> &Arc<[ChunkHash]> {
        &self.spec.hashes
    }

    /// Where it will appear.
    #[must_use]
    pub fn target(&self) -> &Path {
        todo!()
    }

    /// The chunks that are stored, at this moment.
    #[must_use]
    pub fn held(&self) -> Bitfield {
        todo!()
    }

    /// Bytes in the chunks that are stored.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        todo!()
    }

    /// The chunks that had better come first: those with a folder's index, while it is not known. Until then the
    /// others can be committed too, but are written twice.
    #[must_use]
    pub fn wanted_first(&self) -> Range<u32> {
        todo!()
    }

    /// Writes the chunk, then journals it. Blocking; may be called from several threads at once.
    pub fn commit(&self, chunk: VerifiedChunk) -> Result<Committed, CommitError> {
        let _ = chunk;
        todo!()
    }

    /// Appends exactly the chunk's bytes to `out`, checked against its hash. Blocking.
    pub fn read_chunk(&self, chunk: ChunkIndex, out: &mut Vec<u8>) -> Result<(), ReadError> {
        let _ = (chunk, out);
        todo!()
    }

    /// Makes durable what is stored, so that even a power cut loses none of it. For a clean stop; blocking.
    pub fn flush(&self) -> Result<(), CommitError> {
        todo!()
    }

    /// Checks the whole, makes it durable and gives it its name. Blocking, up to the time of hashing and writing what
    /// is not yet hashed and written. Called again it says the same again. Callers go through
    /// [`ChunkStoreHandle::finish`](super::ChunkStoreHandle::finish), which also makes a share of it.
    pub(super) fn complete(&self) -> Result<PathBuf, FinishError> {
        todo!()
    }
}
