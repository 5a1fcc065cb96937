//! The product between real NATs: the file arrives as it was, by the path that the kinds allow.

use p2p_tests::fixtures;
use p2p_tests::lab::Lab;
use p2p_tests::netlab::cast::PublicTracker;
use p2p_tests::netlab::transfer::{Order, Outcome, run};
use p2p_tests::netlab::{self, Plan};
use serde_json::Value;
use std::time::Duration;

/// Enough for a path to be used, and little enough for a minute's suite.
const SIZE: u64 = 4 << 20;

/// So much that a path which comes a moment after a worse one is used.
const LARGE: u64 = 64 << 20;

/// Bytes a second that a relay lets pass where a better path is expected: what is slower than that one is not done before it comes.
const SLOW_RELAY: [&str; 2] = ["--relay-rate", "1048576"];

/// One file from one peer to another of these sites; `ends` are sites and peers.
fn send(plan: Plan, ends: [(usize, usize); 2], size: u64, tracker_flags: &[&str]) -> Outcome {
    let lab = Lab::new();
    let net = plan.build();
    let tracker = PublicTracker::start_with(&lab, &net, tracker_flags);
    let file = lab.at("sent.bin");
    fixtures::write_file(&file, 3, size);
    let order = Order {
        file,
        policy: None,
        patience: Duration::from_secs(60),
    };
    let outcome = run(&lab, &net, &tracker, ends, &order);
    assert_eq!(outcome.failure, None, "{outcome:?}");
    outcome
}

/// Between two sites, in this direction.
fn arrives(from: &str, to: &str, path: &str) {
    if !netlab::permitted() {
        return;
    }
    let flags: &[&str] = if path == "relayed" { &[] } else { &SLOW_RELAY };
    let outcome = send(Plan::named(&[from, to]), [(0, 0), (1, 0)], SIZE, flags);
    assert_eq!(outcome.last_path(), Some(path), "{from} to {to}: {outcome:?}");
    // What came before by another path counts for that one.
    let by_path = outcome.bytes_by_path.as_object().expect("bytes by path");
    let bytes: u64 = by_path.values().filter_map(Value::as_u64).sum();
    assert_eq!(bytes, SIZE, "{outcome:?}");
    assert_ne!(outcome.bytes_by_path[path], 0, "{outcome:?}");
    if path == "relayed" {
        assert_eq!(outcome.bytes_by_path[path], SIZE, "{outcome:?}");
    }
}

#[test]
fn from_a_public_peer_to_whoever_can_dial_it() {
    for to in ["none", "full", "port", "sym", "noudp", "cgsym-sym"] {
        arrives("none", to, "direct");
    }
}

#[test]
fn between_peers_that_have_no_address_but_ipv6() {
    arrives("v6", "v6", "direct");
    arrives("v6", "v6-fw", "direct");
}

#[test]
fn between_two_peers_behind_one_nat() {
    if !netlab::permitted() {
        return;
    }
    for kind in ["port", "full", "tcp443"] {
        for ends in [[(0, 0), (0, 1)], [(0, 1), (0, 0)]] {
            let outcome = send(Plan::named(&[kind]).peers(2), ends, SIZE, &SLOW_RELAY);
            assert_eq!(outcome.last_path(), Some("direct"), "{kind}: {outcome:?}");
        }
    }
}

#[test]
fn to_a_public_peer_from_one_that_nobody_can_dial() {
    if !netlab::permitted() {
        return;
    }
    // They meet over a hole or the relay first: only then the one who can dial hears where.
    for from in ["full", "port", "sym", "noudp"] {
        let plan = Plan::named(&[from, "none"]);
        let outcome = send(plan, [(0, 0), (1, 0)], LARGE, &SLOW_RELAY);
        assert_eq!(outcome.last_path(), Some("direct"), "{from}: {outcome:?}");
    }
}

#[test]
fn between_cones_over_a_punched_path() {
    for [from, to] in [
        ["full", "full"],
        ["port", "port"],
        ["port", "cgnat-port"],
        ["remap", "addr"],
    ] {
        arrives(from, to, "punched");
    }
    arrives("v6-fw", "v6-fw", "punched");
}

#[test]
fn between_symmetric_nats_over_the_relay() {
    arrives("sym", "sym", "relayed");
    arrives("cgsym-port", "port", "relayed");
}

#[test]
fn without_udp_or_with_one_port_alone_over_the_relay() {
    for [from, to] in [
        ["noudp", "port"],
        ["port", "noudp"],
        ["tcp443", "none"],
        ["none", "tcp443"],
        ["tcp443", "tcp443"],
    ] {
        arrives(from, to, "relayed");
    }
}
