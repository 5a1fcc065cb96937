//! The product's programs on the machines of a laboratory.
//!
//! Promises a tracker that is reached by both families on the one port that every kind lets through, with its API key, and peers that listen where a peer
//! does by default, with everything that they know coming from the tracker and a ticket.

use super::namespace::Namespace;
use super::net::{Net, TRACKER_PORT};
use crate::lab::Lab;
use crate::process::Launch;
use crate::programs::{Peer, Tracker};
use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;

/// A tracker that runs in the laboratory.
#[derive(Debug)]
pub struct PublicTracker {
    /// The program.
    pub tracker: Tracker,
    key: String,
}

impl PublicTracker {
    /// Starts it.
    pub fn start(lab: &Lab, net: &Net) -> Self {
        Self::start_with(lab, net, &[])
    }

    /// Starts it with further flags.
    pub fn start_with(lab: &Lab, net: &Net, flags: &[&str]) -> Self {
        let at = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), TRACKER_PORT);
        let tracker = Tracker::start_at(lab, at, |launch| launch.inside(&net.tracker).args(flags));
        let key = |line: &str| line.trim().starts_with("p2pk_").then(|| line.trim().to_owned());
        let (key, _) = tracker.program.wait_err(0, "its API key", key);
        Self { tracker, key }
    }

    /// The API key that it made at its first start.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Kills it and starts it again, with the same data and these flags.
    pub fn restart(self, net: &Net, flags: &[&str]) -> Self {
        let Self { tracker, key } = self;
        let tracker = tracker.restart_with(|launch| launch.inside(&net.tracker).args(flags));
        Self { tracker, key }
    }
}

/// A peer on a machine of the laboratory.
#[derive(Debug, Clone)]
pub struct PlacedPeer {
    peer: Peer,
    place: Namespace,
    url: String,
    key: String,
    listen: &'static str,
}

impl PlacedPeer {
    /// The `number`th peer, from 0 on, of this site; its folder is called `name`.
    pub fn new(
        lab: &Lab,
        name: &str,
        tracker: &PublicTracker,
        (net, site, number): (&Net, usize, usize),
    ) -> Self {
        let site = &net.sites[site];
        let url = format!("http://{}", SocketAddr::new(site.tracker(), TRACKER_PORT));
        Self {
            peer: Peer::new(lab, name).tracker_at(&url),
            place: site.peers[number].clone(),
            url,
            key: tracker.key.clone(),
            listen: if site.kind.is_v6 {
                "[::]:6881"
            } else {
                "0.0.0.0:6881"
            },
        }
    }

    /// `share PATH`.
    pub fn share(&self, path: &Path) -> Launch {
        self.placed(self.peer.share(path))
    }

    /// `get TICKET --output FOLDER`.
    pub fn get(&self, ticket: &str, output: &Path) -> Launch {
        self.placed(self.peer.get(ticket, output))
    }

    /// `doctor`, which looks at the network from there.
    pub fn doctor(&self) -> Launch {
        self.placed(self.peer.command("doctor").arg("--tracker").arg(&self.url))
    }

    fn placed(&self, launch: Launch) -> Launch {
        launch
            .inside(&self.place)
            .env("P2P_API_KEY", &self.key)
            .env("P2P_LISTEN", self.listen)
    }
}
