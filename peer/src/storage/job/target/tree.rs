//! The files of a folder that is being downloaded, once its index is known: written where they belong in a hidden tree,
//! so that finishing needs no second copy.
//!
//! Promise: paths are followed below the opened tree and nowhere else. A file that comes whole in one chunk costs one
//! `open`; the others stay open while they are used. What is done at the end is in [`settle`]; files that have their
//! final names already, from an earlier selection, are read there and never written ([`standing`]).

mod settle;
mod standing;

use super::file::{open_to_write, stamp};
use crate::selection::Chosen;
use crate::storage::{
    disk,
    error::{DiskError, Named as _},
    identity::FileIdentity,
    import::{reader::read_exact_at, source::folder_map},
    job::place::{Place, open_folder},
    open_files::{Key, OpenFiles, Owner},
    stream::{Piece, StreamMap},
};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _, Permissions, PermissionsExt as _};
use p2p_shared::manifest::{EntryKind, FolderEntry, FolderIndex};
use rustix::fs::{Mode, OFlags};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use standing::Standing;

/// The tree's name in the job's folder.
const TREE: &str = "tree";

/// With more files than this to be made durable, the whole file system is: each takes a wait of its own, the whole
/// takes one, but may have to write what others have left there.
const FEW: usize = 16;

/// The files.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) map: StreamMap,
    index: Arc<FolderIndex>,
    chosen: Arc<Chosen>,
    /// Which entry of the index each file is.
    entries: Vec<u32>,
    root: Dir,
    path: PathBuf,
    /// The folder under the final name, if files are to be added to it.
    standing: Option<Standing>,
    open: OpenFiles,
    /// Whose the files are that are open for writing.
    owner: Owner,
    /// Whose those are that are open for reading only.
    reader: Owner,
    /// Whose those are that stand under their final names.
    standing_owner: Owner,
    written: Mutex<Written>,
}

/// What has been written.
#[derive(Debug)]
struct Written {
    /// Of each file that came whole and got its mode and time: its identity then.
    stamped: Vec<Option<FileIdentity>>,
    /// The inodes of the files that are written piece by piece: what has the name in the end must be what was written.
    inodes: BTreeMap<u32, u64>,
    dirty: Dirty,
}

/// What was written since the last sync.
#[derive(Debug, Default)]
enum Dirty {
    #[default]
    Nothing,
    Files(BTreeSet<u32>),
    Much,
}

impl Dirty {
    fn add(&mut self, file: u32) {
        match self {
            Self::Nothing => *self = Self::Files(BTreeSet::from([file])),
            Self::Files(files) => {
                files.insert(file);
                if files.len() > FEW {
                    *self = Self::Much;
                }
            }
            Self::Much => {}
        }
    }
}

impl Tree {
    /// Opens the tree, or makes it: all folders, and the files that are empty.
    pub(super) fn open(
        place: &Place,
        index: Arc<FolderIndex>,
        chosen: Arc<Chosen>,
        standing: Option<Dir>,
        open: OpenFiles,
    ) -> Result<Self, DiskError> {
        let path = place.path().join(TREE);
        match rustix::fs::mkdirat(&place.folder, TREE, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(DiskError::new("create", path, error.into())),
        }
        let root = open_folder(&place.folder, TREE).named("open", &path)?;
        let is_file = |entry: &FolderEntry| matches!(entry.kind, EntryKind::File { .. });
        let numbered = (0..).zip(index.entries());
        let entries: Vec<u32> = numbered
            .filter(|(_, entry)| is_file(entry))
            .map(|(at, _)| at)
            .collect();
        let standing = standing.map(|root| Standing::look(root, place.target(), &index, &chosen));
        let tree = Self {
            map: folder_map(&index),
            written: Mutex::new(Written {
                stamped: vec![None; entries.len()],
                inodes: BTreeMap::new(),
                dirty: Dirty::Much,
            }),
            index,
            chosen,
            entries,
            root: Dir::from_std_file(root.into()),
            path,
            standing: standing.transpose()?,
            open,
            owner: Owner::new(),
            reader: Owner::new(),
            standing_owner: Owner::new(),
        };
        tree.make_folders()?;
        tree.make_empty_files()?;
        Ok(tree)
    }

