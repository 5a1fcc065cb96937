//! Where a share's bytes lie on this machine's disk: a path, and the identity that every file had when it was hashed.
//!
//! Promise: plain data; made by a scan, kept in the catalogue, read by whoever serves. Nothing here opens a file.

use crate::storage::{
    format::{Decoder, Encoder, FormatError},
    identity::FileIdentity,
    stream::{Place, StreamMap},
};
use p2p_shared::manifest::{EntryKind, FolderEntry, FolderIndex, ShareKind};
use sha2::{Digest as _, Sha256};
use std::{
    ffi::OsStr,
    ops::Range,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

/// The files of a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLayout {
    /// The file or folder, absolute.
    root: PathBuf,
    tree: Tree,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tree {
    File(FileIdentity),
    Folder {
        index: FolderIndex,
        /// Which entries of the index are files.
        files: Vec<u32>,
        /// One a file, in the same order.
        identities: Vec<FileIdentity>,
    },
}

impl SourceLayout {
    /// A single file.
    pub(in crate::storage) fn file(root: PathBuf, identity: FileIdentity) -> Self {
        Self {
            root,
            tree: Tree::File(identity),
        }
    }

    /// A folder; `identities` are those of the index's files, in its order.
    pub(in crate::storage) fn folder(
        root: PathBuf,
        index: FolderIndex,
        identities: Vec<FileIdentity>,
    ) -> Self {
        let is_file = |entry: &FolderEntry| matches!(entry.kind, EntryKind::File { .. });
        let numbered = (0..).zip(index.entries());
        let files = numbered
            .filter(|(_, entry)| is_file(entry))
            .map(|(number, _)| number)
            .collect();
        Self {
            root,
            tree: Tree::Folder {
                index,
                files,
                identities,
            },
        }
    }

    /// The file or folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// File or folder.
    #[must_use]
    pub fn kind(&self) -> ShareKind {
        match self.tree {
            Tree::File(_) => ShareKind::File,
            Tree::Folder { .. } => ShareKind::Folder,
        }
    }

    /// The folder's index.
    #[must_use]
    pub fn index(&self) -> Option<&FolderIndex> {
        match &self.tree {
            Tree::File(_) => None,
            Tree::Folder { index, .. } => Some(index),
        }
    }

    /// Which bytes of the stream lie in which file.
    pub(in crate::storage) fn map(&self) -> StreamMap {
        match &self.tree {
            Tree::File(identity) => StreamMap::file(identity.size),
            // The index has checked that its files fit a stream.
            Tree::Folder { index, .. } => folder_map(index),
        }
    }

    /// The path of one file below the root, `None` for the root itself (or a file that is not there).
    pub(in crate::storage) fn relative(&self, file: u32) -> Option<&str> {
        match &self.tree {
            Tree::File(_) => None,
            Tree::Folder { index, files, .. } => {
                let entry = *files.get(file as usize)?;
                Some(index.entries().get(entry as usize)?.path.as_str())
            }
        }
    }

    /// The path of one file.
    pub(in crate::storage) fn path(&self, file: u32) -> PathBuf {
        match self.relative(file) {
            Some(relative) => self.root.join(relative),
            None => self.root.clone(),
        }
    }

    /// The identity that one file had.
    pub(in crate::storage) fn identity(&self, file: u32) -> Option<&FileIdentity> {
        match &self.tree {
            Tree::File(identity) => Some(identity),
            Tree::Folder { identities, .. } => identities.get(file as usize),
        }
    }

    /// All identities, in stream order.
    pub(in crate::storage) fn identities(&self) -> &[FileIdentity] {
        match &self.tree {
            Tree::File(identity) => std::slice::from_ref(identity),
            Tree::Folder { identities, .. } => identities,
        }
    }

    /// The same files with the identities that they have now. `None` if one is gone or has another size.
    pub(in crate::storage) fn look_again(&self) -> Option<Self> {
        let mut again = self.clone();
        let identities = match &mut again.tree {
            Tree::File(identity) => std::slice::from_mut(identity),
            Tree::Folder { identities, .. } => identities,
        };
        for (file, identity) in (0..).zip(identities) {
            let now = FileIdentity::from_stat(&rustix::fs::lstat(self.path(file)).ok()?);
            if now.size != identity.size {
                return None;
            }
            *identity = now;
        }
        Some(again)
    }

    /// Which files have bytes in a part of the stream.
    pub(in crate::storage) fn files_in(&self, extent: Range<u64>) -> Vec<u32> {
        let pieces = self.map();
        let files = pieces.pieces(extent).filter_map(|piece| match piece.place {
            Place::File(file) => Some(file),
            Place::Head => None,
        });
        files.collect()
    }

    /// 32 bytes that are the same only for the same files in the same state: names, modes, times and identities.
    /// Where they lie counts for nothing: a moved file still has its bytes.
    pub(in crate::storage) fn fingerprint(&self) -> [u8; 32] {
        let mut out = Encoder::default();
        if let Some(index) = self.index() {
            out.bytes(&index.encode());
        }
        for identity in self.identities() {
            identity.encode(&mut out);
        }
        Sha256::new()
            .chain_update(b"p2p/source/v1")
            .chain_update(out.finish())
            .finalize()
            .into()
    }

    pub(in crate::storage) fn encode(&self, out: &mut Encoder) {
        out.bytes(self.root.as_os_str().as_bytes());
        // An index is never empty: it has a head.
        out.bytes(&self.index().map(FolderIndex::encode).unwrap_or_default());
        out.u64(self.identities().len() as u64);
        for identity in self.identities() {
            identity.encode(out);
        }
    }

    pub(in crate::storage) fn decode(from: &mut Decoder<'_>) -> Result<Self, FormatError> {
        let root = PathBuf::from(OsStr::from_bytes(from.bytes()?));
        let index = from.bytes()?;
        let count = from.u64()?;
        let mut identities = Vec::new();
        for _ in 0..count {
            identities.push(FileIdentity::decode(from)?);
        }
        if index.is_empty() {
            let [identity] = identities[..] else {
                return Err(FormatError::Field("file identity"));
            };
            return Ok(Self::file(root, identity));
        }
        let index = FolderIndex::decode(index).map_err(|_| FormatError::Field("folder index"))?;
        let layout = Self::folder(root, index, identities);
        match &layout.tree {
            Tree::Folder {
                files, identities, ..
            } if files.len() != identities.len() => Err(FormatError::Field("number of file identities")),
            _ => Ok(layout),
        }
    }
}

/// Which bytes of a folder's stream lie in which of its files.
pub(in crate::storage) fn folder_map(index: &FolderIndex) -> StreamMap {
    let sizes = index.entries().iter().filter_map(|entry| match entry.kind {
        EntryKind::File { size } => Some(size),
        EntryKind::Directory => None,
    });
    // The index has checked that its files fit a stream; one that did not would be empty, and so be noticed.
    StreamMap::folder(index.index_size(), sizes).unwrap_or_else(|| StreamMap::file(0))
}
