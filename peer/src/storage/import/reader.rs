//! Reads a share's stream from the files where they lie, with positioned reads and never through a mapping (a mapped
//! file that is truncated kills the reader).
//!
//! Promise: the caller learns whether every file that was read had, before and after the read, the identity that was
//! recorded. What to do about it is the caller's: hashing refuses, serving checks the chunk's hash.
//! Never follows a symbolic link out of the shared folder (nor one in a file's place), never blocks on a pipe that took
//! a file's place.

use super::source::SourceLayout;
use crate::storage::{
    error::DiskError,
    identity::FileIdentity,
    open_files::{Key, OpenFiles, Owner},
    stream::{Piece, Place, StreamMap},
};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use p2p_shared::manifest::FolderIndex;
use rustix::fs::OFlags;
use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    sync::{Arc, Mutex, PoisonError},
};

/// The stream of one share.
#[derive(Debug)]
pub(in crate::storage) struct SourceReader {
    source: SourceLayout,
    map: StreamMap,
    /// The encoded folder index; empty for a file.
    head: Vec<u8>,
    /// The shared folder, once it was opened.
    root: Mutex<Option<Arc<Dir>>>,
    files: OpenFiles,
    owner: Owner,
}

/// What was noticed while reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) enum Seen {
    /// Every file was as recorded, before and after.
    AsRecorded,
    /// This file (the first of them) was not; the bytes may still be the right ones.
    Differs(u32),
}

/// Why bytes could not be read.
#[derive(Debug)]
pub(in crate::storage) enum SourceError {
    /// This file is gone, is something else, or is too short.
    Gone(u32),
    /// The disk failed, or does not let us.
    Disk(DiskError),
}

impl SourceReader {
    pub(in crate::storage) fn new(source: SourceLayout, files: OpenFiles) -> Self {
        Self {
            map: source.map(),
            head: source.index().map(FolderIndex::encode).unwrap_or_default(),
            source,
            root: Mutex::new(None),
            files,
            owner: Owner::new(),
        }
    }

    pub(in crate::storage) fn source(&self) -> &SourceLayout {
        &self.source
    }

    /// Appends the bytes of `extent` to `out`. On an error `out` is as it was.
    pub(in crate::storage) fn read(
        &self,
        extent: Range<u64>,
        out: &mut Vec<u8>,
    ) -> Result<Seen, SourceError> {
        let before = out.len();
        let mut seen = Seen::AsRecorded;
        for piece in self.map.pieces(extent) {
            match self.read_piece(piece, out) {
                Ok(as_before) if seen == Seen::AsRecorded => seen = as_before,
                Ok(_) => {}
                Err(error) => {
                    out.truncate(before);
                    return Err(error);
                }
            }
        }
        Ok(seen)
    }

    /// Fills `out`, which is as long as the extent, without waiting for a disk: only if all the files are open, as recorded, and
    /// in the page cache. Else what is in it means nothing.
    pub(in crate::storage) fn read_cached(&self, extent: Range<u64>, mut out: &mut [u8]) -> bool {
        let read = self.map.pieces(extent).all(|piece| {
            let Some((next, rest)) = std::mem::take(&mut out).split_at_mut_checked(piece.length) else {
                return false;
            };
            out = rest;
            self.read_piece_cached(&piece, next)
        });
        read && out.is_empty()
    }

    fn read_piece_cached(&self, piece: &Piece, out: &mut [u8]) -> bool {
        let number = match piece.place {
            Place::Head => {
                let head = self.head_of(piece);
                let whole = head.len() == out.len();
                if whole {
                    out.copy_from_slice(head);
                }
                return whole;
            }
            Place::File(number) => number,
        };
        let Some(file) = self.files.get(self.key(number)) else {
            return false;
        };
        let flags = rustix::io::ReadWriteFlags::NOWAIT;
        let read = rustix::io::preadv2(&file, &mut [io::IoSliceMut::new(out)], piece.offset, flags);
        // Last: a file system that would have to ask somebody for it has said no to the read. As recorded now, it was so before.
        read == Ok(piece.length)
            && FileIdentity::of(&file).is_ok_and(|now| self.source.identity(number) == Some(&now))
    }

    fn head_of(&self, piece: &Piece) -> &[u8] {
        let start = usize::try_from(piece.offset).unwrap_or(usize::MAX);
        let bytes = self.head.get(start..).and_then(|rest| rest.get(..piece.length));
        bytes.unwrap_or_default()
    }

