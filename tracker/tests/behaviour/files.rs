//! Looking files up, handing out their peers, removing them.

use crate::support::{TestFile, TestTracker, client_at, ok, problem};
use p2p_shared::tracker_api::{FileMetadata, FilePeers, FileRecord, FilesPage, Have, Stats};
use reqwest::{Method, StatusCode};

#[tokio::test]
async fn a_file_reads_back_as_it_was_announced() {
    let tracker = TestTracker::start();
    let peer = tracker.peer().await;
    let file = TestFile::new(1, 600_000);
    tracker.announce(&peer, &file.full()).await;
    let record: FileRecord = ok(tracker.get(&file.path(""))).await;
    assert_eq!(record.file, FileMetadata::from(&file.manifest));
    assert_eq!(record.chunks, 3);
    assert!(record.announced_at > 1_700_000_000, "Unix seconds");
}

#[tokio::test]
async fn files_are_searched_and_listed_page_by_page() {
    let tracker = TestTracker::start();
    let peer = tracker.peer().await;
    let names = ["debian-12.iso", "Debian 13.iso", "holiday (ü).mp4"];
    for (seed, name) in (0..).zip(names) {
        let mut file = TestFile::new(seed, 1000);
        file.manifest.name = name.parse().unwrap();
        tracker.announce(&peer, &file.full()).await;
    }
    let names = async |path: &str| {
        let page: FilesPage = ok(tracker.get(path)).await;
        let names: Vec<_> = page
            .files
            .iter()
            .map(|file| file.file.name.as_str().to_owned())
            .collect();
        (names, page.next)
    };
    assert_eq!(
        names("/api/files?query=DEBIAN").await.0,
        ["Debian 13.iso", "debian-12.iso"]
    );
    assert_eq!(names("/api/files?query=%C3%9C").await.0, ["holiday (ü).mp4"]);
    assert!(names("/api/files?query=%25").await.0.is_empty());
    let (first, next) = names("/api/files?limit=2").await;
    assert_eq!(first, ["holiday (ü).mp4", "Debian 13.iso"]);
    let (second, end) = names(&format!("/api/files?limit=2&cursor={}", next.unwrap())).await;
    assert_eq!(
        (second.as_slice(), end),
        (["debian-12.iso".to_owned()].as_slice(), None)
    );
}

#[tokio::test]
async fn a_hand_out_leaves_out_the_asker_and_keeps_to_its_limit() {
    let tracker = TestTracker::start();
    let file = TestFile::new(1, 1000);
    let mut peers = Vec::new();
    for _ in 0..5 {
        let peer = tracker.peer().await;
        tracker.announce(&peer, &file.full()).await;
        tracker.announce(&peer, &file.have(Have::Partial)).await;
        peers.push(peer);
    }
    let asked = |limit: u32| {
        tracker
            .get(&file.path(&format!("/peers?limit={limit}")))
            .bearer_auth(peers[0].token())
    };
    let all: FilePeers = ok(asked(50)).await;
    assert_eq!(all.peers.len(), 4);
    assert!(
        all.peers
            .iter()
            .all(|peer| peer.peer_id != peers[0].registered.peer_id)
    );
    assert!(
        all.peers
            .iter()
            .all(|peer| peer.seeder == Some(false) && peer.addresses.len() == 1)
    );
    assert_eq!((all.seeders, all.leechers, all.hash), (0, 5, file.hash()));
    assert!(
        (1..=10).contains(&all.interval),
        "a new source is found within 10 s"
    );
    let few: FilePeers = ok(asked(2)).await;
    assert_eq!(few.peers.len(), 2);
    problem(asked(0), 400, "request-invalid").await;
    problem(asked(201), 400, "request-invalid").await;
    let bad = tracker.get(&file.path("/peers")).bearer_auth("nonsense");
    problem(bad, 401, "token-invalid").await;
}

#[tokio::test]
async fn a_peer_is_told_where_others_are_as_it_would_see_them() {
    let tracker = TestTracker::start();
    let file = TestFile::new(1, 1000);
    let peer = tracker.peer().await;
    tracker.announce(&peer, &file.full()).await;
    let url = format!("{}{}", tracker.handle.url(), file.path("/peers"));
    let swarm: FilePeers = ok(client_at([127, 0, 0, 9]).get(url)).await;
    // Two loopback addresses are one machine.
    assert_eq!(swarm.peers[0].addresses, ["127.0.0.1:6881".parse().unwrap()]);
}

#[tokio::test]
async fn a_file_is_removed_by_who_announced_it_and_by_nobody_else() {
    let tracker = TestTracker::start();
    let (anna, bert) = (tracker.peer().await, tracker.peer().await);
    let file = TestFile::new(1, 1000);
    tracker.announce(&anna, &file.full()).await;
    tracker.announce(&bert, &file.have(Have::Seeder)).await;
    let remove = || tracker.request(Method::DELETE, &file.path(""));
    problem(remove().bearer_auth(bert.token()), 403, "not-yours").await;
    problem(remove().bearer_auth("nonsense"), 401, "token-invalid").await;
    let removed = remove().bearer_auth(anna.token()).send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    problem(remove().bearer_auth(anna.token()), 404, "file-unknown").await;
    problem(tracker.get(&file.path("")), 404, "file-unknown").await;
    problem(tracker.get(&file.path("/peers")), 404, "file-unknown").await;
    problem(tracker.get(&file.path("/chunks")), 404, "file-unknown").await;
    let stats: Stats = ok(tracker.get("/api/stats")).await;
    assert_eq!((stats.files, stats.seeders, stats.bytes_shared), (0, 0, 0));
    // It comes back with whoever announces it in full.
    problem(
        tracker.announcing(&bert, &file.have(Have::Seeder)),
        404,
        "file-unknown",
    )
    .await;
    assert!(tracker.announce(&bert, &file.full()).await.complete);
}

#[tokio::test]
async fn on_an_open_tracker_whoever_is_on_this_machine_is_its_operator() {
    let tracker = TestTracker::start();
    let peer = tracker.peer().await;
    let file = TestFile::new(1, 1000);
    tracker.announce(&peer, &file.full()).await;
    let removed = tracker.delete(&file.path("")).send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn files_and_swarms_survive_a_restart() {
    let tracker = TestTracker::start();
    let peer = tracker.peer().await;
    let file = TestFile::new(1, 600_000);
    tracker.announce(&peer, &file.full()).await;
    let before: FileRecord = ok(tracker.get(&file.path(""))).await;
    let tracker = tracker.restart().await;
    let after: FileRecord = ok(tracker.get(&file.path(""))).await;
    assert_eq!(after, before);
    // The seeder's lease has not run out, so it is still handed out.
    assert_eq!(
        tracker.swarm(file.hash()).await.peers[0].public_key,
        peer.identity.public_key()
    );
    let again = tracker.register(peer.identity.clone()).await;
    assert!(tracker.announce(&again, &file.have(Have::Seeder)).await.complete);
}
