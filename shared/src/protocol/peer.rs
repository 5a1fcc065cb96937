//! The messages between two peers, and the bounds that hold for each of them.
//!
//! A variant's position is its type byte on the wire: new ones go to the end, none is ever moved. What the
//! messages mean, and in which order they come, is on one page in the [module above](super).

use crate::{
    id::{ChunkHash, ChunkIndex, FileHash, PublicKey},
    merkle::{MAX_PROOF_NODES, MerkleProof},
    tracker_api::encoding::{MAX_ADDRESSES, MAX_AGENT, is_agent},
};
use bincode::{Decode, Encode};
use std::net::SocketAddr;

/// Addresses in a `Hello`; as many as a tracker takes.
pub const MAX_LISTEN: usize = MAX_ADDRESSES;
/// Bytes of a bitfield in one message: 2 Mi chunks, that is 512 GiB of content; more takes several messages.
pub const MAX_BITFIELD: usize = 256 * 1024;
/// Bytes in a bitfield of 2^32 chunks, whatever the number of parts.
const MAX_BITFIELD_BYTES: u64 = 1 << 29;
/// Chunk hashes in one message: 128 KiB, the hashes of 1 GiB of content.
pub const MAX_HASHES: usize = 4096;
/// Peers in one exchange: more than anybody dials at once.
pub const MAX_HINTS: usize = 64;
/// Addresses of one such peer.
pub const MAX_HINT_ADDRESSES: usize = 8;
/// Requests that a serving peer keeps for one session: 64 MiB of chunks, twice the widest request window.
pub const MAX_REQUESTS: usize = 256;

/// A control message.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum PeerMessage {
    /// Who speaks, first and once.
    Hello(Hello),
    /// "I share this file, or fetch it: let us talk about it."
    Attach {
        /// Which file.
        file: FileHash,
    },
    /// "No more about this file."
    Detach {
        /// Which file.
        file: FileHash,
        /// Why.
        reason: DetachReason,
    },
    /// What the sender holds of a file, or one part of that.
    Bitfield {
        /// Which file.
        file: FileHash,
        /// The byte of the whole bitfield that this part begins with.
        first_byte: u32,
        /// The bits, chunk 0 of a byte in its most significant bit; at most [`MAX_BITFIELD`] bytes.
        bits: Vec<u8>,
    },
    /// The sender holds one chunk more.
    Have {
        /// Which file.
        file: FileHash,
        /// The chunk.
        chunk: ChunkIndex,
    },
    /// "I answer no new requests for now."
    Choke,
    /// "Ask."
    Unchoke,
    /// "You hold chunks that I want."
    Interested {
        /// Of which file.
        file: FileHash,
    },
    /// "I want nothing of this file from you."
    NotInterested {
        /// Of which file.
        file: FileHash,
    },
    /// "Send me this chunk."
    Request {
        /// Of which file.
        file: FileHash,
        /// The chunk.
        chunk: ChunkIndex,
    },
    /// "I do not need it any more."
    Cancel {
        /// Of which file.
        file: FileHash,
        /// The chunk.
        chunk: ChunkIndex,
    },
    /// A request is not answered with the chunk.
    Reject {
        /// Of which file.
        file: FileHash,
        /// The chunk.
        chunk: ChunkIndex,
        /// Why.
        reason: RejectReason,
    },
    /// "Send me these chunk hashes."
    GetHashes {
        /// Of which file.
        file: FileHash,
        /// The first chunk.
        first: u32,
        /// How many, at least one and at most [`MAX_HASHES`].
        count: u32,
    },
    /// Chunk hashes that prove themselves.
    Hashes {
        /// Of which file.
        file: FileHash,
        /// The chunk that the first hash belongs to.
        first: u32,
        /// At most [`MAX_HASHES`]; none: "I do not have them".
        hashes: Vec<ChunkHash>,
        /// What ties them to the Merkle root.
        proof: MerkleProof,
    },
    /// Other peers of a public file.
    PeerExchange {
        /// Which file.
        file: FileHash,
        /// At most [`MAX_HINTS`].
        peers: Vec<PeerHint>,
    },
    /// "Are you there?"
    Ping {
        /// To be sent back.
        nonce: u64,
    },
    /// "I am."
    Pong {
        /// The nonce of the ping.
        nonce: u64,
    },
    /// The last message of a session.
    Goodbye {
        /// Why it ends.
        reason: GoodbyeReason,
    },
}

/// Who speaks.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// The sender's protocol version; the handshake has made sure that it is ours.
    pub version: u16,
    /// What the sender understands beyond this version, a bit each. Unknown bits mean nothing.
    pub features: u64,
    /// Where the sender accepts connections, at most [`MAX_LISTEN`].
    pub listen: Vec<SocketAddr>,
    /// The sender's software, for people: at most [`MAX_AGENT`] printable ASCII characters.
    pub agent: String,
}

