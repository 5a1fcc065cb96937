//! How storage operations fail: one type an operation, worded for the person who reads it.
//!
//! Every error names the path it is about. What the disk said is kept (`source`), and the kinds that callers act on
//! differently (no room, no permission, changed under us) are variants of their own.

use super::{format::FormatError, import::Skipped, job::IndexFault};
use crate::{error::Failure, selection::NothingChosen};
use p2p_shared::{
    chunker::TooLarge,
    id::{ChunkIndex, FileHash},
    manifest::{IndexError, NameError},
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// What the disk said, about which path.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}: {source}", path.display())]
pub struct DiskError {
    /// Completes "cannot …": `read`, `write`, `create`.
    pub doing: &'static str,
    /// What it was done to.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl DiskError {
    pub(super) fn new(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        Self { doing, path, source }
    }

    /// Whether there is no room (or quota) left.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self.source.kind(), StorageFull | QuotaExceeded)
    }

    /// Whether we may not.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        matches!(self.source.kind(), PermissionDenied | ReadOnlyFilesystem)
    }
}

impl From<&DiskError> for Failure {
    fn from(error: &DiskError) -> Self {
        Self::io(error.doing, &error.path, &error.source)
    }
}

/// Adds "doing what, to which path" to an [`io::Result`].
pub(super) trait Named<T> {
    fn named(self, doing: &'static str, path: &Path) -> Result<T, DiskError>;
}

impl<T, E: Into<io::Error>> Named<T> for Result<T, E> {
    fn named(self, doing: &'static str, path: &Path) -> Result<T, DiskError> {
        self.map_err(|error| DiskError::new(doing, path, error.into()))
    }
}

/// Why a chunk cannot be read for a peer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// This chunk is not (or no longer) held.
    #[error("chunk {} is not held", .0.0)]
    NotHeld(ChunkIndex),
    /// The source is no longer what was shared: what is there now is not what the chunk's hash says.
    #[error("{} has changed since it was shared", path.display())]
    Changed {
        /// The file to tell the owner about.
        path: PathBuf,
    },
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] DiskError),
}

