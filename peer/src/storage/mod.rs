//! What a peer keeps on disk: shares, served where they lie, and downloads until they are whole.
//!
//! Bytes come in as [`ReceivedChunk`] in a pooled buffer ([`BufferPool`]), become a [`VerifiedChunk`] in [`verify()`] and
//! nowhere else, and are committed to their [`Job`]: written, then journaled, so that a killed process loses nothing
//! that it had. Bytes go out through [`Served`], which never hands out a chunk that is not what its hash says.
//! [`share_scan`] and [`hash`] make a file or folder shareable. [`ChunkStoreHandle`] leads to the actor that knows
//! them all.

mod actor;
mod buffer;
mod catalogue;
mod check;
mod disk;
mod error;
#[cfg(test)]
mod fixture;
mod format;
mod handle;
mod identity;
mod import;
mod job;
mod library;
mod living;
mod messages;
mod open_files;
mod served;
mod stream;
#[cfg(test)]
mod tests;
mod verify;

pub use buffer::{BUFFER_SIZE, BufferPool, ChunkBuffer, ChunkBytes, DEFAULT_POOL};
pub use error::{CommitError, DiskError, FinishError, ImportError, ReadError, StoreError};
pub use format::FormatError;
pub use handle::{ChunkStoreHandle, JobInfo, Removed, ShareInfo, VerifyReport};
pub use import::{
    FolderId, HashCache, HashOptions, Import, Plan, ScanOptions, SkipReason, Skipped, SourceLayout, hash,
    share_scan,
};
pub use job::{Committed, IndexFault, Job, JobSpec, NotStored, bytes_of};
pub use served::Served;
pub use verify::{BadChunk, ChunkFault, ReceivedChunk, VerifiedChunk, verify};

use actor::ChunkStore;
use library::Library;
use messages::FlushJobs;
use p2p_shared::supervision::{ChildSpec, Supervisor};
use std::{path::Path, sync::Arc};

/// Orders that may be queued or being taken in at once. Taking one in is starting a task, so more means that something
/// is wrong.
const PERMITS: usize = 256;

/// Opens the data directory and starts the chunk store under `supervisor`. Blocking, for a few milliseconds.
pub fn start(supervisor: &mut Supervisor, data: &Path) -> Result<ChunkStoreHandle, StoreError> {
    let library = Arc::new(Library::open(data)?);
    let cache = library.cache().clone();
    let child = ChildSpec::new("ChunkStore", move |_| ChunkStore::new(Arc::clone(&library)));
    let child = child.permits(PERMITS).before_stop(|store| async move {
        // What cannot be made durable in the time that is left is checked when the machine was cut off meanwhile.
        if let Ok(flushed) = store.call(FlushJobs).await {
            flushed.await.ok();
        }
    });
    Ok(ChunkStoreHandle::new(supervisor.start(child), cache))
}
