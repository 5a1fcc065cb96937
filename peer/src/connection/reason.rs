//! Why a peer is used by the path by which it is used, in words for people.

use super::{
    policy::Policy,
    state::{Connections, Dialler, SessionId},
};
use crate::event::PathKind;
use p2p_shared::id::PublicKey;

/// Why this path, and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is no better one.
    Answered,
    /// Datagrams of both sides meet.
    Punched,
    /// The policy leaves no other.
    Policy,
    /// Nothing is heard on the better one.
    Silence,
    /// The better one ended.
    Lost(PathKind),
    /// There is no address to dial.
    NoAddress,
    /// Nothing better in time; it is still looked for.
    NothingDirect,
    /// The other side chose it.
    TheyCame,
}

impl Why {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "one of its addresses answered",
            Self::Punched => "a hole was punched through the NATs between us",
            Self::Policy => "the policy is relay-only",
            Self::Silence => "nothing is heard on the better path",
            Self::Lost(PathKind::Direct) => "the direct path was lost",
            Self::Lost(PathKind::Punched) => "the punched path was lost",
            Self::Lost(PathKind::Relayed) => "the relayed path was lost",
            Self::NoAddress => "no address of it is known",
            Self::NothingDirect => "no direct path was found in time; attempts go on",
            Self::TheyCame => "it came to us by this path",
        }
    }
}

impl Why {
    /// The word for counters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Punched => "punched",
            Self::Policy => "policy",
            Self::Silence => "silence",
            Self::Lost(PathKind::Direct) => "direct-lost",
            Self::Lost(PathKind::Punched) => "punched-lost",
            Self::Lost(PathKind::Relayed) => "relayed-lost",
            Self::NoAddress => "no-address",
            Self::NothingDirect => "nothing-direct",
            Self::TheyCame => "they-came",
        }
    }
}

impl Connections {
    /// Why a session by `path` is the one by which `key` is used, if it is.
    pub fn reason(&self, session: SessionId, key: &PublicKey, path: PathKind) -> Option<&'static str> {
        self.is_current(session).then(|| self.why(key, path).as_str())
    }

    /// Why `key` is used by `path`.
    pub(super) fn why(&self, key: &PublicKey, path: PathKind) -> Why {
        let Some(peer) = self.peers.get(key) else {
            return Why::Answered;
        };
        let came = peer
            .links
            .by(path)
            .is_some_and(|link| link.dialler == Dialler::Them);
        match path {
            PathKind::Punched => Why::Punched,
            _ if peer.links.is_better_one_quiet(path) => Why::Silence,
            _ if came => Why::TheyCame,
            PathKind::Direct => Why::Answered,
            PathKind::Relayed if peer.policy(self.policy) == Policy::RelayOnly => Why::Policy,
            PathKind::Relayed => match peer.lost {
                Some(better) if better < path => Why::Lost(better),
                _ if peer.addresses.is_empty() => Why::NoAddress,
                _ => Why::NothingDirect,
            },
        }
    }
}
