//! What a session reports: to whoever fetches a file over it, and to the table of connections.
//!
//! Promises that the last thing said about an attached file is [`ChunkNews::Detached`], and the last thing said about
//! a session is [`SessionNews::Closed`], however it ends.

use super::close::CloseReason;
use crate::{
    connection::state::SessionId, download::source::Room, event::PathKind, relay::RelayUrl,
    storage::ReceivedChunk,
};
use p2p_shared::{
    bitfield::Bitfield,
    id::{ChunkHash, ChunkIndex, FileHash, PublicKey},
    protocol::peer::{DetachReason, PeerHint, RejectReason},
};
use std::{net::SocketAddr, time::Duration};

/// Something happened to a file that is fetched over a session.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub struct ChunkEvent {
    /// Over which session.
    pub session: SessionId,
    /// With whom.
    pub peer: PublicKey,
    /// By which kind of path.
    pub path: PathKind,
    /// Which file.
    pub file: FileHash,
    /// What.
    pub news: ChunkNews,
}

/// What happened.
#[derive(Debug)]
pub enum ChunkNews {
    /// The peer shares the file and holds these chunks (said again if it attached anew).
    Attached(Bitfield),
    /// The peer holds one more.
    Has(ChunkIndex),
    /// A chunk that was asked for came.
    Received {
        /// Not verified.
        chunk: ReceivedChunk,
        /// How much more may be asked for.
        room: Room,
    },
    /// How much may be asked for changed.
    Room(Room),
    /// The peer will not send a chunk that was asked for.
    Rejected {
        /// Which one.
        chunk: ChunkIndex,
        /// Why.
        reason: RejectReason,
        /// How much more may be asked for.
        room: Room,
    },
    /// These were not asked for: the window is full, or they were outstanding already.
    NotAsked {
        /// Which ones.
        chunks: Vec<ChunkIndex>,
        /// How much may be asked for.
        room: Room,
    },
    /// The peer answers no requests now, or does again.
    Choked {
        /// Whether it does not.
        choked: bool,
        /// How much may be asked for.
        room: Room,
    },
    /// Answers that take much longer than expected.
    Late {
        /// To which questions.
        chunks: Vec<ChunkIndex>,
        /// How much more may be asked for: nothing.
        room: Room,
    },
    /// How long the way to the peer and back takes, as it was measured first.
    RoundTrip(Duration),
    /// Chunk hashes, checked against the Merkle root; none: the peer does not have them.
    Hashes {
        /// The chunk that the first one belongs to.
        first: u32,
        /// One hash a chunk.
        hashes: Vec<ChunkHash>,
    },
    /// No more about this file over this session. Always the last.
    Detached {
        /// Why.
        reason: Detached,
        /// What was asked for and did not come.
        unfinished: Vec<ChunkIndex>,
    },
}

/// Why a file is no longer fetched over a session.
#[derive(Debug, Clone)]
pub enum Detached {
    /// We said so.
    Ours,
    /// The peer said so.
    Theirs(DetachReason),
    /// The session ended.
    Closed(CloseReason),
    /// The session had ended before it knew of the file.
    Over,
}

/// What a session tells the table of connections.
#[derive(Debug, Clone)]
pub enum SessionNews {
    /// The peer attached a file: it shares it, or wants it.
    Attached(FileHash),
    /// The peer is done with a file.
    Detached(FileHash),
    /// The session delivered its first chunk.
    Useful,
    /// The peer named others who share a file.
    Learned {
        /// Which file.
        file: FileHash,
        /// Who, and where.
        peers: Vec<PeerHint>,
    },
    /// Something is owed, and nothing was heard for so long; said again as long as that is so.
    Quiet(Duration),
    /// The peer was heard again.
    HeardAgain,
    /// The session is over. Always the last.
    Closed(CloseReason),
}

/// One running session, for whoever asks.
#[derive(Debug, Clone)]
pub struct SessionInfo {
    /// Names the session.
    pub session: SessionId,
    /// Who is at the other end.
    pub peer: PublicKey,
    /// By which kind of path.
    pub path: PathKind,
    /// The other end of the connection.
    pub address: Option<SocketAddr>,
    /// The relay that it goes through, if it does.
    pub relay: Option<RelayUrl>,
    /// Where the peer says it listens.
    pub listen: Vec<SocketAddr>,
    /// Whether we dialled.
    pub dialled: bool,
    /// The peer's software.
    pub agent: String,
    /// The files that the peer attached.
    pub files: Vec<FileHash>,
    /// Plain bytes of chunks received.
    pub received: u64,
    /// Plain bytes of chunks sent.
    pub sent: u64,
    /// Used for nothing new: another session with the peer is.
    pub retired: bool,
    /// Why this path; nothing where another session with the peer is used.
    pub reason: Option<&'static str>,
    /// Milliseconds of one round trip, when it was measured.
    pub round_trip_ms: Option<f64>,
}
