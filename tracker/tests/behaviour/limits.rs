//! What is refused before anybody looks at who asks: too often, too large, with a secret where none belongs.

use crate::support::{TestTracker, client_at, eventually, ok, problem};
use p2p_shared::tracker_api::{API_KEY_HEADER, Stats};
use reqwest::StatusCode;

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again_and_others_are_served() {
    let tracker = TestTracker::start_with(|config| config.requests = 5);
    let url = format!("{}/api/stats", tracker.handle.url());
    let (greedy, other) = (client_at([127, 0, 0, 7]), client_at([127, 0, 0, 8]));
    let ask = || async { greedy.get(&url).send().await.unwrap() };
    let refused = eventually(ask, |answer| answer.status() == StatusCode::TOO_MANY_REQUESTS).await;
    assert_eq!(refused.headers()["retry-after"], "1");
    assert!(refused.text().await.unwrap().contains("rate-limited"));
    let _: Stats = ok(other.get(&url)).await;
    let numbers = other
        .get(format!("{}/metrics", tracker.handle.url()))
        .send()
        .await
        .unwrap();
    let numbers = numbers.text().await.unwrap();
    assert!(
        numbers.contains("refusals_total{reason=\"rate-limited\"}"),
        "{numbers}"
    );
    // And the first one again, once it has waited.
    eventually(ask, |answer| answer.status() == StatusCode::OK).await;
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused_with_a_reason() {
    let tracker = TestTracker::start();
    let long = "a".repeat(5000);
    problem(
        tracker.get(&format!("/api/files?query={long}")),
        431,
        "head-too-large",
    )
    .await;
    let mut request = tracker.get("/api/files");
    for at in 0..20 {
        request = request.header(format!("x-filler-{at}"), "b".repeat(1000));
    }
    problem(request, 431, "head-too-large").await;
}

#[tokio::test]
async fn a_key_in_a_url_is_refused_though_it_is_good() {
    let tracker = TestTracker::with_keys(|_| {});
    let key = tracker.handle.admin_key().unwrap().to_owned();
    for path in [format!("/api/stats?api_key={key}"), format!("/api/stats?x={key}")] {
        let refused = problem(tracker.get(&path), 400, "key-in-url").await;
        assert!(!refused.detail.contains(&key), "it is not repeated");
        assert!(refused.detail.contains(API_KEY_HEADER));
    }
}
