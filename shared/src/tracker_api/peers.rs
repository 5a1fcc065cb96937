//! Registering with a tracker, staying registered, and what it says about peers.

use super::encoding;
use crate::id::{FileHash, PeerId, PublicKey};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// "I hold the secret half of this key; ask me for a proof."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeRequest {
    /// The key that is to be registered.
    pub public_key: PublicKey,
}

/// What the peer has to answer. Valid once, and for a short time only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeResponse {
    /// Names the challenge; repeated in the registration.
    #[serde(with = "encoding::hex32")]
    pub nonce: [u8; 32],
    /// The tracker's key of this challenge.
    pub ephemeral_key: PublicKey,
}

/// A registration, proved by the answer to a challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// Who registers.
    pub public_key: PublicKey,
    /// The challenge that is answered.
    #[serde(with = "encoding::hex32")]
    pub nonce: [u8; 32],
    /// The answer: the bytes of a [`Proof`](crate::crypto::identity).
    #[serde(with = "encoding::hex32")]
    pub proof: [u8; 32],
    /// Where the peer can be reached beside the address it is seen from.
    #[serde(default, deserialize_with = "encoding::addresses")]
    pub addresses: Vec<SocketAddr>,
    /// The TCP port that the peer listens on at the address it is seen from; 0: it accepts no connections.
    pub port: u16,
    /// What the owner allows, if limited.
    #[serde(default)]
    pub bandwidth: Option<Bandwidth>,
    /// The peer's software, for people who look for the cause of something.
    #[serde(deserialize_with = "encoding::agent")]
    pub agent: String,
}

/// The registration is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterResponse {
    /// The name that follows from the key.
    pub peer_id: PeerId,
    /// Authorises this peer, and nobody else, until its lease has run out. Secret.
    pub token: String,
    /// Seconds without a heartbeat after which the peer counts as offline.
    pub lease: u32,
    /// Where the request came from.
    pub observed_address: IpAddr,
    /// Where this tracker relays: a `ws` or `wss` URL, or a path below the tracker's own.
    #[serde(default)]
    pub relay_url: Option<String>,
    /// UDP ports at which this tracker's host answers STUN Binding requests (RFC 8489): two, or none.
    #[serde(default)]
    pub udp_ports: Vec<u16>,
}

/// "Still here." Says what has changed; what is absent stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatRequest {
    /// The new list of addresses, replacing the old one.
    #[serde(
        default,
        deserialize_with = "encoding::optional_addresses",
        skip_serializing_if = "Option::is_none"
    )]
    pub addresses: Option<Vec<SocketAddr>>,
    /// The new listening port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// The lease starts again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatResponse {
    /// Seconds without a heartbeat after which the peer counts as offline.
    pub lease: u32,
}

/// What a peer's owner allows, in bytes per second; absent: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bandwidth {
    /// To others.
    #[serde(default)]
    pub upload: Option<u64>,
    /// From others.
    #[serde(default)]
    pub download: Option<u64>,
}

/// Whether a peer keeps its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerStatus {
    /// It does, and is handed out.
    Online,
    /// It does not, and is handed to nobody.
    Offline,
}

/// What the tracker knows about a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRecord {
    /// The short name, derived from the key.
    pub peer_id: PeerId,
    /// Who it is.
    pub public_key: PublicKey,
    /// Where to reach it, as far as the asking peer may know: private addresses go only to the same network.
    pub addresses: Vec<SocketAddr>,
    /// Whether its lease runs.
    pub status: PeerStatus,
    /// How many files it has announced.
    pub files: u32,
    /// When it was heard of last, Unix seconds.
    pub last_seen: u64,
    /// What its owner allows, if limited.
    #[serde(default)]
    pub bandwidth: Option<Bandwidth>,
    /// The relay that it is connected to, as in [`RegisterResponse`].
    #[serde(default)]
    pub relay_url: Option<String>,
    /// In the peer list of a file: whether it holds the whole file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeder: Option<bool>,
}

/// One page of the peers that the tracker knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeersPage {
    /// In the order of their ids.
    pub peers: Vec<PeerRecord>,
    /// The `cursor` of the next page; absent on the last.
    #[serde(default)]
    pub next: Option<String>,
}

/// A hand-out: peers of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePeers {
    /// The file asked about.
    pub hash: FileHash,
    /// Some of its peers, the asking one not among them.
    pub peers: Vec<PeerRecord>,
    /// How many online peers hold all of it.
    pub seeders: u32,
    /// How many online peers hold part of it or none yet.
    pub leechers: u32,
    /// Seconds to wait before asking again.
    pub interval: u32,
}
