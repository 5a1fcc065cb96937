//! Which addresses a peer may list, and who is told which of them.
//!
//! A peer is reachable at the address it is seen from and at those it lists. Addresses that mean something else in
//! another network (private, loopback) go only to peers of the same network: handed to a stranger they would make it
//! knock on doors of its own. Never resolves a name and never connects anywhere.

use crate::storage::Contact;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Why an address that a peer lists is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} cannot be handed to other peers: {reason}")]
pub(crate) struct BadAddress {
    address: SocketAddr,
    reason: &'static str,
}

/// How far an address reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// This machine.
    Host,
    /// A private network: RFC 1918, RFC 6598 (carrier NAT), RFC 4193.
    Site,
    /// Everywhere.
    World,
}

/// An IPv4 address that arrived in IPv6 clothes (RFC 4291 section 2.5.5.2) is the IPv4 address.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The addresses in canonical form, without repetitions, or the first that nobody could ever dial.
pub(crate) fn check_listed(addresses: &[SocketAddr]) -> Result<Box<[SocketAddr]>, BadAddress> {
    let mut checked = Vec::with_capacity(addresses.len());
    for address in addresses.iter().copied().map(canonical) {
        if let Some(reason) = fault(address) {
            return Err(BadAddress { address, reason });
        }
        if !checked.contains(&address) {
            checked.push(address);
        }
    }
    Ok(checked.into())
}

fn fault(address: SocketAddr) -> Option<&'static str> {
    if address.port() == 0 {
        return Some("its port is 0");
    }
    let ip = address.ip();
    if ip.is_unspecified() {
        return Some("it is the unspecified address; list a real one or none");
    }
    if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Some("it is a multicast or broadcast address");
    }
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    link_local.then_some("it is link-local and means something else on every link")
}

fn reach(ip: IpAddr) -> Reach {
    match ip.to_canonical() {
        ip if ip.is_loopback() => Reach::Host,
        IpAddr::V4(ip) if ip.is_private() || is_carrier_nat(ip) || ip.is_link_local() => Reach::Site,
        IpAddr::V6(ip) if is_unique_local(ip) || ip.is_unicast_link_local() => Reach::Site,
        _ => Reach::World,
    }
}

fn is_carrier_nat(ip: Ipv4Addr) -> bool {
    ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64
}

fn is_unique_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xfe00 == 0xfc00
}

/// The addresses of a peer that may be told to someone who is seen from `asker`, the observed one first.
pub(crate) fn visible_to(contact: &Contact, asker: IpAddr) -> Vec<SocketAddr> {
    let mut visible = Vec::with_capacity(contact.listed.len() + 1);
    for address in all(contact) {
        if may_know(address.ip(), contact.observed, asker) && !visible.contains(&address) {
            visible.push(address);
        }
    }
    visible
}

/// Every address of a peer, for an operator.
pub(crate) fn all(contact: &Contact) -> impl Iterator<Item = SocketAddr> + '_ {
    let observed = SocketAddr::new(contact.observed, contact.port);
    let observed = (contact.port != 0).then_some(observed);
    observed.into_iter().chain(contact.listed.iter().copied())
}

/// Whether an address of a peer seen from `owner` means the same to one seen from `asker`.
///
/// Seen from one address, both are on one machine or behind one NAT. Seen from two private addresses, both share the
/// private network that the tracker is in.
fn may_know(address: IpAddr, owner: IpAddr, asker: IpAddr) -> bool {
    let same_place = owner == asker;
    match reach(address) {
        Reach::World => true,
        Reach::Site => same_place || (reach(owner) != Reach::World && reach(asker) != Reach::World),
        Reach::Host => same_place || (reach(owner) == Reach::Host && reach(asker) == Reach::Host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(observed: &str, port: u16, listed: &[&str]) -> Contact {
        Contact {
            observed: observed.parse().unwrap(),
            port,
            listed: listed.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    fn seen(contact: &Contact, asker: &str) -> Vec<String> {
        let asker = asker.parse().unwrap();
        visible_to(contact, asker)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn addresses_that_nobody_can_dial_are_refused_by_name() {
        for (text, part) in [
            ("0.0.0.0:6881", "unspecified"),
            ("[::]:6881", "unspecified"),
            ("203.0.113.7:0", "port is 0"),
            ("224.0.0.1:6881", "multicast"),
            ("[ff02::1]:6881", "multicast"),
            ("255.255.255.255:6881", "broadcast"),
            ("169.254.1.1:6881", "link-local"),
            ("[fe80::1]:6881", "link-local"),
            ("[::ffff:169.254.1.1]:6881", "link-local"),
            ("[::ffff:0.0.0.0]:6881", "unspecified"),
        ] {
            let error = check_listed(&[text.parse().unwrap()]).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn listed_addresses_are_kept_once_in_canonical_form() {
        let addresses = ["[::ffff:203.0.113.7]:1", "203.0.113.7:1", "[2001:db8::1]:1"];
        let listed = check_listed(&addresses.map(|text| text.parse().unwrap())).unwrap();
        assert_eq!(
            *listed,
            [
                "203.0.113.7:1".parse().unwrap(),
                "[2001:db8::1]:1".parse().unwrap()
            ]
        );
    }

    #[test]
    fn a_stranger_learns_public_addresses_only() {
        let contact = contact(
            "203.0.113.7",
            6881,
            &[
                "192.168.1.5:6881",
                "127.0.0.1:6881",
                "[2001:db8::5]:6881",
                "[fd00::5]:6881",
            ],
        );
        assert_eq!(
            seen(&contact, "198.51.100.9"),
            ["203.0.113.7:6881", "[2001:db8::5]:6881"]
        );
    }

    #[test]
    fn a_peer_behind_the_same_nat_learns_private_addresses_too() {
        let contact = contact("203.0.113.7", 6881, &["192.168.1.5:6881"]);
        assert_eq!(
            seen(&contact, "203.0.113.7"),
            ["203.0.113.7:6881", "192.168.1.5:6881"]
        );
    }

    #[test]
    fn peers_in_the_private_network_of_the_tracker_find_each_other() {
        let contact = contact("192.168.1.5", 6881, &["127.0.0.1:6881"]);
        assert_eq!(seen(&contact, "192.168.1.6"), ["192.168.1.5:6881"]);
        assert_eq!(seen(&contact, "127.0.0.1"), ["192.168.1.5:6881"]);
        assert!(seen(&contact, "203.0.113.7").is_empty());
    }

    #[test]
    fn loopback_is_known_on_the_same_machine_only() {
        let contact = contact("127.0.0.1", 6881, &[]);
        assert_eq!(seen(&contact, "127.0.0.1"), ["127.0.0.1:6881"]);
        assert_eq!(seen(&contact, "::1"), ["127.0.0.1:6881"]);
        assert!(seen(&contact, "192.168.1.6").is_empty());
        assert!(seen(&contact, "203.0.113.7").is_empty());
    }

    #[test]
    fn a_peer_that_accepts_no_connections_is_not_at_its_observed_address() {
        assert!(seen(&contact("203.0.113.7", 0, &[]), "203.0.113.7").is_empty());
    }

    #[test]
    fn carrier_nat_addresses_count_as_private() {
        for (ip, expected) in [
            ("100.64.0.1", Reach::Site),
            ("100.127.255.255", Reach::Site),
            ("100.63.0.1", Reach::World),
            ("100.128.0.1", Reach::World),
        ] {
            assert_eq!(reach(ip.parse().unwrap()), expected, "{ip}");
        }
    }
}
