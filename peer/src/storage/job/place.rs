//! Where a download lives until it is whole: one hidden folder beside its final name, on the same file system, so that
//! finishing is a rename.
//!
//! ```text
//! OUTPUT/.NAME.1a2b3c4d.p2p/   lock  journal  data (of a file)  head, tree/ (of a folder)
//! OUTPUT/NAME                  appears when the whole is checked and durable
//! ```
//!
//! Promise: two downloads never share a folder (its name has part of the file's hash), two processes never write to
//! one (it is locked), and it is ours alone ([`private`]). Everything goes through opened directories, so nothing is ever written elsewhere, whatever
//! is renamed or linked meanwhile; what stands under the final name is never replaced.

use super::private;
use crate::storage::{
    disk,
    error::{DiskError, Named as _, StoreError},
};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _, Permissions, PermissionsExt as _};
use p2p_shared::manifest::Manifest;
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags},
    io::Errno,
};
use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// The lock's name in the job's folder.
const LOCK: &str = "lock";

/// How often a lock is tried that somebody holds.
const PAUSE: Duration = Duration::from_millis(20);

/// How often a folder is emptied before it is given up that somebody puts a lock into.
const TRIES: u32 = 16;

/// The most bytes of a name on the usual file systems.
const NAME_MAX: usize = 255;

/// A job's folder and the folder that it is in. Holds the lock.
#[derive(Debug)]
pub(super) struct Place {
    /// The folder in which the result appears.
    pub(super) output: File,
    /// The job's own folder in it.
    pub(super) folder: Dir,
    output_path: PathBuf,
    /// The name of `folder`.
    hidden: String,
    /// The final name.
    name: String,
    _lock: File,
}

impl Place {
    /// Opens (or makes) the job's folder in `output` (made too, if it is not there) and locks it; waits that long for
    /// somebody who holds the lock, for this process may just be letting go of it.
    pub(super) fn open(output: &Path, manifest: &Manifest, patience: Duration) -> Result<Self, StoreError> {
        fs::create_dir_all(output).named("create", output)?;
        let output_path = output.canonicalize().named("open", output)?;
        let output = open_folder(CWD, &output_path).named("open", &output_path)?;
        let output = File::from(output);
        let hidden = hidden_name(manifest);
        let path = output_path.join(&hidden);
        let began = Instant::now();
        loop {
            let folder = open_or_make(&output, &hidden).named("use", &path)?;
            let folder = Dir::from_std_file(folder.into());
            private::take(&folder).named("use", &path)?;
            if let Some(lock) = lock(&folder).named("lock", &path)?
                // Whoever held the lock may have removed the folder with it.
                && is_still(&output, &hidden, &folder)
            {
                return Ok(Self {
                    output,
                    folder,
                    output_path,
                    hidden,
                    name: manifest.name.as_str().to_owned(),
                    _lock: lock,
                });
            }
            if began.elapsed() >= patience {
                return Err(StoreError::InUse(path));
            }
            thread::sleep(PAUSE);
        }
    }

    /// The folder in which the result appears.
    pub(super) fn output_path(&self) -> &Path {
        &self.output_path
    }

    /// Where the result will be.
    pub(super) fn target(&self) -> PathBuf {
        self.output_path.join(&self.name)
    }

    /// The job's own folder.
    pub(super) fn path(&self) -> PathBuf {
        self.output_path.join(&self.hidden)
    }

    /// Whether something stands under the final name.
    pub(super) fn is_taken(&self) -> Result<bool, DiskError> {
        match rustix::fs::statat(&self.output, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(DiskError::new("look at", self.target(), error.into())),
        }
    }

    /// The folder that stands under the final name, if one does. An error if something else does.
    pub(super) fn standing(&self) -> Result<Option<Dir>, DiskError> {
        match open_folder(&self.output, &self.name) {
            Ok(folder) => Ok(Some(Dir::from_std_file(folder.into()))),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => Err(taken(self.target())),
            Err(error) => Err(DiskError::new("open", self.target(), error.into())),
        }
    }

    /// Gives what is called `name` in the job's folder its final name; [`io::ErrorKind::AlreadyExists`] if something has
    /// it already.
    pub(super) fn publish(&self, name: &str) -> io::Result<()> {
        disk::rename_new(&self.folder, name, &self.output, &self.name)
    }

    /// Makes it durable which names the folders have.
    pub(super) fn sync_names(&self) -> Result<(), DiskError> {
        disk::sync_all(&self.folder).named("write", &self.path())?;
        disk::sync_all(&self.output).named("write", &self.output_path)
    }

    /// Removes the job's folder and all that is in it. The lock holds on to nothing then.
    pub(super) fn remove(&self) -> Result<(), DiskError> {
        let output = self.output.try_clone().named("open", &self.output_path)?;
        let output = Dir::from_std_file(output);
        let mut tries = 0;
        loop {
            tries += 1;
            match output.remove_dir_all(&self.hidden) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                // Folders of the share that got a mode which forbids writing, before it came to something else.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied && tries == 1 => {
                    allow_writing(&self.folder).named("remove", &self.path())?;
                }
                // Who waits for it has just made its lock anew.
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && tries < TRIES => {}
                removed => return removed.named("remove", &self.path()),
            }
        }
    }
}

/// Gives all folders below a mode with which they can be emptied.
fn allow_writing(folder: &Dir) -> io::Result<()> {
    for entry in folder.entries()? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folder.set_permissions(entry.file_name(), Permissions::from_mode(0o700))?;
            allow_writing(&entry.open_dir()?)?;
        }
    }
    Ok(())
}

