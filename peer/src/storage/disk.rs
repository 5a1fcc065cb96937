//! The few things that are done to the disk, in one place, so that tests can make each of them fail.
//!
//! Every function says where it can be made to fail (feature `failpoints`): `disk::write`, `disk::sync`,
//! `disk::journal`, `disk::rename`; the argument is the number of the system's error (`return(28)`: no space left).

use rustix::{fs::RenameFlags, io::Errno};
use std::{
    fs::{self, File},
    io,
    os::{fd::AsFd, unix::fs::FileExt as _},
};

/// The error that a fail point was told to return; "input/output error" if it was not told.
#[cfg(feature = "failpoints")]
fn injected(errno: Option<String>) -> io::Error {
    let errno = errno.and_then(|number| number.parse().ok());
    io::Error::from_raw_os_error(errno.unwrap_or(Errno::IO.raw_os_error()))
}

/// Writes all of `bytes` at `offset`.
pub(super) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    fail::fail_point!("disk::write", |errno| Err(injected(errno)));
    file.write_all_at(bytes, offset)
}

/// Appends to a journal of `length` bytes.
pub(super) fn append(file: &File, bytes: &[u8], length: u64) -> io::Result<()> {
    fail::fail_point!("disk::journal", |errno| Err(injected(errno)));
    file.write_all_at(bytes, length)
}

/// Waits until the file's data (and size) survive a power cut.
pub(super) fn sync_data(file: &File) -> io::Result<()> {
    fail::fail_point!("disk::sync", |errno| Err(injected(errno)));
    file.sync_data()
}

/// Waits until the file's data and everything about it survive a power cut; of a folder: which names it has.
pub(super) fn sync_all(file: impl AsFd) -> io::Result<()> {
    fail::fail_point!("disk::sync", |errno| Err(injected(errno)));
    Ok(rustix::fs::fsync(file)?)
}

/// The same for everything on the file system that `file` is on. One call however many files were written: for
/// thousands of small ones, each with a wait of its own, it would take minutes.
pub(super) fn sync_file_system(file: impl AsFd) -> io::Result<()> {
    fail::fail_point!("disk::sync", |errno| Err(injected(errno)));
    Ok(rustix::fs::syncfs(file)?)
}

/// Gives something another name, in another folder perhaps, unless something has that name already
/// ([`io::ErrorKind::AlreadyExists`]).
pub(super) fn rename_new(from: impl AsFd, name: &str, to: impl AsFd, new_name: &str) -> io::Result<()> {
    fail::fail_point!("disk::rename", |errno| Err(injected(errno)));
    match rustix::fs::renameat_with(&from, name, &to, new_name, RenameFlags::NOREPLACE) {
        // A file system that cannot look and rename in one step.
        Err(Errno::INVAL | Errno::NOSYS) => {
            if rustix::fs::statat(&to, new_name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            Ok(rustix::fs::renameat(from, name, to, new_name)?)
        }
        renamed => Ok(renamed?),
    }
}

/// Which run of the operating system this is. What a process wrote is in the page cache whatever becomes of the
/// process, so within one run it can be trusted; after another one only what was made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Boot([u8; 16]);

impl Boot {
    /// Nobody knows: not the same as any, nor as itself at another time.
    pub(super) const UNKNOWN: Self = Self([0; 16]);

    #[cfg(test)]
    pub(super) fn numbered(number: u8) -> Self {
        Self([number; 16])
    }

    /// This run, as Linux numbers it (random(4)).
    pub(super) fn current() -> Self {
        let read = fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let id = read.ok().and_then(|text| uuid::Uuid::try_parse(text.trim()).ok());
        id.map_or(Self::UNKNOWN, |id| Self(id.into_bytes()))
    }

    pub(super) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether both are known to be the same run.
    pub(super) fn is_same(self, other: Self) -> bool {
        self == other && self != Self::UNKNOWN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_the_same_as_itself_unless_it_is_unknown() {
        assert!(Boot::current().is_same(Boot::current()), "Linux tells");
        assert!(!Boot::current().is_same(Boot::numbered(1)));
        assert!(!Boot::UNKNOWN.is_same(Boot::UNKNOWN));
    }

    #[test]
    fn renaming_never_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let dir = File::open(folder.path()).unwrap();
        let write = |name: &str| fs::write(folder.path().join(name), name).unwrap();
        write("one");
        write("two");
        let taken = rename_new(&dir, "one", &dir, "two").unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(folder.path().join("two")).unwrap(), "two");
        rename_new(&dir, "one", &dir, "three").unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("three")).unwrap(), "one");
    }
}
