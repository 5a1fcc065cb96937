//! Files of a folder that stand under their final names before the download is finished: an earlier `get` with another
//! selection put them there.
//!
//! Promise: what stands there is read, compared and added to; it is never written, never replaced, and only taken for what
//! it should be when its chunks hash to what they should. Whatever is in the way and something else is named. A folder that
//! stands there is opened to nobody: the share may only take permissions from it. Paths are followed below the opened folder and
//! nowhere else.

use super::Tree;
use crate::selection::Chosen;
use crate::storage::{
    disk,
    error::{DiskError, Named as _},
    identity::FileIdentity,
    import::reader::read_exact_at,
    job::{
        place::{Place, taken},
        target::{Published, file::stamp},
    },
    open_files::Key,
    stream::Piece,
};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _, Permissions, PermissionsExt as _};
use p2p_shared::manifest::{EntryKind, FolderEntry, FolderIndex, Manifest};
use rustix::fs::{AtFlags, OFlags};
use std::{
    collections::HashMap,
    fs::File,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What we need of a folder to put something into it.
const FOR_US: u32 = 0o300;

/// The modes of the folders that stood there, by their paths.
type Modes<'a> = HashMap<&'a str, u32>;

/// The folder under the final name.
#[derive(Debug)]
pub(super) struct Standing {
    root: Dir,
    path: PathBuf,
    /// For each file, whether it is wanted and stands there.
    files: Vec<bool>,
}

impl Standing {
    /// Looks for the wanted entries in `root`. An error names what is in the way of one.
    pub(super) fn look(
        root: Dir,
        path: PathBuf,
        index: &FolderIndex,
        chosen: &Chosen,
    ) -> Result<Self, DiskError> {
        let mut standing = Self {
            root,
            path,
            files: Vec::new(),
        };
        for (place, entry) in index.entries().iter().enumerate() {
            let stands = chosen.has(place) && standing.has(entry)?;
            if entry.kind != EntryKind::Directory {
                standing.files.push(stands);
            }
        }
        Ok(standing)
    }

    fn has(&self, entry: &FolderEntry) -> Result<bool, DiskError> {
        let path = entry.path.as_str();
        let found = match self.root.symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            found => found.named("look at", &self.path.join(path))?,
        };
        let fits = match entry.kind {
            EntryKind::Directory => found.is_dir(),
            EntryKind::File { size } => found.is_file() && found.len() == size,
        };
        match fits {
            true => Ok(true),
            false => Err(taken(self.path.join(path))),
        }
    }

    /// Makes that something can be put into a folder, and returns the mode that it had.
    fn open_up(&self, path: &str) -> io::Result<u32> {
        let mode = self.root.symlink_metadata(path)?.permissions().mode();
        if mode & FOR_US != FOR_US {
            self.set_mode(path, mode | FOR_US)?;
        }
        Ok(mode)
    }

    fn set_mode(&self, path: &str, mode: u32) -> io::Result<()> {
        // Permissions alone, and no file type.
        self.root
            .set_permissions(path, Permissions::from_mode(mode & 0o7777))
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options.read(true).custom_flags(flags.bits().cast_signed());
        Ok(self.root.open_with(path, &options)?.into_std())
    }
}

impl Tree {
    /// Whether a wanted file stands under its final name already.
    pub(super) fn stands(&self, file: u32) -> bool {
        let files = self.standing.as_ref().map(|standing| &standing.files);
        files
            .and_then(|files| files.get(file as usize))
            .copied()
            .unwrap_or(false)
    }

    /// Where the files that stand there lie in the stream.
    pub(in crate::storage::job::target) fn standing_files(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let files = (0..).take(self.entries.len());
        files
            .filter(|file| self.stands(*file))
            .map(|file| self.map.extent(file))
    }

