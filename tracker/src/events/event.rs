//! What can happen, and how it is written down.

use bytestring::ByteString;
use p2p_shared::id::{FileHash, PeerId};
use serde::{Deserialize, Serialize};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Event {
    /// A peer registered.
    PeerOnline {
        /// Which.
        peer_id: PeerId,
    },
    /// A peer left, or its lease ran out.
    PeerOffline {
        /// Which.
        peer_id: PeerId,
    },
    /// A file is in the catalogue.
    FileAnnounced {
        /// Which.
        hash: FileHash,
        /// Its bytes.
        size: u64,
    },
    /// A file is in the catalogue no more.
    FileRemoved {
        /// Which.
        hash: FileHash,
    },
    /// Peers joined or left the swarm of a file; at most once a second a file.
    Swarm {
        /// Which.
        hash: FileHash,
        /// Online peers that hold all of it.
        seeders: u32,
        /// Online peers that hold part of it.
        leechers: u32,
    },
    /// Peers or tunnels at the relay changed; at most once a second.
    Relay {
        /// Peers connected.
        connections: u64,
        /// Tunnels between them.
        tunnels: u64,
    },
    /// How much is done, over the last seconds.
    Rates(Rates),
    /// Another tracker of the same database is there.
    ReplicaUp {
        /// Its name.
        name: String,
    },
    /// Another tracker of the same database is gone.
    ReplicaDown {
        /// Its name.
        name: String,
    },
}

/// Rates, per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rates {
    /// HTTP requests answered.
    pub(crate) requests: f64,
    /// Announcements taken or refused.
    pub(crate) announces: f64,
    /// Bytes through the relay.
    pub(crate) relay_bytes: f64,
}

/// What kinds of events there are, to choose among.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Topic {
    /// Peers that come and go.
    Peers,
    /// Files that come and go.
    Files,
    /// How many have a file.
    Swarms,
    /// The relay.
    Relay,
    /// Rates.
    Rates,
    /// Other trackers.
    Replicas,
}

impl Event {
    /// Its kind.
    pub(crate) fn topic(&self) -> Topic {
        match self {
            Self::PeerOnline { .. } | Self::PeerOffline { .. } => Topic::Peers,
            Self::FileAnnounced { .. } | Self::FileRemoved { .. } => Topic::Files,
            Self::Swarm { .. } => Topic::Swarms,
            Self::Relay { .. } => Topic::Relay,
            Self::Rates(_) => Topic::Rates,
            Self::ReplicaUp { .. } | Self::ReplicaDown { .. } => Topic::Replicas,
        }
    }

    /// The file that it is about, if it is about one.
    pub(crate) fn file(&self) -> Option<&FileHash> {
        match self {
            Self::FileAnnounced { hash, .. } | Self::FileRemoved { hash } | Self::Swarm { hash, .. } => {
                Some(hash)
            }
            _ => None,
        }
    }
}

/// What goes to the sessions.
#[derive(Debug)]
pub(crate) enum Published {
    /// Something happened. Written down once for all of them.
    Event {
        /// What, to choose by.
        event: Event,
        /// The message.
        text: ByteString,
    },
    /// Events were lost on the way here: everybody begins anew.
    Resync {
        /// How many.
        missed: u64,
    },
}

/// An event with what every message has.
#[derive(Serialize)]
struct Numbered<'a> {
    seq: u64,
    at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    replica: Option<&'a str>,
    #[serde(flatten)]
    event: &'a Event,
}

impl Published {
    /// The event number `seq`, at `at` (Unix milliseconds), of another replica if one is named.
    pub(crate) fn new(
        event: Event,
        seq: u64,
        at: u64,
        replica: Option<&str>,
    ) -> Result<Self, serde_json::Error> {
        let numbered = Numbered {
            seq,
            at,
            replica,
            event: &event,
        };
        let text = serde_json::to_string(&numbered)?.into();
        Ok(Self::Event { event, text })
    }
}
