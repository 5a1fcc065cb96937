//! What this peer shares and fetches, on disk: one file an entry, `HASH.share` or `HASH.job`, in the data directory.
//!
//! Promise: an entry is there whole or not at all (written aside, then renamed); a damaged one is reported and counts
//! for nothing. Shares are durable when they are said to be; a job that a power cut takes is begun again by the same
//! command, and goes on where its own journal says. Owns no state: the folder is the truth. Blocking.

use super::{
    error::{DiskError, Named as _, StoreError},
    format::{self, Decoder, Encoder, FormatError, Kind, SEAL_HEAD},
    import::{Import, SourceLayout},
    job::JobSpec,
};
use crate::selection::Selection;
use p2p_shared::{id::FileHash, manifest::Manifest};
use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::unix::{ffi::OsStrExt as _, fs::DirBuilderExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// The head of an entry: manifest and path. The body (hashes, and where the files of a share are) is sealed by itself,
/// so that listing reads a few hundred bytes of each.
const HEAD: Kind = Kind {
    magic: *b"P2PE",
    version: 1,
};

const BODY: Kind = Kind {
    magic: *b"P2Pe",
    version: 1,
};

/// The most bytes of a head: a path and a manifest, generously.
const MAX_HEAD: u64 = 64 << 10;

/// The two kinds of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shelf {
    /// Complete, served where it lies.
    Shares,
    /// Downloads that are not finished.
    Jobs,
}

impl Shelf {
    fn extension(self) -> &'static str {
        match self {
            Self::Shares => "share",
            Self::Jobs => "job",
        }
    }
}

/// An entry, as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) manifest: Manifest,
    /// Where a share lies, or the folder in which a download will appear.
    pub(super) path: PathBuf,
}

/// The folder.
#[derive(Debug)]
pub(super) struct Catalogue {
    folder: PathBuf,
    /// Tells files apart that are written at the same time.
    written: AtomicU64,
}

impl Catalogue {
    /// In `folder`, which is made if it is not there; nobody else may look into it.
    pub(super) fn open(folder: PathBuf) -> Result<Self, DiskError> {
        let mut builder = fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .named("create", &folder)?;
        let catalogue = Self {
            folder,
            written: AtomicU64::new(0),
        };
        for unfinished in catalogue.files("new")? {
            fs::remove_file(&unfinished).named("remove", &unfinished)?;
        }
        Ok(catalogue)
    }

    /// Writes down a share; durable when this returns.
    pub(super) fn put_share(&self, import: &Import) -> Result<(), DiskError> {
        let mut body = Encoder::with_capacity(32 * import.hashes.len() + 1024);
        import.source.encode(&mut body);
        body.hashes(&import.hashes);
        let bytes = entry_bytes(&import.manifest, import.source.root(), body);
        self.put(Shelf::Shares, import.manifest.hash, &bytes, true)
    }

    /// Writes down a download.
    pub(super) fn put_job(&self, spec: &JobSpec) -> Result<(), DiskError> {
        let mut body = Encoder::with_capacity(32 * spec.hashes.len() + 8);
        body.hashes(&spec.hashes);
        encode_selection(&spec.selection, &mut body);
        let bytes = entry_bytes(&spec.manifest, &spec.output, body);
        self.put(Shelf::Jobs, spec.manifest.hash, &bytes, false)
    }

    fn put(&self, shelf: Shelf, file: FileHash, bytes: &[u8], durable: bool) -> Result<(), DiskError> {
        let path = self.path(shelf, file);
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let unfinished = path.with_extension(format!("{number}.new"));
        let write = || {
            let mut new = File::create(&unfinished)?;
            new.write_all(bytes)?;
            if durable {
                new.sync_data()?;
            }
            fs::rename(&unfinished, &path)?;
            if durable {
                File::open(&self.folder)?.sync_all()?;
            }
            Ok(())
        };
        write().map_err(|error: io::Error| {
            // It may not even exist; what is left of it goes when the catalogue is opened.
            fs::remove_file(&unfinished).ok();
            DiskError::new("write", path.clone(), error)
        })
    }

    /// A share, with everything that is needed to serve it.
    pub(super) fn share(&self, file: FileHash) -> Result<Option<Import>, StoreError> {
        self.get(Shelf::Shares, file, |entry, body| {
            let source = SourceLayout::decode(body)?;
            Ok(Import {
                hashes: body.hashes()?,
                manifest: entry.manifest,
                source,
            })
        })
    }

    /// A download, with everything that is needed to go on with it.
    pub(super) fn job(&self, file: FileHash) -> Result<Option<JobSpec>, StoreError> {
        self.get(Shelf::Jobs, file, |entry, body| {
            Ok(JobSpec {
                manifest: entry.manifest,
                hashes: body.hashes()?,
                output: entry.path,
                selection: decode_selection(body)?,
            })
        })
    }

