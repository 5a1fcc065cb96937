//! What a share consists of: the record by which a file or folder is known, announced and passed on.
//!
//! A manifest carries no chunk hashes; they are fetched and checked against its Merkle root. It says nothing of who
//! holds the file (that is the swarm) nor how to get it (that is the [ticket](crate::ticket)).

use crate::{
    chunker::{CHUNK_SIZE, Layout, TooLarge},
    hash::{FileHasher, HashAlgorithm},
    id::{FileHash, MerkleRoot},
    merkle::merkle_root,
};
pub use crate::{
    folder_index::{EntryKind, FolderEntry, FolderIndex, INDEX_HEAD, IndexError},
    name::{FileName, NameError, RelativePath},
};
use serde::{Deserialize, Serialize};

/// What the stream of a share is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ShareKind {
    /// The bytes of one file.
    File,
    /// A [`FolderIndex`], then the bytes of its files in the order of the index.
    Folder,
}

/// The record of a share.
///
/// Made from what is outside (JSON, a ticket) it has passed [`Manifest::check`]; whoever fills in the fields calls that.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Record", into = "Record")]
pub struct Manifest {
    /// The hash of the whole stream, by which the share is known.
    pub hash: FileHash,
    /// How stream and chunks are hashed.
    pub algorithm: HashAlgorithm,
    /// Bytes of the stream; of a folder with its index.
    pub size: u64,
    /// The root over the chunk hashes, to check lists of them against.
    pub merkle_root: MerkleRoot,
    /// What the file or folder is called at the receiver.
    pub name: FileName,
    /// What the stream is.
    pub kind: ShareKind,
    /// Permission bits of the file or folder, within [`MODE_BITS`].
    pub mode: u32,
    /// When the file or folder was changed last.
    pub modified: Modified,
}

/// The permission bits that travel: no set-user-id, set-group-id or sticky bit from somebody else's machine.
pub const MODE_BITS: u32 = 0o777;

/// A time of last change, as seconds and nanoseconds since 1970-01-01 00:00 UTC, the nanoseconds counted forward.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Modified {
    /// Whole seconds; negative before 1970.
    pub seconds: i64,
    /// The rest, below 1,000,000,000.
    pub nanos: u32,
}

impl Modified {
    /// The first second that can be written down: 0001-01-01 (RFC 3339 has years of four digits).
    const FIRST: i64 = -62_135_596_800;
    /// The last one, in 9999-12-31.
    const LAST: i64 = 253_402_300_799;

    /// What a file system says, brought into the range that travels. File systems hold stranger times than people mean,
    /// and arithmetic on those overflows at the receiver.
    pub fn clamped(seconds: i64, nanos: u32) -> Self {
        Self {
            seconds: seconds.clamp(Self::FIRST, Self::LAST),
            nanos: nanos.min(999_999_999),
        }
    }

    /// Whether it is a time that may travel.
    pub fn is_valid(self) -> bool {
        Self::clamped(self.seconds, self.nanos) == self
    }
}

/// Why a record is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Larger than a share can be.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// Cut into other chunks than this program's.
    #[error("chunks of {0} bytes are not supported, only of {CHUNK_SIZE}")]
    ChunkSize(u32),
    /// More than permission bits.
    #[error("mode {0:o} has other bits than permissions (777)")]
    Mode(u32),
    /// A time out of range.
    #[error("the time of last change is out of range ({} s {} ns)", .0.seconds, .0.nanos)]
    Modified(Modified),
    /// A folder without even the head of an index.
    #[error("a folder has at least the {INDEX_HEAD} bytes of its index, not {size}")]
    NoIndex {
        /// Bytes of the stream.
        size: u64,
    },
    /// There is only one empty file, and this is not its hash or its root.
    #[error("the file is empty, but its {0} is not that of an empty file")]
    NotEmpty(&'static str),
}

impl Manifest {
    /// How the stream is cut. Of a manifest that [`Manifest::check`] would refuse for its size: as if it had the
    /// largest one.
    pub fn layout(&self) -> Layout {
        Layout::clamped(self.size)
    }

    /// Whether the fields make a record that others accept.
    pub fn check(&self) -> Result<(), ManifestError> {
        let layout = Layout::new(self.size)?;
        if self.mode & !MODE_BITS != 0 {
            return Err(ManifestError::Mode(self.mode));
        }
        if !self.modified.is_valid() {
            return Err(ManifestError::Modified(self.modified));
        }
        if self.kind == ShareKind::Folder && self.size < INDEX_HEAD as u64 {
            return Err(ManifestError::NoIndex { size: self.size });
        }
        if layout.chunks() == 0 {
            if FileHasher::new(self.algorithm, layout).finish() != Ok(self.hash) {
                return Err(ManifestError::NotEmpty("hash"));
            }
            if merkle_root(layout, &[]) != self.merkle_root {
                return Err(ManifestError::NotEmpty("Merkle root"));
            }
        }
        Ok(())
    }

