//! The step of trust: bytes from a peer become a [`VerifiedChunk`] here and nowhere else.
//!
//! Promise: whoever holds a [`VerifiedChunk`] holds bytes whose length and hash are those that the file's manifest
//! asks for at that index. Owns nothing. Never touches disk or network.

use super::buffer::ChunkBytes;
use p2p_shared::{
    chunker::Layout,
    hash::HashAlgorithm,
    id::{ChunkHash, ChunkIndex, FileHash, PublicKey},
};

/// A chunk as a peer sent it: not to be believed yet.
#[derive(Debug)]
pub struct ReceivedChunk {
    /// Who sent it; one chunk comes from one authenticated peer, so blame is exact.
    pub peer: PublicKey,
    /// Of which file it claims to be.
    pub file: FileHash,
    /// Which chunk of it.
    pub chunk: ChunkIndex,
    /// What was sent.
    pub bytes: ChunkBytes,
}

/// A chunk whose bytes are what its hash says. Only [`verify`] makes one.
#[derive(Debug)]
pub struct VerifiedChunk {
    file: FileHash,
    chunk: ChunkIndex,
    hash: ChunkHash,
    bytes: ChunkBytes,
}

impl VerifiedChunk {
    /// The file that it belongs to.
    #[must_use]
    pub fn file(&self) -> FileHash {
        self.file
    }

    /// Its place in the file.
    #[must_use]
    pub fn chunk(&self) -> ChunkIndex {
        self.chunk
    }

    /// What it was checked against.
    #[must_use]
    pub fn hash(&self) -> &ChunkHash {
        &self.hash
    }

    /// The bytes, as many as the layout says.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes alone, for whoever goes on with them once they are written.
    #[must_use]
    pub(super) fn into_bytes(self) -> ChunkBytes {
        self.bytes
    }
}

/// A peer sent something that is not the chunk it claims to be. Its buffer is already back in the pool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("peer {peer} sent chunk {} of {file} {fault}", chunk.0)]
pub struct BadChunk {
    /// Who sent it.
    pub peer: PublicKey,
    /// Of which file.
    pub file: FileHash,
    /// Which chunk.
    pub chunk: ChunkIndex,
    /// What is wrong with it.
    pub fault: ChunkFault,
}

/// What is wrong with a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkFault {
    /// The file has no such chunk.
    #[error("which the file does not have")]
    OutOfRange,
    /// Too short or too long.
    #[error("with {got} bytes instead of {expected}")]
    WrongLength {
        /// Bytes that the layout says.
        expected: u32,
        /// Bytes that came.
        got: usize,
    },
    /// The right length, other bytes.
    #[error("with bytes that are not those its hash says")]
    WrongHash,
}

/// Checks a received chunk against the hash and the layout of its file (256 KiB of hashing: call it on a blocking
/// thread).
pub fn verify(
    received: ReceivedChunk,
    expected: &ChunkHash,
    algorithm: HashAlgorithm,
    layout: Layout,
) -> Result<VerifiedChunk, BadChunk> {
    let chunk = received.chunk;
    verify_by(received, expected, layout, |bytes| {
        algorithm.hash_chunk(layout, chunk, bytes)
    })
}

/// The same for whoever computes the chunk's hash in passing; `hash` is asked only if the length is right.
pub(super) fn verify_by(
    received: ReceivedChunk,
    expected: &ChunkHash,
    layout: Layout,
    hash: impl FnOnce(&[u8]) -> ChunkHash,
) -> Result<VerifiedChunk, BadChunk> {
    match find_fault(&received, expected, layout, hash) {
        Some(fault) => Err(BadChunk {
            peer: received.peer,
            file: received.file,
            chunk: received.chunk,
            fault,
        }),
        None => Ok(VerifiedChunk {
            file: received.file,
            chunk: received.chunk,
            hash: *expected,
            bytes: received.bytes,
        }),
    }
}

fn find_fault(
    received: &ReceivedChunk,
    expected: &ChunkHash,
    layout: Layout,
    hash: impl FnOnce(&[u8]) -> ChunkHash,
) -> Option<ChunkFault> {
    let (chunk, bytes) = (received.chunk, &*received.bytes);
    if !layout.contains(chunk) {
        return Some(ChunkFault::OutOfRange);
    }
    let length = layout.length(chunk);
    if bytes.len() != length as usize {
        return Some(ChunkFault::WrongLength {
            expected: length,
            got: bytes.len(),
        });
    }
    (hash(bytes) != *expected).then_some(ChunkFault::WrongHash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::buffer::{BUFFER_SIZE, BufferPool};

    fn received(chunk: u32, bytes: &[u8]) -> ReceivedChunk {
        let mut buffer = BufferPool::new(BUFFER_SIZE).try_acquire().unwrap();
        buffer.extend_from_slice(bytes);
        ReceivedChunk {
            peer: PublicKey([7; 32]),
            file: FileHash([1; 32]),
            chunk: ChunkIndex(chunk),
            bytes: buffer.into_chunk(0..bytes.len()),
        }
    }

    fn check(algorithm: HashAlgorithm, chunk: u32, bytes: &[u8]) -> Result<VerifiedChunk, BadChunk> {
        let layout = Layout::new(262_144 + 5).unwrap();
        let expected = algorithm.hash_chunk(layout, ChunkIndex(1), b"right");
        verify(received(chunk, bytes), &expected, algorithm, layout)
    }

    #[test]
    fn the_right_bytes_become_a_verified_chunk() {
        for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Blake3] {
            let verified = check(algorithm, 1, b"right").unwrap();
            assert_eq!(
                (verified.chunk(), verified.bytes()),
                (ChunkIndex(1), &b"right"[..])
            );
        }
    }

    #[test]
    fn other_bytes_are_blamed_on_the_peer_that_sent_them() {
        for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Blake3] {
            let bad = check(algorithm, 1, b"wrong").unwrap_err();
            assert_eq!((bad.peer, bad.fault), (PublicKey([7; 32]), ChunkFault::WrongHash));
        }
    }

    #[test]
    fn a_chunk_of_the_wrong_length_is_refused_before_it_is_hashed() {
        for bytes in [&b""[..], b"righ", b"right "] {
            let fault = check(HashAlgorithm::Sha256, 1, bytes).unwrap_err().fault;
            assert_eq!(
                fault,
                ChunkFault::WrongLength {
                    expected: 5,
                    got: bytes.len()
                }
            );
        }
    }

    #[test]
    fn a_chunk_that_the_file_does_not_have_is_refused() {
        for chunk in [2, u32::MAX] {
            assert_eq!(
                check(HashAlgorithm::Sha256, chunk, b"").unwrap_err().fault,
                ChunkFault::OutOfRange
            );
        }
    }

    #[test]
    fn a_refused_chunk_gives_its_buffer_back() {
        let pool = BufferPool::new(BUFFER_SIZE);
        let mut chunk = received(1, b"");
        chunk.bytes = pool.try_acquire().unwrap().into_chunk(0..0);
        let layout = Layout::new(1).unwrap();
        assert!(verify(chunk, &ChunkHash([0; 32]), HashAlgorithm::Sha256, layout).is_err());
        assert_eq!(pool.available(), 1);
    }
}
