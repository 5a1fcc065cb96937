//! Whether a job's folder is ours alone.
//!
//! Its name can be foretold, and others may be allowed to write to the output folder: what stands there may have been
//! prepared by them, for us to fill or to believe. Promise: a folder that is taken belongs to our user, no other may write
//! to it or look into it (0700), and what is directly in it belongs to our user too. Works on the opened folder, never on
//! its name.

use cap_std::fs::{Dir, MetadataExt as _};
use rustix::{
    fs::{Mode, fchmod, fstat},
    io::Errno,
    process::geteuid,
};
use std::{io, os::fd::AsFd};

/// Others may write to it.
const OTHERS_WRITE: u32 = 0o022;

/// Takes the folder for us alone; [`io::ErrorKind::AlreadyExists`] says why it cannot be.
pub(super) fn take(folder: &Dir) -> io::Result<()> {
    let before = fstat(folder)?;
    if before.st_uid != geteuid().as_raw() {
        return Err(foreign("it belongs to another user"));
    }
    if before.st_mode & 0o7777 != 0o700 {
        set_mode(folder, 0o700)?;
    }
    // A file system that knows no modes says afterwards what it said before: there, nobody is kept from anything.
    let was_open = before.st_mode & OTHERS_WRITE != 0 && fstat(folder)?.st_mode & OTHERS_WRITE == 0;
    let checked = match was_open {
        true => Err(foreign("other users may write to it")),
        false => check_entries(folder),
    };
    if checked.is_err() {
        // The next one has to see it as it was.
        set_mode(folder, before.st_mode & 0o7777)?;
    }
    checked
}

fn set_mode(folder: &Dir, mode: u32) -> io::Result<()> {
    match fchmod(folder, Mode::from_raw_mode(mode)) {
        // It is ours, so this is a file system that knows no modes.
        Ok(()) | Err(Errno::PERM | Errno::NOTSUP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether it belongs to our user, for a look.
pub(super) fn is_ours(folder: impl AsFd) -> io::Result<bool> {
    let found = fstat(folder)?;
    Ok(found.st_uid == geteuid().as_raw())
}

/// Modes are not looked at here: a file that is nearly finished has the one that its share says.
fn check_entries(folder: &Dir) -> io::Result<()> {
    let us = geteuid().as_raw();
    for entry in folder.entries()? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            // Whoever holds the lock removes it just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        if metadata.uid() != us {
            return Err(foreign("something in it belongs to another user"));
        }
        if metadata.is_symlink() {
            return Err(foreign("something in it is a symbolic link"));
        }
    }
    Ok(())
}

fn foreign(why: &str) -> io::Error {
    let why = format!("{why}, so what is in it cannot be trusted; remove it or choose another output folder");
    io::Error::new(io::ErrorKind::AlreadyExists, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::job::place::open_folder;
    use rustix::fs::CWD;
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    const SOMEBODY: u32 = 65534;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn open(path: &Path) -> Dir {
        Dir::from_std_file(open_folder(CWD, path).unwrap().into())
    }

    fn refused(path: &Path) -> String {
        let refused = take(&open(path)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        refused.to_string()
    }

    #[test]
    fn our_folder_is_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        chmod(folder.path(), 0o755);
        fs::write(folder.path().join("data"), "x").unwrap();
        take(&open(folder.path())).unwrap();
        assert_eq!(mode(folder.path()), 0o700);
    }

    #[test]
    fn a_folder_that_others_could_write_to_stays_refused() {
        let folder = tempfile::tempdir().unwrap();
        for open_to in [0o770, 0o777, 0o1777] {
            chmod(folder.path(), open_to);
            for _ in 0..2 {
                assert!(refused(folder.path()).contains("other users may write"));
                assert_eq!(mode(folder.path()), open_to);
            }
        }
    }

    #[test]
    fn a_link_in_it_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("data")).unwrap();
        assert!(refused(folder.path()).contains("symbolic link"));
    }

    #[test]
    fn what_belongs_to_somebody_else_is_refused() {
        if !geteuid().is_root() {
            eprintln!("skipped: only root can give files to others");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let theirs = folder.path().join("journal");
        fs::write(&theirs, "x").unwrap();
        std::os::unix::fs::chown(&theirs, Some(SOMEBODY), None).unwrap();
        assert!(refused(folder.path()).contains("something in it belongs to another user"));
        std::os::unix::fs::chown(folder.path(), Some(SOMEBODY), None).unwrap();
        assert!(refused(folder.path()).contains("it belongs to another user"));
        assert!(!is_ours(open(folder.path())).unwrap());
    }
}
