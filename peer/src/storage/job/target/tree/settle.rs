//! The end of a folder's download: modes, times, durability, and the final name.
//!
//! Promise: what gets the final name is what was written: a file that was exchanged or changed by somebody else since
//! then is noticed. The order matters: files, then folders from the inside out (setting what is in one changes its
//! time), then the disk, then the name, and the outermost folder last.

use super::{TREE, Tree};
use crate::storage::{
    disk,
    error::{DiskError, Named as _},
    identity::FileIdentity,
    import::SourceLayout,
    job::{
        place::Place,
        target::{Published, file::stamp},
    },
};
use cap_std::fs::{Dir, Permissions, PermissionsExt as _};
use p2p_shared::manifest::{EntryKind, FolderEntry, Manifest};
use rustix::fs::AtFlags;
use std::io;

impl Tree {
    /// Sets the modes and times that are not set yet and makes everything durable. False if somebody was at the files.
    pub(in crate::storage::job::target) fn settle(&self, place: &Place) -> Result<bool, DiskError> {
        if !self.stamp_files()? {
            return Ok(false);
        }
        if self.is_published_whole() {
            self.stamp_folders(&self.root, |_| None)?;
        }
        disk::sync_file_system(&place.output).named("write", &self.path)?;
        Ok(true)
    }

    /// Gives the settled tree its final name. `None` if something has it already.
    pub(in crate::storage::job::target) fn publish(
        &self,
        place: &Place,
        manifest: &Manifest,
    ) -> Result<Option<Published>, DiskError> {
        if let Some(standing) = &self.standing {
            return self.add_to(standing, place, manifest).map(Some);
        }
        if !self.chosen.is_everything() {
            self.drop_unwanted()?;
            self.stamp_folders(&self.root, |_| None)?;
            disk::sync_file_system(&place.output).named("write", &self.path)?;
        }
        match place.publish(TREE) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            renamed => renamed.named("create", &place.target())?,
        }
        // Only now: a folder that may not be written cannot be moved, and moving it changes its time.
        stamp(&self.root, manifest.mode, manifest.modified).named("write", &place.target())?;
        disk::sync_all(&self.root).named("write", &place.target())?;
        place.sync_names()?;
        // All of them are there since it was settled.
        let identities = self.written().stamped.iter().copied().flatten().collect();
        Ok(Some(self.published(place, identities)))
    }

    /// The tree becomes the folder, as it is.
    pub(in crate::storage::job::target) fn is_published_whole(&self) -> bool {
        self.standing.is_none() && self.chosen.is_everything()
    }

    pub(super) fn published(&self, place: &Place, identities: Vec<FileIdentity>) -> Published {
        match self.chosen.is_everything() {
            true => Published::Whole(SourceLayout::folder(
                place.target(),
                (*self.index).clone(),
                identities,
            )),
            false => Published::Part,
        }
    }

    /// Removes what is in the tree and not wanted: what chunks had of other files, and other folders. The journal speaks
    /// of it no more by now.
    fn drop_unwanted(&self) -> Result<(), DiskError> {
        self.close_files();
        let unwanted = self.index.entries().iter().enumerate().rev();
        for (_, entry) in unwanted.filter(|(place, _)| !self.chosen.has(*place)) {
            let path = entry.path.as_str();
            let removed = match entry.kind {
                EntryKind::Directory => self.root.remove_dir(path),
                EntryKind::File { .. } => self.root.remove_file(path),
            };
            match removed {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.named("remove", &self.path.join(path))?,
            }
        }
        Ok(())
    }

    /// False if a file is gone, has another size, or is not the one that was written. Looks at all of them, so that those
    /// which somebody touched are stamped anew the next time.
    fn stamp_files(&self) -> Result<bool, DiskError> {
        self.close_files();
        let stamped = self.written().stamped.clone();
        let mut untouched = true;
        for (file, identity) in (0..).zip(stamped).filter(|(file, _)| self.is_to_come(*file)) {
            let identity = match identity {
                // Untouched since it was written.
                Some(identity) => self.is_still(file, &identity).then_some(identity),
                None => self.stamp_anew(file).named("write", &self.path(file))?,
            };
            self.note(file, identity);
            untouched &= identity.is_some();
        }
        Ok(untouched)
    }

    fn stamp_anew(&self, file: u32) -> io::Result<Option<FileIdentity>> {
        let (opened, inode) = self.open_anew(file)?;
        let written = self.written().inodes.remove(&file);
        if written.is_some_and(|written| written != inode) {
            return Ok(None);
        }
        self.stamp(file, &opened)
    }

    fn is_still(&self, file: u32, identity: &FileIdentity) -> bool {
        let stat = rustix::fs::statat(&self.root, self.relative(file), AtFlags::SYMLINK_NOFOLLOW);
        stat.is_ok_and(|stat| FileIdentity::from_stat(&stat) == *identity)
    }

    /// Folders, innermost first: setting what is in one changes its time. One that had a mode before, as `mode_before` knows by its
    /// path, gets no permissions that it had not.
    pub(super) fn stamp_folders(
        &self,
        root: &Dir,
        mode_before: impl Fn(&str) -> Option<u32>,
    ) -> Result<(), DiskError> {
        for entry in self.wanted_folders().rev() {
            let path = entry.path.as_str();
            let folder = match root.open(path) {
                // It has its mode already, from an attempt before this one.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    let opened = root.set_permissions(path, Permissions::from_mode(0o700));
                    opened.and_then(|()| root.open(path))
                }
                folder => folder,
            };
            let mode = mode_before(path).map_or(entry.mode, |before| entry.mode & before);
            let stamped = folder.and_then(|folder| stamp(folder.into_std(), mode, entry.modified));
            stamped.named("write", &self.path.join(path))?;
        }
        Ok(())
    }

    /// Parents before what is in them.
    pub(super) fn wanted_folders(&self) -> impl DoubleEndedIterator<Item = &FolderEntry> {
        let entries = self.index.entries().iter().enumerate();
        entries
            .filter(|(place, entry)| entry.kind == EntryKind::Directory && self.chosen.has(*place))
            .map(|(_, entry)| entry)
    }
}
