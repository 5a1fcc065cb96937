//! Registering with a tracker, staying registered, and what it says about peers.

use super::encoding;
use crate::id::{FileHash, PeerId, PublicKey};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// "I hold the secret half of this key; ask me for a proof."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChallengeRequest {
    /// The key that is to be registered.
    pub public_key: PublicKey,
}

/// What the peer has to answer. Valid once, and for a short time only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChallengeResponse {
    /// Names the challenge; repeated in the registration.
    #[serde(with = "encoding::hex32")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[0-9a-fA-F]{64}$"))]
    pub nonce: [u8; 32],
    /// The tracker's key of this challenge.
    pub ephemeral_key: PublicKey,
}

/// A registration, proved by the answer to a challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// Who registers.
    pub public_key: PublicKey,
    /// The challenge that is answered.
    #[serde(with = "encoding::hex32")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[0-9a-fA-F]{64}$"))]
    pub nonce: [u8; 32],
    /// The answer: the bytes of a [`Proof`](crate::crypto::identity).
    #[serde(with = "encoding::hex32")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[0-9a-fA-F]{64}$"))]
    pub proof: [u8; 32],
    /// Where the peer can be reached beside the address it is seen from.
    #[serde(default, deserialize_with = "encoding::addresses")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>, max_items = 16, example = json!(["192.0.2.7:6881"])))]
    pub addresses: Vec<SocketAddr>,
    /// The TCP port that the peer listens on at the address it is seen from; 0: it accepts no connections.
    pub port: u16,
    /// What the owner allows, if limited.
    #[serde(default)]
    pub bandwidth: Option<Bandwidth>,
    /// The peer's software, for people who look for the cause of something.
    #[serde(deserialize_with = "encoding::agent")]
    #[cfg_attr(feature = "openapi", schema(max_length = 64, pattern = "^[ -~]*$"))]
    pub agent: String,
}

/// The registration is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisterResponse {
    /// The name that follows from the key.
    pub peer_id: PeerId,
    /// Authorises this peer, and nobody else, until its lease has run out. Secret.
    pub token: String,
    /// Seconds without a heartbeat after which the peer counts as offline.
    pub lease: u32,
    /// Where the request came from.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "192.0.2.7"))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HeartbeatRequest {
    /// The new list of addresses, replacing the old one.
    #[serde(
        default,
        deserialize_with = "encoding::optional_addresses",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<String>>, max_items = 16, example = json!(["192.0.2.7:6881"])))]
    pub addresses: Option<Vec<SocketAddr>>,
    /// The new listening port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How rounds of hole punching ended since the last heartbeat that this tracker answered; absent: there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub punches: Option<PunchReport>,
}

/// Rounds of hole punching, counted by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PunchReport {
    /// A way was found and a connection runs on it.
    pub punched: u32,
    /// No probe came through.
    pub no_way: u32,
    /// Probes came through, a connection did not.
    pub no_connection: u32,
    /// There was no socket to send from.
    pub no_socket: u32,
    /// Too many other rounds were under way.
    pub busy: u32,
}

impl PunchReport {
    /// Each outcome by the name that it has in metrics.
    pub fn by_outcome(&self) -> [(&'static str, u32); 5] {
        [
            ("punched", self.punched),
            ("no-way", self.no_way),
            ("no-connection", self.no_connection),
            ("no-socket", self.no_socket),
            ("busy", self.busy),
        ]
    }
}

/// The lease starts again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HeartbeatResponse {
    /// Seconds without a heartbeat after which the peer counts as offline.
    pub lease: u32,
    /// Where this tracker relays, as in [`RegisterResponse`].
    #[serde(default)]
    pub relay_url: Option<String>,
}

/// What a peer's owner allows, in bytes per second; absent: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PeerStatus {
    /// It does, and is handed out.
    Online,
    /// It does not, and is handed to nobody.
    Offline,
}

/// What the tracker knows about a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PeerRecord {
    /// The short name, derived from the key.
    pub peer_id: PeerId,
    /// Who it is.
    pub public_key: PublicKey,
    /// Where to reach it, as far as the asking peer may know: private addresses go only to the same network.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>, example = json!(["192.0.2.7:6881"])))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PeersPage {
    /// In the order of their ids.
    pub peers: Vec<PeerRecord>,
    /// The `cursor` of the next page; absent on the last.
    #[serde(default)]
    pub next: Option<String>,
}

/// A hand-out: peers of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