/// Why a verified chunk could not be stored. The job stays as it was: the chunk counts as not held.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The disk (or quota) is full; the same chunk can be committed once there is room.
    #[error("no room left: {0}")]
    NoSpace(DiskError),
    /// Something in the output folder cannot be written.
    #[error(transparent)]
    Permission(DiskError),
    /// The disk failed otherwise.
    #[error(transparent)]
    Io(DiskError),
    /// The chunks are what their hashes say, but the folder index in them makes no sense: who made the share lied.
    #[error("the share's folder index is broken: {0}")]
    BadIndex(#[from] IndexFault),
    /// The index has come, and the job's selection selects nothing of it.
    #[error(transparent)]
    Selection(#[from] NothingChosen),
    /// The chunk is of another file than the job.
    #[error("a chunk of {0} was committed to the job of another file")]
    OtherFile(FileHash),
    /// The job is over: finished or removed.
    #[error("the job is closed")]
    Closed,
}

/// Sorts what the disk said into the variants that callers act on.
macro_rules! sort_disk_errors {
    ($($error:ident),*) => {$(
        impl From<DiskError> for $error {
            fn from(error: DiskError) -> Self {
                if error.is_no_space() {
                    Self::NoSpace(error)
                } else if error.is_permission() {
                    Self::Permission(error)
                } else {
                    Self::Io(error)
                }
            }
        }
    )*};
}

sort_disk_errors!(CommitError, FinishError);

/// Why a job could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// Not all chunks are held.
    #[error("{0} chunks are still missing")]
    Missing(u32),
    /// Chunks on disk are no longer what was written; they were given up and must be fetched again. The job goes on.
    #[error("{0} chunks on disk were damaged and have to be fetched again")]
    Damaged(u32),
    /// Every chunk is what the manifest says, the whole is not: the manifest lied. The job's state is gone.
    #[error("the file that was received is not {0}: its chunks do not add up to that hash")]
    Integrity(FileHash),
    /// The whole is what its hash says, but the folder index in it makes no sense: who made the share lied.
    #[error("the share's folder index is broken: {0}")]
    BadIndex(#[from] IndexFault),
    /// The job's selection selects nothing of the folder.
    #[error(transparent)]
    Selection(#[from] NothingChosen),
    /// Something else stands under the final name. The job keeps its state; move that away and finish again.
    #[error("{} already exists and is something else; move it away or choose another output folder", .0.display())]
    TargetTaken(PathBuf),
    /// The disk (or quota) is full; can be tried again.
    #[error("no room left: {0}")]
    NoSpace(DiskError),
    /// Something in the output folder cannot be written.
    #[error(transparent)]
    Permission(DiskError),
    /// The disk failed otherwise.
    #[error(transparent)]
    Io(DiskError),
    /// The job is over: removed, or finished before.
    #[error("the job is closed")]
    Closed,
    /// The chunk store itself could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the chunk store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is neither a share nor a job of this file.
    #[error("nothing is known here of {0}")]
    Unknown(FileHash),
    /// Something else stands under the final name.
    #[error("{} already exists and is something else; move it away or choose another output folder", .0.display())]
    TargetTaken(PathBuf),
    /// A folder stands under the final name, and is not the whole of this one.
    #[error("{} already exists and is not the whole of this folder; move it away, choose another output folder, or add \
             what it lacks with --include '*'", .0.display())]
    FolderTaken(PathBuf),
    /// The job's selection selects nothing of the folder.
    #[error(transparent)]
    Selection(#[from] NothingChosen),
    /// Another process (or another job) is writing this download.
    #[error("{} is in use by another download of the same file", .0.display())]
    InUse(PathBuf),
    /// The chunk hashes are not as many as the manifest has chunks, or do not have its Merkle root.
    #[error("the chunk hashes of {0} do not belong to its manifest")]
    WrongHashes(FileHash),
    /// The disk failed, or does not let us.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file of the store is damaged.
    #[error("{} {error}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// How.
        error: FormatError,
    },
    /// What stands under the final name could not be compared.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The store did not answer: stopping, overloaded or being rebuilt. Worth another try.
    #[error("the chunk store does not answer: {0}")]
    Down(String),
}

/// Why something cannot be shared.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The name or a path below it cannot be part of a share.
    #[error("cannot share {}: {error}", path.display())]
    Name {
        /// What.
        path: PathBuf,
        /// Why.
        error: NameError,
    },
    /// Neither a file nor a folder.
    #[error("cannot share {}: it is neither a file nor a folder", .0.display())]
    Special(PathBuf),
    /// It lies in the data folder of this peer.
    #[error("cannot share {}: it is this peer's own data, where its secret key is kept", .0.display())]
    OwnData(PathBuf),
    /// Some entries of the folder cannot be shared.
    #[error("cannot share everything in the folder (to share the rest, have such entries skipped): {}", list(.0))]
    Unreadable(Vec<Skipped>),
    /// The folder has too much in it, or its names clash.
    #[error("cannot share {}: {error}", path.display())]
    Index {
        /// Which folder.
        path: PathBuf,
        /// Why.
        error: IndexError,
    },
    /// More than a share can have.
    #[error("cannot share {}: {error}", path.display())]
    TooLarge {
        /// What.
        path: PathBuf,
        /// How much.
        error: TooLarge,
    },
    /// Somebody wrote to it meanwhile.
    #[error("{} changed while it was read; share it again when nothing writes to it", .0.display())]
    Changed(PathBuf),
    /// It cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The caller asked to stop; what was hashed so far is kept for the next time.
    #[error("interrupted")]
    Cancelled,
}

/// The first few by name, the rest by number.
fn list(skipped: &[Skipped]) -> String {
    /// More would not be read.
    const NAMED: usize = 10;
    let mut lines: Vec<String> = skipped.iter().take(NAMED).map(ToString::to_string).collect();
    if skipped.len() > NAMED {
        lines.push(format!("and {} more", skipped.len() - NAMED));
    }
    lines.join("; ")
}
