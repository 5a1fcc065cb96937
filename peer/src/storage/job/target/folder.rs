//! A download of a folder: first the head of the stream, until the folder's index is known, then the files.
//!
//! The index is at the head of the stream and says where everything else belongs. What comes before it is whole is kept
//! in one file (`head`) at its place in the stream, and copied to where it belongs as soon as that is known (it is
//! *unpacked*). The copy in `head` stays until the end: a power cut may leave a disk on which the copying never
//! happened.
//!
//! Which of the files are wanted is known when the index is. What a chunk has of the others is kept like the rest, in the
//! job's own folder, and never gets a final name.

use super::{Published, tree::Tree};
use crate::selection::{Chosen, NothingChosen, Selection};
use crate::storage::{
    disk,
    error::{DiskError, Named as _, StoreError},
    identity::FileIdentity,
    import::reader::read_exact_at,
    job::place::Place,
    open_files::OpenFiles,
    stream::Place as Within,
};
use p2p_shared::{
    bitfield::Bitfield,
    id::ChunkIndex,
    manifest::{FolderIndex, INDEX_HEAD, IndexError, Manifest},
};
use std::{
    fs::File,
    ops::Range,
    path::PathBuf,
    sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// The name of the stream's head in the job's folder.
const HEAD: &str = "head";

/// A folder of which chunks come in.
#[derive(Debug)]
pub(in crate::storage::job) struct FolderTarget {
    manifest: Manifest,
    head: File,
    path: PathBuf,
    /// Bytes of the index, once its beginning has come.
    index_size: OnceLock<u64>,
    /// The files, once the index has come.
    tree: RwLock<Option<Tree>>,
    selection: Selection,
    /// What of the index is wanted, once it has come.
    wanted: OnceLock<Wanted>,
    open: OpenFiles,
}

/// What is wanted of a folder whose index is known.
#[derive(Debug)]
struct Wanted {
    index: Arc<FolderIndex>,
    chosen: Arc<Chosen>,
    chunks: Bitfield,
}

/// The index is what its hash says and makes no sense: whoever made the share lied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexFault {
    /// It cannot be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// It does not describe this stream.
    #[error("it describes {index} bytes, the share has {share}")]
    Size {
        /// Bytes of the stream by the index.
        index: u64,
        /// By the manifest.
        share: u64,
    },
}

/// Why a folder could not be unpacked.
#[derive(Debug)]
pub(in crate::storage::job) enum UnpackError {
    Index(IndexFault),
    Selection(NothingChosen),
    Disk(DiskError),
}

/// Why the files of a known index could not be opened.
#[derive(Debug, thiserror::Error)]
pub(in crate::storage::job) enum TreeError {
    #[error(transparent)]
    Selection(#[from] NothingChosen),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl From<TreeError> for UnpackError {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Selection(nothing) => Self::Selection(nothing),
            TreeError::Disk(error) => Self::Disk(error),
        }
    }
}

impl From<TreeError> for StoreError {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Selection(nothing) => Self::Selection(nothing),
            TreeError::Disk(error) => Self::Disk(error),
        }
    }
}

impl From<DiskError> for UnpackError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl FolderTarget {
    /// Opens the head in the job's folder, or makes it.
    pub(in crate::storage::job) fn open(
        place: &Place,
        manifest: &Manifest,
        selection: Selection,
        open: OpenFiles,
    ) -> Result<Self, DiskError> {
        let path = place.path().join(HEAD);
        let head = super::file::open_to_write(&place.folder, HEAD.as_ref()).named("create", &path)?;
        Ok(Self {
            manifest: manifest.clone(),
            head,
            path,
            index_size: OnceLock::new(),
            tree: RwLock::new(None),
            selection,
            wanted: OnceLock::new(),
            open,
        })
    }

    /// Goes on with a folder that was unpacked in an earlier run. False if its index is not there (any more).
    pub(in crate::storage::job) fn reopen_tree(&self, place: &Place) -> Result<bool, TreeError> {
        let Ok(index) = self.read_index() else {
            return Ok(false);
        };
        *self.change() = Some(self.open_tree(place, index)?);
        Ok(true)
    }

    fn open_tree(&self, place: &Place, index: FolderIndex) -> Result<Tree, TreeError> {
        let chosen = Arc::new(self.selection.choose(&index)?);
        let index = Arc::new(index);
        let standing = match self.selection.is_all() {
            // It appears as one, and never in a folder that is there already.
            true => None,
            false => place.standing()?,
        };
        let tree = Tree::open(
            place,
            Arc::clone(&index),
            Arc::clone(&chosen),
            standing,
            self.open.clone(),
        )?;
        // The same as before, if it was known.
        self.wanted.get_or_init(|| Wanted {
            chunks: chosen.chunks(&index, self.manifest.layout()),
            index,
            chosen,
        });
        Ok(tree)
    }

