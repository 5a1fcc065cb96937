//! Content hashes: of a chunk, and of a file's whole stream.
//!
//! Two algorithms. With SHA-256 the file hash is what `sha256sum` prints and a chunk hash is the SHA-256 of its bytes.
//! With BLAKE3 the file hash is what `b3sum` prints, and chunk hashes are nodes of the same tree (chaining
//! values), so that one pass over the bytes gives both. Pure: reads nothing, spawns nothing.

mod follow;
mod stream;
#[cfg(test)]
mod tests;
mod twin;

pub use follow::{FileHasher, Incomplete};

use crate::{
    chunker::Layout,
    id::{ChunkHash, ChunkIndex},
};
use blake3::hazmat::HasherExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr};

/// How the bytes of a file are hashed. The Merkle tree over its chunk hashes is SHA-256 with either.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    bincode::Encode,
    bincode::Decode,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum HashAlgorithm {
    /// SHA-256 (FIPS 180-4): the checksum that vendors publish.
    #[default]
    Sha256,
    /// BLAKE3: several times faster, and hashed on all cores at once.
    Blake3,
}

impl HashAlgorithm {
    /// The hash of one chunk.
    ///
    /// SHA-256: of its bytes alone. BLAKE3: the chaining value of the subtree that the chunk is, which depends on
    /// where it lies; of a file of one chunk the root, that is the file hash itself (BLAKE3 paper, 2.1 and 6.4).
    ///
    /// Whoever checks bytes from outside checks their number first: bytes of another length than the chunk has
    /// still get a hash (nothing panics), but what it says is of no use.
    pub fn hash_chunk(self, layout: Layout, chunk: ChunkIndex, bytes: &[u8]) -> ChunkHash {
        match self {
            Self::Sha256 => ChunkHash(Sha256::digest(bytes).into()),
            Self::Blake3 => ChunkHash(hash_subtree(layout, chunk, bytes)),
        }
    }

    /// The name, as in records and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Blake3 => "blake3",
        }
    }
}

fn hash_subtree(layout: Layout, chunk: ChunkIndex, bytes: &[u8]) -> [u8; 32] {
    let fits = !bytes.is_empty() && bytes.len() == layout.length(chunk) as usize;
    if layout.chunks() <= 1 || !fits {
        // A subtree is never empty and never longer than its place: `hazmat` panics on either.
        return blake3::hash(bytes).into();
    }
    blake3::Hasher::new()
        .set_input_offset(layout.offset(chunk))
        .update(bytes)
        .finalize_non_root()
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no hash algorithm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no hash algorithm: it is sha256 or blake3")]
pub struct UnknownAlgorithm {
    /// What was given.
    pub name: String,
}

impl FromStr for HashAlgorithm {
    type Err = UnknownAlgorithm;
    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        match name {
            "sha256" => Ok(Self::Sha256),
            "blake3" => Ok(Self::Blake3),
            _ => Err(UnknownAlgorithm { name: name.into() }),
        }
    }
}
