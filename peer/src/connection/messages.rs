//! What the table of connections may be told, and what it tells those who want a file.

use super::{
    hint::Hint,
    path::Attempt,
    policy::Policy,
    reason::Why,
    state::{Reach, SessionId},
};
use crate::p2p::session::{SessionHandle, news::SessionNews};
use actix::{Message, Recipient};
use p2p_shared::id::{FileHash, PublicKey};

/// Something happened that concerns who wants a file.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum SwarmEvent {
    /// The file is to be had over this session from now on, and over no other with the same peer (said again for each peer
    /// that there is, when a better session with it begins, and after a crash of the table).
    Session {
        /// Which file.
        file: FileHash,
        /// The way to the session.
        session: SessionHandle,
        /// Why this one.
        why: Why,
    },
}

/// Find peers for a file, and tell `owner` of sessions with them.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Want {
    pub file: FileHash,
    pub hints: Vec<Hint>,
    /// Whom to tell, and by which paths; nobody new, if this only brings more hints.
    pub owner: Option<(Recipient<SwarmEvent>, Policy)>,
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

/// Which sessions are there, and for those that are used: why?
#[derive(Message)]
#[rtype(result = "Vec<(SessionHandle, Option<&'static str>)>")]
pub(super) struct ListSessions;

/// An attempt of ours led to nobody.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct AttemptFailed {
    pub key: PublicKey,
    pub attempt: Attempt,
}

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
