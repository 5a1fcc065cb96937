//! What the tracker says about files.

use crate::{
    chunker::CHUNK_SIZE,
    hash::HashAlgorithm,
    id::{ChunkHash, ChunkIndex, FileHash, MerkleRoot},
    manifest::{FileName, Manifest, ManifestError, Modified, ShareKind},
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// What a file is: a [`Manifest`] as it is written down. Fields of any value: it is a manifest only when
/// [`Manifest::try_from`] says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FileMetadata {
    /// The hash of the whole stream.
    pub hash: FileHash,
    /// The algorithm of that hash and of the chunk hashes.
    pub algorithm: HashAlgorithm,
    /// What the owner called it.
    pub name: FileName,
    /// One file or a folder.
    pub kind: ShareKind,
    /// Bytes in the stream.
    pub size: u64,
    /// Bytes in a chunk: [`CHUNK_SIZE`].
    pub chunk_size: u32,
    /// The root over size, chunk size and all chunk hashes.
    pub merkle_root: MerkleRoot,
    /// Permission bits (`0o777` at most); of a single file, a folder's are in its index.
    pub mode: u32,
    /// When the file's content changed last.
    pub modified: Modified,
}

impl From<&Manifest> for FileMetadata {
    fn from(manifest: &Manifest) -> Self {
        Self {
            hash: manifest.hash,
            algorithm: manifest.algorithm,
            name: manifest.name.clone(),
            kind: manifest.kind,
            size: manifest.size,
            chunk_size: CHUNK_SIZE,
            merkle_root: manifest.merkle_root,
            mode: manifest.mode,
            modified: manifest.modified,
        }
    }
}

impl TryFrom<FileMetadata> for Manifest {
    type Error = ManifestError;

    fn try_from(file: FileMetadata) -> Result<Self, ManifestError> {
        if file.chunk_size != CHUNK_SIZE {
            return Err(ManifestError::ChunkSize(file.chunk_size));
        }
        Self {
            hash: file.hash,
            algorithm: file.algorithm,
            size: file.size,
            merkle_root: file.merkle_root,
            name: file.name,
            kind: file.kind,
            mode: file.mode,
            modified: file.modified,
        }
        .checked()
    }
}

/// Reads metadata that a manifest can be made of, or nothing.
pub(super) fn checked<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<FileMetadata>, D::Error> {
    let file = Option::<FileMetadata>::deserialize(deserializer)?;
    let manifest = file.clone().map(Manifest::try_from).transpose();
    manifest.map_err(D::Error::custom).map(|_| file)
}

/// What the tracker knows about a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FileRecord {
    /// What it is.
    #[serde(flatten)]
    pub file: FileMetadata,
    /// How many chunks it has.
    pub chunks: u32,
    /// How many online peers hold all of it.
    pub seeders: u32,
    /// How many online peers hold part of it or none yet.
    pub leechers: u32,
    /// When it was first announced, Unix seconds.
    pub announced_at: u64,
}

/// One page of a search or of the whole catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FilesPage {
    /// The files of this page.
    pub files: Vec<FileRecord>,
    /// The `cursor` of the next page; absent on the last.
    #[serde(default)]
    pub next: Option<String>,
}

/// One chunk of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChunkInfo {
    /// Which.
    pub index: ChunkIndex,
    /// Its hash.
    pub hash: ChunkHash,
    /// Its length in bytes: [`CHUNK_SIZE`], the last one's less.
    pub size: u32,
}

/// One page of a file's chunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChunksPage {
    /// The file asked about.
    pub hash: FileHash,
    /// Chunks in order.
    pub chunks: Vec<ChunkInfo>,
    /// The `first` of the next page; absent on the last.
    #[serde(default)]
    pub next: Option<u32>,
}
