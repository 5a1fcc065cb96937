//! The tracker's tour: every route, called by hand.

use p2p_shared::crypto::identity::Identity;
use p2p_shared::tracker_api::{Have, RegisterResponse};
use p2p_tests::lab::Lab;
use p2p_tests::programs::Tracker;
use p2p_tests::relay_client::{Registered, visit};
use p2p_tests::stun_client;
use p2p_tests::tracker_caller::{Answer, Caller};
use p2p_tests::watcher::watch;
use reqwest::Method;
use serde_json::json;
use std::net::SocketAddr;

use crate::{TRIES, Tour, content, end_well, failing};

pub(crate) const TOURS: [Tour; 1] = [Tour {
    role: "the tracker",
    go: track,
    is_detour: false,
}];

/// A tracker, called by hand: every route, for two peers and two files.
fn track(name: &str) -> String {
    let lab = Lab::new();
    let tracker = Tracker::start_with(&lab, |launch| failing(launch, name).args(["--lease", "3"]));
    let caller = Caller::new(&tracker.url());
    let _watcher = watch(tracker.address());
    let [kept, removed] =
        ["kept.bin", "removed.bin"].map(|file| content(&lab, file, 700_000 + file.len() as u64));
    let peers = [1, 2].map(|seed| Identity::from_secret([seed; 32]));
    let register = |peer: &Identity| {
        let tries = (0..TRIES).find_map(|_| caller.register(peer, 6881).ok());
        tries.unwrap_or_else(|| panic!("{name}: cannot register"))
    };
    let [one, two] = peers.each_ref().map(register);
    for (session, file) in [(&one, &kept), (&one, &removed), (&two, &kept)] {
        succeeds(name, "announce", || {
            caller.announce(&session.token, file, Have::Seeder, true)
        });
        succeeds(name, "announce again", || {
            caller.announce(&session.token, file, Have::Seeder, false)
        });
    }
    let of_peer = |peer: &RegisterResponse, what: &str| format!("/api/peers/{}{what}", peer.peer_id);
    let hash = kept.manifest.hash;
    let paths = ["/healthz", "/readyz", "/api/stats", "/api/peers", "/api/files"].map(String::from);
    let of_file = ["", "/chunks", "/peers"].map(|part| format!("/api/files/{hash}{part}"));
    for path in paths.into_iter().chain(of_file).chain([of_peer(&two, "")]) {
        succeeds(name, &path, || caller.get(&path));
    }
    let beat = |peer: &RegisterResponse| {
        caller.call(
            Method::POST,
            &of_peer(peer, "/heartbeat"),
            Some(&peer.token),
            Some(&json!({})),
        )
    };
    succeeds(name, "heartbeat", || beat(&one));
    relay(name, &tracker, &caller);
    let gone = format!("/api/files/{}", removed.manifest.hash);
    let answers: Vec<_> = (0..TRIES)
        .map(|_| caller.call(Method::DELETE, &gone, None, None))
        .collect();
    assert!(
        answers
            .iter()
            .any(|answer| matches!(answer, Ok((200 | 204 | 404, _)))),
        "{name}: {answers:?}"
    );
    let (status, _) = caller.get(&gone).expect("an answer");
    assert_eq!(status, 404, "{name}: the removed file is still there");
    // Before the goodbye, which is written a little later: a registry that begins again may not know of it yet.
    ban(name, &caller);
    let answers: Vec<_> = (0..TRIES)
        .map(|_| caller.call(Method::DELETE, &of_peer(&two, ""), Some(&two.token), None))
        .collect();
    assert!(
        answers.iter().any(|answer| matches!(answer, Ok((200 | 204, _)))),
        "{name}: {answers:?}"
    );

    // Whatever broke meanwhile, the first peer is still there with its file, and the second is handed to nobody.
    succeeds(name, "heartbeat", || beat(&one));
    let (_, handed) = caller
        .get(&format!("/api/files/{hash}/peers"))
        .expect("an answer");
    let named: Vec<_> = handed["peers"]
        .as_array()
        .expect("peers")
        .iter()
        .map(|peer| &peer["peer_id"])
        .collect();
    assert_eq!(named, [&json!(one.peer_id)], "{name}: {handed}");
    wait_for_timers(&tracker, name);
    end_well(tracker.program)
}

/// A peer is banned and let in again.
fn ban(name: &str, caller: &Caller) {
    let tries = (0..TRIES).find_map(|_| caller.register(&Identity::from_secret([6; 32]), 6881).ok());
    let banned = tries.unwrap_or_else(|| panic!("{name}: cannot register"));
    let path = format!("/api/bans/{}", banned.peer_id);
    let reason = json!({ "reason": "a test" });
    succeeds(name, "ban", || {
        caller.call(Method::PUT, &path, None, Some(&reason))
    });
    let (status, _) = caller
        .call(
            Method::POST,
            &format!("/api/peers/{}/heartbeat", banned.peer_id),
            Some(&banned.token),
            Some(&json!({})),
        )
        .expect("an answer");
    assert_eq!(status, 403, "{name}: a banned peer is heard");
    succeeds(name, "let in", || caller.call(Method::DELETE, &path, None, None));
}

/// Two peers at the relay, and one at the rendezvous: what breaks in the middle works when it is tried again.
fn relay(name: &str, tracker: &Tracker, caller: &Caller) {
    let address = tracker.address();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let visits = (0..TRIES).map(|_| {
        let peers = [3, 4].map(|seed| {
            let identity = Identity::from_secret([seed; 32]);
            let tries = (0..TRIES).find_map(|_| caller.register(&identity, 6881).ok());
            let session = tries.unwrap_or_else(|| panic!("{name}: cannot register"));
            let (key, token) = (identity.public_key(), session.token);
            Registered { key, token }
        });
        let is_seen = || {
            let peer = caller.register(&Identity::from_secret([5; 32]), 6881);
            peer.is_ok_and(|peer| {
                let at = SocketAddr::new(address.ip(), peer.udp_ports[0]);
                stun_client::binding(at).is_ok()
            })
        };
        let is_seen = is_seen();
        runtime.block_on(async { tokio::spawn(visit(address, peers)).await.is_ok() }) && is_seen
    });
    let visits: Vec<bool> = visits.collect();
    assert!(visits.contains(&true), "{name}: the relay does not come back");
}

/// Asks until it is answered well.
#[track_caller]
fn succeeds(name: &str, what: &str, call: impl Fn() -> Answer) {
    let answers: Vec<Answer> = (0..TRIES).map(|_| call()).collect();
    assert!(
        answers.iter().any(|answer| matches!(answer, Ok((200 | 204, _)))),
        "{name}, {what}: {answers:?}"
    );
}

/// A timer's fail point comes by itself, in its time.
fn wait_for_timers(tracker: &Tracker, name: &str) {
    if name.ends_with("Tick") {
        let panic = format!("failpoint {name} panic");
        tracker
            .program
            .wait_err(0, &panic, |line| line.contains(&panic).then_some(()));
        tracker.program.wait_err(0, "a restart", |line| {
            line.contains("actor is restarted").then_some(())
        });
    }
}
