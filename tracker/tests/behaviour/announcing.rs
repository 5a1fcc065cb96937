//! How files come into the catalogue.

use crate::support::{TestFile, TestTracker, ok, problem};
use p2p_shared::{
    hash::HashAlgorithm,
    id::FileHash,
    manifest::ShareKind,
    tracker_api::{AnnounceRequest, ChunkHashes, FileRecord, Have, MAX_CHUNK_HASHES, Stats},
};
use serde_json::{Value, json};

#[tokio::test]
async fn a_file_is_announced_once_in_full_and_then_in_short() {
    let tracker = TestTracker::start();
    let (anna, bert) = (tracker.peer().await, tracker.peer().await);
    let file = TestFile::new(1, 600_000);
    problem(
        tracker.announcing(&anna, &file.have(Have::Seeder)),
        404,
        "file-unknown",
    )
    .await;
    let answer = tracker.announce(&anna, &file.full()).await;
    assert!(answer.complete && answer.interval > 0);
    assert_eq!(answer.next_chunk, 3);
    assert!(tracker.announce(&bert, &file.have(Have::Partial)).await.complete);

    let record: FileRecord = ok(tracker.get(&file.path(""))).await;
    assert_eq!((record.seeders, record.leechers, record.chunks), (1, 1, 3));
    let stats: Stats = ok(tracker.get("/api/stats")).await;
    assert_eq!(
        (stats.files, stats.seeders, stats.leechers, stats.bytes_shared),
        (1, 1, 1, 600_000)
    );

    tracker.announce(&bert, &file.have(Have::Seeder)).await;
    tracker.announce(&anna, &file.have(Have::Stopped)).await;
    let swarm = tracker.swarm(file.hash()).await;
    assert_eq!((swarm.seeders, swarm.leechers), (1, 0));
    assert_eq!(swarm.peers[0].peer_id, bert.registered.peer_id);
    assert_eq!(swarm.peers[0].seeder, Some(true));
}

#[tokio::test]
async fn files_of_every_size_and_algorithm_are_taken() {
    let tracker = TestTracker::start();
    let peer = tracker.peer().await;
    for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Blake3] {
        for size in [0, 1, 262_143, 262_144, 262_145, 1_000_000] {
            let file = TestFile::with(algorithm, 1, size);
            assert!(
                tracker.announce(&peer, &file.full()).await.complete,
                "{algorithm} {size}"
            );
            let record: FileRecord = ok(tracker.get(&file.path(""))).await;
            assert_eq!(record.file.size, size as u64);
        }
    }
}

#[tokio::test]
async fn more_hashes_than_fit_into_one_call_come_in_several() {
    let tracker = TestTracker::start();
    let (anna, bert) = (tracker.peer().await, tracker.peer().await);
    let file = TestFile::huge(MAX_CHUNK_HASHES as u32 + 1000);
    let chunks = file.hashes.len();
    let first = tracker.announce(&anna, &file.run(0, chunks)).await;
    assert!(!first.complete);
    assert_eq!(first.next_chunk, MAX_CHUNK_HASHES as u32);
    // Until it is whole, the file is seen by nobody, and nobody else goes on with it.
    problem(tracker.get(&file.path("")), 404, "file-unknown").await;
    problem(
        tracker.announcing(&anna, &file.have(Have::Seeder)),
        404,
        "file-unknown",
    )
    .await;
    let other = tracker.announce(&bert, &file.run(first.next_chunk, chunks)).await;
    assert_eq!((other.complete, other.next_chunk), (false, 0));
    // A run that was sent before is not taken twice.
    let again = tracker.announce(&anna, &file.run(0, chunks)).await;
    assert_eq!(again.next_chunk, first.next_chunk);

    let last = tracker.announce(&anna, &file.run(first.next_chunk, chunks)).await;
    assert!(last.complete);
    assert_eq!(last.next_chunk as usize, chunks);
    let bytes = tracker
        .get(&file.path("/chunks?format=bytes"))
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert_eq!(bytes, file.digest_bytes());
    assert_eq!(tracker.swarm(file.hash()).await.seeders, 1);
}

#[tokio::test]
async fn hashes_that_do_not_lead_to_the_root_are_refused_whole_or_in_runs() {
    let tracker = TestTracker::start();
    let peer = tracker.peer().await;
    let mut file = TestFile::new(1, 600_000);
    file.hashes.swap(0, 1);
    let problem_doc = problem(tracker.announcing(&peer, &file.full()), 422, "merkle-root-wrong").await;
    assert!(
        problem_doc
            .detail
            .contains(&file.manifest.merkle_root.to_string())
    );
    problem(tracker.get(&file.path("")), 404, "file-unknown").await;

    file.hashes.swap(0, 1);
    let mut wrong = file.clone();
    wrong.hashes[0].0[0] ^= 1;
    assert_eq!(tracker.announce(&peer, &wrong.run(0, 2)).await.next_chunk, 2);
    problem(
        tracker.announcing(&peer, &wrong.run(2, 3)),
        422,
        "merkle-root-wrong",
    )
    .await;
    // The whole record is sent again, from the beginning.
    assert_eq!(tracker.announce(&peer, &file.run(2, 3)).await.next_chunk, 0);
    assert!(tracker.announce(&peer, &file.full()).await.complete);
}

