//! What a peer keeps on disk: shares, served where they lie, and downloads until they are whole.
//!
//! Bytes come in as [`ReceivedChunk`] in a pooled buffer ([`BufferPool`]), become a [`VerifiedChunk`] in [`verify`] and
//! nowhere else, and are committed to their [`Job`]: written, then journaled, so that a killed process loses nothing
//! that it had. Bytes go out through [`Served`], which never hands out a chunk that is not what its hash says.
//! [`share_scan`] and [`hash`] make a file or folder shareable. [`ChunkStoreHandle`] leads to the actor that knows
//! them all.

mod buffer;
mod check;
mod disk;
mod error;
mod format;
mod handle;
mod identity;
mod import;
mod job;
mod open_files;
mod served;
mod stream;
mod verify;

pub use buffer::{BUFFER_SIZE, BufferPool, ChunkBuffer, ChunkBytes, DEFAULT_POOL};
pub use error::{CommitError, DiskError, FinishError, ImportError, ReadError, StoreError};
pub use format::FormatError;
pub use handle::{ChunkStoreHandle, JobInfo, Removed, ShareInfo, StoreConfig, VerifyReport};
pub use import::{
    HashCache, HashOptions, Import, Plan, ScanOptions, SkipReason, Skipped, SourceLayout, hash, share_scan,
};
pub use job::{Committed, IndexFault, Job, JobSpec};
pub use served::Served;
pub use verify::{BadChunk, ChunkFault, ReceivedChunk, VerifiedChunk, verify};
