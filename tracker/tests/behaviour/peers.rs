//! Registering, staying, leaving, being seen.

use crate::support::{TestFile, TestPeer, TestTracker, client_at, eventually, ok, problem, problem_of};
use p2p_shared::{
    crypto::identity::Identity,
    id::PeerId,
    tracker_api::{
        Bandwidth, HeartbeatRequest, HeartbeatResponse, PeerRecord, PeerStatus, PeersPage, RegisterResponse,
        Stats,
    },
};
use reqwest::StatusCode;
use std::time::Duration;

fn heartbeat_path(peer: &TestPeer) -> String {
    format!("/api/peers/{}/heartbeat", peer.id())
}

#[tokio::test]
async fn a_peer_registers_and_is_seen() {
    let tracker = TestTracker::start();
    let identity = Identity::generate().unwrap();
    let mut request = tracker.proved(&identity).await;
    request.addresses = vec!["192.168.1.5:6881".parse().unwrap()];
    request.bandwidth = Some(Bandwidth {
        upload: Some(1000),
        download: None,
    });
    let registered: RegisterResponse = ok(tracker.post("/api/peers/register", &request)).await;
    assert_eq!(registered.peer_id, PeerId::of(&identity.public_key()));
    assert_eq!(registered.lease, 60);
    assert_eq!(registered.observed_address.to_string(), "127.0.0.1");
    let relay = format!("ws://{}/relay", tracker.handle.address());
    assert_eq!(registered.relay_url, Some(relay));

    let record: PeerRecord = ok(tracker.get(&format!("/api/peers/{}", registered.peer_id))).await;
    assert_eq!(record.public_key, identity.public_key());
    assert_eq!(record.status, PeerStatus::Online);
    let addresses = ["127.0.0.1:6881", "192.168.1.5:6881"].map(|address| address.parse().unwrap());
    assert_eq!(record.addresses, addresses);
    assert_eq!(record.bandwidth, request.bandwidth);
    assert!(record.last_seen > 1_700_000_000, "Unix seconds");
}

#[tokio::test]
async fn a_challenge_counts_once_and_for_its_key_only() {
    let tracker = TestTracker::start();
    let identity = Identity::generate().unwrap();
    let request = tracker.proved(&identity).await;
    let _: RegisterResponse = ok(tracker.post("/api/peers/register", &request)).await;
    problem(
        tracker.post("/api/peers/register", &request),
        401,
        "challenge-expired",
    )
    .await;

    let mut other = tracker.proved(&identity).await;
    other.public_key = Identity::generate().unwrap().public_key();
    problem(
        tracker.post("/api/peers/register", &other),
        401,
        "challenge-expired",
    )
    .await;
}

#[tokio::test]
async fn a_wrong_proof_registers_nobody() {
    let tracker = TestTracker::start();
    let identity = Identity::generate().unwrap();
    let mut request = tracker.proved(&identity).await;
    request.proof[31] ^= 1;
    problem(tracker.post("/api/peers/register", &request), 403, "proof-wrong").await;
    // The challenge is used up.
    request.proof[31] ^= 1;
    problem(
        tracker.post("/api/peers/register", &request),
        401,
        "challenge-expired",
    )
    .await;
    let path = format!("/api/peers/{}", identity.peer_id());
    problem(tracker.get(&path), 404, "peer-unknown").await;
}

#[tokio::test]
async fn addresses_that_nobody_can_dial_are_refused() {
    let tracker = TestTracker::start();
    let identity = Identity::generate().unwrap();
    for address in [
        "0.0.0.0:6881",
        "224.0.0.1:6881",
        "203.0.113.7:0",
        "169.254.1.1:6881",
        "[fe80::1]:6881",
    ] {
        let mut request = tracker.proved(&identity).await;
        request.addresses = vec![address.parse().unwrap()];
        let problem = problem(
            tracker.post("/api/peers/register", &request),
            422,
            "address-refused",
        )
        .await;
        assert!(problem.detail.contains(address), "{}", problem.detail);
    }
    let peer = tracker.peer().await;
    let beat = HeartbeatRequest {
        addresses: Some(vec!["0.0.0.0:1".parse().unwrap()]),
        port: None,
        punches: None,
    };
    let request = tracker
        .post(&heartbeat_path(&peer), &beat)
        .bearer_auth(peer.token());
    problem(request, 422, "address-refused").await;
}

#[tokio::test]
async fn a_heartbeat_says_where_a_peer_is_now() {
    let tracker = TestTracker::start();
    let peer = tracker.peer().await;
    let beat = HeartbeatRequest {
        addresses: Some(vec!["10.1.2.3:4".parse().unwrap()]),
        port: Some(7000),
        punches: None,
    };
    let url = format!("{}{}", tracker.handle.url(), heartbeat_path(&peer));
    let request = client_at([127, 0, 0, 2])
        .post(url)
        .json(&beat)
        .bearer_auth(peer.token());
    let answer: HeartbeatResponse = ok(request).await;
    assert_eq!(answer.lease, 60);
    let addresses = ["127.0.0.2:7000", "10.1.2.3:4"].map(|address| address.parse().unwrap());
    assert_eq!(tracker.record(&peer).await.addresses, addresses);

    // What is absent stays as it was.
    let request = tracker.post(&heartbeat_path(&peer), &HeartbeatRequest::default());
    let _: HeartbeatResponse = ok(request.bearer_auth(peer.token())).await;
    let addresses = ["127.0.0.1:7000", "10.1.2.3:4"].map(|address| address.parse().unwrap());
    assert_eq!(tracker.record(&peer).await.addresses, addresses);
}

