//! How each tracker stands, as the actor publishes it and everybody else reads it.

use super::{CallError, TrackerUrl};
use crate::relay::RelayAddress;
use p2p_shared::id::FileHash;
use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

/// How every tracker in use stands.
#[derive(Debug, Clone, Default)]
pub struct ClientStatus {
    /// In the order of their addresses.
    pub trackers: BTreeMap<TrackerUrl, TrackerStatus>,
}

/// How one tracker stands.
#[derive(Debug, Clone, Default)]
pub struct TrackerStatus {
    /// The token of the registration; none while there is no registration.
    pub(crate) token: Option<Arc<str>>,
    /// Its relay, while there is a registration.
    pub(crate) relay: Option<RelayAddress>,
    /// The UDP ports on which its host answers STUN.
    pub(crate) udp_ports: Vec<u16>,
    /// Where the tracker sees this peer.
    pub observed: Option<IpAddr>,
    /// What the last call failed with; none after a success.
    pub error: Option<CallError>,
    /// The files that the tracker knows this peer has.
    pub announced: HashSet<FileHash>,
    /// Files whose announcement was refused, and why.
    pub refused: BTreeMap<FileHash, CallError>,
}

impl TrackerStatus {
    /// Whether this peer is registered there.
    pub fn is_registered(&self) -> bool {
        self.token.is_some()
    }

    /// How announcing `hash` went; none while that is not decided.
    pub fn announced(&self, hash: &FileHash) -> Option<Result<(), CallError>> {
        if self.announced.contains(hash) {
            return Some(Ok(()));
        }
        let error = self.refused.get(hash).or(self.error.as_ref())?;
        Some(Err(error.clone()))
    }
}
