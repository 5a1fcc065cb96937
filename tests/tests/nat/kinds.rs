//! The laboratory's own truth: every kind is what its name says, found with plain sockets.

use p2p_tests::netlab::probe::{self, Found, INSIDE};
use p2p_tests::netlab::{self, Kind, Nat, Net, Plan};
use p2p_tests::side_by_side::side_by_side;
use std::net::SocketAddr;

/// Most of a probe is waiting for what should not come.
const AT_ONCE: usize = 8;

fn kind(name: &str) -> Kind {
    name.parse().unwrap()
}

#[test]
fn every_kind_maps_filters_and_blocks_as_it_says() {
    if !netlab::permitted() {
        return;
    }
    side_by_side(&Kind::ALL, AT_ONCE, |name| {
        let kind = kind(name);
        let public = if kind.is_v6 { "v6" } else { "none" };
        let net = Plan::named(&[name, public]).build();
        check(&net, kind, &probe::look(&net));
    });
}

#[track_caller]
fn check(net: &Net, kind: Kind, found: &Found) {
    let site = &net.sites[0];
    assert_eq!(found.mapped.is_some(), kind.has_udp(), "{kind}: {found:?}");
    if let Some([one, other]) = found.mapped {
        let own = SocketAddr::new(site.address(1), INSIDE);
        assert_eq!(one.ip(), site.dialled(1), "{kind}: others see it where it says");
        assert_eq!(one == other, kind.keeps_its_mapping(), "{kind}: {found:?}");
        assert_eq!(one == own, kind.is_public(), "{kind}: {found:?}");
        let keeps_its_port = kind.keeps_its_mapping() && kind.home != Nat::Remap;
        assert!(!keeps_its_port || one.port() == INSIDE, "{kind}: {found:?}");
        assert!(
            kind.home != Nat::Remap || one.port() != INSIDE,
            "{kind}: {found:?}"
        );
        assert_eq!(found.filtering, Some(kind.filtering()), "{kind}");
    }
    assert!(found.tcp_443, "{kind}: the one port that all let through");
    assert_eq!(found.tcp_other, kind.home != Nat::Tcp443, "{kind}");
    assert_eq!(found.tcp_in, kind.takes_tcp(), "{kind}");
}

#[test]
fn pairs_punch_as_their_kinds_allow() {
    let kinds = [
        "none",
        "full",
        "addr",
        "port",
        "sym",
        "cgnat-port",
        "cgsym-port",
        "noudp",
    ];
    if !netlab::permitted() {
        return;
    }
    let pairs: Vec<_> = (0..kinds.len())
        .flat_map(|n| kinds[n..].iter().map(move |b| (kinds[n], *b)))
        .chain([("v6", "v6-fw"), ("v6-fw", "v6-fw")])
        .collect();
    side_by_side(&pairs, AT_ONCE, |(a, b)| {
        let expected = kind(a).punches(kind(b));
        let net = Plan::named(&[a, b]).build();
        assert_eq!(probe::punch(&net, expected).is_some(), expected, "{a} with {b}");
    });
}

#[test]
fn two_peers_behind_one_nat_meet_inside_and_outside_only_where_it_turns_them_back() {
    if !netlab::permitted() {
        return;
    }
    for (name, hairpin) in [("full", true), ("port", false)] {
        let net = Plan::named(&[name]).peers(2).build();
        let site = &net.sites[0];
        let inside = [2, 1].map(|n| SocketAddr::new(site.address(n), INSIDE));
        assert!(
            probe::dials(&site.peers[0], &site.peers[1], inside[0], true),
            "{name}"
        );
        let sockets = [0, 1].map(|n: usize| probe::socket(&site.peers[n], false, INSIDE + n as u16));
        let tracker = probe::Watch::at_tracker(&net, false);
        let outside = [0, 1].map(|n: usize| tracker.sees(&sockets[n], site).unwrap()[0]);
        let met = probe::between(&sockets, [outside[1], outside[0]], hairpin);
        assert_eq!(met.is_some(), hairpin, "{name}");
    }
}
