//! Where a peer may be reached over UDP, and which of these addresses is worth more than another.
//!
//! Promises that what [`usable`] lets through is an address that one probes without harm to anybody but its owner: no multicast, no
//! broadcast, nothing of the machine itself (unless both peers are on it), at most [`MAX_CANDIDATES`], each
//! once, best first. Never says whether anybody is there.

use crate::ticket::is_dialable;
use bincode::{Decode, Encode};
use std::{
    cmp::Reverse,
    fmt,
    net::{IpAddr, SocketAddr},
};

/// Candidates in an offer: a few interfaces of two families, a mapping, what two servers saw. An offer is a means to let a peer send
/// packets to an address, so there is no room for many.
pub const MAX_CANDIDATES: usize = 16;

/// How a peer came to an address. The order of the variants is that of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum CandidateKind {
    /// An interface's own IPv4 address.
    Lan,
    /// An interface's own IPv6 address.
    Ipv6,
    /// A port that the router opened when it was asked (UPnP, NAT-PMP, PCP).
    Mapped,
    /// The address that the tracker sees, with the port that the peer listens on: right without a NAT, or with a port that was forwarded by hand.
    Observed,
    /// What a STUN server sees, the NAT's mapping for this very socket.
    Reflexive,
}

impl CandidateKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Lan,
        Self::Ipv6,
        Self::Mapped,
        Self::Observed,
        Self::Reflexive,
    ];

    /// The name that people see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Ipv6 => "ipv6",
            Self::Mapped => "mapped",
            Self::Observed => "observed",
            Self::Reflexive => "reflexive",
        }
    }

    /// Larger is better: the fewer translators between the peers, the better. A LAN address that answers is in the same network; IPv6
    /// has no NAT; a mapping that the router promised lasts longer than one that packets keep open; a guess comes before the last
    /// because it costs nothing if it is wrong, and is the shorter way if it is right.
    pub fn rank(self) -> u8 {
        match self {
            Self::Lan => 5,
            Self::Ipv6 => 4,
            Self::Mapped => 3,
            Self::Observed => 2,
            Self::Reflexive => 1,
        }
    }
}

/// One address of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Candidate {
    /// How the peer came to it.
    pub kind: CandidateKind,
    /// IP address and UDP port. Scope and flow label of IPv6 do not travel.
    pub address: SocketAddr,
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.address)
    }
}

/// Whether the machine itself is a place to look for the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loopback {
    /// Both peers are on one machine (or seem to be: the tracker of both is on loopback).
    Allowed,
    /// The rule: nobody makes us probe what listens on our own machine.
    Refused,
}

/// What of `candidates` is to be offered, or to be probed: best first, each address once (under its best kind), at most
/// [`MAX_CANDIDATES`]. IPv4 in the clothes of IPv6 is undressed.
pub fn usable(candidates: impl IntoIterator<Item = Candidate>, loopback: Loopback) -> Vec<Candidate> {
    let mut usable: Vec<Candidate> = candidates
        .into_iter()
        .map(|candidate| Candidate {
            address: canonical(candidate.address),
            ..candidate
        })
        .filter(|candidate| is_probable(&candidate.address, loopback))
        .collect();
    // Stable: among equals the order of who offers counts.
    usable.sort_by_key(|candidate| Reverse(candidate.kind.rank()));
    let mut seen = Vec::with_capacity(MAX_CANDIDATES);
    usable.retain(|candidate| {
        let new = seen.len() < MAX_CANDIDATES && !seen.contains(&candidate.address);
        if new {
            seen.push(candidate.address);
        }
        new
    });
    usable
}

