//! What the tracker acknowledged survives its death, and nobody acts in another's name.

use std::sync::Arc;

use p2p_shared::crypto::identity::Identity;
use p2p_shared::hash::HashAlgorithm;
use p2p_shared::tracker_api::Have;
use p2p_tests::content::Content;
use p2p_tests::fixtures;
use p2p_tests::lab::Lab;
use p2p_tests::programs::Tracker;
use p2p_tests::tracker_caller::Caller;
use reqwest::Method;
use serde_json::{Value, json};

fn content(lab: &Lab, name: &str, size: u64) -> Arc<Content> {
    let path = lab.at(name);
    fixtures::write_file(&path, size, size);
    Arc::new(Content::of(&path, HashAlgorithm::Sha256))
}

/// An error is a problem document (RFC 9457) that says so.
#[track_caller]
fn assert_problem(answer: &(u16, Value), status: u16) {
    assert_eq!(answer.0, status, "{}", answer.1);
    assert_eq!(answer.1["status"], status, "{}", answer.1);
    assert!(
        answer.1["type"]
            .as_str()
            .is_some_and(|kind| kind.starts_with("urn:p2p:problem:")),
        "{}",
        answer.1
    );
    assert!(
        answer.1["detail"]
            .as_str()
            .is_some_and(|detail| !detail.is_empty()),
        "{}",
        answer.1
    );
}

#[test]
fn files_that_were_acknowledged_survive_a_kill() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let caller = Caller::new(&tracker.url());
    let session = caller.register(&Identity::from_secret([1; 32]), 6881).unwrap();
    let files: Vec<_> = (0..20)
        .map(|n| content(&lab, &format!("file {n}"), 300_000 * n + n))
        .collect();
    for file in &files {
        let (status, answer) = caller.announce(&session.token, file, Have::Seeder, true).unwrap();
        assert_eq!((status, &answer["complete"]), (200, &json!(true)), "{answer}");
    }
    let tracker = tracker.restart();
    let caller = Caller::new(&tracker.url());
    for file in &files {
        let path = format!("/api/files/{}", file.manifest.hash);
        let (status, record) = caller.get(&path).unwrap();
        assert_eq!(status, 200, "{record}");
        assert_eq!(record["merkle_root"], json!(file.manifest.merkle_root));
        assert_eq!(record["name"], json!(file.manifest.name));
        let (_, chunks) = caller.get(&format!("{path}/chunks")).unwrap();
        let hashes: Vec<&Value> = chunks["chunks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|chunk| &chunk["hash"])
            .collect();
        assert_eq!(json!(hashes), json!(file.hashes(0, u32::MAX).1));
    }
    let (_, stats) = caller.get("/api/stats").unwrap();
    assert_eq!(stats["files"], 20, "none lost, none doubled");
}

#[test]
fn a_key_that_is_not_its_own_does_not_register() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let caller = Caller::new(&tracker.url());
    let victim = Identity::from_secret([1; 32]).public_key();
    let asked = json!({ "public_key": victim });
    let (_, challenge) = caller
        .call(Method::POST, "/api/peers/challenge", None, Some(&asked))
        .unwrap();
    let forged = json!({
        "public_key": victim, "nonce": challenge["nonce"], "proof": "00".repeat(32),
        "addresses": [], "port": 6881, "agent": "attacker",
    });
    for _ in 0..2 {
        let answer = caller
            .call(Method::POST, "/api/peers/register", None, Some(&forged))
            .unwrap();
        assert!(matches!(answer.0, 400..=403), "{answer:?}");
        assert_problem(&answer, answer.0);
    }
    let (_, stats) = caller.get("/api/stats").unwrap();
    assert_eq!(stats["peers_known"], 0, "{stats}");
}

#[test]
fn a_peer_cannot_act_for_another() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let caller = Caller::new(&tracker.url());
    let [victim, attacker] =
        [1, 2].map(|seed| caller.register(&Identity::from_secret([seed; 32]), 6881).unwrap());
    let path = format!("/api/peers/{}", victim.peer_id);
    for token in [Some(attacker.token.as_str()), Some("made up"), None] {
        let beat = caller
            .call(
                Method::POST,
                &format!("{path}/heartbeat"),
                token,
                Some(&json!({})),
            )
            .unwrap();
        assert!(matches!(beat.0, 401 | 403), "{beat:?}");
        assert_problem(&beat, beat.0);
        let leave = caller.call(Method::DELETE, &path, token, None).unwrap();
        assert!(matches!(leave.0, 401 | 403), "{leave:?}");
    }
    let (_, peer) = caller.get(&path).unwrap();
    assert_eq!(peer["status"], "online", "{peer}");
}

#[test]
fn a_record_whose_hashes_do_not_make_its_root_is_refused() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let caller = Caller::new(&tracker.url());
    let session = caller.register(&Identity::from_secret([1; 32]), 6881).unwrap();
    let file = content(&lab, "file", 1_000_000);
    let (first, mut hashes, _) = file.hashes(0, u32::MAX);
    hashes[2].0[0] ^= 1;
    let announce = json!({
        "hash": file.manifest.hash, "have": "seeder",
        "file": p2p_shared::tracker_api::FileMetadata::from(&file.manifest),
        "chunk_hashes": p2p_shared::tracker_api::ChunkHashes::new(first, &hashes),
    });
    let answer = caller
        .call(
            Method::POST,
            "/api/files/announce",
            Some(&session.token),
            Some(&announce),
        )
        .unwrap();
    assert!(matches!(answer.0, 400 | 409 | 422), "{answer:?}");
    assert_problem(&answer, answer.0);
    let unknown = caller.get(&format!("/api/files/{}", file.manifest.hash)).unwrap();
    assert_problem(&unknown, 404);
}

#[test]
fn what_is_no_request_is_answered_with_a_problem_and_never_with_a_fault() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let caller = Caller::new(&tracker.url());
    let bodies = [
        json!(null),
        json!([]),
        json!({}),
        json!({"public_key": 7}),
        json!({"public_key": "zz", "x": 1}),
        json!("x".repeat(100_000)),
    ];
    let routes = [
        "/api/peers/challenge",
        "/api/peers/register",
        "/api/files/announce",
        "/api/peers/nobody/heartbeat",
    ];
    for route in routes {
        for body in &bodies {
            let answer = caller.call(Method::POST, route, None, Some(body)).unwrap();
            assert!((400..500).contains(&answer.0), "{route} {body}: {answer:?}");
            assert_problem(&answer, answer.0);
        }
    }
    for path in [
        "/api/files/zz",
        "/api/files?cursor=%00",
        "/api/peers/zz",
        "/nowhere",
        "/api/files/zz/chunks?first=-1",
    ] {
        let answer = caller.get(path).unwrap();
        assert!((400..500).contains(&answer.0), "{path}: {answer:?}");
        assert_problem(&answer, answer.0);
    }
}
