//! How this module's small files are written: fields in big-endian order, behind a magic word, a version and a CRC32.
//!
//! Promise: what [`open`] returns is exactly what [`seal`] was given; anything torn, altered or of another version
//! is an error and never a guess. Reading checks every length against what is there before it allocates.
//! Never touches the disk.

use p2p_shared::{
    hash::HashAlgorithm,
    id::{ChunkHash, FileHash, MerkleRoot},
};
use std::sync::Arc;

/// Bytes before the payload: magic, version, CRC32 of the payload, its length.
pub(super) const SEAL_HEAD: usize = 4 + 2 + 4 + 8;

/// Why stored bytes cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It begins with something else.
    #[error("is not a {0} file")]
    Magic(String),
    /// Written by another version of this program.
    #[error("has version {found}, this program reads version {expected}")]
    Version {
        /// What it says.
        found: u16,
        /// What would be readable.
        expected: u16,
    },
    /// Shorter than it says.
    #[error("is cut short")]
    Truncated,
    /// Altered since it was written.
    #[error("is damaged (checksum)")]
    Checksum,
    /// The checksum is right and the content still makes no sense.
    #[error("has an invalid {0}")]
    Field(&'static str),
}

/// What a kind of file begins with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) magic: [u8; 4],
    pub(super) version: u16,
}

/// `payload` with its head before it.
pub(super) fn seal(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut out = Encoder::with_capacity(SEAL_HEAD + payload.len());
    out.raw(&kind.magic);
    out.u16(kind.version);
    out.u32(crc32fast::hash(payload));
    out.u64(payload.len() as u64);
    out.raw(payload);
    out.finish()
}

/// The payload at the beginning of `bytes`, and what follows it.
pub(super) fn open(kind: Kind, bytes: &[u8]) -> Result<(&[u8], &[u8]), FormatError> {
    let (crc, length) = open_head(kind, bytes)?;
    let rest = bytes.get(SEAL_HEAD..).ok_or(FormatError::Truncated)?;
    let length = usize::try_from(length).map_err(|_| FormatError::Truncated)?;
    let (payload, rest) = rest.split_at_checked(length).ok_or(FormatError::Truncated)?;
    if crc32fast::hash(payload) != crc {
        return Err(FormatError::Checksum);
    }
    Ok((payload, rest))
}

/// Checksum and length of the payload that follows the head.
pub(super) fn open_head(kind: Kind, bytes: &[u8]) -> Result<(u32, u64), FormatError> {
    let mut head = Decoder::new(bytes);
    if head.array::<4>()? != kind.magic {
        return Err(FormatError::Magic(
            String::from_utf8_lossy(&kind.magic).into_owned(),
        ));
    }
    let found = head.u16()?;
    if found != kind.version {
        return Err(FormatError::Version {
            found,
            expected: kind.version,
        });
    }
    Ok((head.u32()?, head.u64()?))
}

/// Writes fields one after the other.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    out: Vec<u8>,
}

impl Encoder {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self {
            out: Vec::with_capacity(bytes),
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.out
    }

    /// As it is, without a length.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.raw(&value.to_be_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.raw(&value.to_be_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.raw(&value.to_be_bytes());
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }

    /// Length (u64), then the bytes.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.u64(bytes.len() as u64);
        self.raw(bytes);
    }

    pub(super) fn algorithm(&mut self, algorithm: HashAlgorithm) {
        self.u8(match algorithm {
            HashAlgorithm::Sha256 => 1,
            HashAlgorithm::Blake3 => 2,
        });
    }

    /// Count (u32), then 32 bytes each.
    pub(super) fn hashes(&mut self, hashes: &[ChunkHash]) {
        self.u64(hashes.len() as u64);
        for hash in hashes {
            self.raw(hash.as_bytes());
        }
    }
}

/// Reads fields one after the other; running out of bytes is [`FormatError::Truncated`].
#[derive(Debug)]
pub(super) struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Nothing may be left over.
    pub(super) fn end(self) -> Result<(), FormatError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(FormatError::Field("end"))
        }
    }

    /// Whether nothing is left.
    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `length` bytes.
    pub(super) fn raw(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(FormatError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(FormatError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, FormatError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, FormatError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, FormatError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(super) fn i64(&mut self) -> Result<i64, FormatError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// What [`Encoder::bytes`] wrote.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], FormatError> {
        let length = usize::try_from(self.u64()?).map_err(|_| FormatError::Truncated)?;
        self.raw(length)
    }

    pub(super) fn algorithm(&mut self) -> Result<HashAlgorithm, FormatError> {
        match self.u8()? {
            1 => Ok(HashAlgorithm::Sha256),
            2 => Ok(HashAlgorithm::Blake3),
            _ => Err(FormatError::Field("hash algorithm")),
        }
    }

    pub(super) fn file_hash(&mut self) -> Result<FileHash, FormatError> {
        Ok(FileHash(self.array()?))
    }

    pub(super) fn merkle_root(&mut self) -> Result<MerkleRoot, FormatError> {
        Ok(MerkleRoot(self.array()?))
    }

    /// What [`Encoder::hashes`] wrote; their number is bounded by the bytes that are there.
    pub(super) fn hashes(&mut self) -> Result<Arc<[ChunkHash]>, FormatError> {
        let count = usize::try_from(self.u64()?).map_err(|_| FormatError::Truncated)?;
        let length = count.checked_mul(32).ok_or(FormatError::Truncated)?;
        let (hashes, _) = self.raw(length)?.as_chunks::<32>();
        Ok(hashes.iter().copied().map(ChunkHash).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KIND: Kind = Kind {
        magic: *b"TEST",
        version: 3,
    };

    #[test]
    fn what_was_sealed_opens_and_what_follows_is_left() {
        let mut bytes = seal(KIND, b"payload");
        bytes.extend_from_slice(b"more");
        assert_eq!(open(KIND, &bytes).unwrap(), (&b"payload"[..], &b"more"[..]));
    }

    #[test]
    fn another_kind_or_version_is_named() {
        let bytes = seal(KIND, b"payload");
        let other = Kind {
            magic: *b"ELSE",
            ..KIND
        };
        assert_eq!(open(other, &bytes), Err(FormatError::Magic("ELSE".into())));
        let newer = Kind { version: 4, ..KIND };
        let error = FormatError::Version {
            found: 3,
            expected: 4,
        };
        assert_eq!(open(newer, &bytes), Err(error));
    }

    #[test]
    fn a_count_of_hashes_beyond_what_is_there_allocates_nothing() {
        for count in [2, u64::MAX / 32, u64::MAX] {
            let mut bytes = Encoder::default();
            bytes.u64(count);
            bytes.raw(&[0; 32]);
            let bytes = bytes.finish();
            assert_eq!(Decoder::new(&bytes).hashes(), Err(FormatError::Truncated));
        }
    }

    proptest! {
        #[test]
        fn no_altered_byte_and_no_cut_goes_unnoticed(
            payload in proptest::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), flip in 1..=255u8,
        ) {
            let sealed = seal(KIND, &payload);
            let at = at.index(sealed.len());
            prop_assert!(open(KIND, &sealed[..at]).is_err());
            let mut altered = sealed;
            altered[at] ^= flip;
            // A longer length would need bytes that are not there; a shorter one fails the checksum.
            prop_assert!(open(KIND, &altered).is_err());
        }
    }
}
