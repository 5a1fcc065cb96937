//! The hashes of files that were read before, so that they need not be read again: one small file a share in the data
//! directory, found by the share's fingerprint (names, times and identities of all its files).
//!
//! Promise: what is found belongs to exactly these files in exactly this state; a damaged entry is no entry. Owns its
//! folder, bounded in size: what was not used for longest goes first. Losing it costs time and nothing else, so it is
//! never made durable and its errors are only logged.

use crate::storage::format::{self, Decoder, Encoder, FormatError, Kind};
use data_encoding::HEXLOWER;
use p2p_shared::{
    chunker::Layout,
    hash::HashAlgorithm,
    id::{ChunkHash, FileHash, MerkleRoot},
    merkle::merkle_root,
};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::SystemTime,
};

const KIND: Kind = Kind {
    magic: *b"P2PC",
    version: 1,
};

/// Bytes that all entries may take: the hashes of 4 TiB.
const MAX_BYTES: u64 = 512 << 20;

/// How many entries there may be.
const MAX_ENTRIES: usize = 8192;

/// After how many new entries the bounds are looked after.
const SWEEP_EVERY: u32 = 256;

/// A folder with the hashes of files that were read before. Clones share it.
#[derive(Debug, Clone)]
pub struct HashCache {
    folder: PathBuf,
    kept: Arc<AtomicU32>,
}

/// What hashes belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) struct Source {
    pub(in crate::storage) fingerprint: [u8; 32],
    pub(in crate::storage) algorithm: HashAlgorithm,
    pub(in crate::storage) layout: Layout,
}

/// All hashes of a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage) struct Hashes {
    pub(in crate::storage) file: FileHash,
    pub(in crate::storage) merkle_root: MerkleRoot,
    pub(in crate::storage) chunks: Arc<[ChunkHash]>,
}

impl Source {
    /// The beginning of the names of the cache's files about this.
    fn stem(&self) -> String {
        let (half, _) = self.fingerprint.split_at(16);
        format!("{}.{}", HEXLOWER.encode(half), self.algorithm)
    }

    pub(super) fn encode(&self, out: &mut Encoder) {
        out.raw(&self.fingerprint);
        out.algorithm(self.algorithm);
        out.u64(self.layout.size());
    }

    /// Whether this is what [`encode`](Self::encode) wrote.
    pub(super) fn expect(&self, from: &mut Decoder<'_>) -> Result<(), FormatError> {
        let same = from.array()? == self.fingerprint
            && from.algorithm()? == self.algorithm
            && from.u64()? == self.layout.size();
        if same {
            Ok(())
        } else {
            Err(FormatError::Field("fingerprint"))
        }
    }
}

impl HashCache {
    /// In `folder`, which is made if it is not there.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let cache = Self {
            folder: folder.to_owned(),
            kept: Arc::new(AtomicU32::new(0)),
        };
        cache.sweep();
        Ok(cache)
    }

    /// Where the state of an interrupted run is kept.
    pub(super) fn interrupted_path(&self, source: &Source) -> PathBuf {
        self.folder.join(source.stem() + ".hashing")
    }

    fn path(&self, source: &Source) -> PathBuf {
        self.folder.join(source.stem() + ".hashes")
    }

    /// The hashes of `source`, if it was read before.
    pub(in crate::storage) fn find(&self, source: &Source) -> Option<Hashes> {
        let path = self.path(source);
        let bytes = fs::read(&path).ok()?;
        match decode(source, &bytes) {
            Ok(hashes) => {
                // Used now; if that cannot be noted, the entry goes a little earlier.
                let used = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
                used.ok();
                Some(hashes)
            }
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "an entry of the hash cache is of no use");
                None
            }
        }
    }

    /// Keeps the hashes of `source` for the next time.
    pub(in crate::storage) fn keep(&self, source: &Source, hashes: &Hashes) {
        let path = self.path(source);
        // A name of its own, so that two who keep the same thing do not write into each other's file.
        let number = self.kept.fetch_add(1, Ordering::Relaxed);
        let unfinished = path.with_extension(format!("{}-{number}.new", std::process::id()));
        let written = File::create(&unfinished)
            .and_then(|mut file| file.write_all(&encode(source, hashes)))
            .and_then(|()| fs::rename(&unfinished, &path));
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "cannot keep hashes; the file will be read again");
            // It may not even exist.
            fs::remove_file(&unfinished).ok();
        }
        if number % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.sweep();
        }
    }

    /// Removes what was not used for longest until the rest is within bounds.
    fn sweep(&self) {
        let Ok(listing) = fs::read_dir(&self.folder) else {
            return;
        };
        let found = listing.filter_map(|entry| {
            let entry = entry.ok()?;
            let metadata = entry.metadata().ok()?;
            Some((metadata.modified().ok()?, metadata.len(), entry.path()))
        });
        for path in surplus(found.collect(), MAX_BYTES, MAX_ENTRIES) {
            if let Err(error) = fs::remove_file(&path) {
                tracing::debug!(path = %path.display(), %error, "cannot remove an entry of the hash cache");
            }
        }
    }
}

