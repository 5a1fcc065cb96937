//! What the tracker says about files.

use super::{FileName, HashAlgorithm, Modified, ShareKind};
use crate::id::{ChunkHash, ChunkIndex, FileHash, MerkleRoot};
use serde::{Deserialize, Serialize};

/// What a file is: a manifest as the tracker API writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Bytes in a chunk: `CHUNK_SIZE`.
    pub chunk_size: u32,
    /// The root over size, chunk size and all chunk hashes.
    pub merkle_root: MerkleRoot,
    /// Permission bits (`0o777` at most); of a single file, a folder's are in its index.
    pub mode: u32,
    /// When the file's content changed last.
    pub modified: Modified,
}

/// What the tracker knows about a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
pub struct FilesPage {
    /// The files of this page.
    pub files: Vec<FileRecord>,
    /// The `cursor` of the next page; absent on the last.
    #[serde(default)]
    pub next: Option<String>,
}

/// One chunk of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkInfo {
    /// Which.
    pub index: ChunkIndex,
    /// Its hash.
    pub hash: ChunkHash,
    /// Its length in bytes: `CHUNK_SIZE`, the last one's less.
    pub size: u32,
}

/// One page of a file's chunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunksPage {
    /// The file asked about.
    pub hash: FileHash,
    /// Chunks in order.
    pub chunks: Vec<ChunkInfo>,
    /// The `first` of the next page; absent on the last.
    #[serde(default)]
    pub next: Option<u32>,
}
