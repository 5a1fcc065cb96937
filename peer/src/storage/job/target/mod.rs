//! What the chunks of a download are written to: a file, or the files of a folder.
//!
//! Promise: a chunk that was written is read back from the same place, also while the folder's index is not known yet.
//! All calls are blocking and may come from several threads at once. Knows nothing of hashes and journals.

mod file;
mod folder;
mod tree;

pub(super) use file::{FileTarget, stamp};
pub use folder::IndexFault;
pub(super) use folder::{FolderTarget, UnpackError, index_size, read_index};

use super::place::Place;
use crate::storage::{error::DiskError, import::SourceLayout};
use std::ops::Range;

/// What has got its final name.
#[derive(Debug)]
pub(super) enum Published {
    /// All of the share.
    Whole(SourceLayout),
    /// The files that were wanted.
    Part,
}

/// What the chunks are written to.
#[derive(Debug)]
pub(super) enum Target {
    File(FileTarget),
    Folder(Box<FolderTarget>),
}

impl Target {
    /// Writes one chunk's bytes, then does `then` before anything can be moved about.
    pub(super) fn write<T>(
        &self,
        extent: Range<u64>,
        bytes: &[u8],
        then: impl FnOnce() -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        match self {
            Self::File(file) => {
                file.write(extent.start, bytes)?;
                then()
            }
            Self::Folder(folder) => folder.write(extent, bytes, then),
        }
    }

    /// Appends one chunk's bytes to `out`, as they are. On an error `out` may have some of them.
    pub(super) fn read(&self, extent: Range<u64>, out: &mut Vec<u8>) -> Result<(), DiskError> {
        match self {
            Self::File(file) => file.read(extent, out),
            Self::Folder(folder) => folder.read(extent, out),
        }
    }

    /// Whether nothing is left out, as far as is known.
    pub(super) fn wants_everything(&self) -> bool {
        match self {
            Self::File(_) => true,
            Self::Folder(folder) => folder.wants_everything(),
        }
    }

    /// Whether publishing it moves or removes files one by one, instead of renaming all of them at once.
    pub(super) fn moves_files(&self) -> bool {
        match self {
            Self::File(_) => false,
            Self::Folder(folder) => folder.moves_files(),
        }
    }

    /// Waits until what was written before survives a power cut.
    pub(super) fn sync(&self, place: &Place) -> Result<(), DiskError> {
        match self {
            Self::File(file) => file.sync(),
            Self::Folder(folder) => folder.sync(place),
        }
    }

    /// Sets modes and times and makes everything durable. False if somebody was at the files: they are gone, or have
    /// another size, or are others than were written.
    pub(super) fn settle(&self, place: &Place) -> Result<bool, DiskError> {
        match self {
            Self::File(file) => file.settle(place),
            Self::Folder(folder) => folder.settle(place),
        }
    }

    /// Gives what is settled its final name and says where it lies now. `None` if something has that name already.
    pub(super) fn publish(&self, place: &Place) -> Result<Option<Published>, DiskError> {
        match self {
            Self::File(file) => Ok(file.publish(place)?.map(Published::Whole)),
            Self::Folder(folder) => folder.publish(place),
        }
    }

    /// The inode by which the data are known again.
    pub(super) fn inode(&self) -> Result<u64, DiskError> {
        match self {
            Self::File(file) => file.inode(),
            Self::Folder(folder) => folder.inode(),
        }
    }
}
