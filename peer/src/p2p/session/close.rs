//! Every way a session can end, and what to do about it.
//!
//! Promises one reason for each end, said once, and one place that decides whether the peer is worth dialling again.

use crate::connection::redial::Redial;
use p2p_shared::{
    id::{ChunkIndex, FileHash},
    protocol::peer::GoodbyeReason,
};
use std::io;

/// Why a session ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CloseReason {
    /// We said goodbye.
    #[error("closed from this side: {0:?}")]
    Ours(GoodbyeReason),
    /// They said goodbye.
    #[error("closed from the other side: {0:?}")]
    Theirs(GoodbyeReason),
    /// The bytes ended without a goodbye: their process died, or somebody cut the connection.
    #[error("the connection ended without a goodbye")]
    Truncated,
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(io::ErrorKind),
    /// Nothing was heard for too long, or nothing could be sent.
    #[error("the other side is silent")]
    Silent,
    /// A record could not be opened, or nothing of it: changed on the way.
    #[error("a record could not be opened")]
    Forged,
    /// The peer broke the protocol.
    #[error("protocol violated: {0}")]
    Violation(Violation),
    /// Another session with the same peer is kept instead.
    #[error("another session with this peer is kept")]
    Redundant,
    /// A handler of ours panicked; the peer did nothing wrong.
    #[error("this session crashed")]
    Crashed,
}

/// What the peer did that no correct peer does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A record that does not decode, or is larger than any record.
    #[error("undecodable record: {0}")]
    Undecodable(String),
    /// The first message was something else than `Hello`, or `Hello` came twice.
    #[error("Hello expected once and first")]
    Hello,
    /// It speaks another version than the handshake bound.
    #[error("protocol version {0}")]
    Version(u16),
    /// A chunk that was not asked for (or came a second time).
    #[error("chunk {1} of {0} was not asked for")]
    Unsolicited(FileHash, ChunkIndex),
    /// A chunk with more or fewer bytes than its place in the file has.
    #[error("chunk {chunk} of {file} with {got} bytes, not {expected}")]
    Length {
        /// Which file.
        file: FileHash,
        /// Which chunk.
        chunk: ChunkIndex,
        /// Bytes that came.
        got: usize,
        /// Bytes that the layout says.
        expected: u32,
    },
    /// A message about a file that was never attached.
    #[error("a message about {0}, which is not attached")]
    NotAttached(FileHash),
    /// A chunk index beyond the file.
    #[error("chunk {1} is beyond the end of {0}")]
    OutOfRange(FileHash, ChunkIndex),
    /// A bitfield of the wrong size, or in parts that do not fit.
    #[error("bitfield of {0} does not fit")]
    Bitfield(FileHash),
    /// Hashes that were not asked for, or whose proof does not lead to the Merkle root.
    #[error("hashes of {0} that were not asked for or do not verify")]
    Hashes(FileHash),
    /// More of something than any correct peer sends.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// A rejection of something that was not asked for.
    #[error("rejection of chunk {1} of {0}, which was not asked for")]
    Rejection(FileHash, ChunkIndex),
}

impl CloseReason {
    /// What the other side is told; nothing where it could not hear it or need not.
    pub fn goodbye(&self) -> Option<GoodbyeReason> {
        match self {
            Self::Ours(reason) => Some(*reason),
            Self::Redundant => Some(GoodbyeReason::Duplicate),
            Self::Violation(_) => Some(GoodbyeReason::Misbehaved),
            Self::Crashed => Some(GoodbyeReason::Stopped),
            Self::Theirs(_) | Self::Truncated | Self::Io(_) | Self::Silent | Self::Forged => None,
        }
    }

    /// What to do about a peer whose session ended so.
    pub fn redial(&self) -> Redial {
        match self {
            Self::Truncated | Self::Io(_) | Self::Silent | Self::Crashed => Redial::Soon,
            // A record changed on the way says nothing about the peer, and who changed it could as well cut the connection.
            Self::Forged => Redial::Soon,
            // The other session is in the table, or about to be; should it not come, a dial is right.
            Self::Redundant => Redial::Soon,
            Self::Violation(_) => Redial::Later,
            Self::Theirs(reason) | Self::Ours(reason) => redial_after(*reason),
        }
    }
}

fn redial_after(goodbye: GoodbyeReason) -> Redial {
    match goodbye {
        GoodbyeReason::Stopped | GoodbyeReason::Idle | GoodbyeReason::Duplicate => Redial::Soon,
        GoodbyeReason::Full | GoodbyeReason::Misbehaved => Redial::Later,
    }
}
