//! What every answer has, whatever it is about: the name of its request, and gzip for who takes it.

use crate::support::{TestFile, TestTracker, problem};
use reqwest::{RequestBuilder, header};
use std::io::Read as _;

const REQUEST_ID: &str = "x-request-id";

async fn id_of(request: RequestBuilder) -> String {
    let answer = request.send().await.unwrap();
    answer.headers()[REQUEST_ID].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_request_keeps_the_name_that_its_caller_gave_it() {
    let tracker = TestTracker::start();
    let named = tracker.get("/healthz").header(REQUEST_ID, "job-7");
    assert_eq!(id_of(named).await, "job-7");
    let (one, other) = (
        id_of(tracker.get("/healthz")).await,
        id_of(tracker.get("/healthz")).await,
    );
    assert_ne!(one, other);
    let harmful = tracker.get("/healthz").header(REQUEST_ID, "x\" level=error");
    assert!(!id_of(harmful).await.contains(' '));
}

#[tokio::test]
async fn a_problem_says_which_request_it_is_about() {
    let tracker = TestTracker::start();
    for path in ["/nothing", "/api/files/zz", "/api/peers?limit=0"] {
        let answer = tracker
            .get(path)
            .header(REQUEST_ID, "job-8")
            .send()
            .await
            .unwrap();
        let problem: p2p_shared::tracker_api::Problem = answer.json().await.unwrap();
        assert_eq!(
            problem.instance.as_deref(),
            Some("urn:p2p:request:job-8"),
            "{path}"
        );
    }
    // Refused before it comes to a handler, it is still named.
    let refused = tracker.get("/api/files").header(header::HOST, "evil.example");
    let problem = problem(refused, 421, "wrong-host").await;
    assert!(problem.instance.unwrap().starts_with("urn:p2p:request:"));
}

#[tokio::test]
async fn who_takes_gzip_gets_it_but_not_for_digests() {
    let tracker = TestTracker::start();
    let peer = tracker.peer().await;
    let file = TestFile::huge(2000);
    tracker.announce(&peer, &file.full()).await;
    let ask = |rest: &str| {
        tracker
            .get(&file.path(rest))
            .header(header::ACCEPT_ENCODING, "br, gzip")
    };

    let answer = ask("/chunks").send().await.unwrap();
    assert_eq!(answer.headers()[header::CONTENT_ENCODING], "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&answer.bytes().await.unwrap()[..])
        .read_to_string(&mut text)
        .unwrap();
    let page: p2p_shared::tracker_api::ChunksPage = serde_json::from_str(&text).unwrap();
    assert_eq!(page.chunks.len(), 1000);

    for range in [None, Some("bytes=32-63")] {
        let mut bytes = ask("/chunks?format=bytes");
        if let Some(range) = range {
            bytes = bytes.header(header::RANGE, range);
        }
        let answer = bytes.send().await.unwrap();
        assert!(
            !answer.headers().contains_key(header::CONTENT_ENCODING),
            "{range:?}"
        );
        let expected = match range {
            None => file.digest_bytes(),
            Some(_) => file.hashes[1].0.to_vec(),
        };
        assert_eq!(answer.bytes().await.unwrap(), expected, "{range:?}");
    }

    let plain = tracker.get(&file.path("/chunks")).send().await.unwrap();
    assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
    let refusing = tracker
        .get("/healthz")
        .header(header::ACCEPT_ENCODING, "identity;q=0, *;q=0");
    assert!(refusing.send().await.unwrap().status().is_success());
}
