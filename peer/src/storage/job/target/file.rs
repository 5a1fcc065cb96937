//! A download of a single file: one hidden file of the final size from the beginning, with holes where chunks are missing.

use crate::storage::{
    disk,
    error::{DiskError, Named as _},
    identity::FileIdentity,
    import::{SourceLayout, reader::read_exact_at},
    job::place::Place,
};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _, Permissions, PermissionsExt as _};
use p2p_shared::manifest::{Manifest, Modified};
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT};
use std::{
    fs::File,
    io,
    ops::Range,
    path::{Path, PathBuf},
};

/// The data's name in the job's folder.
const DATA: &str = "data";

/// The hidden file.
#[derive(Debug)]
pub(in crate::storage::job) struct FileTarget {
    file: File,
    path: PathBuf,
    size: u64,
    mode: u32,
    modified: Modified,
}

impl FileTarget {
    /// Opens the file in the job's folder, or makes it. False if it is not as it was left: new, or of another size.
    pub(in crate::storage::job) fn open(
        place: &Place,
        manifest: &Manifest,
    ) -> Result<(Self, bool), DiskError> {
        let path = place.path().join(DATA);
        let file = open_to_write(&place.folder, DATA.as_ref()).named("create", &path)?;
        let found = file.metadata().named("read", &path)?.len();
        let intact = found == manifest.size;
        if !intact {
            file.set_len(manifest.size).named("write", &path)?;
        }
        let target = Self {
            file,
            path,
            size: manifest.size,
            mode: manifest.mode,
            modified: manifest.modified,
        };
        Ok((target, intact))
    }

    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        disk::write_at(&self.file, bytes, offset).named("write", &self.path)
    }

    pub(super) fn read(&self, extent: Range<u64>, out: &mut Vec<u8>) -> Result<(), DiskError> {
        // A chunk is far smaller than the address space.
        let length = (extent.end - extent.start) as usize;
        read_exact_at(&self.file, out, length, extent.start).named("read", &self.path)
    }

    pub(super) fn sync(&self) -> Result<(), DiskError> {
        disk::sync_data(&self.file).named("write", &self.path)
    }

    /// Sets mode and time and makes everything durable. False if somebody was at the file.
    pub(super) fn settle(&self, place: &Place) -> Result<bool, DiskError> {
        let settle = || {
            let opened = FileIdentity::of(&self.file)?;
            let named = rustix::fs::statat(&place.folder, DATA, AtFlags::SYMLINK_NOFOLLOW);
            let is_named = named.is_ok_and(|stat| FileIdentity::from_stat(&stat).inode == opened.inode);
            if !is_named || opened.size != self.size {
                self.file.set_len(self.size)?;
                return Ok(false);
            }
            stamp(&self.file, self.mode, self.modified)?;
            disk::sync_all(&self.file)?;
            Ok(true)
        };
        settle().map_err(|error: io::Error| DiskError::new("write", self.path.clone(), error))
    }

    /// Gives the settled file its final name. `None` if something has it already.
    pub(super) fn publish(&self, place: &Place) -> Result<Option<SourceLayout>, DiskError> {
        match place.publish(DATA) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            renamed => renamed.named("create", &place.target())?,
        }
        place.sync_names()?;
        let identity = FileIdentity::of(&self.file).named("read", &place.target())?;
        Ok(Some(SourceLayout::file(place.target(), identity)))
    }

    pub(super) fn inode(&self) -> Result<u64, DiskError> {
        let identity = FileIdentity::of(&self.file).named("read", &self.path)?;
        Ok(identity.inode)
    }
}

/// Opens a file to read and write, or makes it: below `folder` wherever its path leads, and never through a link in its
/// own place.
pub(super) fn open_to_write(folder: &Dir, path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options
        .read(true)
        .write(true)
        .create(true)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed());
    let file = match folder.open_with(path, &options) {
        // An earlier run may have come as far as giving it a mode that forbids writing.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            folder.set_permissions(path, Permissions::from_mode(0o600))?;
            folder.open_with(path, &options)?
        }
        file => file?,
    };
    Ok(file.into_std())
}

/// Gives a file its mode and the time of its last change.
pub(in crate::storage::job) fn stamp(
    file: impl std::os::fd::AsFd,
    mode: u32,
    modified: Modified,
) -> io::Result<()> {
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: modified.seconds,
            tv_nsec: modified.nanos.into(),
        },
    };
    Ok(rustix::fs::futimens(file, &times)?)
}
