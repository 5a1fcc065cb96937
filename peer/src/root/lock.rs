//! One running peer at a time on a data folder.
//!
//! The lock is on the open file, so that it goes with the process however that ends; the text in the file only tells
//! others who has it.

use crate::error::Failure;
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// The lock's file in the data folder.
const FILE_NAME: &str = "lock";

/// The data folder belongs to this process as long as this lives.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

/// Why the data folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another peer runs on it.
    #[error("a peer runs on {} already{}", data.display(), by(pid))]
    Held {
        /// The data folder.
        data: PathBuf,
        /// Its process, if it has said so.
        pid: Option<u32>,
    },
    /// It cannot be created or written.
    #[error("cannot use the data folder {}: {error}", data.display())]
    Io {
        /// The data folder.
        data: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

fn by(pid: &Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

impl LockError {
    /// Whether another peer has it.
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Held { .. })
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        match &error {
            LockError::Held { .. } => Self::usage(format!(
                "{error}; end that one first, or use another folder with --data DIR"
            )),
            LockError::Io { .. } => Self::disk(format!("{error}; choose another folder with --data DIR")),
        }
    }
}

impl DataLock {
    /// Takes the data folder, which is made (for this user only) if it is not there.
    pub fn acquire(data: &Path) -> Result<Self, LockError> {
        let failed = |error| LockError::Io {
            data: data.to_owned(),
            error,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data)
            .map_err(failed)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(data.join(FILE_NAME))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                write_pid(&mut file).map_err(failed)?;
                Ok(Self { _file: file })
            }
            Err(TryLockError::WouldBlock) => Err(LockError::Held {
                data: data.to_owned(),
                pid: read_pid(&mut file),
            }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// None while the owner has not written it yet.
fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Writes `content` to `path` for this user alone: whole under its name, or not at all. Durable when this returns.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    replace(path, content, File::sync_all)
}

/// The same for what only this run of the machine needs: after a power cut it may be empty. Waits for no disk, since every
/// command waits for this.
pub(crate) fn write_private_for_now(path: &Path, content: &[u8]) -> io::Result<()> {
    replace(path, content, |_| Ok(()))
}

fn replace(path: &Path, content: &[u8], keep: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    // Left behind by a crash; nobody else writes here while the lock is held.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(content)?;
    keep(&file)?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_second_peer_is_refused_and_told_who_has_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a/b");
        let lock = DataLock::acquire(&data).unwrap();
        let error = DataLock::acquire(&data).unwrap_err();
        assert!(error.is_held());
        let failure = Failure::from(error);
        assert_eq!(failure.exit_code(), 2);
        assert!(
            failure
                .message
                .contains(&format!("process {}", std::process::id())),
            "{failure}"
        );
        drop(lock);
        assert!(DataLock::acquire(&data).is_ok());
    }

    #[test]
    fn a_data_folder_is_made_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let _lock = DataLock::acquire(&data).unwrap();
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_a_disk_failure_naming_it() {
        let failure = Failure::from(DataLock::acquire(Path::new("/proc/nowhere")).unwrap_err());
        assert_eq!(failure.exit_code(), 7);
        assert!(failure.message.contains("/proc/nowhere"), "{failure}");
    }

    #[test]
    fn a_private_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(folder.path().join("secret.new"), "left behind").unwrap();
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        write_private_for_now(&path, b"three").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
