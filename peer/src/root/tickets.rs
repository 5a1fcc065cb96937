//! The ticket of a share: what it is, and where to find it.

use crate::client::{Told, TrackerUrl};
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
    /// Where others are told that it is.
    pub(super) told: Told,
    /// Where trackers see it.
    pub(super) observed: Vec<IpAddr>,
}

/// A ticket for `manifest`, shared by `maker` and known to `trackers`.
pub(super) async fn make(manifest: Manifest, maker: &Maker, trackers: &[TrackerUrl]) -> Ticket {
    let mut addresses = maker.told.addresses(trackers).await;
    if let Told::Found(listen) = maker.told {
        add_observed(&mut addresses, listen, &maker.observed);
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

/// Behind a NAT with a forwarded port, others reach it where the tracker sees it.
fn add_observed(addresses: &mut Vec<SocketAddr>, listen: SocketAddr, observed: &[IpAddr]) {
    for observed in observed {
        let outside = SocketAddr::new(*observed, listen.port());
        if listen.ip().is_unspecified() && !observed.is_loopback() && !addresses.contains(&outside) {
            addresses.push(outside);
        }
    }
}