#[tokio::test]
async fn a_hash_that_is_not_that_of_the_content_is_refused_where_it_shows() {
    let tracker = TestTracker::start();
    let peer = tracker.peer().await;
    for (algorithm, size) in [(HashAlgorithm::Sha256, 1000), (HashAlgorithm::Blake3, 600_000)] {
        let mut file = TestFile::with(algorithm, 1, size);
        file.manifest.hash = FileHash([5; 32]);
        problem(tracker.announcing(&peer, &file.full()), 422, "merkle-root-wrong").await;
    }
}

#[tokio::test]
async fn a_record_that_contradicts_the_first_is_refused_and_the_first_stays() {
    let tracker = TestTracker::start();
    let (anna, bert) = (tracker.peer().await, tracker.peer().await);
    let file = TestFile::new(1, 600_000);
    tracker.announce(&anna, &file.full()).await;
    let mut others = [file.clone(), file.clone(), file.clone()];
    others[0].manifest = TestFile::new(2, 600_000).manifest;
    others[0].manifest.hash = file.hash();
    others[1].manifest.size -= 1;
    others[2].manifest.kind = ShareKind::Folder;
    for other in others {
        problem(tracker.announcing(&bert, &other.full()), 409, "metadata-differs").await;
    }
    let record: FileRecord = ok(tracker.get(&file.path(""))).await;
    assert_eq!(record.file.merkle_root, file.manifest.merkle_root);
    assert_eq!((record.seeders, record.leechers), (1, 0));
}

#[tokio::test]
async fn the_same_content_under_another_name_joins_the_swarm_and_the_first_name_stays() {
    let tracker = TestTracker::start();
    let (anna, bert) = (tracker.peer().await, tracker.peer().await);
    let file = TestFile::new(1, 600_000);
    tracker.announce(&anna, &file.full()).await;
    let mut other = file.clone();
    other.manifest.name = "other.bin".parse().unwrap();
    assert!(tracker.announce(&bert, &other.full()).await.complete);
    let record: FileRecord = ok(tracker.get(&file.path(""))).await;
    assert_eq!(record.file.name.as_str(), "A file (1).bin");
    assert_eq!(record.seeders, 2);
}

#[tokio::test]
async fn an_announcement_needs_a_registration() {
    let tracker = TestTracker::start();
    let file = TestFile::new(1, 1000);
    problem(
        tracker.post("/api/files/announce", &file.full()),
        401,
        "token-missing",
    )
    .await;
    let request = tracker
        .post("/api/files/announce", &file.full())
        .bearer_auth("nonsense");
    problem(request, 401, "token-invalid").await;
}

#[tokio::test]
async fn an_announcement_that_contradicts_itself_is_refused_with_the_reason() {
    let tracker = TestTracker::start();
    let peer = tracker.peer().await;
    let file = TestFile::new(1, 600_000);
    let mut announcement = file.full();
    announcement.hash = FileHash([1; 32]);
    problem(tracker.announcing(&peer, &announcement), 422, "file-invalid").await;

    let mut announcement = file.full();
    announcement.chunk_hashes = Some(ChunkHashes::new(1, &file.hashes));
    let detail = problem(tracker.announcing(&peer, &announcement), 422, "file-invalid")
        .await
        .detail;
    assert!(detail.contains("3 chunks"), "{detail}");
}

/// Sends the announcement after a change to its JSON.
async fn refused(change: impl FnOnce(&mut Value), part: &str) {
    let tracker = TestTracker::start();
    let peer = tracker.peer().await;
    let announcement: AnnounceRequest = TestFile::new(1, 600_000).full();
    let mut body = serde_json::to_value(&announcement).unwrap();
    change(&mut body);
    let request = tracker
        .post("/api/files/announce", &body)
        .bearer_auth(peer.token());
    let detail = problem(request, 400, "request-invalid").await.detail;
    assert!(detail.contains(part), "{detail}");
}

#[tokio::test]
async fn an_announcement_that_cannot_be_read_is_refused_with_the_place() {
    refused(|body| body["file"]["chunk_size"] = json!(1000), "1000").await;
    refused(|body| body["file"]["name"] = json!("../../etc/passwd"), "name").await;
    refused(|body| body["file"]["mode"] = json!(0o4755), "mode").await;
    refused(|body| body["file"]["size"] = json!(u64::MAX), "16 TiB").await;
    refused(|body| body["extra"] = json!(1), "extra").await;
    refused(|body| body["have"] = json!("everything"), "everything").await;
    refused(|body| body["hash"] = json!("abc"), "64 hexadecimal digits").await;
    refused(
        |body| body["chunk_hashes"]["digests"] = json!("AAAA"),
        "multiple of 32",
    )
    .await;
    refused(|body| body["chunk_hashes"]["digests"] = json!("!"), "base64").await;
}

#[tokio::test]
async fn metadata_without_hashes_asks_for_them() {
    let tracker = TestTracker::start();
    let peer = tracker.peer().await;
    let file = TestFile::new(1, 600_000);
    let mut announcement = file.full();
    announcement.chunk_hashes = None;
    let answer = tracker.announce(&peer, &announcement).await;
    assert_eq!((answer.complete, answer.next_chunk), (false, 0));
    problem(tracker.get(&file.path("")), 404, "file-unknown").await;
}
