//! A panic in every handler of every actor: the tracker goes on, knows what it knew, and answers again at once.
//!
//! The handlers are found in the sources by their fail points, so a new one cannot be forgotten. Runs with the feature
//! `failpoints`. One test in one process: fail points belong to all of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "in a test a panic is the report, and stdout is its log"
)]

#[path = "../../../tests/src/watcher.rs"]
#[expect(
    unreachable_pub,
    reason = "the whole-system tests use it from their own crate"
)]
mod watcher;

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

#[path = "../../../tests/src/relay_client.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the whole-system tests use the rest, from their own crate"
)]
mod relay_client;

use futures_util::FutureExt as _;
use p2p_shared::tracker_api::{FileRecord, Have, HeartbeatRequest, HeartbeatResponse, PeerStatus};
use relay_client::{Registered, visit};
use std::{
    collections::BTreeSet,
    fs,
    panic::AssertUnwindSafe,
    path::Path,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};
use support::{PATIENCE, TestFile, TestPeer, TestTracker, answer, ok};

/// How long a tracker may take until it answers again (promise I8). On a machine with much else to do a single one may take
/// longer, most do not.
const BACK_WITHIN: Duration = Duration::from_secs(1);

/// The fail points in the sources below `folder`.
fn fail_points(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            fail_points(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.extend(names(&text, "fail_point!(\"", '"'));
            // The registry's handlers are made by a macro that names them after their messages.
            let handlers = names(&text, "\nhandle!(", ',');
            found.extend(handlers.map(|message| format!("TrackerRegistry::{message}")));
        }
    }
}

fn names<'a>(text: &'a str, before: &'a str, end: char) -> impl Iterator<Item = String> + 'a {
    let starts = text
        .match_indices(before)
        .map(move |(at, _)| &text[at + before.len()..]);
    starts.map(move |rest| rest[..rest.find(end).unwrap()].trim().to_owned())
}

/// Makes the handler panic the next time it is called. The cell holds when that was.
fn arm(point: &str) -> Arc<OnceLock<Instant>> {
    let crashed = Arc::new(OnceLock::new());
    let set = Arc::clone(&crashed);
    let crash = move || {
        if set.set(Instant::now()).is_ok() {
            panic!("injected");
        }
    };
    fail::cfg_callback(point, crash).unwrap();
    crashed
}

/// Everything that a tracker can be asked; whether it succeeds is not the question.
async fn ask_everything(tracker: &TestTracker, peer: &TestPeer, file: &TestFile, round: u8) {
    let other = TestFile::new(round, 2000);
    let _watcher = watcher::watch(tracker.handle.address());
    // A registration in full, whose steps may each fail.
    let stranger = p2p_shared::crypto::identity::Identity::generate().unwrap();
    let ask = p2p_shared::tracker_api::ChallengeRequest {
        public_key: stranger.public_key(),
    };
    let challenge = tracker.post("/api/peers/challenge", &ask).send().await.unwrap();
    if challenge.status().is_success() {
        let register = answer(&stranger, &challenge.json().await.unwrap());
        let registered = tracker
            .post("/api/peers/register", &register)
            .send()
            .await
            .unwrap();
        if registered.status().is_success() {
            let registered: p2p_shared::tracker_api::RegisterResponse = registered.json().await.unwrap();
            let leave = tracker.delete(&format!("/api/peers/{}", registered.peer_id));
            leave.bearer_auth(&registered.token).send().await.unwrap();
            let ban = format!("/api/bans/{}", registered.peer_id);
            let reason = p2p_shared::tracker_api::BanRequest::default();
            let banned = tracker.request(reqwest::Method::PUT, &ban).json(&reason);
            banned.send().await.unwrap();
            tracker.delete(&ban).send().await.unwrap();
        }
    }
    let requests = [
        tracker.post(
            &format!("/api/peers/{}/heartbeat", peer.id()),
            &HeartbeatRequest::default(),
        ),
        tracker.post("/api/files/announce", &other.full()),
        tracker.post("/api/files/announce", &other.have(Have::Stopped)),
        tracker.delete(&other.path("")),
        tracker.get(&file.path("")),
        tracker.get(&file.path("/peers")),
        tracker.get("/api/files"),
        tracker.get("/api/peers"),
        tracker.get("/api/stats"),
        tracker.get("/healthz"),
    ];
    // Two at the relay; whether something breaks in the middle is not the question.
    let at_the_relay = async {
        let visitors = [tracker.peer().await, tracker.peer().await].map(|peer| Registered {
            key: peer.identity.public_key(),
            token: peer.registered.token,
        });
        let address = tracker.handle.address();
        if let Some(port) = peer.registered.udp_ports.first() {
            let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let request = p2p_shared::holepunch::stun::request([7; 12]);
            socket.send_to(&request, (address.ip(), *port)).await.unwrap();
        }
        visit(address, visitors).await;
    };
    AssertUnwindSafe(at_the_relay).catch_unwind().await.ok();
    for request in requests {
        let answer = request.bearer_auth(peer.token()).send().await.unwrap();
        assert!(
            answer.status().as_u16() != 500,
            "a crash of an actor is no crash of a request"
        );
    }
}

