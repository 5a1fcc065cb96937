//! Messages to bytes and back: the only file that knows bincode's configuration.
//!
//! Memory is claimed before it is taken: each kind of message has a budget that the largest one allowed just fits in
//! (`Budget`), and bincode refuses a length that exceeds it before it allocates. Chunks are not copied at all. Any
//! input gives a message or an error, never a panic.

use super::peer::{ChunkHeader, Incoming, OutOfBounds, PeerMessage};
use crate::{
    chunker::CHUNK_SIZE,
    crypto::record::MAX_PLAINTEXT,
    id::{ChunkIndex, FileHash},
};
use bincode::config::{Configuration, Limit, LittleEndian, Varint};

/// The type byte of a chunk. Far behind the control messages and below 251, where bincode's varints get longer.
pub const CHUNK: u8 = 0x40;

/// Bytes before a chunk's own: type, file hash, chunk index.
pub const CHUNK_PREFIX: usize = 1 + 32 + 4;

const _: () = assert!(CHUNK_PREFIX + CHUNK_SIZE as usize <= MAX_PLAINTEXT);

/// How many type bytes are taken by control messages, from 0 on.
pub(super) const MESSAGE_TYPES: u8 = 18;

// The types of messages that hold lists.
const HELLO: u8 = 0;
const BITFIELD: u8 = 3;
const HASHES: u8 = 13;
const PEER_EXCHANGE: u8 = 14;

/// Why a record holds no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Nothing at all.
    #[error("an empty record")]
    Empty,
    /// A type that this version does not have.
    #[error("a message of the unknown type {0:#04x}")]
    UnknownType(u8),
    /// Not the payload that the type asks for: cut off, or a length or value that cannot be.
    #[error("a malformed message of type {kind:#04x}: {detail}")]
    Malformed {
        /// The type byte.
        kind: u8,
        /// What the decoder says.
        detail: String,
    },
    /// More bytes than the message has.
    #[error("{0} bytes too many behind a message")]
    Trailing(usize),
    /// A field larger than the protocol allows.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
    /// A chunk without bytes, without its header, or longer than a chunk can be.
    #[error("a chunk record of {0} bytes")]
    ChunkLength(usize),
    /// A data frame of a relay without bytes, without its header, or longer than one can be.
    #[error("a data frame of {0} bytes")]
    DataLength(usize),
}

/// Why a message cannot be sent. A mistake of the sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A field larger than the protocol allows.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
    /// The encoder refuses.
    #[error("cannot be encoded: {0}")]
    Unencodable(String),
}

/// Reads what an opened record holds.
pub fn decode(plaintext: &[u8]) -> Result<Incoming<'_>, DecodeError> {
    match plaintext.first() {
        None => Err(DecodeError::Empty),
        Some(&CHUNK) => decode_chunk(plaintext),
        Some(&kind) if kind < MESSAGE_TYPES => decode_message(kind, plaintext).map(Incoming::Message),
        Some(&kind) => Err(DecodeError::UnknownType(kind)),
    }
}

/// Appends type and payload of a message. After an error `out` is as it was.
pub fn encode(message: &PeerMessage, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    message.check()?;
    let before = out.len();
    bincode::encode_into_std_write(message, out, unlimited()).map_err(|error| {
        out.truncate(before);
        EncodeError::Unencodable(error.to_string())
    })?;
    Ok(())
}

/// What stands before a chunk's bytes.
#[must_use]
pub fn chunk_prefix(header: &ChunkHeader) -> [u8; CHUNK_PREFIX] {
    let mut prefix = [CHUNK; CHUNK_PREFIX];
    prefix[1..33].copy_from_slice(header.file.as_bytes());
    prefix[33..].copy_from_slice(&header.chunk.0.to_be_bytes());
    prefix
}

fn decode_chunk(plaintext: &[u8]) -> Result<Incoming<'_>, DecodeError> {
    let wrong_length = DecodeError::ChunkLength(plaintext.len());
    let Some((prefix, bytes)) = plaintext.split_first_chunk::<CHUNK_PREFIX>() else {
        return Err(wrong_length);
    };
    if bytes.is_empty() || bytes.len() > CHUNK_SIZE as usize {
        return Err(wrong_length);
    }
    let header = ChunkHeader {
        file: FileHash(std::array::from_fn(|at| prefix[1 + at])),
        chunk: ChunkIndex(u32::from_be_bytes(std::array::from_fn(|at| prefix[33 + at]))),
    };
    Ok(Incoming::Chunk { header, bytes })
}

fn decode_message(kind: u8, plaintext: &[u8]) -> Result<PeerMessage, DecodeError> {
    let (message, used) = match Budget::of(kind) {
        Budget::Small => bincode::decode_from_slice(plaintext, limited::<256>()),
        Budget::Medium => bincode::decode_from_slice(plaintext, limited::<{ 32 * 1024 }>()),
        Budget::Large => bincode::decode_from_slice(plaintext, limited::<MAX_PLAINTEXT>()),
    }
    .map_err(|error| DecodeError::Malformed {
        kind,
        detail: error.to_string(),
    })?;
    if used < plaintext.len() {
        return Err(DecodeError::Trailing(plaintext.len() - used));
    }
    let message: PeerMessage = message;
    message.check()?;
    Ok(message)
}

/// How much memory a message may claim, lists counted as they lie in memory (an address 32 bytes, a hint 56).
enum Budget {
    /// Fixed fields only.
    Small,
    /// A few addresses, a few peers.
    Medium,
    /// Bitfields and hashes.
    Large,
}

impl Budget {
    fn of(kind: u8) -> Self {
        match kind {
            HELLO | PEER_EXCHANGE => Self::Medium,
            BITFIELD | HASHES => Self::Large,
            _ => Self::Small,
        }
    }
}

pub(crate) fn unlimited() -> Configuration {
    bincode::config::standard()
}

pub(crate) fn limited<const BYTES: usize>() -> Configuration<LittleEndian, Varint, Limit<BYTES>> {
    unlimited().with_limit::<BYTES>()
}
