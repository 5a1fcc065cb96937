//! The one encoding of a folder index. Reads nothing that it would not have written.
//!
//! Integers are big-endian:
//!
//! ```text
//! head   "p2p-fold" ‖ version u8 = 1 ‖ entries u32 ‖ length of the whole index u64
//! entry  kind u8 (0 folder, 1 file) ‖ mode u16 ‖ changed: seconds i64, nanoseconds u32 ‖
//!        path length u16 ‖ path ‖ size u64 (of a file only)
//! ```

use super::{EntryKind, FolderEntry, FolderIndex, INDEX_HEAD, IndexError, check_bounds};
use crate::{manifest::Modified, name::RelativePath, reader::Reader};

const MAGIC: &[u8; 8] = b"p2p-fold";
pub(super) const VERSION: u8 = 1;

/// Bytes of an entry without its path: kind, mode, time, path length. A file has eight more.
const ENTRY_HEAD: usize = 1 + 2 + 8 + 4 + 2;

impl FolderIndex {
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
    check_bounds(u64::from(count), length)?;
    // A path has at least one byte.
    let least = INDEX_HEAD as u64 + u64::from(count) * (ENTRY_HEAD as u64 + 1);
    if length < least {
        return Err(IndexError::Length(length));
    }
    Ok((count, length))
}

/// Bytes of an entry as [`encode_entry`] writes it.
pub(super) fn entry_length(entry: &FolderEntry) -> u64 {
    let size = match entry.kind {
        EntryKind::Directory => 0,
        EntryKind::File { .. } => 8,
    };
    (ENTRY_HEAD + entry.path.as_str().len() + size) as u64
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
