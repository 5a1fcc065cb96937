//! Finds out what a share would consist of, without reading any file's bytes.
//!
//! Promise: the plan lists every file and folder below the path, sorted, with the identity that each file had; what is
//! not in it is named. Symbolic links and special files are always left out and named as warnings. Entries that
//! cannot be read, or whose names no share can carry, are an error unless the caller said to skip them.
//! Never follows a symbolic link below the path, never opens a file, never gives away the peer's own data folder.

use super::source::SourceLayout;
use crate::storage::{
    error::{DiskError, ImportError, Named as _},
    identity::FileIdentity,
};
use p2p_shared::{
    chunker::Layout,
    manifest::{
        EntryKind, FileName, FolderEntry, FolderIndex, MODE_BITS, Modified, NameError, RelativePath,
        ShareKind,
    },
};
use rustix::{
    fs::{Access, AtFlags, Dir, FileType, Mode, OFlags, Stat},
    io::Errno,
};
use std::{
    ffi::OsStr,
    fmt, io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
};

/// How to scan.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScanOptions {
    /// Share the rest when entries of a folder cannot be read or named; they become warnings.
    pub skip_unreadable: bool,
    /// The peer's own data folder, which holds its secret key: left out, and refused when it is what is named.
    pub own_data: Option<FolderId>,
}

/// Which folder it is, by whatever path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderId {
    device: u64,
    inode: u64,
}

impl FolderId {
    /// Of what is at `path`, where a symbolic link is followed.
    pub fn of(path: &Path) -> io::Result<Self> {
        Ok(Self::from_stat(&rustix::fs::stat(path)?))
    }

    fn from_stat(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }
}

/// What will be shared.
#[derive(Debug)]
pub struct Plan {
    pub(super) name: FileName,
    pub(super) mode: u32,
    pub(super) modified: Modified,
    pub(super) source: SourceLayout,
    pub(super) layout: Layout,
    skipped: Vec<Skipped>,
}

impl Plan {
    /// The name under which it arrives.
    #[must_use]
    pub fn name(&self) -> &FileName {
        &self.name
    }

    /// File or folder.
    #[must_use]
    pub fn kind(&self) -> ShareKind {
        self.source.kind()
    }

    /// Bytes of the stream: of the file, or of the folder's index and files.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.layout.size()
    }

    /// What was left out, and why.
    #[must_use]
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }
}

/// Something in a folder that is not shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is.
    pub path: PathBuf,
    /// Why it is not shared.
    pub reason: SkipReason,
}

/// Why something in a folder is not shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SkipReason {
    /// A symbolic link: where it leads means nothing elsewhere.
    Symlink,
    /// A socket, pipe or device.
    Special,
    /// The data folder of this peer.
    OwnData,
    /// No permission, or the disk fails.
    Unreadable(io::ErrorKind),
    /// A name that no share can carry.
    Name(NameError),
}

impl SkipReason {
    /// Whether it goes without saying that this cannot be shared; the others want a decision.
    fn is_ordinary(&self) -> bool {
        matches!(self, Self::Symlink | Self::Special | Self::OwnData)
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.reason {
            SkipReason::Symlink => write!(f, "{path}: a symbolic link, not shared"),
            SkipReason::Special => write!(f, "{path}: neither a file nor a folder, not shared"),
            SkipReason::OwnData => write!(f, "{path}: this peer's own data with its secret key, not shared"),
            SkipReason::Unreadable(error) => write!(f, "{path}: {error}"),
            SkipReason::Name(error) => write!(f, "{path}: {error}"),
        }
    }
}

/// Looks at `path` (a symbolic link there is followed: the person named it) and all that lies below it. Blocking.
pub fn share_scan(path: &Path, options: ScanOptions) -> Result<Plan, ImportError> {
    let root = path.canonicalize().named("share", path)?;
    // The name that the person typed; that of `.` or `..` is only known from the whole path.
    let name = path.file_name().or_else(|| root.file_name()).unwrap_or_default();
    let name = FileName::from_bytes(name.as_bytes()).map_err(|error| ImportError::Name {
        path: root.clone(),
        error,
    })?;
    let stat = rustix::fs::stat(&root).named("share", &root)?;
    let is_own_data = |path: &Path| options.own_data.is_some() && FolderId::of(path).ok() == options.own_data;
    if root.ancestors().any(is_own_data) {
        return Err(ImportError::OwnData(root));
    }
    let mut walk = Walk {
        own_data: options.own_data,
        ..Walk::default()
    };
    let source = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            rustix::fs::access(&root, Access::READ_OK).named("read", &root)?;
            SourceLayout::file(root.clone(), FileIdentity::from_stat(&stat))
        }
        FileType::Directory => {
            let folder = open_folder(rustix::fs::CWD, root.as_os_str()).named("read", &root)?;
            walk.folder(&root, None, &folder)?;
            walk.settle(options)?;
            walk.source(&root)?
        }
        _ => return Err(ImportError::Special(root)),
    };
    let size = source.map().size();
    let layout = Layout::new(size).map_err(|error| ImportError::TooLarge {
        path: root.clone(),
        error,
    })?;
    Ok(Plan {
        name,
        mode: stat.st_mode & MODE_BITS,
        modified: modified(&stat),
        source,
        layout,
        skipped: walk.skipped,
    })
}

