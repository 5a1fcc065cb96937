//! Where this machine may be reached: the local addresses that a route to the tracker, and to the world, starts
//! from. Nothing is sent to find out: connecting a UDP socket only asks the system for a route.

use super::TrackerUrl;
use crate::connection::Policy;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::net::UdpSocket;

/// Addresses reserved for documentation: nobody is there, and the default route leads to them.
const SOMEWHERE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// A name server that does not answer must not hold up a registration.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// Which addresses of this peer others are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// None: it is to be reached through relays only.
    Nothing,
    /// Those under which this listener may be reached, and where trackers see it.
    Found(SocketAddr),
    /// These, whatever is found.
    These(Vec<SocketAddr>),
}

impl Told {
    /// What holds for a listener at `listen`.
    pub fn of(listen: SocketAddr, announce: &[SocketAddr], policy: Policy) -> Self {
        match (policy, announce) {
            (Policy::RelayOnly, _) => Self::Nothing,
            (_, []) => Self::Found(listen),
            (_, these) => Self::These(these.to_vec()),
        }
    }

    /// The addresses themselves; those of the interfaces lead to `trackers`.
    pub async fn addresses(&self, trackers: &[TrackerUrl]) -> Vec<SocketAddr> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Found(listen) => reachable(*listen, trackers).await,
            Self::These(these) => these.clone(),
        }
    }

    /// The port at which this peer is reached where a tracker sees it; 0: not there.
    pub fn port(&self) -> u16 {
        match self {
            Self::Found(listen) => listen.port(),
            Self::Nothing | Self::These(_) => 0,
        }
    }
}

/// The addresses under which a listener bound to `listen` is reached: that one, or, if it is bound to all
/// interfaces, those of the interfaces that lead to `trackers` and to the default route. Loopback only if there is
/// nothing else.
pub(crate) async fn reachable(listen: SocketAddr, trackers: &[TrackerUrl]) -> Vec<SocketAddr> {
    if !listen.ip().is_unspecified() {
        return vec![listen];
    }
    let mut found = Vec::new();
    for target in targets(trackers).await {
        if let Some(local) = source_towards(target).await
            && same_family(local, listen)
            && !found.contains(&local)
        {
            found.push(local);
        }
    }
    if found.iter().any(|address| !address.is_loopback()) {
        found.retain(|address| !address.is_loopback());
    } else if found.is_empty() {
        found.push(match listen.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    found
        .into_iter()
        .map(|address| SocketAddr::new(address, listen.port()))
        .collect()
}

/// The addresses of this machine from which the world is reached, of each family at most one.
pub(crate) async fn routes() -> Vec<IpAddr> {
    let mut found = Vec::new();
    for address in SOMEWHERE {
        found.extend(source_towards(SocketAddr::new(address, 9)).await);
    }
    found
}

async fn targets(trackers: &[TrackerUrl]) -> Vec<SocketAddr> {
    let mut targets: Vec<_> = SOMEWHERE
        .iter()
        .map(|address| SocketAddr::new(*address, 9))
        .collect();
    for tracker in trackers {
        let lookup = tokio::net::lookup_host(tracker.host_and_port());
        // A tracker whose name cannot be resolved tells nothing about routes; calling it will say so.
        if let Ok(Ok(addresses)) = tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await {
            targets.extend(addresses);
        }
    }
    targets
}

/// The address that packets to `target` would come from; none without a route.
async fn source_towards(target: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = match target {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await.ok()?;
    socket.connect(target).await.ok()?;
    let local = socket.local_addr().ok()?.ip();
    (!local.is_unspecified() && !is_link_local(local)).then_some(local)
}

/// Link-local IPv6 needs a zone, which is different on the other side.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

fn same_family(address: IpAddr, listen: SocketAddr) -> bool {
    address.is_ipv4() == listen.is_ipv4() || listen.is_ipv6()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_hides_tells_nothing_and_who_says_where_it_is_tells_that_alone() {
        let listen: SocketAddr = "127.0.0.1:7".parse().unwrap();
        let outside: SocketAddr = "203.0.113.7:70".parse().unwrap();
        for (announce, policy, addresses, port) in [
            (vec![], Policy::Auto, vec![listen], 7),
            (vec![outside], Policy::DirectOnly, vec![outside], 0),
            (vec![outside], Policy::RelayOnly, vec![], 0),
            (vec![], Policy::RelayOnly, vec![], 0),
        ] {
            let told = Told::of(listen, &announce, policy);
            assert_eq!((told.addresses(&[]).await, told.port()), (addresses, port));
        }
    }

    #[tokio::test]
    async fn a_listener_on_one_address_is_reached_there_alone() {
        let listen = "127.0.0.1:6881".parse().unwrap();
        assert_eq!(reachable(listen, &[]).await, [listen]);
    }

    #[tokio::test]
    async fn a_listener_on_all_interfaces_is_reached_on_real_addresses_with_its_port() {
        let tracker = "http://127.0.0.1:8080".parse().unwrap();
        let found = reachable("0.0.0.0:6881".parse().unwrap(), &[tracker]).await;
        assert!(!found.is_empty());
        for address in &found {
            assert!(address.is_ipv4() && !address.ip().is_unspecified(), "{address}");
            assert_eq!(address.port(), 6881);
        }
    }
}