/// Somebody else who shares a file.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PeerHint {
    /// Who it is.
    pub key: PublicKey,
    /// Where it may be reached, at most [`MAX_HINT_ADDRESSES`].
    pub addresses: Vec<SocketAddr>,
}

/// Why a file is no longer talked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum DetachReason {
    /// The sender does not have it.
    NotShared,
    /// The sender has all of it and does not go on sharing.
    Finished,
    /// What is on the sender's disk is not what was shared.
    Changed,
    /// The owner stopped it.
    Stopped,
}

/// Why a request is not answered with the chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum RejectReason {
    /// The asker is choked.
    Choked,
    /// The sender does not hold the chunk, or does not share the file.
    NotHeld,
    /// The sender could not read it.
    Unreadable,
    /// Too many requests are queued.
    Busy,
    /// The asker withdrew the request before it was its turn.
    Cancelled,
}

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum GoodbyeReason {
    /// The sender shuts down; it may be back.
    Stopped,
    /// There was nothing to talk about for a while.
    Idle,
    /// Another session between the same two peers stays.
    Duplicate,
    /// The sender has as many sessions as it wants.
    Full,
    /// The receiver broke the protocol, or sent chunks that are not what they should be. It is not wanted back.
    Misbehaved,
}

/// What stands before the bytes of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkHeader {
    /// Which file.
    pub file: FileHash,
    /// Which chunk of it.
    pub chunk: ChunkIndex,
}

/// What a record held.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A control message.
    Message(PeerMessage),
    /// A chunk, still in the buffer that it was opened in. Not verified.
    Chunk {
        /// Which chunk it claims to be.
        header: ChunkHeader,
        /// Its bytes: at least one, at most a chunk.
        bytes: &'a [u8],
    },
}

/// A list or number in a message that is larger (or smaller) than the protocol allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} {got}, allowed {least} to {most}")]
pub struct OutOfBounds {
    /// What is out of bounds, in words.
    pub field: &'static str,
    /// What it is.
    pub got: u64,
    /// The least that is allowed.
    pub least: u64,
    /// The most that is allowed.
    pub most: u64,
}

impl PeerMessage {
    /// Whether every field keeps the bounds of the protocol; holds for what is sent and for what is received.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        match self {
            Self::Hello(hello) => hello.check(),
            Self::Bitfield { first_byte, bits, .. } => {
                at_most("bytes in a bitfield", bits.len() as u64, MAX_BITFIELD as u64)?;
                let end = u64::from(*first_byte) + bits.len() as u64;
                at_most("end of a bitfield", end, MAX_BITFIELD_BYTES)
            }
            Self::GetHashes { first, count, .. } => {
                within("hashes asked for", u64::from(*count), 1, MAX_HASHES as u64)?;
                at_most(
                    "end of the hashes",
                    u64::from(*first) + u64::from(*count),
                    1 << 32,
                )
            }
            Self::Hashes {
                first, hashes, proof, ..
            } => {
                at_most("hashes", hashes.len() as u64, MAX_HASHES as u64)?;
                at_most(
                    "end of the hashes",
                    u64::from(*first) + hashes.len() as u64,
                    1 << 32,
                )?;
                at_most(
                    "nodes in a proof",
                    proof.nodes.len() as u64,
                    MAX_PROOF_NODES as u64,
                )
            }
            Self::PeerExchange { peers, .. } => {
                at_most("peers", peers.len() as u64, MAX_HINTS as u64)?;
                peers.iter().try_for_each(PeerHint::check)
            }
            _ => Ok(()),
        }
    }
}

impl Hello {
    fn check(&self) -> Result<(), OutOfBounds> {
        at_most("listening addresses", self.listen.len() as u64, MAX_LISTEN as u64)?;
        let unprintable = u64::from(!is_agent(&self.agent));
        at_most("bytes in the agent", self.agent.len() as u64, MAX_AGENT as u64)?;
        at_most("agents with unprintable characters", unprintable, 0)
    }
}

impl PeerHint {
    fn check(&self) -> Result<(), OutOfBounds> {
        let addresses = self.addresses.len() as u64;
        at_most("addresses of a peer", addresses, MAX_HINT_ADDRESSES as u64)
    }
}

pub(crate) fn at_most(field: &'static str, got: u64, most: u64) -> Result<(), OutOfBounds> {
    within(field, got, 0, most)
}

pub(super) fn within(field: &'static str, got: u64, least: u64, most: u64) -> Result<(), OutOfBounds> {
    if (least..=most).contains(&got) {
        Ok(())
    } else {
        Err(OutOfBounds {
            field,
            got,
            least,
            most,
        })
    }
}
