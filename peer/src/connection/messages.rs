//! What the table of connections may be told, and what it tells those who want a file.

use super::state::{Reach, SessionId};
use crate::{
    event::PathKind,
    p2p::session::{SessionHandle, news::SessionNews},
};
use actix::{Message, Recipient};
use p2p_shared::{
    id::{FileHash, PublicKey},
    protocol::PeerHint,
};

/// Something happened that concerns who wants a file.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum SwarmEvent {
    /// The file may be had over this session (said again for each that there is, and after a crash of the table).
    Session {
        /// Which file.
        file: FileHash,
        /// The way to the session.
        session: SessionHandle,
        /// By which kind of path.
        path: PathKind,
    },
}

/// Find peers for a file, and tell `owner` of sessions with them.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Want {
    pub file: FileHash,
    pub hints: Vec<PeerHint>,
    /// Whom to tell; nobody new, if this only brings more hints.
    pub owner: Option<Recipient<SwarmEvent>>,
}

/// Nobody wants the file any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Unwant(pub FileHash);

/// Never deal with a peer again.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Ban(pub PublicKey);

/// How do the peers of a file stand?
#[derive(Message)]
#[rtype(result = "Reach")]
pub(super) struct DescribeReach(pub FileHash);

/// Which sessions are there?
#[derive(Message)]
#[rtype(result = "Vec<SessionHandle>")]
pub(super) struct ListSessions;

/// A dial of ours led to nobody.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct DialFailed(pub PublicKey);

/// A session runs.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Introduce(pub SessionHandle);

/// A session reports.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Report {
    pub session: SessionId,
    pub news: SessionNews,
}
