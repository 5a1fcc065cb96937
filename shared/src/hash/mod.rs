//! Content hashes: of a chunk, and of a file's whole stream.
//!
//! Two algorithms. With SHA-256 the file hash is what `sha256sum` prints and a chunk hash is the SHA-256 of its bytes.
//! With BLAKE3 the file hash is what `b3sum` prints, and chunk hashes are nodes of the same tree (chaining
//! values), so that one pass over the bytes gives both. Pure: reads nothing, spawns nothing.

mod follow;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunker::CHUNK_SIZE;

    fn one_chunk(algorithm: HashAlgorithm, bytes: &[u8]) -> String {
        let layout = Layout::new(bytes.len() as u64).unwrap();
        algorithm.hash_chunk(layout, ChunkIndex(0), bytes).to_string()
    }

    #[test]
    fn sha256_of_a_chunk_is_the_published_one() {
        // FIPS 180-4 examples (NIST, "SHA256.pdf") and the long one of a million 'a'.
        let sha256 =
            |bytes: &[u8]| HashAlgorithm::Sha256.hash_chunk(Layout::new(1).unwrap(), ChunkIndex(0), bytes);
        let vectors: [(&[u8], &str); 4] = [
            (
                b"",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            (
                b"abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
            (
                &[b'a'; 1_000_000],
                "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
            ),
        ];
        for (bytes, hash) in vectors {
            assert_eq!(sha256(bytes).to_string(), hash);
        }
    }

    #[test]
    fn blake3_of_a_file_of_one_chunk_is_its_root() {
        for len in [1, 1023, 1024, 1025, 262_143, 262_144] {
            let bytes = vec![7; len];
            assert_eq!(
                one_chunk(HashAlgorithm::Blake3, &bytes),
                blake3::hash(&bytes).to_string()
            );
        }
    }

    #[test]
    fn a_blake3_chunk_of_several_depends_on_its_place() {
        let layout = Layout::new(3 * u64::from(CHUNK_SIZE)).unwrap();
        let bytes = vec![7; CHUNK_SIZE as usize];
        let at = |i| HashAlgorithm::Blake3.hash_chunk(layout, ChunkIndex(i), &bytes);
        assert_ne!(at(0), at(1));
        assert_ne!(at(1), at(2));
        assert_ne!(at(0).0, *blake3::hash(&bytes).as_bytes());
    }

    #[test]
    fn bytes_of_a_wrong_length_get_some_hash_and_no_panic() {
        let layout = Layout::new(3 * u64::from(CHUNK_SIZE) + 1).unwrap();
        for len in [0, 1, 2, CHUNK_SIZE as usize + 1, 3 * CHUNK_SIZE as usize] {
            for chunk in [0, 1, 2, 3, 4, u32::MAX] {
                HashAlgorithm::Blake3.hash_chunk(layout, ChunkIndex(chunk), &vec![1; len]);
            }
        }
    }

    #[test]
    fn names_read_back_and_others_are_refused() {
        for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Blake3] {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
            assert_eq!(
                serde_json::to_string(&algorithm).unwrap(),
                format!("\"{algorithm}\"")
            );
        }
        assert_eq!(
            "md5".parse::<HashAlgorithm>().unwrap_err().to_string(),
            "\"md5\" is no hash algorithm: it is sha256 or blake3"
        );
    }
}