#[tokio::test]
async fn nobody_acts_in_anothers_name() {
    let tracker = TestTracker::start();
    let (anna, bert) = (tracker.peer().await, tracker.peer().await);
    let beat = || tracker.post(&heartbeat_path(&anna), &HeartbeatRequest::default());
    problem(beat().bearer_auth(bert.token()), 403, "not-yours").await;
    problem(beat(), 401, "token-missing").await;
    problem(beat().bearer_auth("nonsense"), 401, "token-invalid").await;
    problem(beat().header("authorization", "Basic YTpi"), 401, "token-invalid").await;
    let leave = || tracker.delete(&format!("/api/peers/{}", anna.id()));
    problem(leave().bearer_auth(bert.token()), 403, "not-yours").await;
    let refused = leave().send().await.unwrap();
    assert!(refused.headers().contains_key("www-authenticate"));
    problem_of(refused, 401, "token-missing").await;
    assert_eq!(tracker.record(&anna).await.status, PeerStatus::Online);
}

#[tokio::test]
async fn who_leaves_is_offline_and_its_token_is_worth_nothing() {
    let tracker = TestTracker::start();
    let peer = tracker.peer().await;
    let file = TestFile::new(1, 1000);
    tracker.announce(&peer, &file.full()).await;
    let leave = || {
        tracker
            .delete(&format!("/api/peers/{}", peer.id()))
            .bearer_auth(peer.token())
    };
    assert_eq!(leave().send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(tracker.record(&peer).await.status, PeerStatus::Offline);
    assert!(tracker.swarm(file.hash()).await.peers.is_empty());
    problem(leave(), 401, "token-invalid").await;
    problem(tracker.announcing(&peer, &file.full()), 401, "token-invalid").await;
}

/// Registers a peer and has it announce a file, all within a lease.
async fn seeder(tracker: &TestTracker, file: &TestFile) -> TestPeer {
    loop {
        let peer = tracker.peer().await;
        let announced = tracker.announcing(&peer, &file.full()).send().await.unwrap();
        // On a busy machine a short lease may be over by now.
        if announced.status() != StatusCode::UNAUTHORIZED {
            assert!(announced.status().is_success());
            return peer;
        }
    }
}

#[tokio::test]
async fn a_silent_peer_is_offline_when_its_lease_is_over() {
    let tracker = TestTracker::start_with(|config| config.lease = Duration::from_secs(1));
    let file = TestFile::new(1, 1000);
    let peer = seeder(&tracker, &file).await;
    assert_eq!(peer.registered.lease, 1);
    let swarm = eventually(|| tracker.swarm(file.hash()), |swarm| swarm.peers.is_empty()).await;
    assert_eq!((swarm.seeders, swarm.leechers), (0, 0));
    assert_eq!(tracker.record(&peer).await.status, PeerStatus::Offline);
    let late = tracker.post(&heartbeat_path(&peer), &HeartbeatRequest::default());
    problem(late.bearer_auth(peer.token()), 401, "token-invalid").await;
    // It registers again under the same id.
    let again = tracker.register(peer.identity.clone()).await;
    assert_eq!(again.id(), peer.id());
}

#[tokio::test]
async fn registering_again_ends_the_earlier_registration() {
    let tracker = TestTracker::start();
    let first = tracker.peer().await;
    let second = tracker.register(first.identity.clone()).await;
    let beat = |peer: &TestPeer| {
        let beat = tracker.post(&heartbeat_path(peer), &HeartbeatRequest::default());
        beat.bearer_auth(peer.token())
    };
    let _: HeartbeatResponse = ok(beat(&second)).await;
    problem(beat(&first), 401, "token-invalid").await;
    let stats: Stats = ok(tracker.get("/api/stats")).await;
    assert_eq!((stats.peers_online, stats.peers_known), (1, 1));
}

#[tokio::test]
async fn peers_are_listed_page_by_page() {
    let tracker = TestTracker::start();
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.push(tracker.peer().await.registered.peer_id);
    }
    expected.sort_unstable();
    let mut seen = Vec::new();
    let mut path = "/api/peers?limit=2".to_owned();
    loop {
        let page: PeersPage = ok(tracker.get(&path)).await;
        seen.extend(page.peers.iter().map(|peer| peer.peer_id));
        let Some(next) = page.next else { break };
        assert_eq!(page.peers.len(), 2);
        path = format!("/api/peers?limit=2&cursor={next}");
    }
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_restart_ends_registrations_and_keeps_peers_known() {
    let tracker = TestTracker::start();
    let peer = tracker.peer().await;
    let tracker = tracker.restart().await;
    let beat = tracker.post(&heartbeat_path(&peer), &HeartbeatRequest::default());
    problem(beat.bearer_auth(peer.token()), 401, "token-invalid").await;
    // It was there a moment ago, so it is still handed out until its lease is over.
    assert_eq!(tracker.record(&peer).await.status, PeerStatus::Online);
    let again = tracker.register(peer.identity.clone()).await;
    assert_eq!(again.id(), peer.id());
}