    /// Appends a piece of what has the final name of a file, wanted or not. Whether it is right is for the caller to see.
    pub(in crate::storage::job::target) fn read_standing(
        &self,
        file: u32,
        piece: Piece,
        out: &mut Vec<u8>,
    ) -> Result<(), DiskError> {
        let path = self.relative(file);
        let read = || {
            let standing = self.standing.as_ref().ok_or(io::ErrorKind::NotFound)?;
            let owner = self.standing_owner;
            let key = Key { owner, file };
            let opened = match self.open.get(key) {
                Some(opened) => opened,
                None => {
                    let opened = Arc::new(standing.open(path)?);
                    self.open.keep(key, &opened);
                    opened
                }
            };
            read_exact_at(&opened, out, piece.length, piece.offset)
        };
        let folder = self
            .standing
            .as_ref()
            .map_or(&self.path, |standing| &standing.path);
        let mut read = read;
        read().named("read", &folder.join(path))
    }

    /// A piece of a file that stands there has come: it must be the same.
    pub(super) fn compare_standing(&self, file: u32, piece: Piece, bytes: &[u8]) -> Result<(), DiskError> {
        let mut there = Vec::with_capacity(bytes.len());
        self.read_standing(file, piece, &mut there)?;
        let folder = self
            .standing
            .as_ref()
            .map_or(&self.path, |standing| &standing.path);
        match there == bytes {
            true => Ok(()),
            false => Err(taken(folder.join(self.relative(file)))),
        }
    }

    /// Adds the settled files to the folder that stands there.
    pub(super) fn add_to(
        &self,
        standing: &Standing,
        place: &Place,
        manifest: &Manifest,
    ) -> Result<Published, DiskError> {
        self.close_files();
        let outermost = standing.open_up(".").named("write", &standing.path)?;
        let modes = self.open_folders(standing)?;
        for file in (0..)
            .take(self.entries.len())
            .filter(|file| self.is_to_come(*file))
        {
            self.add(standing, self.relative(file))?;
        }
        self.stamp_folders(&standing.root, |path| modes.get(path).copied())?;
        let mode = manifest.mode & outermost;
        stamp(&standing.root, mode, manifest.modified).named("write", &standing.path)?;
        disk::sync_file_system(&place.output).named("write", &standing.path)?;
        Ok(self.published(place, self.identities(standing)?))
    }

    /// Makes the folders that are not there, and those that are such that something can be put into them. Should it be cut short,
    /// the next time finds nothing in their modes that had not been there or is not to be.
    fn open_folders(&self, standing: &Standing) -> Result<Modes<'_>, DiskError> {
        let mut modes = Modes::new();
        for entry in self.wanted_folders() {
            let path = entry.path.as_str();
            let opened = match standing.root.create_dir(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    standing.open_up(path).map(|mode| {
                        modes.insert(path, mode);
                    })
                }
                made => made.and_then(|()| standing.set_mode(path, entry.mode | FOR_US)),
            };
            opened.named("create", &standing.path.join(path))?;
        }
        Ok(modes)
    }

    /// Gives one file its final name.
    fn add(&self, standing: &Standing, path: &Path) -> Result<(), DiskError> {
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or_else(|| Path::new("."));
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let add = || {
            let (from, to) = (self.root.open_dir(parent)?, standing.root.open_dir(parent)?);
            disk::rename_new(&from, name, &to, name)
        };
        match add() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(taken(standing.path.join(path)))
            }
            added => added.named("create", &standing.path.join(path)),
        }
    }

    /// Of all files, if all are there.
    fn identities(&self, standing: &Standing) -> Result<Vec<FileIdentity>, DiskError> {
        if !self.chosen.is_everything() {
            return Ok(Vec::new());
        }
        let files = (0..).take(self.entries.len());
        let identities = files.map(|file| {
            let path = self.relative(file);
            let stat = rustix::fs::statat(&standing.root, path, AtFlags::SYMLINK_NOFOLLOW);
            stat.map(|stat| FileIdentity::from_stat(&stat))
                .named("look at", &standing.path.join(path))
        });
        identities.collect()
    }
}
