//! The folder index: the canonical bytes at the head of a folder's stream, which say what files follow.
//!
//! A folder is one stream: the index, then the bytes of its files in the order of the index. There is exactly one
//! encoding of a folder, and [`FolderIndex::decode`] refuses every other, so that one hash covers names, sizes, modes,
//! times and contents. Never follows a path anywhere; that paths stay below the folder is what
//! [`RelativePath`] guarantees.
//!
//! Integers are big-endian:
//!
//! ```text
//! head   "p2p-fold" ‖ version u8 = 1 ‖ entries u32 ‖ length of the whole index u64
//! entry  kind u8 (0 folder, 1 file) ‖ mode u16 ‖ changed: seconds i64, nanoseconds u32 ‖
//!        path length u16 ‖ path ‖ size u64 (of a file only)
//! ```

use crate::{
    chunker::MAX_SIZE,
    manifest::{MODE_BITS, Modified},
    name::{NameError, RelativePath},
    reader::{EndOfBytes, Reader},
};
use std::ops::Range;

const MAGIC: &[u8; 8] = b"p2p-fold";
const VERSION: u8 = 1;

/// Bytes of the head, which says how long the whole index is.
pub const INDEX_HEAD: usize = 8 + 1 + 4 + 8;
/// Most files and folders in a folder. As many as large source trees have several times over; at some 100 bytes each in
/// memory, 100 MB.
pub const MAX_ENTRIES: u32 = 1_000_000;
/// Most bytes of an index, 256 MiB: [`MAX_ENTRIES`] with paths of 240 bytes on average. It is held in memory whole.
pub const MAX_INDEX: u64 = 256 << 20;

/// Bytes of an entry without its path: kind, mode, time, path length. A file has eight more.
const ENTRY_HEAD: usize = 1 + 2 + 8 + 4 + 2;

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

    fn encoded_length(&self) -> u64 {
        let size = if self.kind == EntryKind::Directory { 0 } else { 8 };
        (ENTRY_HEAD + self.path.as_str().len() + size) as u64
    }
}

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
        if entries.len() > MAX_ENTRIES as usize {
            return Err(IndexError::TooManyEntries(entries.len() as u64));
        }
        let length = INDEX_HEAD as u64 + entries.iter().map(FolderEntry::encoded_length).sum::<u64>();
        if length > MAX_INDEX {
            return Err(IndexError::IndexTooLarge(length));
        }
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

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.length as usize);
        bytes.extend(MAGIC);
        bytes.push(VERSION);
        bytes.extend((self.entries.len() as u32).to_be_bytes());
        bytes.extend(self.length.to_be_bytes());
        for entry in &self.entries {
            encode_entry(entry, &mut bytes);
        }
        bytes
    }

    /// How many bytes the index takes, from its head: bounded, so that they may be allocated.
    pub fn encoded_length(head: &[u8; INDEX_HEAD]) -> Result<u64, IndexError> {
        read_head(&mut Reader::new(head)).map(|(_, length)| length)
    }

    /// The index of these bytes, which are all of it and nothing more.
    pub fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        let mut reader = Reader::new(bytes);
        let (count, length) = read_head(&mut reader)?;
        if (bytes.len() as u64) < length {
            return Err(IndexError::Truncated);
        }
        // Allocates for no more entries than the bytes that are there can hold: read_head has compared.
        let mut entries = Vec::with_capacity(count as usize);
        for entry in 0..count {
            entries.push(decode_entry(entry, &mut reader)?);
        }
        if reader.remaining() > 0 {
            return Err(IndexError::Trailing(reader.remaining()));
        }
        let index = Self::from_sorted(entries)?;
        if index.length != length {
            return Err(IndexError::Length(length));
        }
        Ok(index)
    }
}

/// The number of entries and the length of the whole index, both within their bounds and possible together.
fn read_head(reader: &mut Reader<'_>) -> Result<(u32, u64), IndexError> {
    if reader.bytes(MAGIC.len())? != MAGIC {
        return Err(IndexError::Magic);
    }
    let version = reader.u8()?;
    if version != VERSION {
        return Err(IndexError::Version(version));
    }
    let (count, length) = (reader.u32()?, reader.u64()?);
    if count > MAX_ENTRIES {
        return Err(IndexError::TooManyEntries(u64::from(count)));
    }
    if length > MAX_INDEX {
        return Err(IndexError::IndexTooLarge(length));
    }
    // A path has at least one byte.
    let least = INDEX_HEAD as u64 + u64::from(count) * (ENTRY_HEAD as u64 + 1);
    if length < least {
        return Err(IndexError::Length(length));
    }
    Ok((count, length))
}

fn encode_entry(entry: &FolderEntry, bytes: &mut Vec<u8>) {
    let path = entry.path.as_str().as_bytes();
    bytes.push(u8::from(entry.kind != EntryKind::Directory));
    // Mode and path length fit: nine bits, at most 4,096 bytes.
    bytes.extend((entry.mode as u16).to_be_bytes());
    bytes.extend(entry.modified.seconds.to_be_bytes());
    bytes.extend(entry.modified.nanos.to_be_bytes());
    bytes.extend((path.len() as u16).to_be_bytes());
    bytes.extend(path);
    if let EntryKind::File { size } = entry.kind {
        bytes.extend(size.to_be_bytes());
    }
}

fn decode_entry(entry: u32, reader: &mut Reader<'_>) -> Result<FolderEntry, IndexError> {
    let kind = reader.u8()?;
    let mode = u32::from(reader.u16()?);
    let modified = Modified {
        seconds: reader.i64()?,
        nanos: reader.u32()?,
    };
    let length = reader.u16()?;
    let path = RelativePath::from_bytes(reader.bytes(usize::from(length))?)
        .map_err(|error| IndexError::Name { entry, error })?;
    let kind = match kind {
        0 => EntryKind::Directory,
        1 => EntryKind::File { size: reader.u64()? },
        kind => return Err(IndexError::Kind { entry, kind }),
    };
    Ok(FolderEntry {
        path,
        kind,
        mode,
        modified,
    })
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