    /// What is in the folder, once that is known.
    pub(in crate::storage::job) fn index(&self) -> Option<&Arc<FolderIndex>> {
        self.wanted.get().map(|wanted| &wanted.index)
    }

    /// What of it is wanted, once that is known.
    pub(in crate::storage::job) fn chosen(&self) -> Option<&Chosen> {
        self.wanted.get().map(|wanted| &*wanted.chosen)
    }

    /// Whether nothing of it is left out, as far as is known.
    pub(in crate::storage::job) fn wants_everything(&self) -> bool {
        self.selection.is_all() || self.chosen().is_some_and(Chosen::is_everything)
    }

    /// The chunks that are wanted; while the index is not known and not everything is wanted, those that it is in.
    pub(in crate::storage::job) fn wanted(&self, held: &Bitfield) -> Bitfield {
        let chunks = self.manifest.layout().chunks();
        if self.selection.is_all() {
            return Bitfield::full(chunks);
        }
        if let Some(wanted) = self.wanted.get() {
            return wanted.chunks.clone();
        }
        let mut first = Bitfield::new(chunks);
        self.wanted_first(held).for_each(|chunk| {
            first.set(ChunkIndex(chunk));
        });
        first
    }

    fn tree(&self) -> RwLockReadGuard<'_, Option<Tree>> {
        // It is set in one step.
        self.tree.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Option<Tree>> {
        self.tree.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write<T>(
        &self,
        extent: Range<u64>,
        bytes: &[u8],
        then: impl FnOnce() -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        // Held until `then` has journaled the chunk: unpacking must find in the journal all that is in the head.
        let tree = self.tree();
        match &*tree {
            None => self.write_head(extent.start, bytes)?,
            Some(tree) => self.write_pieces(tree, extent, bytes)?,
        }
        then()
    }

    fn write_head(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        disk::write_at(&self.head, bytes, offset).named("write", &self.path)
    }

    fn write_pieces(&self, tree: &Tree, extent: Range<u64>, bytes: &[u8]) -> Result<(), DiskError> {
        let mut rest = bytes;
        for piece in tree.map.pieces(extent) {
            let (bytes, after) = rest.split_at(piece.length.min(rest.len()));
            rest = after;
            match piece.place {
                Within::Head => self.write_head(piece.offset, bytes)?,
                Within::File(file) => tree.write(file, piece, bytes)?,
            }
        }
        Ok(())
    }

    pub(super) fn read(&self, extent: Range<u64>, out: &mut Vec<u8>) -> Result<(), DiskError> {
        match &*self.tree() {
            None => self.read_head(extent, out),
            Some(tree) => {
                for piece in tree.map.pieces(extent) {
                    match piece.place {
                        Within::Head => {
                            self.read_head(piece.offset..piece.offset + piece.length as u64, out)?;
                        }
                        Within::File(file) => tree.read(file, piece, out)?,
                    }
                }
                Ok(())
            }
        }
    }

    fn read_head(&self, extent: Range<u64>, out: &mut Vec<u8>) -> Result<(), DiskError> {
        // A chunk or an index: bounded by its caller.
        let length = (extent.end - extent.start) as usize;
        read_exact_at(&self.head, out, length, extent.start).named("read", &self.path)
    }

    /// The chunks that the index is in: as far as is known, which is the first one to begin with. Empty when the files
    /// are known.
    pub(in crate::storage::job) fn wanted_first(&self, held: &Bitfield) -> Range<u32> {
        if self.tree().is_some() {
            return 0..0;
        }
        let layout = self.manifest.layout();
        match self.index_size(held) {
            Some(size) => layout.chunks_of(0..size),
            None => layout.chunks_of(0..1),
        }
    }

    fn index_size(&self, held: &Bitfield) -> Option<u64> {
        if let Some(size) = self.index_size.get() {
            return Some(*size);
        }
        if !held.has(ChunkIndex(0)) {
            return None;
        }
        let size = FolderIndex::encoded_length(&self.index_head().ok()?).ok()?;
        Some(*self.index_size.get_or_init(|| size))
    }

    fn index_head(&self) -> Result<[u8; INDEX_HEAD], DiskError> {
        let mut head = Vec::with_capacity(INDEX_HEAD);
        self.read_head(0..INDEX_HEAD as u64, &mut head)?;
        let mut whole = [0; INDEX_HEAD];
        whole.copy_from_slice(&head);
        Ok(whole)
    }

    fn read_index(&self) -> Result<FolderIndex, UnpackError> {
        let size = index_size(&self.index_head()?, &self.manifest)?;
        let mut bytes = Vec::new();
        self.read_head(0..size, &mut bytes)?;
        Ok(read_index(&bytes, &self.manifest)?)
    }

    /// If the index is there and was not before: makes the tree and copies what is `held` to where it belongs; then
    /// `then` writes that down. Nobody writes or reads meanwhile. Whether that is so.
    pub(in crate::storage::job) fn unpack(
        &self,
        place: &Place,
        held: impl FnOnce() -> Bitfield,
        then: impl FnOnce() -> Result<(), DiskError>,
    ) -> Result<bool, UnpackError> {
        // Asked after every chunk: those who write side by side are not held up for it.
        if self.tree().is_some() {
            return Ok(false);
        }
        let mut state = self.change();
        if state.is_some() {
            return Ok(false);
        }
        let held = held();
        if !held.has(ChunkIndex(0)) {
            return Ok(false);
        }
        let layout = self.manifest.layout();
        let size = FolderIndex::encoded_length(&self.index_head()?).map_err(IndexFault::from)?;
        if !layout.chunks_of(0..size).all(|chunk| held.has(ChunkIndex(chunk))) {
            return Ok(false);
        }
        let tree = self.open_tree(place, self.read_index()?)?;
        let mut bytes = Vec::new();
        for chunk in held.ones() {
            bytes.clear();
            self.read_head(layout.extent(chunk), &mut bytes)?;
            self.write_pieces(&tree, layout.extent(chunk), &bytes)?;
        }
        then()?;
        *state = Some(tree);
        Ok(true)
    }

    /// The chunks that have something of the files which stand under their final names already.
    pub(in crate::storage::job) fn standing_chunks(&self) -> Bitfield {
        let layout = self.manifest.layout();
        let mut chunks = Bitfield::new(layout.chunks());
        for extent in self.tree().iter().flat_map(Tree::standing_files) {
            layout.chunks_of(extent).for_each(|chunk| {
                chunks.set(ChunkIndex(chunk));
            });
        }
        chunks
    }

    /// Appends these bytes as far as they stand under final names, whether that is wanted or not. An error if not all of
    /// them do.
    pub(in crate::storage::job) fn read_standing(
        &self,
        extent: Range<u64>,
        out: &mut Vec<u8>,
    ) -> Result<(), DiskError> {
        let tree = self.tree();
        for piece in tree.iter().flat_map(|tree| tree.map.pieces(extent.clone())) {
            match (piece.place, &*tree) {
                (Within::File(file), Some(tree)) => tree.read_standing(file, piece, out)?,
                _ => self.read_head(piece.offset..piece.offset + piece.length as u64, out)?,
            }
        }
        Ok(())
    }

    pub(super) fn sync(&self, place: &Place) -> Result<(), DiskError> {
        disk::sync_data(&self.head).named("write", &self.path)?;
        match &*self.tree() {
            None => place.sync_names(),
            Some(tree) => tree.sync(place),
        }
    }

    pub(super) fn settle(&self, place: &Place) -> Result<bool, DiskError> {
        self.tree().as_ref().map_or(Ok(false), |tree| tree.settle(place))
    }

    pub(super) fn moves_files(&self) -> bool {
        self.tree()
            .as_ref()
            .is_some_and(|tree| !tree.is_published_whole())
    }

    pub(super) fn publish(&self, place: &Place) -> Result<Option<Published>, DiskError> {
        self.tree()
            .as_ref()
            .map_or(Ok(None), |tree| tree.publish(place, &self.manifest))
    }

    pub(super) fn inode(&self) -> Result<u64, DiskError> {
        let identity = FileIdentity::of(&self.head).named("read", &self.path)?;
        Ok(identity.inode)
    }
}

/// Bytes of the index that begins with `head`, if it fits into its share.
pub(in crate::storage::job) fn index_size(
    head: &[u8; INDEX_HEAD],
    manifest: &Manifest,
) -> Result<u64, IndexFault> {
    let (index, share) = (FolderIndex::encoded_length(head)?, manifest.size);
    match index <= share {
        true => Ok(index),
        false => Err(IndexFault::Size { index, share }),
    }
}

/// The index whose bytes these are, if it describes its share.
pub(in crate::storage::job) fn read_index(
    bytes: &[u8],
    manifest: &Manifest,
) -> Result<FolderIndex, IndexFault> {
    let index = FolderIndex::decode(bytes)?;
    let (described, share) = (index.stream_size(), manifest.size);
    match described == share {
        true => Ok(index),
        false => Err(IndexFault::Size {
            index: described,
            share,
        }),
    }
}

impl From<IndexFault> for UnpackError {
    fn from(fault: IndexFault) -> Self {
        Self::Index(fault)
    }
}
