//! Reads a planned share once and ends with its manifest and chunk hashes.
//!
//! Promise: the result describes one state of the files: a file that was written to meanwhile is refused and named.
//! What the cache knows is not read again, and what an interrupted run has hashed is not hashed again. The cache is a
//! help and nothing more: when it cannot be read or written, everything is hashed and nobody is bothered.

use super::{
    HashCache, Import, Plan,
    cache::{Hashes, Source},
    pipeline::{self, Start, Work},
    reader::{Seen, SourceError, SourceReader},
    resume::Interrupted,
};
use crate::storage::{
    error::ImportError,
    identity::{FileIdentity, Time},
    open_files::OpenFiles,
};
use p2p_shared::{
    hash::{FileHasher, HashAlgorithm},
    id::{ChunkHash, ChunkIndex},
    manifest::Manifest,
    merkle::merkle_root,
};
use std::{
    fmt,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Files of a folder kept open while it is hashed; they are read in order, so a few a thread are enough.
const OPEN_FILES: usize = 64;

/// How to hash, and whom to tell.
#[derive(Clone, Copy)]
pub struct HashOptions<'a> {
    /// SHA-256 or BLAKE3.
    pub algorithm: HashAlgorithm,
    /// Where hashes of what was read before are found and kept; none: everything is read.
    pub cache: Option<&'a HashCache>,
    /// Given the bytes done so far, some thousand times a second at most, from hashing threads.
    pub progress: &'a (dyn Fn(u64) + Sync),
    /// Ends the work within some milliseconds; what was hashed is kept in the cache and gone on with next time.
    pub cancel: &'a CancellationToken,
}

impl fmt::Debug for HashOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashOptions")
            .field("algorithm", &self.algorithm)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

/// Reads what was planned, on all cores. Blocking.
pub fn hash(plan: Plan, options: HashOptions<'_>) -> Result<Import, ImportError> {
    let source = Source {
        fingerprint: plan.source.fingerprint(),
        algorithm: options.algorithm,
        layout: plan.layout,
    };
    if let Some(known) = options.cache.and_then(|cache| cache.find(&source)) {
        (options.progress)(plan.size());
        return Ok(import(plan, options.algorithm, known));
    }
    let settled = settle(plan.source.identities());
    let reader = SourceReader::new(plan.source.clone(), OpenFiles::new(OPEN_FILES));
    // Of files that may change without showing it, nothing is kept.
    let cache = options.cache.filter(|_| settled);
    let hashes = read_all(&reader, &source, cache, options)?;
    if let Some(cache) = cache {
        cache.keep(&source, &hashes);
    }
    Ok(import(plan, options.algorithm, hashes))
}

fn import(plan: Plan, algorithm: HashAlgorithm, hashes: Hashes) -> Import {
    let manifest = Manifest {
        hash: hashes.file,
        algorithm,
        size: plan.size(),
        merkle_root: hashes.merkle_root,
        kind: plan.kind(),
        name: plan.name,
        mode: plan.mode,
        modified: plan.modified,
    };
    Import {
        manifest,
        hashes: hashes.chunks,
        source: plan.source,
    }
}

/// Waits until every further change of the files is sure to show (two ticks of the clock after the last one). Whether
/// that could be reached.
pub(in crate::storage) fn settle(identities: &[FileIdentity]) -> bool {
    let now = Time::now();
    let waits: Option<Vec<Duration>> = identities
        .iter()
        .map(|identity| identity.settles_in(now))
        .collect();
    let Some(waits) = waits else {
        return false;
    };
    let longest = waits.into_iter().max().unwrap_or_default();
    if !longest.is_zero() {
        thread::sleep(longest);
    }
    true
}

fn read_all(
    reader: &SourceReader,
    source: &Source,
    cache: Option<&HashCache>,
    options: HashOptions<'_>,
) -> Result<Hashes, ImportError> {
    let (start, interrupted) = match cache.and_then(|cache| Interrupted::open(cache, source)) {
        Some((start, interrupted)) => (start, Some(interrupted)),
        None => (Start::new(source.algorithm, source.layout), None),
    };
    let interrupted = Mutex::new(interrupted);
    let read = |chunk: ChunkIndex, out: &mut Vec<u8>| read_chunk(reader, source, chunk, out);
    let followed = |hasher: &FileHasher, hashes: &[ChunkHash]| {
        let next = hasher.next_index();
        (options.progress)(source.layout.offset(next).min(source.layout.size()));
        let cancelled = options.cancel.is_cancelled();
        let mut interrupted = interrupted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(interrupted) = &mut *interrupted {
            interrupted.note(hasher, hashes, cancelled);
        }
        if cancelled {
            Err(ImportError::Cancelled)
        } else {
            Ok(())
        }
    };
    let work = Work {
        algorithm: source.algorithm,
        layout: source.layout,
        threads: thread::available_parallelism().map_or(1, usize::from),
        read: &read,
        followed: &followed,
    };
    let (file, chunks) = pipeline::run(&work, start)?;
    if let Some(interrupted) = interrupted.into_inner().unwrap_or_else(PoisonError::into_inner) {
        interrupted.done();
    }
    Ok(Hashes {
        file,
        merkle_root: merkle_root(source.layout, &chunks),
        chunks: chunks.into(),
    })
}

fn read_chunk(
    reader: &SourceReader,
    source: &Source,
    chunk: ChunkIndex,
    out: &mut Vec<u8>,
) -> Result<(), ImportError> {
    match reader.read(source.layout.extent(chunk), out) {
        Ok(Seen::AsRecorded) => Ok(()),
        Ok(Seen::Differs(file)) | Err(SourceError::Gone(file)) => {
            Err(ImportError::Changed(reader.source().path(file)))
        }
        Err(SourceError::Disk(error)) => Err(error.into()),
    }
}
