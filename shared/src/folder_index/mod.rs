//! The folder index: the canonical bytes at the head of a folder's stream, which say what files follow.
//!
//! A folder is one stream: the index, then the bytes of its files in the order of the index. There is exactly one
//! encoding of a folder, and [`FolderIndex::decode`] refuses every other, so that one hash covers names, sizes, modes,
//! times and contents. Never follows a path anywhere; that paths stay below the folder is what
//! [`RelativePath`] guarantees.

mod encoding;
mod error;
#[cfg(test)]
mod tests;

pub use error::IndexError;

use crate::{
    chunker::MAX_SIZE,
    manifest::{MODE_BITS, Modified},
    name::RelativePath,
};
use std::ops::Range;

/// Bytes of the head, which says how long the whole index is.
pub const INDEX_HEAD: usize = 8 + 1 + 4 + 8;
/// Most files and folders in a folder. As many as large source trees have several times over; at some 100 bytes each in
/// memory, 100 MB.
pub const MAX_ENTRIES: u32 = 1_000_000;
/// Most bytes of an index, 256 MiB: [`MAX_ENTRIES`] with paths of 240 bytes on average. It is held in memory whole.
pub const MAX_INDEX: u64 = 256 << 20;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A folder.
    Directory,
    /// A file.
    File {
        /// Its bytes.
        size: u64,
    },
}

/// A file or folder below the shared folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FolderEntry {
    /// Where it lies.
    pub path: RelativePath,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, within [`MODE_BITS`].
    pub mode: u32,
    /// When it was changed last.
    pub modified: Modified,
}

impl FolderEntry {
    /// Bytes that it takes in the stream behind the index; none for a folder.
    pub fn size(&self) -> u64 {
        match self.kind {
            EntryKind::Directory => 0,
            EntryKind::File { size } => size,
        }
    }
}

/// The entries of a folder, sorted by the bytes of their paths, every folder listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderIndex {
    entries: Vec<FolderEntry>,
    /// Where the bytes of each entry begin in the stream; they end where those of the next begin.
    starts: Vec<u64>,
    /// Bytes of the encoded index.
    length: u64,
    /// Bytes of the whole stream.
    stream_size: u64,
}

impl FolderIndex {
    /// An index of these entries, in any order.
    pub fn new(mut entries: Vec<FolderEntry>) -> Result<Self, IndexError> {
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Self::from_sorted(entries)
    }

    fn from_sorted(entries: Vec<FolderEntry>) -> Result<Self, IndexError> {
        let length = INDEX_HEAD as u64 + entries.iter().map(encoding::entry_length).sum::<u64>();
        check_bounds(entries.len() as u64, length)?;
        check_entries(&entries)?;
        let mut starts = Vec::with_capacity(entries.len());
        let mut end = length;
        for entry in &entries {
            starts.push(end);
            end = end
                .checked_add(entry.size())
                .filter(|&end| end <= MAX_SIZE)
                .ok_or(IndexError::FilesTooLarge)?;
        }
        Ok(Self {
            entries,
            starts,
            length,
            stream_size: end,
        })
    }

    /// The entries in order: a folder before what lies in it.
    pub fn entries(&self) -> &[FolderEntry] {
        &self.entries
    }

    /// Bytes of the encoded index, that is, where the first file begins in the stream.
    pub fn index_size(&self) -> u64 {
        self.length
    }

    /// Bytes of the whole stream: index and files.
    pub fn stream_size(&self) -> u64 {
        self.stream_size
    }

    /// Every entry with where its bytes lie in the stream; folders and empty files have none.
    pub fn extents(&self) -> impl ExactSizeIterator<Item = (&FolderEntry, Range<u64>)> {
        (0..self.entries.len()).map(|i| self.extent(i))
    }

    /// The file that holds this byte of the stream, and where all its bytes lie; none for a byte of the index or
    /// behind the end.
    pub fn file_at(&self, offset: u64) -> Option<(&FolderEntry, Range<u64>)> {
        self.files_in(offset..offset.checked_add(1)?).next()
    }

    /// The files that hold any of these bytes of the stream, and where all the bytes of each lie. Finds the first by
    /// bisection.
    pub fn files_in(&self, bytes: Range<u64>) -> impl Iterator<Item = (&FolderEntry, Range<u64>)> {
        // The last entry that begins at or before the range is the first that can reach into it.
        let first = self
            .starts
            .partition_point(|&start| start <= bytes.start)
            .saturating_sub(1);
        (first..self.entries.len())
            .map(|i| self.extent(i))
            .take_while(move |(_, extent)| extent.start < bytes.end)
            .filter(move |(_, extent)| !extent.is_empty() && bytes.start < extent.end)
    }

    fn extent(&self, i: usize) -> (&FolderEntry, Range<u64>) {
        let end = self.starts.get(i + 1).copied().unwrap_or(self.stream_size);
        (&self.entries[i], self.starts[i]..end)
    }
}

/// Whether an index of so many entries and bytes may be held in memory.
fn check_bounds(entries: u64, length: u64) -> Result<(), IndexError> {
    if entries > u64::from(MAX_ENTRIES) {
        return Err(IndexError::TooManyEntries(entries));
    }
    if length > MAX_INDEX {
        return Err(IndexError::IndexTooLarge(length));
    }
    Ok(())
}

/// What must hold of sorted entries.
fn check_entries(entries: &[FolderEntry]) -> Result<(), IndexError> {
    for (i, entry) in entries.iter().enumerate() {
        let path = || entry.path.clone();
        if entry.mode & !MODE_BITS != 0 {
            return Err(IndexError::Mode {
                path: path(),
                mode: entry.mode,
            });
        }
        if !entry.modified.is_valid() {
            return Err(IndexError::Modified {
                path: path(),
                modified: entry.modified,
            });
        }
        let (before, _) = entries.split_at(i);
        check_order(before.last(), entry)?;
        check_parent(before, entry)?;
    }
    Ok(())
}

fn check_order(before: Option<&FolderEntry>, entry: &FolderEntry) -> Result<(), IndexError> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    match before.map_or(Less, |before| before.path.cmp(&entry.path)) {
        Less => Ok(()),
        Equal => Err(IndexError::Duplicate(entry.path.clone())),
        Greater => Err(IndexError::Unsorted(entry.path.clone())),
    }
}

/// The folder that an entry lies in is listed before it, because its path is a beginning of the entry's.
fn check_parent(before: &[FolderEntry], entry: &FolderEntry) -> Result<(), IndexError> {
    let Some(parent) = entry.path.parent() else {
        return Ok(());
    };
    let found = before.binary_search_by(|other| other.path.as_str().cmp(parent));
    match found.map(|i| before[i].kind) {
        Ok(EntryKind::Directory) => Ok(()),
        Ok(EntryKind::File { .. }) => Err(IndexError::FileAsDirectory(entry.path.clone())),
        Err(_) => Err(IndexError::MissingParent(entry.path.clone())),
    }
}