    fn read_piece(&self, piece: Piece, out: &mut Vec<u8>) -> Result<Seen, SourceError> {
        let number = match piece.place {
            Place::Head => {
                out.extend_from_slice(self.head_of(&piece));
                return Ok(Seen::AsRecorded);
            }
            Place::File(number) => number,
        };
        let file = self.open(number)?;
        let disk = |error| SourceError::Disk(DiskError::new("read", self.source.path(number), error));
        let before = FileIdentity::of(&file).map_err(disk)?;
        read_exact_at(&file, out, piece.length, piece.offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => SourceError::Gone(number),
            _ => disk(error),
        })?;
        let after = FileIdentity::of(&file).map_err(disk)?;
        let recorded = self.source.identity(number);
        if recorded == Some(&before) && recorded == Some(&after) {
            return Ok(Seen::AsRecorded);
        }
        // Whoever reads next should look at what stands under the name by then.
        self.files.forget(self.key(number));
        Ok(Seen::Differs(number))
    }

    fn key(&self, file: u32) -> Key {
        Key {
            owner: self.owner,
            file,
        }
    }

    fn open(&self, number: u32) -> Result<Arc<File>, SourceError> {
        if let Some(file) = self.files.get(self.key(number)) {
            return Ok(file);
        }
        let file = self
            .open_anew(number)
            .map_err(|error| self.explain(number, error))?;
        let metadata = file.metadata().map_err(|error| self.explain(number, error))?;
        if !metadata.is_file() {
            return Err(SourceError::Gone(number));
        }
        let file = Arc::new(file);
        self.files.keep(self.key(number), &file);
        Ok(file)
    }

    fn open_anew(&self, number: u32) -> io::Result<File> {
        // A file may be replaced by anything: a link is not followed, opening a pipe does not wait for its writer.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let Some(relative) = self.source.relative(number) else {
            let mut options = std::fs::OpenOptions::new();
            return options.read(true).custom_flags(flags).open(self.source.root());
        };
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(flags);
        let opened = match self.root()?.open_with(relative, &options) {
            // Perhaps the whole folder was replaced by another of the same name.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.forget_root();
                self.root()?.open_with(relative, &options)?
            }
            opened => opened?,
        };
        Ok(opened.into_std())
    }

    fn root(&self) -> io::Result<Arc<Dir>> {
        let mut root = self.root.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(root) = &*root {
            return Ok(Arc::clone(root));
        }
        let opened = Dir::open_ambient_dir(self.source.root(), cap_std::ambient_authority())?;
        Ok(Arc::clone(root.insert(Arc::new(opened))))
    }

    fn forget_root(&self) {
        *self.root.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn explain(&self, number: u32, error: io::Error) -> SourceError {
        use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
        let is_link = match error.raw_os_error() {
            // A symbolic link where a file was.
            Some(number) => number == rustix::io::Errno::LOOP.raw_os_error(),
            // What cap-std says of one that leads out of the folder.
            None => error.kind() == io::ErrorKind::PermissionDenied,
        };
        if is_link || matches!(error.kind(), NotFound | NotADirectory | IsADirectory) {
            SourceError::Gone(number)
        } else {
            SourceError::Disk(DiskError::new("read", self.source.path(number), error))
        }
    }
}

#[cfg(test)]
impl SourceReader {
    pub(in crate::storage) fn forget_open_files(&self) {
        self.files.forget_all(self.owner);
    }
}

impl Drop for SourceReader {
    fn drop(&mut self) {
        self.files.forget_all(self.owner);
    }
}

/// Appends exactly `length` bytes from `offset`. On an error `out` is as it was.
pub(in crate::storage) fn read_exact_at(
    file: &File,
    out: &mut Vec<u8>,
    length: usize,
    offset: u64,
) -> io::Result<()> {
    let before = out.len();
    out.reserve(length);
    let read = if (out.capacity() - before) / 2 > length {
        out.resize(before + length, 0);
        let (_, new) = out.split_at_mut(before);
        file.read_exact_at(new, offset)
    } else {
        read_into_spare(file, out, before + length, offset)
    };
    out.truncate(if read.is_ok() { before + length } else { before });
    read
}

/// Reads until `out` has `end` bytes, straight into its unused memory: clearing 256 KiB first would cost as much as a
/// tenth of hashing them. May read some bytes more than asked for.
fn read_into_spare(file: &File, out: &mut Vec<u8>, end: usize, offset: u64) -> io::Result<()> {
    let before = out.len();
    while out.len() < end {
        let done = (out.len() - before) as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(out), offset + done) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
