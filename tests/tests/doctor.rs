//! `doctor` says what is wrong with the network: of real trackers, dead ones, and such with something bad in front of them.

use p2p_tests::front::{Front, Meddling};
use p2p_tests::lab::Lab;
use p2p_tests::process::{Ended, Launch};
use p2p_tests::programs::{Peer, Tracker};
use serde_json::Value;
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// What the doctor promises is 6 s; the rest is for a loaded machine to start and end a process in.
const SOON: Duration = Duration::from_secs(20);

fn doctor(peer: &Peer, trackers: &[&str]) -> Launch {
    let launch = peer.command("doctor").env("P2P_NO_PORT_MAPPING", "1");
    trackers
        .iter()
        .fold(launch, |launch, tracker| launch.arg("--tracker").arg(tracker))
}

/// An address where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// The finding of this check, about this address if one is given.
#[track_caller]
fn finding(ended: &Ended, check: &str, of: Option<&str>) -> Value {
    let events = ended.events();
    let found = events.iter().find(|event| {
        event["check"] == check
            && of.is_none_or(|of| event["of"].as_str().is_some_and(|which| which.contains(of)))
    });
    found
        .unwrap_or_else(|| panic!("no {check} of {of:?} in\n{}", ended.out))
        .clone()
}

#[track_caller]
fn verdict(ended: &Ended) -> Value {
    let events = ended.events();
    assert_eq!(events.len(), ended.out.lines().count(), "{}", ended.out);
    events
        .into_iter()
        .find(|event| event["event"] == "verdict")
        .expect("a verdict")
}

#[track_caller]
fn paths(verdict: &Value, peers: &str) -> Value {
    let reach = verdict["reach"].as_array().unwrap();
    let kind = reach
        .iter()
        .find(|kind| kind["peers"] == peers)
        .expect("that kind");
    kind["paths"].clone()
}

#[test]
fn where_all_is_well_everything_is_ok_and_everybody_reached() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let ended = doctor(&Peer::new(&lab, "peer"), &[&tracker.url()])
        .run()
        .expect_code(0);
    for check in ["listener", "tracker", "clock", "registration", "relay", "udp"] {
        assert_eq!(
            finding(&ended, check, None)["state"],
            "ok",
            "{check}\n{}",
            ended.out
        );
    }
    assert!(finding(&ended, "tracker", None)["latency_ms"].as_f64().unwrap() > 0.0);
    assert!(finding(&ended, "relay", None)["latency_ms"].as_f64().unwrap() > 0.0);
    let nat = finding(&ended, "nat", None);
    assert_eq!(nat["nat"], "none", "{nat}");
    assert!(
        nat["addresses"][0].as_str().unwrap().starts_with("127.0.0.1:"),
        "{nat}"
    );
    let verdict = verdict(&ended);
    assert_eq!(verdict["transfers"], true);
    // A firewall may stand before it, which cannot be seen from here.
    assert_eq!(
        paths(&verdict, "symmetric-nat"),
        serde_json::json!(["direct", "punched", "relayed"])
    );
}

#[test]
fn a_running_daemon_is_asked_and_goes_on_being_registered() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let peer = Peer::new(&lab, "peer").tracker(&tracker);
    let daemon = peer.start_daemon_with(|launch| launch.env("P2P_NO_PORT_MAPPING", "1"));
    // No tracker is named: the daemon knows its own.
    for _ in 0..2 {
        let ended = doctor(&peer, &[]).run().expect_code(0);
        let registration = finding(&ended, "registration", Some(&tracker.url()));
        assert_eq!(registration["state"], "ok", "{registration}");
        assert_eq!(finding(&ended, "relay", None)["state"], "ok");
    }
    let status = peer.command("status").run().expect_code(0).events();
    assert_eq!(status[0]["trackers"][0]["registered"], true, "{status:?}");
    daemon.terminate();
    drop(daemon.end().expect_code(0));
}