    fn get<T>(
        &self,
        shelf: Shelf,
        file: FileHash,
        decode: impl FnOnce(Entry, &mut Decoder<'_>) -> Result<T, FormatError>,
    ) -> Result<Option<T>, StoreError> {
        let path = self.path(shelf, file);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.named("read", &path)?,
        };
        let decode = || {
            let (head, rest) = format::open(HEAD, &bytes)?;
            let entry = decode_head(head)?;
            if entry.manifest.hash != file {
                return Err(FormatError::Field("file hash"));
            }
            let (body, rest) = format::open(BODY, rest)?;
            Decoder::new(rest).end()?;
            let mut body = Decoder::new(body);
            let decoded = decode(entry, &mut body)?;
            body.end()?;
            Ok(decoded)
        };
        decode()
            .map(Some)
            .map_err(|error| StoreError::Damaged { path, error })
    }

    /// Whether there is such an entry.
    pub(super) fn has(&self, shelf: Shelf, file: FileHash) -> bool {
        self.path(shelf, file).exists()
    }

    /// Removes an entry; whether there was one.
    pub(super) fn remove(&self, shelf: Shelf, file: FileHash) -> Result<bool, DiskError> {
        let path = self.path(shelf, file);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            removed => removed.named("remove", &path).map(|()| true),
        }
    }

    /// All entries of a kind, by name. What cannot be read is left out (and logged).
    pub(super) fn list(&self, shelf: Shelf) -> Result<Vec<Entry>, DiskError> {
        let mut entries = Vec::new();
        for path in self.files(shelf.extension())? {
            match read_head(&path) {
                Ok(Ok(entry)) => entries.push(entry),
                Ok(Err(error)) => {
                    tracing::warn!(path = %path.display(), %error, "an entry of the catalogue is of no use");
                }
                // Removed since the folder was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(DiskError::new("read", path, error)),
            }
        }
        entries.sort_by(|a, b| {
            (a.manifest.name.as_str(), a.manifest.hash).cmp(&(b.manifest.name.as_str(), b.manifest.hash))
        });
        Ok(entries)
    }

    fn path(&self, shelf: Shelf, file: FileHash) -> PathBuf {
        self.folder.join(format!("{file}.{}", shelf.extension()))
    }

    fn files(&self, extension: &str) -> Result<Vec<PathBuf>, DiskError> {
        let listing = fs::read_dir(&self.folder).named("read", &self.folder)?;
        let paths: io::Result<Vec<PathBuf>> = listing.map(|entry| Ok(entry?.path())).collect();
        let paths = paths.named("read", &self.folder)?;
        Ok(paths
            .into_iter()
            .filter(|path| path.extension() == Some(OsStr::new(extension)))
            .collect())
    }
}

fn entry_bytes(manifest: &Manifest, path: &Path, body: Encoder) -> Vec<u8> {
    let mut head = Encoder::default();
    head.bytes(path.as_os_str().as_bytes());
    #[expect(
        clippy::expect_used,
        reason = "a manifest is numbers and text; nothing in it can fail to become JSON"
    )]
    head.bytes(&serde_json::to_vec(manifest).expect("a manifest becomes JSON"));
    let mut bytes = format::seal(HEAD, &head.finish());
    bytes.extend(format::seal(BODY, &body.finish()));
    bytes
}

/// Nothing is written of a job that wants everything: its entry is what it was before there were selections.
fn encode_selection(selection: &Selection, body: &mut Encoder) {
    if selection.is_all() {
        return;
    }
    #[expect(
        clippy::expect_used,
        reason = "a selection is lists of text; nothing in it can fail to become JSON"
    )]
    body.bytes(&serde_json::to_vec(selection).expect("a selection becomes JSON"));
}

fn decode_selection(body: &mut Decoder<'_>) -> Result<Selection, FormatError> {
    if body.is_at_end() {
        return Ok(Selection::default());
    }
    serde_json::from_slice(body.bytes()?).map_err(|_| FormatError::Field("selection"))
}

fn decode_head(head: &[u8]) -> Result<Entry, FormatError> {
    let mut head = Decoder::new(head);
    let path = PathBuf::from(OsStr::from_bytes(head.bytes()?));
    let manifest = serde_json::from_slice(head.bytes()?).map_err(|_| FormatError::Field("manifest"))?;
    head.end()?;
    Ok(Entry { manifest, path })
}