fn modified(stat: &Stat) -> Modified {
    Modified::clamped(stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0))
}

fn open_folder(at: impl std::os::fd::AsFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

/// What has been found so far.
#[derive(Default)]
struct Walk {
    own_data: Option<FolderId>,
    entries: Vec<FolderEntry>,
    files: Vec<(RelativePath, FileIdentity)>,
    skipped: Vec<Skipped>,
}

/// Why an entry is not in the plan.
enum LeftOut {
    /// Gone since the folder was listed: as if it had never been there.
    Gone,
    Skipped(SkipReason),
    /// The whole scan fails.
    Failed(DiskError),
}

impl From<Errno> for LeftOut {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT => Self::Gone,
            error => Self::Skipped(SkipReason::Unreadable(error.kind())),
        }
    }
}

impl Walk {
    /// Everything in an opened folder, `below` the root. Depth is bounded by what a path may have
    /// ([`RelativePath`]), and so are the folders open at a time.
    fn folder(
        &mut self,
        path: &Path,
        below: Option<&RelativePath>,
        folder: &OwnedFd,
    ) -> Result<(), DiskError> {
        let listing = Dir::read_from(folder).named("read", path)?;
        for entry in listing {
            let entry = entry.named("read", path)?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let name = OsStr::from_bytes(name);
            match self.entry(&path.join(name), below, folder, name) {
                Ok(entry) => self.entries.push(entry),
                Err(LeftOut::Gone) => {}
                Err(LeftOut::Skipped(reason)) => self.skipped.push(Skipped {
                    path: path.join(name),
                    reason,
                }),
                Err(LeftOut::Failed(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// One entry of an opened folder, and all that is below it.
    fn entry(
        &mut self,
        path: &Path,
        below: Option<&RelativePath>,
        folder: &OwnedFd,
        name: &OsStr,
    ) -> Result<FolderEntry, LeftOut> {
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let file_type = FileType::from_raw_mode(stat.st_mode);
        match file_type {
            FileType::Directory if Some(FolderId::from_stat(&stat)) == self.own_data => {
                return Err(LeftOut::Skipped(SkipReason::OwnData));
            }
            FileType::RegularFile | FileType::Directory => {}
            FileType::Symlink => return Err(LeftOut::Skipped(SkipReason::Symlink)),
            _ => return Err(LeftOut::Skipped(SkipReason::Special)),
        }
        let relative =
            relative_path(below, name).map_err(|error| LeftOut::Skipped(SkipReason::Name(error)))?;
        let kind = if file_type == FileType::Directory {
            let opened = open_folder(folder, name)?;
            self.folder(path, Some(&relative), &opened)
                .map_err(LeftOut::Failed)?;
            EntryKind::Directory
        } else {
            rustix::fs::accessat(folder, name, Access::READ_OK, AtFlags::EACCESS)?;
            let identity = FileIdentity::from_stat(&stat);
            self.files.push((relative.clone(), identity));
            EntryKind::File { size: identity.size }
        };
        Ok(FolderEntry {
            path: relative,
            kind,
            mode: stat.st_mode & MODE_BITS,
            modified: modified(&stat),
        })
    }

    /// Decides whether what was left out may be left out.
    fn settle(&mut self, options: ScanOptions) -> Result<(), ImportError> {
        self.skipped.sort_by(|a, b| a.path.cmp(&b.path));
        let wanting = self
            .skipped
            .iter()
            .filter(|skipped| !skipped.reason.is_ordinary());
        let wanting: Vec<Skipped> = wanting.cloned().collect();
        if wanting.is_empty() || options.skip_unreadable {
            Ok(())
        } else {
            Err(ImportError::Unreadable(wanting))
        }
    }

    fn source(&mut self, root: &Path) -> Result<SourceLayout, ImportError> {
        let index =
            FolderIndex::new(std::mem::take(&mut self.entries)).map_err(|error| ImportError::Index {
                path: root.to_owned(),
                error,
            })?;
        // The same order as the index, so that the identities line up with its files.
        self.files.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let identities = self.files.drain(..).map(|(_, identity)| identity).collect();
        Ok(SourceLayout::folder(root.to_owned(), index, identities))
    }
}

fn relative_path(below: Option<&RelativePath>, name: &OsStr) -> Result<RelativePath, NameError> {
    let name = FileName::from_bytes(name.as_bytes())?;
    match below {
        None => Ok(name.into()),
        Some(below) => below.join(&name),
    }
}
