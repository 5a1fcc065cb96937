//! The chunk hashes of a file: pages of JSON, and bytes with ranges.

use crate::support::{TestFile, TestTracker, ok, problem, problem_of};
use p2p_shared::tracker_api::{ChunksPage, DIGESTS_MEDIA_TYPE};
use reqwest::{Method, Response, StatusCode, header};

/// A tracker with one file of four chunks.
async fn with_file() -> (TestTracker, TestFile) {
    let tracker = TestTracker::start();
    let peer = tracker.peer().await;
    let file = TestFile::new(1, 3 * 262_144 + 10);
    tracker.announce(&peer, &file.full()).await;
    (tracker, file)
}

async fn ranged(tracker: &TestTracker, file: &TestFile, range: &str) -> Response {
    let request = tracker
        .get(&file.path("/chunks?format=bytes"))
        .header(header::RANGE, range);
    request.send().await.unwrap()
}

fn text(response: &Response, name: header::HeaderName) -> String {
    let value = response.headers().get(name);
    value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn chunks_are_listed_page_by_page_with_their_sizes() {
    let (tracker, file) = with_file().await;
    let page: ChunksPage = ok(tracker.get(&file.path("/chunks?limit=3"))).await;
    assert_eq!(
        (page.hash, page.chunks.len(), page.next),
        (file.hash(), 3, Some(3))
    );
    let last: ChunksPage = ok(tracker.get(&file.path("/chunks?limit=3&first=3"))).await;
    assert_eq!((last.chunks.len(), last.next), (1, None));
    let all = page.chunks.iter().chain(&last.chunks);
    for (at, chunk) in all.enumerate() {
        assert_eq!((chunk.index.0 as usize, chunk.hash), (at, file.hashes[at]));
        assert_eq!(chunk.size, if at == 3 { 10 } else { 262_144 });
    }
    let beyond: ChunksPage = ok(tracker.get(&file.path("/chunks?first=4"))).await;
    assert_eq!((beyond.chunks.len(), beyond.next), (0, None));
    problem(tracker.get(&file.path("/chunks?first=5")), 400, "request-invalid").await;
    problem(
        tracker.get(&file.path("/chunks?limit=10001")),
        400,
        "request-invalid",
    )
    .await;
}

#[tokio::test]
async fn bytes_come_for_the_asking_by_query_or_by_accept() {
    let (tracker, file) = with_file().await;
    let by_query = tracker.get(&file.path("/chunks?format=bytes"));
    let by_accept = tracker
        .get(&file.path("/chunks"))
        .header(header::ACCEPT, DIGESTS_MEDIA_TYPE);
    for request in [by_query, by_accept] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(text(&response, header::CONTENT_TYPE), DIGESTS_MEDIA_TYPE);
        assert_eq!(text(&response, header::CONTENT_LENGTH), "128");
        assert_eq!(text(&response, header::ACCEPT_RANGES), "bytes");
        assert_eq!(response.bytes().await.unwrap(), file.digest_bytes());
    }
}

#[tokio::test]
async fn a_range_is_answered_with_just_these_bytes() {
    let (tracker, file) = with_file().await;
    let bytes = file.digest_bytes();
    for (range, from, to) in [
        ("bytes=0-31", 0, 32),
        ("bytes=32-95", 32, 96),
        ("bytes=33-34", 33, 35),
        ("bytes=100-", 100, 128),
        ("bytes=-1", 127, 128),
        ("bytes=64-9999", 64, 128),
    ] {
        let response = ranged(&tracker, &file, range).await;
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        let content_range = format!("bytes {from}-{}/128", to - 1);
        assert_eq!(text(&response, header::CONTENT_RANGE), content_range);
        assert_eq!(text(&response, header::CONTENT_LENGTH), (to - from).to_string());
        assert_eq!(response.bytes().await.unwrap(), bytes[from..to], "{range}");
    }
}

#[tokio::test]
async fn a_range_outside_is_refused_and_nonsense_is_the_whole() {
    let (tracker, file) = with_file().await;
    let outside = ranged(&tracker, &file, "bytes=128-").await;
    assert_eq!(text(&outside, header::CONTENT_RANGE), "bytes */128");
    problem_of(outside, 416, "range-not-satisfiable").await;
    for range in ["bytes=0-1,3-4", "chunks=0-1", "bytes=5-1"] {
        let whole = ranged(&tracker, &file, range).await;
        assert_eq!(whole.status(), StatusCode::OK, "{range}");
        assert_eq!(whole.bytes().await.unwrap().len(), 128);
    }
}

#[tokio::test]
async fn a_caller_that_knows_the_tag_is_spared_the_bytes() {
    let (tracker, file) = with_file().await;
    let tag = text(&ranged(&tracker, &file, "bytes=0-0").await, header::ETAG);
    assert_eq!(tag, format!("\"{}\"", file.manifest.merkle_root));
    let bytes = || tracker.get(&file.path("/chunks?format=bytes"));
    let known = bytes().header(header::IF_NONE_MATCH, &tag).send().await.unwrap();
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);

    let resumed = bytes()
        .header(header::RANGE, "bytes=64-")
        .header(header::IF_RANGE, &tag);
    assert_eq!(
        resumed.send().await.unwrap().status(),
        StatusCode::PARTIAL_CONTENT
    );
    let changed = bytes()
        .header(header::RANGE, "bytes=64-")
        .header(header::IF_RANGE, "\"other\"");
    assert_eq!(changed.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_head_request_says_how_much_there_is() {
    let (tracker, file) = with_file().await;
    let head = tracker.request(Method::HEAD, &file.path("/chunks?format=bytes"));
    let response = head.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(text(&response, header::CONTENT_LENGTH), "128");
    assert!(response.bytes().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_empty_file_has_no_chunks() {
    let tracker = TestTracker::start();
    let peer = tracker.peer().await;
    let file = TestFile::new(1, 0);
    tracker.announce(&peer, &file.full()).await;
    let page: ChunksPage = ok(tracker.get(&file.path("/chunks"))).await;
    assert_eq!((page.chunks.len(), page.next), (0, None));
    let bytes = tracker
        .get(&file.path("/chunks?format=bytes"))
        .send()
        .await
        .unwrap();
    assert_eq!(bytes.status(), StatusCode::OK);
    assert!(bytes.bytes().await.unwrap().is_empty());
    problem_of(
        ranged(&tracker, &file, "bytes=0-").await,
        416,
        "range-not-satisfiable",
    )
    .await;
}
