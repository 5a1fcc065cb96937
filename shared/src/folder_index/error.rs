//! What can be wrong with a folder index, worded for the person who shares or fetches the folder.

use super::{MAX_ENTRIES, MAX_INDEX, encoding::VERSION};
use crate::{
    chunker::MAX_SIZE,
    manifest::Modified,
    name::{NameError, RelativePath},
    reader::EndOfBytes,
};

/// Why a list of entries, or its bytes, is no folder index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// The bytes do not begin as an index does.
    #[error("this is no folder index")]
    Magic,
    /// An index of another version of the program.
    #[error("the folder index has version {0}, this program reads version {VERSION}")]
    Version(u8),
    /// More entries than a folder may have.
    #[error("the folder has {0} entries, more than {MAX_ENTRIES}")]
    TooManyEntries(u64),
    /// An index of more bytes than it may have.
    #[error("the folder index takes {0} bytes, more than {MAX_INDEX}")]
    IndexTooLarge(u64),
    /// Files of more bytes than a share may have.
    #[error("the files of the folder are together larger than {MAX_SIZE} bytes")]
    FilesTooLarge,
    /// The length in the head cannot hold that many entries, or is not the length that they take.
    #[error("the folder index says that it takes {0} bytes, which does not fit its entries")]
    Length(u64),
    /// Bytes are missing.
    #[error("the folder index ends in the middle")]
    Truncated,
    /// Bytes are left over.
    #[error("{0} bytes follow the last entry of the folder index")]
    Trailing(usize),
    /// A kind of entry that does not exist.
    #[error("entry {entry} is of unknown kind {kind}")]
    Kind {
        /// Which entry, from 0.
        entry: u32,
        /// Its kind.
        kind: u8,
    },
    /// A path that may not be created.
    #[error("entry {entry}: {error}")]
    Name {
        /// Which entry, from 0.
        entry: u32,
        /// What is wrong with it.
        error: NameError,
    },
    /// More than permission bits.
    #[error("{path}: mode {mode:o} has other bits than permissions (777)")]
    Mode {
        /// Whose.
        path: RelativePath,
        /// The mode.
        mode: u32,
    },
    /// A time out of range.
    #[error("{path}: the time of last change is out of range ({} s {} ns)", .modified.seconds, .modified.nanos)]
    Modified {
        /// Whose.
        path: RelativePath,
        /// The time.
        modified: Modified,
    },
    /// A path that comes after a greater one.
    #[error("{0} is out of order")]
    Unsorted(RelativePath),
    /// A path that is there twice.
    #[error("{0} is there twice")]
    Duplicate(RelativePath),
    /// Something in a folder that is not listed.
    #[error("{0} lies in a folder that is not listed")]
    MissingParent(RelativePath),
    /// Something in a file.
    #[error("{0} lies in something that is a file")]
    FileAsDirectory(RelativePath),
}

impl From<EndOfBytes> for IndexError {
    fn from(_: EndOfBytes) -> Self {
        Self::Truncated
    }
}
