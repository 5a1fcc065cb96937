//! The data folder and the database: made, and each held by one tracker at a time.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// The file whose lock says that a tracker runs here.
const LOCK: &str = "lock";

/// What the name of a database's lock ends with. A file of its own: closing any handle on the database itself would take SQLite
/// its locks (<https://www.sqlite.org/howtocorrupt.html>, 2.2).
const DATABASE_LOCK: &str = ".lock";

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It cannot be made or written to.
    #[error("cannot use the data folder {}: {error}; choose another with --data DIR", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Another tracker has it.
    #[error("another tracker runs on the data folder {}; stop it, or choose another with --data DIR", .0.display())]
    Locked(PathBuf),
    /// Another tracker has the database.
    #[error("another tracker uses the database {}; stop it, or choose another with --database", .0.display())]
    DatabaseLocked(PathBuf),
}

/// A data folder that is ours until this is dropped (or the process ends, however it does).
#[derive(Debug)]
pub(crate) struct DataFolder {
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if it is not there, and takes it.
    pub(crate) fn take(path: &Path) -> Result<Self, DataError> {
        let io = |error| DataError::Io {
            path: path.to_owned(),
            error,
        };
        make_folder(path)?;
        match lock(&path.join(LOCK)).map_err(io)? {
            Some(lock) => Ok(Self { _lock: lock }),
            None => Err(DataError::Locked(path.to_owned())),
        }
    }
}

/// Makes folder and database if they are not there, for who needs neither for itself.
pub(crate) fn make(folder: &Path, database: &Path) -> Result<(), DataError> {
    make_folder(folder)?;
    make_private(database).map_err(|error| DataError::Io {
        path: database.to_owned(),
        error,
    })
}

fn make_folder(path: &Path) -> Result<(), DataError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| DataError::Io {
        path: path.to_owned(),
        error,
    })
}

/// A database that is ours until this is dropped. Two trackers on one would each hand out what they alone remember.
#[derive(Debug)]
pub(crate) struct DatabaseLock {
    _lock: File,
}

impl DatabaseLock {
    /// Takes the database at `path`, whatever else it is called; makes an empty one that nobody else may read if there is none.
    pub(crate) fn take(path: &Path) -> Result<Self, DataError> {
        let io = |error| DataError::Io {
            path: path.to_owned(),
            error,
        };
        make_private(path).map_err(io)?;
        let mut name = path.canonicalize().map_err(io)?.into_os_string();
        name.push(DATABASE_LOCK);
        match lock(Path::new(&name)).map_err(io)? {
            Some(lock) => Ok(Self { _lock: lock }),
            None => Err(DataError::DatabaseLocked(path.to_owned())),
        }
    }
}

/// Makes a file if it is not there, and locks it; none if somebody else has.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = private().open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Keeps a file from everybody else's eyes: the catalogue names what people share.
fn make_private(path: &Path) -> io::Result<()> {
    private().open(path).map(drop)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_folder_is_held_once_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let held = DataFolder::take(&path).unwrap();
        let error = DataFolder::take(&path).unwrap_err();
        assert!(
            matches!(&error, DataError::Locked(locked) if *locked == path),
            "{error}"
        );
        drop(held);
        DataFolder::take(&path).unwrap();
    }

    #[test]
    fn a_database_is_held_once_at_a_time_by_whatever_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tracker.db");
        let held = DatabaseLock::take(&path).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for name in [&path, &link] {
            let error = DatabaseLock::take(name).unwrap_err();
            assert!(
                matches!(&error, DataError::DatabaseLocked(locked) if locked == name),
                "{error}"
            );
        }
        drop(held);
        DatabaseLock::take(&path).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = DataFolder::take(&file.join("data")).unwrap_err().to_string();
        assert!(
            error.contains(&file.display().to_string()) && error.contains("--data"),
            "{error}"
        );
    }
}