    /// The manifest if it passes [`Manifest::check`].
    pub fn checked(self) -> Result<Self, ManifestError> {
        self.check()?;
        Ok(self)
    }
}

/// A manifest as it is written down: with the chunk size, and not checked yet.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    hash: FileHash,
    algorithm: HashAlgorithm,
    size: u64,
    chunk_size: u32,
    merkle_root: MerkleRoot,
    name: FileName,
    kind: ShareKind,
    mode: u32,
    modified: Modified,
}

impl From<Manifest> for Record {
    fn from(manifest: Manifest) -> Self {
        Self {
            hash: manifest.hash,
            algorithm: manifest.algorithm,
            size: manifest.size,
            chunk_size: CHUNK_SIZE,
            merkle_root: manifest.merkle_root,
            name: manifest.name,
            kind: manifest.kind,
            mode: manifest.mode,
            modified: manifest.modified,
        }
    }
}

impl TryFrom<Record> for Manifest {
    type Error = ManifestError;
    fn try_from(record: Record) -> Result<Self, ManifestError> {
        if record.chunk_size != CHUNK_SIZE {
            return Err(ManifestError::ChunkSize(record.chunk_size));
        }
        Self {
            hash: record.hash,
            algorithm: record.algorithm,
            size: record.size,
            merkle_root: record.merkle_root,
            name: record.name,
            kind: record.kind,
            mode: record.mode,
            modified: record.modified,
        }
        .checked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{chunker::MAX_SIZE, testing};
    use proptest::prelude::*;

    fn good() -> Manifest {
        testing::file(HashAlgorithm::Sha256, "notes.txt", b"hello").0
    }

    fn refusal(change: impl FnOnce(&mut Manifest)) -> ManifestError {
        let mut manifest = good();
        change(&mut manifest);
        manifest.checked().unwrap_err()
    }

    #[test]
    fn a_record_that_nobody_can_mean_is_refused() {
        let size = MAX_SIZE + 1;
        assert_eq!(refusal(|m| m.size = size), TooLarge { size }.into());
        assert_eq!(refusal(|m| m.mode = 0o4755), ManifestError::Mode(0o4755));
        assert_eq!(
            refusal(|m| m.kind = ShareKind::Folder),
            ManifestError::NoIndex { size: 5 }
        );
        for modified in [
            Modified {
                seconds: 0,
                nanos: 1_000_000_000,
            },
            Modified {
                seconds: i64::MAX,
                nanos: 0,
            },
            Modified {
                seconds: i64::MIN,
                nanos: 0,
            },
        ] {
            assert_eq!(
                refusal(|m| m.modified = modified),
                ManifestError::Modified(modified)
            );
        }
    }

    #[test]
    fn there_is_one_empty_file() {
        for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Blake3] {
            let (empty, _) = testing::file(algorithm, "empty", b"");
            empty.check().unwrap();
            let mut other = empty.clone();
            other.hash.0[0] ^= 1;
            assert_eq!(other.check(), Err(ManifestError::NotEmpty("hash")));
            let mut other = empty;
            other.merkle_root.0[0] ^= 1;
            assert_eq!(other.check(), Err(ManifestError::NotEmpty("Merkle root")));
        }
        assert_eq!(refusal(|m| m.size = 0), ManifestError::NotEmpty("hash"));
    }

    #[test]
    fn a_size_that_was_never_checked_does_no_harm() {
        let mut manifest = good();
        manifest.size = u64::MAX;
        assert_eq!(manifest.layout(), Layout::new(MAX_SIZE).unwrap());
    }

    #[test]
    fn times_of_file_systems_are_brought_into_range() {
        assert_eq!(Modified::clamped(5, 6), Modified { seconds: 5, nanos: 6 });
        for (seconds, nanos) in [(i64::MIN, 0), (i64::MAX, u32::MAX)] {
            assert!(!Modified { seconds, nanos }.is_valid());
            assert!(Modified::clamped(seconds, nanos).is_valid());
        }
    }

    #[test]
    fn json_carries_the_chunk_size_and_is_checked_when_read() {
        let json = serde_json::to_value(good()).unwrap();
        assert_eq!(json["chunk_size"], CHUNK_SIZE);
        assert_eq!(json["kind"], "file");
        assert_eq!(json["algorithm"], "sha256");
        assert_eq!(serde_json::from_value::<Manifest>(json.clone()).unwrap(), good());
        for (key, value) in [
            ("chunk_size", 65_536.into()),
            ("size", u64::MAX.into()),
            ("size", (-1).into()),
            ("mode", 0o4755.into()),
            ("name", "../x".into()),
            ("unknown", 1.into()),
        ] {
            let mut other = json.clone();
            other[key] = value;
            assert!(serde_json::from_value::<Manifest>(other).is_err(), "{key}");
        }
    }

    proptest! {
        #[test]
        fn records_read_back(manifest in testing::manifest()) {
            prop_assert_eq!(manifest.check(), Ok(()));
            let json = serde_json::to_string(&manifest).unwrap();
            prop_assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
        }
    }
}
