//! The names things go by: keys, peers, files, chunks.
//!
//! Parsing an id is validating it. Nothing here knows how an id came about except [`PeerId`], which is
//! derived from a public key and so certifies itself.

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// Text that is not 64 hexadecimal digits where 32 bytes were expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits, got {length} characters{detail}")]
pub struct ParseHexError {
    length: usize,
    detail: &'static str,
}

fn parse_hex(text: &str) -> Result<[u8; 32], ParseHexError> {
    let fail = |detail| ParseHexError {
        length: text.len(),
        detail,
    };
    if text.len() != 64 {
        return Err(fail(""));
    }
    let mut bytes = [0; 32];
    HEXLOWER_PERMISSIVE
        .decode_mut(text.as_bytes(), &mut bytes)
        .map_err(|_| fail(", not all of them hexadecimal"))?;
    Ok(bytes)
}

/// A 32-byte value written as 64 lower-case hexadecimal digits: in JSON as that text, in bincode as 32 bytes.
macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
        pub struct $name(
            /// The bytes themselves.
            pub [u8; 32],
        );

        impl $name {
            /// The bytes as a slice.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER_PERMISSIVE.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseHexError;
            fn from_str(text: &str) -> Result<Self, ParseHexError> {
                parse_hex(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    };
}

hex_id! {
    /// An X25519 static public key: who a peer is. Peers are compared by it, never by [`PeerId`].
    PublicKey
}

hex_id! {
    /// The hash of a file's whole stream, under the [`HashAlgorithm`](crate::hash::HashAlgorithm) of its record:
    /// with SHA-256 what `sha256sum` prints, with BLAKE3 what `b3sum` prints. Names the file everywhere.
    FileHash
}

hex_id! {
    /// The hash of one chunk: SHA-256 of its bytes, or its BLAKE3 chaining value.
    ChunkHash
}

hex_id! {
    /// The root of the Merkle tree over a file's chunk hashes; binds the file's size and chunk size too.
    MerkleRoot
}

/// A short handle for a peer, derived from its public key (UUIDv8, RFC 9562, with the first 122 bits of
/// SHA-256("p2p/peer-id/v1" ‖ public key)). It certifies itself: whoever holds the key can recompute it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PeerId(Uuid);

impl PeerId {
    /// The id that belongs to `key`.
    pub fn of(key: &PublicKey) -> Self {
        let digest = Sha256::new()
            .chain_update(b"p2p/peer-id/v1")
            .chain_update(key.0)
            .finalize();
        // 122 hash bits in order: the six bits of version and variant are left out, not overwritten.
        let source = u128::from_be_bytes(std::array::from_fn(|i| digest[i])) >> 6;
        let high48 = source >> 74;
        let mid12 = (source >> 62) & 0xfff;
        let low62 = source & ((1 << 62) - 1);
        Self(Uuid::from_u128(
            (high48 << 80) | (0x8 << 76) | (mid12 << 64) | (0b10 << 62) | low62,
        ))
    }

    /// The id that was written down as this UUID. Like text that parses, it need not belong to any key.
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID itself.
    pub fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.0)
    }
}

impl FromStr for PeerId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

/// Which chunk of a file, counted from 0.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    bincode::Encode,
    bincode::Decode,
    Serialize,
    Deserialize,
)]
#[serde(transparent)]
pub struct ChunkIndex(
    /// The number; a file has at most 2^32 chunks of 256 KiB, that is 1 PiB.
    pub u32,
);

impl fmt::Display for ChunkIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_id_is_a_version_8_uuid_with_the_rfc_variant() {
        let id = PeerId::of(&PublicKey([7; 32]));
        assert_eq!(id.as_uuid().get_version_num(), 8);
        assert_eq!(id.as_uuid().get_variant(), uuid::Variant::RFC4122);
    }

    #[test]
    fn a_peer_id_holds_the_first_122_bits_of_the_digest_in_order() {
        let key = PublicKey([7; 32]);
        let digest = Sha256::new()
            .chain_update(b"p2p/peer-id/v1")
            .chain_update(key.0)
            .finalize();
        let bits = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:08b}")).collect::<String>();
        let mut id = bits(PeerId::of(&key).as_uuid().as_bytes());
        id.replace_range(64..66, "");
        id.replace_range(48..52, "");
        assert_eq!(id, bits(&digest)[..122]);
    }

    #[test]
    fn different_keys_have_different_ids() {
        assert_ne!(PeerId::of(&PublicKey([1; 32])), PeerId::of(&PublicKey([2; 32])));
    }

    #[test]
    fn a_hash_reads_back_from_its_text_in_either_case() {
        let hash = FileHash(std::array::from_fn(|i| i as u8 ^ 0xa5));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(hash.to_string().to_uppercase().parse(), Ok(hash));
        assert_eq!(
            serde_json::from_str::<FileHash>(&serde_json::to_string(&hash).unwrap()).unwrap(),
            hash
        );
    }

    #[test]
    fn text_that_is_no_hash_is_refused_with_its_length() {
        assert_eq!(
            "abc".parse::<FileHash>().unwrap_err().to_string(),
            "expected 64 hexadecimal digits, got 3 characters"
        );
        assert!(
            "z".repeat(64)
                .parse::<FileHash>()
                .unwrap_err()
                .to_string()
                .contains("not all of them")
        );
    }
}
