//! A peer tells the tracker what it holds.
//!
//! The first announcement of a file carries its metadata and its chunk hashes from 0; a file of more than
//! [`MAX_CHUNK_HASHES`] chunks takes several calls, each answered with the first hash still wanted. The tracker checks
//! the Merkle root when it has all of them. From then on `{hash, have}` is enough; a tracker that does not know the
//! file answers 404 [`FILE_UNKNOWN`](super::slug::FILE_UNKNOWN), and the peer announces in full.

use super::FileMetadata;
use crate::id::{ChunkHash, FileHash};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

/// Chunk hashes in one call: 2 MiB of digests, the hashes of 16 GiB.
pub const MAX_CHUNK_HASHES: usize = 65_536;

/// "I hold this file", as much of it as `have` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AnnounceRequest {
    /// Which file.
    pub hash: FileHash,
    /// How much of it.
    pub have: Have,
    /// What the file is, for a tracker that does not know it. When read it is one that a
    /// [`Manifest`](crate::manifest::Manifest) can be made of.
    #[serde(
        default,
        deserialize_with = "super::files::checked",
        skip_serializing_if = "Option::is_none"
    )]
    pub file: Option<FileMetadata>,
    /// Some of its chunk hashes, for a tracker that does not have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk_hashes: Option<ChunkHashes>,
}

/// How much of a file a peer holds and serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Have {
    /// All of it.
    Seeder,
    /// Part of it, or nothing yet.
    Partial,
    /// It serves the file no longer: no hand-out names it any more.
    Stopped,
}

/// What the tracker has after an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnnounceResponse {
    /// Whether the tracker has the metadata and every chunk hash.
    pub complete: bool,
    /// The first chunk whose hash the tracker still wants; the number of chunks when complete.
    pub next_chunk: u32,
    /// Seconds until the next announcement.
    pub interval: u32,
}

/// A run of chunk hashes, as one base64 text (RFC 4648, with padding) of 32 bytes a chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChunkHashes {
    /// The chunk that the first hash belongs to.
    pub first: u32,
    /// The hashes; [`Self::hashes`] reads them.
    pub digests: String,
}

/// Text that is no run of chunk hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadDigests {
    /// Not base64 with padding.
    #[error("digests are not base64 (with padding): wrong at character {0}")]
    NotBase64(usize),
    /// Cut inside a hash.
    #[error("digests are {0} bytes, not a multiple of 32")]
    Torn(usize),
    /// More than one call may carry.
    #[error("digests are of more than {MAX_CHUNK_HASHES} chunks; send the rest in the next call")]
    TooMany,
}

impl ChunkHashes {
    /// The hashes of the chunks from `first` on, at most [`MAX_CHUNK_HASHES`] of them; the rest takes further calls.
    pub fn new(first: u32, hashes: &[ChunkHash]) -> Self {
        let hashes = &hashes[..hashes.len().min(MAX_CHUNK_HASHES)];
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
        let digests = BASE64.encode(&bytes);
        Self { first, digests }
    }

    /// The hashes, refused before they are decoded if they are too many.
    pub fn hashes(&self) -> Result<Vec<ChunkHash>, BadDigests> {
        if self.digests.len() > BASE64.encode_len(MAX_CHUNK_HASHES * 32) {
            return Err(BadDigests::TooMany);
        }
        let bytes = BASE64
            .decode(self.digests.as_bytes())
            .map_err(|error| BadDigests::NotBase64(error.position))?;
        let (hashes, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() {
            return Err(BadDigests::Torn(bytes.len()));
        }
        Ok(hashes.iter().copied().map(ChunkHash).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(count: usize) -> Vec<ChunkHash> {
        (0..count).map(|i| ChunkHash([i as u8; 32])).collect()
    }

    #[test]
    fn a_run_of_hashes_reads_back() {
        for count in [0, 1, 2, 3, 100] {
            assert_eq!(ChunkHashes::new(7, &hashes(count)).hashes(), Ok(hashes(count)));
        }
    }

    #[test]
    fn a_call_carries_as_many_hashes_as_it_may_and_no_more() {
        let sent = ChunkHashes::new(0, &hashes(MAX_CHUNK_HASHES + 1));
        assert_eq!(sent.hashes().unwrap().len(), MAX_CHUNK_HASHES);
    }

    #[test]
    fn damaged_digests_are_refused_with_the_reason() {
        let read = |digests: String| ChunkHashes { first: 0, digests }.hashes();
        assert_eq!(read("AAA!".into()), Err(BadDigests::NotBase64(3)));
        assert_eq!(read("AAAA".into()), Err(BadDigests::Torn(3)));
        let too_many = BASE64.encode(&vec![0; (MAX_CHUNK_HASHES + 1) * 32]);
        assert_eq!(read(too_many), Err(BadDigests::TooMany));
    }
}