#[test]
fn a_dead_tracker_ends_with_4_soon_and_beside_a_good_one_with_0() {
    let lab = Lab::new();
    let (peer, dead) = (Peer::new(&lab, "peer"), nobody());
    let begin = Instant::now();
    let ended = doctor(&peer, &[&dead]).run().expect_code(4);
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    let tracker = finding(&ended, "tracker", Some(&dead));
    assert_eq!(tracker["state"], "failed", "{tracker}");
    assert!(
        tracker["advice"]
            .as_str()
            .unwrap()
            .contains("Check that the tracker runs"),
        "{tracker}"
    );
    assert_eq!(finding(&ended, "udp", None)["state"], "skipped");
    let said = verdict(&ended);
    assert_eq!(
        (&said["transfers"], &said["failure"]["code"]),
        (&false.into(), &"unreachable".into())
    );

    let tracker = Tracker::start(&lab);
    let ended = doctor(&peer, &[&dead, &tracker.url()]).run().expect_code(0);
    assert_eq!(finding(&ended, "tracker", Some(&dead))["state"], "failed");
    assert_eq!(finding(&ended, "tracker", Some(&tracker.url()))["state"], "ok");
}

#[test]
fn a_tracker_that_accepts_and_says_nothing_does_not_hold_it_up() {
    let lab = Lab::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let begin = Instant::now();
    let ended = doctor(&Peer::new(&lab, "peer"), &[&url]).run().expect_code(4);
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    assert!(
        finding(&ended, "tracker", None)["message"]
            .as_str()
            .unwrap()
            .contains("no answer in time")
    );
}

#[test]
fn a_wrong_key_is_refused_with_6_and_what_to_do_and_never_shown() {
    let lab = Lab::new();
    // That others reach it from elsewhere is what makes a tracker ask for keys.
    let tracker = Tracker::start_with(&lab, |launch| {
        launch.args(["--public-url", "https://tracker.example.org"])
    });
    let launch = doctor(&Peer::new(&lab, "peer"), &[&tracker.url()]);
    let ended = launch
        .env("P2P_API_KEY", "p2p_wrong_key_that_nobody_made")
        .run()
        .expect_code(6);
    assert_eq!(finding(&ended, "tracker", None)["state"], "ok", "it answers");
    let registration = finding(&ended, "registration", None);
    assert_eq!(registration["state"], "failed");
    assert!(
        registration["message"].as_str().unwrap().contains("P2P_API_KEY"),
        "{registration}"
    );
    assert!(!ended.out.contains("nobody_made") && !ended.err.contains("nobody_made"));
}

#[test]
fn a_clock_that_is_off_is_warned_of_with_how_much() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let front = Front::start(tracker.address(), Meddling::Date("Sun, 06 Nov 1994 08:49:37 GMT"));
    let ended = doctor(&Peer::new(&lab, "peer"), &[&front.url()])
        .run()
        .expect_code(0);
    let clock = finding(&ended, "clock", None);
    assert_eq!(clock["state"], "warning", "{clock}");
    assert!(clock["clock_ahead"].as_i64().unwrap() < -900_000_000, "{clock}");
    assert!(
        clock["advice"].as_str().unwrap().contains("time server"),
        "{clock}"
    );
}

#[test]
fn without_a_relay_only_who_is_open_is_reached() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let front = Front::start(tracker.address(), Meddling::NoRelay);
    let ended = doctor(&Peer::new(&lab, "peer"), &[&front.url()])
        .run()
        .expect_code(0);
    let relay = finding(&ended, "relay", None);
    assert_eq!(relay["state"], "failed", "{relay}");
    assert!(
        relay["advice"].as_str().unwrap().contains("WebSockets"),
        "{relay}"
    );
    let verdict = verdict(&ended);
    assert_eq!(paths(&verdict, "same-network"), serde_json::json!(["direct"]));
    for kind in verdict["reach"].as_array().unwrap() {
        assert!(
            !kind["paths"].as_array().unwrap().contains(&"relayed".into()),
            "{kind}"
        );
    }
}

#[test]
fn for_people_each_finding_is_a_line_and_advice_stands_below() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let peer = Peer::new(&lab, "peer");
    let ended = Launch::new("p2p-peer", peer.folder())
        .env("P2P_LISTEN", "127.0.0.1:0")
        .env("P2P_NO_PORT_MAPPING", "1")
        .arg("doctor")
        .arg("--data")
        .arg(peer.data())
        .args(["--tracker", &tracker.url(), "--tracker", &nobody()])
        .run()
        .expect_code(0);
    assert!(
        ended.out.lines().any(|line| line.starts_with("ok    relay")),
        "{}",
        ended.out
    );
    assert!(
        ended.out.lines().any(|line| line.starts_with("FAIL  tracker")),
        "{}",
        ended.out
    );
    assert!(
        ended.out.contains("-> Check that the tracker runs"),
        "{}",
        ended.out
    );
    assert!(
        ended.out.contains("peers in the same network: direct"),
        "{}",
        ended.out
    );
}
