//! Who may call at all.

use crate::support::{TestFile, TestTracker, ok, problem};
use p2p_shared::tracker_api::{API_KEY_HEADER, PeersPage, Stats};
use p2p_tracker::{Config, Tracker};
use reqwest::{Method, StatusCode, header};

/// Others are meant to reach it, though it listens on loopback here.
fn public(config: &mut Config) {
    config.public_url = Some("https://tracker.example.org".to_owned());
}

#[tokio::test]
async fn a_tracker_that_others_can_reach_wants_a_key_for_everything_but_health() {
    let tracker = TestTracker::start_with(public);
    let key = tracker.handle.admin_key().unwrap().to_owned();
    let hash = TestFile::new(1, 1).hash();
    let peer = "9c2b3c64-6ea3-8f4e-a1b2-0123456789ab";
    for (method, path) in [
        (Method::GET, "/api/stats".to_owned()),
        (Method::GET, "/api/files".to_owned()),
        (Method::GET, format!("/api/files/{hash}")),
        (Method::GET, format!("/api/files/{hash}/chunks")),
        (Method::GET, format!("/api/files/{hash}/peers")),
        (Method::DELETE, format!("/api/files/{hash}")),
        (Method::POST, "/api/files/announce".to_owned()),
        (Method::GET, "/api/peers".to_owned()),
        (Method::GET, format!("/api/peers/{peer}")),
        (Method::DELETE, format!("/api/peers/{peer}")),
        (Method::POST, format!("/api/peers/{peer}/heartbeat")),
        (Method::POST, "/api/peers/challenge".to_owned()),
        (Method::POST, "/api/peers/register".to_owned()),
        (Method::GET, "/nothing".to_owned()),
        (Method::GET, "//healthz".to_owned()),
        (Method::PUT, "/api/files".to_owned()),
    ] {
        let ask = || tracker.request(method.clone(), &path);
        problem(ask(), 401, "api-key-invalid").await;
        problem(ask().header(API_KEY_HEADER, ""), 401, "api-key-invalid").await;
        problem(
            ask().header(API_KEY_HEADER, &key[..key.len() - 1]),
            401,
            "api-key-invalid",
        )
        .await;
        problem(ask().bearer_auth(&key), 401, "api-key-invalid").await;
    }
    for path in ["/", "/healthz", "/readyz"] {
        assert_eq!(
            tracker.get(path).send().await.unwrap().status(),
            StatusCode::OK,
            "{path}"
        );
    }
    let _: Stats = ok(tracker.get("/api/stats").header(API_KEY_HEADER, &key)).await;
}

#[tokio::test]
async fn a_start_that_fails_makes_no_key_that_nobody_has_seen() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::loopback(folder.path());
    Tracker::start(config.clone()).unwrap().shutdown().await;
    let database = rusqlite::Connection::open(config.database.path().unwrap()).unwrap();
    // A record that is none: the registry cannot be filled.
    let damage = "INSERT INTO files (hash, complete, algorithm, name, folded_name, kind, size, chunk_size, merkle_root, mode,
                                     modified_seconds, modified_nanos, announced_by, announced_at)
                  VALUES (x'00', 1, 'sha256', 'a', 'a', 'file', 1, 262144, x'00', 420, 0, 0, x'00', 0)";
    database.execute(damage, []).unwrap();
    public(&mut config);
    Tracker::start(config.clone()).unwrap_err();

    database.execute("DELETE FROM files", []).unwrap();
    let tracker = Tracker::start(config).unwrap();
    assert!(
        tracker.admin_key().is_some(),
        "a key of which nobody knows is in the way"
    );
    tracker.shutdown().await;
}

#[tokio::test]
async fn the_key_is_made_once_and_is_good_after_a_restart() {
    let tracker = TestTracker::start_with(public);
    let key = tracker.handle.admin_key().unwrap().to_owned();
    let tracker = tracker.restart().await;
    assert_eq!(tracker.handle.admin_key(), None);
    problem(tracker.get("/api/stats"), 401, "api-key-invalid").await;
    let _: Stats = ok(tracker.get("/api/stats").header(API_KEY_HEADER, &key)).await;
}

#[tokio::test]
async fn the_key_is_nowhere_on_the_disk() {
    let tracker = TestTracker::start_with(public);
    let key = tracker.handle.admin_key().unwrap().to_owned();
    let secret = key.splitn(3, '_').nth(2).unwrap().as_bytes();
    let mut files = 0;
    for entry in std::fs::read_dir(tracker.config().data).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        files += 1;
    }
    assert!(files >= 2, "the database and the lock");
}

#[tokio::test]
async fn a_tracker_with_keys_wants_them_on_loopback_too() {
    let tracker = TestTracker::start_with(public);
    let mut config = tracker.config();
    tracker.handle.shutdown().await;
    config.public_url = None;
    let handle = p2p_tracker::Tracker::start(config).unwrap();
    let answer = reqwest::get(format!("{}/api/stats", handle.url())).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn without_keys_no_name_but_this_machines_is_answered() {
    let tracker = TestTracker::start();
    assert_eq!(tracker.handle.admin_key(), None);
    let port = tracker.handle.address().port();
    for host in [
        "evil.example",
        &format!("evil.example:{port}"),
        "localhost.evil.example",
        "192.168.1.5",
    ] {
        let request = tracker.get("/api/files").header(header::HOST, host);
        problem(request, 421, "wrong-host").await;
    }
    for host in [
        "localhost".to_owned(),
        format!("localhost:{port}"),
        format!("[::1]:{port}"),
    ] {
        let request = tracker.get("/api/peers").header(header::HOST, host);
        let _: PeersPage = ok(request).await;
    }
}

#[tokio::test]
async fn a_key_to_look_with_changes_nothing_and_is_not_relayed_however_the_path_is_written() {
    let tracker = TestTracker::start_with(public);
    let key = tracker.handle.admin_key().unwrap().to_owned();
    let database = rusqlite::Connection::open(tracker.config().data.join("tracker.db")).unwrap();
    let changed = database
        .execute("UPDATE api_keys SET scope = 'read'", [])
        .unwrap();
    assert_eq!(changed, 1);
    drop(database);
    let tracker = tracker.restart().await;
    let _: Stats = ok(tracker.get("/api/stats").header(API_KEY_HEADER, &key)).await;
    for (method, path) in [
        (Method::POST, "/api/peers/challenge"),
        (Method::GET, "/relay"),
        (Method::GET, "/%72elay"),
        (Method::GET, "/rela%79"),
    ] {
        let refused = tracker.request(method, path).header(API_KEY_HEADER, &key);
        problem(refused, 403, "scope-missing").await;
    }
}
