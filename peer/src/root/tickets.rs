//! The ticket of a share: what it is, and where to find it.

use crate::client::{TrackerUrl, addresses};
use p2p_shared::{
    id::PublicKey,
    manifest::Manifest,
    ticket::{MAX_ADDRESSES, MAX_TRACKERS, Seeder, Ticket},
};
use std::net::{IpAddr, SocketAddr};

/// What a ticket says of whoever made it.
#[derive(Debug, Clone)]
pub(super) struct Maker {
    /// Its key.
    pub(super) key: PublicKey,
    /// Where its listener is bound.
    pub(super) listen: SocketAddr,
    /// Where trackers see it.
    pub(super) observed: Vec<IpAddr>,
}

/// A ticket for `manifest`, shared by `maker` and known to `trackers`.
pub(super) async fn make(manifest: Manifest, maker: &Maker, trackers: &[TrackerUrl]) -> Ticket {
    let mut addresses = addresses::reachable(maker.listen, trackers).await;
    // Behind a NAT with a forwarded port, others reach it where the tracker sees it.
    for observed in &maker.observed {
        let outside = SocketAddr::new(*observed, maker.listen.port());
        if maker.listen.ip().is_unspecified() && !observed.is_loopback() && !addresses.contains(&outside) {
            addresses.push(outside);
        }
    }
    addresses.truncate(MAX_ADDRESSES);
    Ticket {
        manifest,
        trackers: trackers
            .iter()
            .take(MAX_TRACKERS)
            .map(TrackerUrl::to_string)
            .collect(),
        seeders: vec![Seeder {
            key: maker.key,
            addresses,
        }],
        secret: None,
    }
}