/// The one spelling of an address: IPv4 as IPv4, IPv6 without scope and flow label. Sockets of both families see IPv4 as
/// `::ffff:a.b.c.d`.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whether a peer could be behind this address, and it may be looked for there.
fn is_probable(address: &SocketAddr, loopback: Loopback) -> bool {
    let elsewhere = match address.ip() {
        // "This network" (RFC 1122) and what is reserved for ever (RFC 1112); 255.255.255.255 is the last of it.
        IpAddr::V4(ip) => !matches!(ip.octets()[0], 0 | 240..),
        // Without its scope a link-local address means nothing.
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    };
    is_dialable(address) && elsewhere && (loopback == Loopback::Allowed || !address.ip().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::{collection::vec, prelude::*, sample::select};

    fn candidate(kind: CandidateKind, address: &str) -> Candidate {
        let address = address.parse().unwrap();
        Candidate { kind, address }
    }

    fn addresses(candidates: &[Candidate]) -> Vec<String> {
        candidates
            .iter()
            .map(|candidate| candidate.address.to_string())
            .collect()
    }

    #[test]
    fn the_best_kind_comes_first_and_among_equals_the_first_offered() {
        let offered = [
            candidate(CandidateKind::Reflexive, "198.51.100.1:1"),
            candidate(CandidateKind::Lan, "10.0.0.1:1"),
            candidate(CandidateKind::Mapped, "198.51.100.1:2"),
            candidate(CandidateKind::Ipv6, "[2001:db8::1]:1"),
            candidate(CandidateKind::Observed, "198.51.100.1:3"),
            candidate(CandidateKind::Lan, "192.168.0.1:1"),
        ];
        let sorted = addresses(&usable(offered, Loopback::Refused));
        let expected = [
            "10.0.0.1:1",
            "192.168.0.1:1",
            "[2001:db8::1]:1",
            "198.51.100.1:2",
            "198.51.100.1:3",
            "198.51.100.1:1",
        ];
        assert_eq!(sorted, expected);
    }

    #[test]
    fn an_address_offered_twice_counts_once_under_its_best_kind() {
        let offered = [
            candidate(CandidateKind::Reflexive, "198.51.100.1:1"),
            candidate(CandidateKind::Lan, "198.51.100.1:1"),
            candidate(CandidateKind::Observed, "[::ffff:198.51.100.1]:1"),
        ];
        assert_eq!(
            usable(offered, Loopback::Refused),
            [candidate(CandidateKind::Lan, "198.51.100.1:1")]
        );
    }

    #[test]
    fn nobody_is_made_to_probe_what_is_no_peer() {
        let nobody = [
            "0.0.0.0:5",
            "0.1.2.3:5",
            "224.0.0.251:5353",
            "240.0.0.1:5",
            "255.255.255.255:9",
            "198.51.100.1:0",
            "127.0.0.1:53",
            "127.8.0.1:53",
            "[::]:5",
            "[::1]:5",
            "[::ffff:127.0.0.1]:5",
            "[ff02::fb]:5353",
            "[fe80::1]:5",
        ];
        for address in nobody {
            let offered = [candidate(CandidateKind::Lan, address)];
            assert_eq!(usable(offered, Loopback::Refused), [], "{address}");
        }
    }

    #[test]
    fn peers_on_one_machine_find_each_other_on_loopback() {
        let offered = [
            candidate(CandidateKind::Lan, "127.0.0.1:5"),
            candidate(CandidateKind::Ipv6, "[::1]:5"),
        ];
        assert_eq!(usable(offered, Loopback::Allowed), offered);
    }

    #[test]
    fn of_too_many_the_best_are_taken() {
        let many = (1..=40).map(|port| {
            let kind = if port > 30 {
                CandidateKind::Mapped
            } else {
                CandidateKind::Reflexive
            };
            candidate(kind, &format!("198.51.100.1:{port}"))
        });
        let taken = usable(many, Loopback::Refused);
        let ports: Vec<u16> = taken.iter().map(|candidate| candidate.address.port()).collect();
        let expected: Vec<u16> = (31..=40).chain(1..=6).collect();
        assert_eq!(ports, expected);
    }

    #[test]
    fn every_kind_has_its_own_rank_and_name() {
        for kind in CandidateKind::ALL {
            let same = CandidateKind::ALL
                .iter()
                .filter(|other| other.rank() == kind.rank() || other.name() == kind.name());
            assert_eq!(same.count(), 1, "{kind:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_offered_what_remains_is_bounded_sorted_and_single(
            offered in vec((select(CandidateKind::ALL.to_vec()), any::<(std::net::IpAddr, u16)>().prop_map(SocketAddr::from)), 0..60),
        ) {
            let offered = offered.into_iter().map(|(kind, address)| Candidate { kind, address });
            let taken = usable(offered, Loopback::Refused);
            prop_assert!(taken.len() <= MAX_CANDIDATES);
            prop_assert!(taken.is_sorted_by_key(|candidate| Reverse(candidate.kind.rank())));
            for (at, candidate) in taken.iter().enumerate() {
                prop_assert!(is_probable(&candidate.address, Loopback::Refused));
                prop_assert!(!taken[..at].iter().any(|other| other.address == candidate.address));
            }
            prop_assert_eq!(usable(taken.clone(), Loopback::Refused), taken);
        }
    }
}