fn read_head(path: &Path) -> io::Result<Result<Entry, FormatError>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(SEAL_HEAD as u64 + MAX_HEAD)
        .read_to_end(&mut bytes)?;
    Ok(format::open(HEAD, &bytes).and_then(|(head, _)| decode_head(head)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::identity::{FileIdentity, Time};
    use p2p_shared::{hash::HashAlgorithm, testing};

    fn catalogue() -> (tempfile::TempDir, Catalogue) {
        let data = tempfile::tempdir().unwrap();
        let catalogue = Catalogue::open(data.path().join("catalogue")).unwrap();
        (data, catalogue)
    }

    fn share(name: &str) -> Import {
        let (manifest, hashes) = testing::file(HashAlgorithm::Sha256, name, &testing::content(1, 600_000));
        let time = Time { seconds: 5, nanos: 6 };
        let identity = FileIdentity {
            device: 1,
            inode: 2,
            size: 600_000,
            modified: time,
            changed: time,
        };
        // A path need not be text.
        let path = Path::new("/shared")
            .join(OsStr::from_bytes(b"\xff odd"))
            .join(name);
        Import {
            manifest,
            hashes: hashes.into(),
            source: SourceLayout::file(path, identity),
        }
    }

    fn job(name: &str) -> JobSpec {
        let share = share(name);
        JobSpec {
            manifest: share.manifest,
            hashes: share.hashes,
            output: "/out".into(),
            selection: Selection::default(),
        }
    }

    #[test]
    fn what_was_put_is_there_again_after_a_restart() {
        let (data, catalogue) = catalogue();
        let (share, job) = (share("b"), job("a"));
        catalogue.put_share(&share).unwrap();
        catalogue.put_job(&job).unwrap();
        let catalogue = Catalogue::open(data.path().join("catalogue")).unwrap();
        let found = catalogue.share(share.manifest.hash).unwrap().unwrap();
        assert_eq!(
            (&found.manifest, &found.hashes, &found.source),
            (&share.manifest, &share.hashes, &share.source)
        );
        let found = catalogue.job(job.manifest.hash).unwrap().unwrap();
        assert_eq!(
            (&found.manifest, &found.hashes, &found.output),
            (&job.manifest, &job.hashes, &job.output)
        );
        assert!(found.selection.is_all());
        let selection = Selection::new(&["*.pdf"], &["old/"]).unwrap();
        let selective = JobSpec {
            selection,
            ..job.clone()
        };
        catalogue.put_job(&selective).unwrap();
        let found = catalogue.job(job.manifest.hash).unwrap().unwrap();
        assert_eq!(found.selection, selective.selection);
        let listed = Entry {
            manifest: share.manifest.clone(),
            path: share.source.root().to_owned(),
        };
        assert_eq!(catalogue.list(Shelf::Shares).unwrap(), [listed]);
        assert_eq!(catalogue.list(Shelf::Jobs).unwrap()[0].path, job.output);
    }

    #[test]
    fn what_was_removed_is_gone() {
        let (_data, catalogue) = catalogue();
        let share = share("a");
        let file = share.manifest.hash;
        catalogue.put_share(&share).unwrap();
        assert!(catalogue.has(Shelf::Shares, file) && !catalogue.has(Shelf::Jobs, file));
        assert!(catalogue.remove(Shelf::Shares, file).unwrap());
        assert!(!catalogue.remove(Shelf::Shares, file).unwrap());
        assert!(
            catalogue.share(file).unwrap().is_none() && catalogue.list(Shelf::Shares).unwrap().is_empty()
        );
    }

    #[test]
    fn a_damaged_entry_is_named_and_the_others_are_listed() {
        let (_data, catalogue) = catalogue();
        let good = share("good");
        catalogue.put_share(&good).unwrap();
        let mut bad = share("bad");
        bad.manifest.hash = FileHash([9; 32]);
        catalogue.put_share(&bad).unwrap();
        let path = catalogue.path(Shelf::Shares, bad.manifest.hash);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            fs::write(&path, &damaged).unwrap();
            let found = catalogue.share(bad.manifest.hash);
            assert!(
                matches!(found, Err(StoreError::Damaged { path: named, .. }) if named == path),
                "byte {at}"
            );
        }
        fs::write(&path, &whole[..30]).unwrap();
        let listed = catalogue.list(Shelf::Shares).unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].manifest, good.manifest);
    }

    #[test]
    fn an_entry_under_another_hash_counts_for_nothing() {
        let (_data, catalogue) = catalogue();
        let share = share("a");
        catalogue.put_share(&share).unwrap();
        let other = FileHash([1; 32]);
        fs::rename(
            catalogue.path(Shelf::Shares, share.manifest.hash),
            catalogue.path(Shelf::Shares, other),
        )
        .unwrap();
        assert!(matches!(catalogue.share(other), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn what_was_being_written_when_the_process_died_is_swept() {
        let (data, catalogue) = catalogue();
        catalogue.put_share(&share("a")).unwrap();
        let left = data.path().join("catalogue/half.0.new");
        fs::write(&left, b"half").unwrap();
        let catalogue = Catalogue::open(data.path().join("catalogue")).unwrap();
        assert!(!left.exists());
        assert_eq!(catalogue.list(Shelf::Shares).unwrap().len(), 1);
    }
}
