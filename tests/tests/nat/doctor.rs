//! `doctor` behind every kind of NAT: it names the kind, says what to do, and forgets no path that the kinds allow.

use p2p_tests::lab::Lab;
use p2p_tests::netlab::cast::{PlacedPeer, PublicTracker};
use p2p_tests::netlab::{self, Kind, Plan};
use p2p_tests::side_by_side::side_by_side;
use serde_json::Value;
use std::time::Duration;

/// Most of an examination is waiting for routers that do not answer.
const AT_ONCE: usize = 8;

const RTT: Duration = Duration::from_millis(20);

/// Whoever stands for a kind of peer that the doctor speaks of.
const OTHERS: &[(&str, &[&str])] = &[
    ("open", &["none"]),
    ("nat", &["full", "addr", "port", "remap", "cgnat-port"]),
    ("symmetric-nat", &["sym", "cgsym-port"]),
    ("no-udp", &["noudp", "tcp443"]),
];

/// The same for who has IPv6 alone.
const OTHERS_V6: &[(&str, &[&str])] = &[("ipv6", &["v6", "v6-fw"])];

/// What it is to say: the kind of NAT, the state of UDP, and words of its advice.
fn expected(kind: Kind) -> (&'static str, &'static str, &'static str) {
    if !kind.has_udp() {
        ("blocked", "failed", "Allow outgoing UDP in the firewall")
    } else if kind.is_public() {
        ("none", "ok", "If a firewall stands before this machine")
    } else if kind.keeps_its_mapping() {
        ("endpoint-independent", "ok", "work by hole punching")
    } else {
        (
            "address-dependent",
            "ok",
            "only with peers that are reachable themselves",
        )
    }
}

#[test]
fn it_says_which_nat_there_is_and_what_to_do_about_it() {
    if !netlab::permitted() {
        return;
    }
    side_by_side(&Kind::ALL, AT_ONCE, |name| {
        let kind: Kind = name.parse().expect("a kind");
        examine(kind);
    });
}

fn examine(kind: Kind) {
    let lab = Lab::new();
    let net = Plan::of(&[kind]).rtt(RTT).build();
    let tracker = PublicTracker::start(&lab, &net);
    let peer = PlacedPeer::new(&lab, "peer", &tracker, (&net, 0, 0));
    let ended = peer.doctor().run().expect_code(0);
    let events = ended.events();
    let finding = |check: &str| {
        let found = events.iter().find(|event| event["check"] == check);
        found.unwrap_or_else(|| panic!("{kind}: no {check} in\n{}", ended.out))
    };
    let (nat, udp, advice) = expected(kind);
    let said = finding("nat");
    assert_eq!(said["nat"], nat, "{kind}: {said}");
    assert!(
        said["advice"].as_str().is_some_and(|said| said.contains(advice)),
        "{kind}: {said}"
    );
    assert_eq!(finding("udp")["state"], udp, "{kind}: {}", finding("udp"));
    if kind.has_udp() {
        let seen: std::net::SocketAddr = said["addresses"][0]
            .as_str()
            .expect("an address")
            .parse()
            .expect("an address");
        assert_eq!(seen.ip(), net.sites[0].dialled(1), "{kind}: where others see it");
    }
    for check in ["tracker", "clock", "registration", "relay", "listener"] {
        assert_eq!(finding(check)["state"], "ok", "{kind}: {}", finding(check));
    }
    for check in ["tracker", "relay"] {
        let latency = finding(check)["latency_ms"].as_f64().expect("a latency");
        assert!(
            latency >= RTT.as_secs_f64() * 1e3,
            "{kind}: {check} {latency} ms away"
        );
    }
    let mapping = finding("port-mapping");
    // A router that knows none of these protocols; where others see our own address nobody asks it.
    let state = if kind.is_public() { "skipped" } else { "warning" };
    assert_eq!(mapping["state"], state, "{kind}: {mapping}");
    let verdict = events
        .iter()
        .find(|event| event["event"] == "verdict")
        .expect("a verdict");
    check_paths(kind, verdict);
}

/// Each way that is really the best between these kinds is among those that were named, and what is promised alone is true.
fn check_paths(kind: Kind, verdict: &Value) {
    assert_eq!(verdict["transfers"], true, "{kind}: {verdict}");
    let reach = verdict["reach"].as_array().expect("kinds of peers");
    let of = |peers: &str| {
        reach
            .iter()
            .find(|reach| reach["peers"] == peers)
            .expect("that kind")
    };
    assert_eq!(
        of("same-network")["paths"],
        serde_json::json!(["direct"]),
        "{kind}"
    );
    let others = if kind.is_v6 { OTHERS_V6 } else { OTHERS };
    for (peers, names) in others {
        let said = of(peers)["paths"].as_array().expect("paths");
        for other in names.iter().map(|name| name.parse::<Kind>().expect("a kind")) {
            let best = kind.best_path(other);
            let is_named = said.iter().any(|path| path == best);
            assert!(is_named, "{kind} to {other}: {best} is not in {said:?}");
        }
    }
}