/// What was acknowledged before the crash is there, and the peer's token is good.
async fn is_as_before(tracker: &TestTracker, peer: &TestPeer, file: &TestFile) -> bool {
    let beat = tracker.post(
        &format!("/api/peers/{}/heartbeat", peer.id()),
        &HeartbeatRequest::default(),
    );
    let beat = beat.bearer_auth(peer.token()).send().await.unwrap();
    if beat.status().as_u16() == 503 {
        return false;
    }
    let _: HeartbeatResponse = beat.error_for_status().unwrap().json().await.unwrap();
    let record: FileRecord = ok(tracker.get(&file.path(""))).await;
    assert_eq!((record.seeders, record.leechers), (1, 0));
    let swarm = tracker.swarm(file.hash()).await;
    assert_eq!(swarm.peers[0].public_key, peer.identity.public_key());
    assert_eq!(tracker.record(peer).await.status, PeerStatus::Online);
    // And it writes.
    tracker.announce(peer, &file.have(Have::Partial)).await;
    tracker.announce(peer, &file.have(Have::Seeder)).await;
    true
}

/// Crashes one handler. Returns how long it took until the tracker was as before.
async fn crash(point: &str) -> Duration {
    // A short lease, so that what happens by time happens soon.
    let tracker = TestTracker::start_with(|config| config.lease = Duration::from_secs(8));
    let peer = tracker.peer().await;
    let file = TestFile::new(0, 600_000);
    tracker.announce(&peer, &file.full()).await;

    let crashed = arm(point);
    if point == "StoreWriter::SweepTick" {
        // Comes at the start of a life: end the present one.
        arm("StoreWriter::Commit");
    }
    let begin = Instant::now();
    for round in (1..=200).cycle() {
        ask_everything(&tracker, &peer, &file, round).await;
        if crashed.get().is_some() {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "{point} is never called");
    }
    while !is_as_before(&tracker, &peer, &file).await {
        assert!(
            begin.elapsed() < 2 * PATIENCE,
            "{point}: the tracker does not come back"
        );
    }
    let back = crashed.get().unwrap().elapsed();
    fail::remove(point);
    fail::remove("StoreWriter::Commit");
    tracker.handle.shutdown().await;
    back
}

#[tokio::test]
async fn a_panic_in_any_handler_costs_nothing_but_a_moment() {
    let mut points = BTreeSet::new();
    fail_points(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut points);
    assert!(
        points.len() >= 18,
        "only {points:?} found: the search looks in the wrong place"
    );
    let mut times = Vec::new();
    for point in &points {
        let time = crash(point).await;
        println!("{point}: back after {time:?}");
        times.push(time);
    }
    times.sort_unstable();
    let most = times[times.len() * 3 / 4];
    assert!(most < BACK_WITHIN, "back after {most:?}");
}