/// Which files are too many, oldest first.
fn surplus(mut found: Vec<(SystemTime, u64, PathBuf)>, max_bytes: u64, max_entries: usize) -> Vec<PathBuf> {
    found.sort();
    let mut bytes: u64 = found.iter().map(|(_, size, _)| size).sum();
    let mut entries = found.len();
    let mut gone = Vec::new();
    for (_, size, path) in found {
        if bytes <= max_bytes && entries <= max_entries {
            break;
        }
        bytes -= size;
        entries -= 1;
        gone.push(path);
    }
    gone
}

fn encode(source: &Source, hashes: &Hashes) -> Vec<u8> {
    let mut out = Encoder::with_capacity(128 + 32 * hashes.chunks.len());
    source.encode(&mut out);
    out.raw(hashes.file.as_bytes());
    out.raw(hashes.merkle_root.as_bytes());
    out.hashes(&hashes.chunks);
    format::seal(KIND, &out.finish())
}

fn decode(source: &Source, bytes: &[u8]) -> Result<Hashes, FormatError> {
    let (payload, rest) = format::open(KIND, bytes)?;
    Decoder::new(rest).end()?;
    let mut payload = Decoder::new(payload);
    source.expect(&mut payload)?;
    let hashes = Hashes {
        file: payload.file_hash()?,
        merkle_root: payload.merkle_root()?,
        chunks: payload.hashes()?,
    };
    payload.end()?;
    let whole = hashes.chunks.len() == source.layout.chunks() as usize;
    if whole && merkle_root(source.layout, &hashes.chunks) == hashes.merkle_root {
        Ok(hashes)
    } else {
        Err(FormatError::Field("list of hashes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn example() -> (Source, Hashes) {
        let layout = Layout::new(300_000).unwrap();
        let source = Source {
            fingerprint: [7; 32],
            algorithm: HashAlgorithm::Sha256,
            layout,
        };
        let chunks: Arc<[ChunkHash]> = [ChunkHash([1; 32]), ChunkHash([2; 32])].into();
        let hashes = Hashes {
            file: FileHash([3; 32]),
            merkle_root: merkle_root(layout, &chunks),
            chunks,
        };
        (source, hashes)
    }

    fn cache() -> (tempfile::TempDir, HashCache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = HashCache::open(folder.path()).unwrap();
        (folder, cache)
    }

    #[test]
    fn what_was_kept_is_found_by_the_same_source_only() {
        let (_folder, cache) = cache();
        let (source, hashes) = example();
        cache.keep(&source, &hashes);
        assert_eq!(cache.find(&source), Some(hashes));
        let mut others = [source; 3];
        others[0].fingerprint[31] ^= 1;
        others[1].algorithm = HashAlgorithm::Blake3;
        others[2].layout = Layout::new(300_001).unwrap();
        for other in others {
            assert_eq!(cache.find(&other), None);
        }
    }

    #[test]
    fn a_damaged_entry_is_no_entry() {
        let (_folder, cache) = cache();
        let (source, hashes) = example();
        cache.keep(&source, &hashes);
        let whole = fs::read(cache.path(&source)).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(cache.path(&source), &damaged).unwrap();
            assert_eq!(cache.find(&source), None, "byte {at}");
        }
    }

    #[test]
    fn hashes_that_do_not_have_their_root_are_refused() {
        let (_folder, cache) = cache();
        let (source, mut hashes) = example();
        hashes.merkle_root.0[0] ^= 1;
        cache.keep(&source, &hashes);
        assert_eq!(cache.find(&source), None);
    }

    #[test]
    fn the_oldest_go_first_and_only_as_many_as_needed() {
        let at = |second| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        let found: Vec<_> = [(3, 10), (1, 10), (2, 10)]
            .map(|(second, size)| (at(second), size, PathBuf::from(second.to_string())))
            .into();
        assert_eq!(surplus(found.clone(), 30, 3), Vec::<PathBuf>::new());
        assert_eq!(surplus(found.clone(), 20, 3), [PathBuf::from("1")]);
        assert_eq!(
            surplus(found.clone(), 30, 1),
            [PathBuf::from("1"), PathBuf::from("2")]
        );
        assert_eq!(surplus(found, 0, 3).len(), 3);
    }
}