    fn make_folders(&self) -> Result<(), DiskError> {
        for entry in self
            .index
            .entries()
            .iter()
            .filter(|entry| entry.kind == EntryKind::Directory)
        {
            let path = entry.path.as_str();
            match self.root.create_dir(path) {
                // An earlier run may have come as far as giving it a mode that forbids writing.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    self.root.set_permissions(path, Permissions::from_mode(0o700))
                }
                made => made,
            }
            .named("create", &self.path.join(path))?;
        }
        Ok(())
    }

    fn make_empty_files(&self) -> Result<(), DiskError> {
        for file in (0..)
            .take(self.entries.len())
            .filter(|file| self.map.file_size(*file) == 0 && !self.stands(*file))
        {
            self.write_whole(file, &[])?;
        }
        Ok(())
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        // Every change under this lock is a single step.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, file: u32) -> Option<&FolderEntry> {
        let entry = *self.entries.get(file as usize)?;
        self.index.entries().get(entry as usize)
    }

    /// Whether it is to have its final name and has not.
    fn is_to_come(&self, file: u32) -> bool {
        let wanted = self
            .entries
            .get(file as usize)
            .is_some_and(|entry| self.chosen.has(*entry as usize));
        wanted && !self.stands(file)
    }

    fn relative(&self, file: u32) -> &Path {
        Path::new(self.entry(file).map_or("", |entry| entry.path.as_str()))
    }

    fn path(&self, file: u32) -> PathBuf {
        self.path.join(self.relative(file))
    }

    /// Writes a piece of one file.
    pub(super) fn write(&self, file: u32, piece: Piece, bytes: &[u8]) -> Result<(), DiskError> {
        if self.stands(file) {
            return self.compare_standing(file, piece, bytes);
        }
        if piece.offset == 0 && piece.length as u64 == self.map.file_size(file) {
            return self.write_whole(file, bytes);
        }
        let opened = self.opened(file)?;
        disk::write_at(&opened, bytes, piece.offset).named("write", &self.path(file))?;
        self.note(file, None);
        Ok(())
    }

    fn write_whole(&self, file: u32, bytes: &[u8]) -> Result<(), DiskError> {
        let write = || {
            let opened = open_to_write(&self.root, self.relative(file))?;
            disk::write_at(&opened, bytes, 0)?;
            self.stamp(file, &opened)
        };
        let identity = write().named("write", &self.path(file))?;
        self.note(file, identity);
        Ok(())
    }

    /// Sets mode and time, and returns the identity that the file has then. `None` if it had not the right size: it has
    /// now, but somebody was at it.
    fn stamp(&self, file: u32, opened: &File) -> io::Result<Option<FileIdentity>> {
        let size = self.map.file_size(file);
        if opened.metadata()?.len() != size {
            opened.set_len(size)?;
            return Ok(None);
        }
        if let Some(entry) = self.entry(file) {
            stamp(opened, entry.mode, entry.modified)?;
        }
        Ok(Some(FileIdentity::of(opened)?))
    }

    fn note(&self, file: u32, identity: Option<FileIdentity>) {
        let mut written = self.written();
        written.dirty.add(file);
        if let Some(stamped) = written.stamped.get_mut(file as usize) {
            *stamped = identity;
        }
    }

    fn opened(&self, file: u32) -> Result<Arc<File>, DiskError> {
        let key = Key {
            owner: self.owner,
            file,
        };
        if let Some(opened) = self.open.get(key) {
            return Ok(opened);
        }
        let (opened, inode) = self.open_anew(file).named("open", &self.path(file))?;
        let opened = Arc::new(opened);
        self.written().inodes.entry(file).or_insert(inode);
        self.open.keep(key, &opened);
        Ok(opened)
    }

    fn open_anew(&self, file: u32) -> io::Result<(File, u64)> {
        let opened = open_to_write(&self.root, self.relative(file))?;
        let inode = FileIdentity::of(&opened)?.inode;
        Ok((opened, inode))
    }

    /// Appends a piece of one file to `out`.
    pub(super) fn read(&self, file: u32, piece: Piece, out: &mut Vec<u8>) -> Result<(), DiskError> {
        if self.stands(file) {
            return self.read_standing(file, piece, out);
        }
        let mut read = || {
            let opened = self.opened_to_read(file)?;
            read_exact_at(&opened, out, piece.length, piece.offset)
        };
        read().named("read", &self.path(file))
    }

    /// Never makes a file: one that is gone is gone.
    fn opened_to_read(&self, file: u32) -> io::Result<Arc<File>> {
        let owner = self.reader;
        let key = Key { owner, file };
        if let Some(opened) = self.open.get(key) {
            return Ok(opened);
        }
        let mut options = OpenOptions::new();
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options.read(true).custom_flags(flags.bits().cast_signed());
        let opened = Arc::new(self.root.open_with(self.relative(file), &options)?.into_std());
        self.open.keep(key, &opened);
        Ok(opened)
    }

    /// Closes the files, so that what has their names is looked at anew.
    fn close_files(&self) {
        self.open.forget_all(self.owner);
        self.open.forget_all(self.reader);
        self.open.forget_all(self.standing_owner);
    }

    /// Waits until what was written before survives a power cut.
    pub(super) fn sync(&self, place: &Place) -> Result<(), DiskError> {
        let dirty = std::mem::take(&mut self.written().dirty);
        let synced = match &dirty {
            Dirty::Nothing => Ok(()),
            Dirty::Files(files) => self.sync_files(place, files),
            Dirty::Much => disk::sync_file_system(&place.output).named("write", &self.path),
        };
        if synced.is_err() {
            self.written().dirty = Dirty::Much;
        }
        synced
    }

    fn sync_files(&self, place: &Place, files: &BTreeSet<u32>) -> Result<(), DiskError> {
        let mut folders = BTreeSet::new();
        for file in files {
            let opened = match self.opened_to_sync(*file) {
                // Its mode forbids reading too, and giving it another one would pass for somebody else's doing.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return disk::sync_file_system(&place.output).named("write", &self.path);
                }
                opened => opened.named("open", &self.path(*file))?,
            };
            disk::sync_data(&opened).named("write", &self.path(*file))?;
            folders.extend(self.relative(*file).parent());
        }
        for folder in folders {
            let path = if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            };
            let synced = self.folder(path).and_then(disk::sync_all);
            synced.named("write", &self.path.join(folder))?;
        }
        place.sync_names()
    }

    /// The file as it is open for writing, else for reading: one that came whole may have a mode that forbids writing.
    fn opened_to_sync(&self, file: u32) -> io::Result<Arc<File>> {
        let owner = self.owner;
        let writing = self.open.get(Key { owner, file });
        writing.map_or_else(|| self.opened_to_read(file), Ok)
    }

    /// Opens a folder of the tree so that it can be synced.
    fn folder(&self, path: &Path) -> io::Result<File> {
        Ok(self.root.open(path)?.into_std())
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.close_files();
    }
}
