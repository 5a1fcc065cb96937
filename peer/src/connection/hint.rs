//! Who may have a file, and the ways to them that somebody named.

use p2p_shared::{id::PublicKey, protocol::PeerHint};
use std::net::SocketAddr;

pub use crate::relay::RelayAddress;

/// A peer that may have a file. Whoever is reached proves its key, so a wrong hint costs an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Who.
    pub key: PublicKey,
    /// Where it may listen.
    pub addresses: Vec<SocketAddr>,
    /// The relays that it may be connected to.
    pub relays: Vec<RelayAddress>,
}

impl From<PeerHint> for Hint {
    fn from(hint: PeerHint) -> Self {
        Self {
            key: hint.key,
            addresses: hint.addresses,
            relays: Vec::new(),
        }
    }
}
