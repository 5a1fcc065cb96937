//! The words of the table of connections: what it is told of a session, and what it says is to be done.

use super::{hint::RelayAddress, path::Attempt, policy::Policy, reason::Why};
use crate::event::PathKind;
use p2p_shared::id::{FileHash, PublicKey};
use std::{net::SocketAddr, time::Instant};

/// Names one session for the life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// Which side began a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialler {
    /// We dialled.
    Us,
    /// They dialled.
    Them,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Try to reach this peer; answered by a session or [`Connections::on_failed`](super::state::Connections::on_failed).
    Try {
        /// In which way.
        attempt: Attempt,
        /// Whom.
        key: PublicKey,
        /// Where it may listen, in no order.
        addresses: Vec<SocketAddr>,
        /// Where it may be met, in no order.
        relays: Vec<RelayAddress>,
        /// What holds for this peer.
        policy: Policy,
        /// What it leads to is not used before this: something better may be there by then.
        not_before: Option<Instant>,
    },
    /// Close this session; another one with the same peer is kept, or there is no room.
    Close {
        /// Which.
        session: SessionId,
        /// Why.
        why: Refusal,
    },
    /// Use this session for nothing new; it closes itself when what is outstanding has come.
    Retire(SessionId),
    /// This peer is not to learn where we are, from now on and until the program ends.
    Hide(PublicKey),
    /// It may learn that after all.
    Show(PublicKey),
    /// Tell whoever wants `file` that it may be had over this session.
    Offer {
        /// Which file.
        file: FileHash,
        /// Over which session.
        session: SessionId,
        /// Why this one.
        why: Why,
    },
}

/// Why a session is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Another session with the peer is kept.
    Redundant,
    /// There are as many sessions as there may be.
    Full,
    /// The peer is banned.
    Banned,
    /// Nothing is heard on it, and there is another one.
    Silent,
}

/// A session that was just begun.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Names it.
    pub session: SessionId,
    /// Who is at the other end.
    pub key: PublicKey,
    /// Which side dialled.
    pub dialler: Dialler,
    /// By which kind of path.
    pub path: PathKind,
    /// Where the peer listens.
    pub listen: Vec<SocketAddr>,
}