/// What stands at `path` is not what belongs there, and is left alone.
pub(super) fn taken(path: impl Into<PathBuf>) -> DiskError {
    let why = "it already exists and is something else; move it away or choose another output folder";
    DiskError::new("write", path, io::Error::new(io::ErrorKind::AlreadyExists, why))
}

/// The job's folder if there is one that belongs to us, for a look.
pub(super) fn find(output: &Path, manifest: &Manifest) -> io::Result<Option<Dir>> {
    match open_folder(CWD, output.join(hidden_name(manifest))) {
        Ok(folder) if private::is_ours(&folder)? => Ok(Some(Dir::from_std_file(folder.into()))),
        // What somebody else put there is none of ours.
        Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Opens a folder for reading its names and for syncing them; never through a symbolic link.
pub(super) fn open_folder(at: impl AsFd, path: impl rustix::path::Arg) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, path, flags, Mode::empty())
}

fn open_or_make(output: &File, hidden: &str) -> io::Result<OwnedFd> {
    match rustix::fs::mkdirat(output, hidden, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => match open_folder(output, hidden) {
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let why = "it is no folder, or a symbolic link; remove it or choose another output folder";
                Err(io::Error::new(io::ErrorKind::AlreadyExists, why))
            }
            opened => Ok(opened?),
        },
        Err(error) => Err(error.into()),
    }
}

fn lock(folder: &Dir) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create(true)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    let file = match folder.open_with(LOCK, &options) {
        // The folder was removed after it was opened.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?.into_std(),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Whether the folder of that name is the one that is open.
fn is_still(output: &File, hidden: &str, folder: &Dir) -> bool {
    let named = rustix::fs::statat(output, hidden, AtFlags::SYMLINK_NOFOLLOW);
    let opened = rustix::fs::fstat(folder);
    matches!((named, opened), (Ok(a), Ok(b)) if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
}

/// The name of the job's folder: hidden, telling, not too long, and no other job's.
pub(super) fn hidden_name(manifest: &Manifest) -> String {
    let hash = manifest.hash.to_string();
    let (short, _) = hash.split_at(8);
    let suffix = format!(".{short}.p2p");
    let mut name = manifest.name.as_str();
    while 1 + name.len() + suffix.len() > NAME_MAX {
        name = name
            .char_indices()
            .next_back()
            .map_or("", |(last, _)| name.split_at(last).0);
    }
    format!(".{name}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use p2p_shared::{hash::HashAlgorithm, testing};

    fn manifest(name: &str) -> Manifest {
        testing::file(HashAlgorithm::Sha256, name, b"content").0
    }

    #[test]
    fn the_hidden_name_fits_and_tells_downloads_apart() {
        let one = hidden_name(&manifest("film.mkv"));
        assert!(one.starts_with(".film.mkv.") && one.ends_with(".p2p"), "{one}");
        for name in ["n".repeat(255), "ü".repeat(127)] {
            let hidden = hidden_name(&manifest(&name));
            assert!((240..=255).contains(&hidden.len()), "{hidden}");
        }
        let (mut other, _) = testing::file(HashAlgorithm::Sha256, "film.mkv", b"other content");
        assert_ne!(hidden_name(&other), one);
        other.hash = manifest("film.mkv").hash;
        assert_eq!(hidden_name(&other), one);
    }

    #[test]
    fn a_place_is_for_one_at_a_time() {
        let output = tempfile::tempdir().unwrap();
        let manifest = manifest("film.mkv");
        let first = Place::open(output.path(), &manifest, PAUSE).unwrap();
        let path = first.path();
        let second = Place::open(output.path(), &manifest, PAUSE);
        assert!(matches!(second, Err(StoreError::InUse(named)) if named == path));
        drop(first);
        assert!(Place::open(output.path(), &manifest, PAUSE).is_ok());
    }

    #[test]
    fn who_waits_for_a_place_that_is_removed_gets_a_new_one() {
        let output = tempfile::tempdir().unwrap();
        let manifest = manifest("film.mkv");
        let first = Place::open(output.path(), &manifest, PAUSE).unwrap();
        fs::write(first.path().join("data"), b"x").unwrap();
        thread::scope(|scope| {
            let second = scope.spawn(|| Place::open(output.path(), &manifest, Duration::MAX).unwrap());
            first.remove().unwrap();
            drop(first);
            let second = second.join().unwrap();
            assert!(second.path().is_dir() && !second.path().join("data").exists());
        });
    }

    #[test]
    fn a_folder_that_others_may_have_prepared_is_refused_by_name() {
        let output = tempfile::tempdir().unwrap();
        let manifest = manifest("film.mkv");
        let prepared = output.path().join(hidden_name(&manifest));
        fs::create_dir(&prepared).unwrap();
        fs::set_permissions(&prepared, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        match Place::open(output.path(), &manifest, PAUSE) {
            Err(StoreError::Disk(error)) => {
                assert!(error.path.ends_with(hidden_name(&manifest)), "{error}");
                assert!(error.to_string().contains("other users may write"), "{error}");
            }
            other => panic!("it was taken: {other:?}"),
        }
        assert!(!prepared.join(LOCK).exists());
    }

    #[test]
    fn a_link_in_the_folders_place_is_not_followed() {
        let output = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let manifest = manifest("film.mkv");
        std::os::unix::fs::symlink(elsewhere.path(), output.path().join(hidden_name(&manifest))).unwrap();
        assert!(matches!(
            Place::open(output.path(), &manifest, PAUSE),
            Err(StoreError::Disk(_))
        ));
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }
}
