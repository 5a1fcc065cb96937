//! What Prometheus is told, and who may ask.

use crate::support::{TestFile, TestTracker, ok, problem};
use p2p_shared::tracker_api::{API_KEY_HEADER, HeartbeatRequest, HeartbeatResponse, PunchReport};
use reqwest::{RequestBuilder, header};

async fn scrape(request: RequestBuilder) -> String {
    let answer = request.send().await.unwrap().error_for_status().unwrap();
    let media_type = answer.headers()[header::CONTENT_TYPE]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        media_type.starts_with("text/plain; version=0.0.4"),
        "{media_type}"
    );
    answer.text().await.unwrap()
}

/// The value of a series as it is written.
#[track_caller]
fn value(text: &str, series: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}"))
        .parse()
        .unwrap()
}

#[tokio::test]
async fn what_happened_is_in_the_numbers() {
    let tracker = TestTracker::start();
    let peer = tracker.peer().await;
    let file = TestFile::new(1, 600_000);
    tracker.announce(&peer, &file.full()).await;
    let beat = HeartbeatRequest {
        punches: Some(PunchReport {
            punched: 3,
            ..PunchReport::default()
        }),
        ..HeartbeatRequest::default()
    };
    let path = format!("/api/peers/{}/heartbeat", peer.id());
    let _: HeartbeatResponse = ok(tracker.post(&path, &beat).bearer_auth(peer.token())).await;
    problem(tracker.get("/api/nothing"), 404, "no-such-route").await;

    let text = scrape(tracker.get("/metrics")).await;
    for (series, expected) in [
        ("p2p_tracker_peers_online", 1.0),
        ("p2p_tracker_files", 1.0),
        ("p2p_tracker_swarms", 1.0),
        ("p2p_tracker_seeders", 1.0),
        ("p2p_tracker_leechers", 0.0),
        ("p2p_tracker_shared_bytes", 600_000.0),
        ("p2p_tracker_announces_total{result=\"complete\"}", 1.0),
        ("p2p_tracker_peer_punch_rounds_total{outcome=\"punched\"}", 3.0),
        ("p2p_tracker_peer_punch_rounds_total{outcome=\"busy\"}", 0.0),
        ("p2p_tracker_refusals_total{reason=\"no-such-route\"}", 1.0),
        ("p2p_tracker_relay_bytes_total", 0.0),
        ("p2p_tracker_actor_restarts_total{actor=\"TrackerRegistry\"}", 0.0),
        (
            "p2p_tracker_http_requests_total{method=\"POST\",route=\"/api/peers/{id}/heartbeat\",status=\"200\"}",
            1.0,
        ),
        (
            "p2p_tracker_http_requests_total{method=\"GET\",route=\"none\",status=\"404\"}",
            1.0,
        ),
        (
            "p2p_tracker_http_request_duration_seconds_count{method=\"POST\",route=\"/api/files/announce\"}",
            1.0,
        ),
    ] {
        assert_eq!(value(&text, series), expected, "{series}");
    }
    assert!(value(&text, "p2p_tracker_store_commit_writes_count") >= 2.0);
    assert!(
        value(
            &text,
            "p2p_tracker_store_duration_seconds_count{operation=\"commit\"}"
        ) >= 2.0
    );
    let secrets = [peer.id(), peer.token().to_owned(), file.hash().to_string()];
    for private in secrets {
        assert!(!text.contains(&private), "{private} in\n{text}");
    }
}

#[tokio::test]
async fn a_path_that_a_caller_makes_up_is_no_new_series() {
    let tracker = TestTracker::start();
    for path in ["/a", "/b", "/api/files/zz", "/api/files/yy"] {
        tracker.get(path).send().await.unwrap();
    }
    let text = scrape(tracker.get("/metrics")).await;
    let routes = text
        .lines()
        .filter(|line| line.starts_with("p2p_tracker_http_requests_total"))
        .count();
    assert_eq!(routes, 2, "{text}");
}

#[tokio::test]
async fn prometheus_shows_its_key_as_a_bearer_of_it_here_and_nowhere_else() {
    let tracker = TestTracker::start_with(|config| {
        config.public_url = Some("https://tracker.example.org".to_owned());
    });
    let key = tracker.handle.admin_key().unwrap().to_owned();
    problem(tracker.get("/metrics"), 401, "api-key-invalid").await;
    problem(
        tracker.get("/metrics").bearer_auth("p2pk_0_0"),
        401,
        "api-key-invalid",
    )
    .await;
    problem(
        tracker.get("/api/stats").bearer_auth(&key),
        401,
        "api-key-invalid",
    )
    .await;
    scrape(tracker.get("/metrics").bearer_auth(&key)).await;
    let text = scrape(tracker.get("/metrics").header(API_KEY_HEADER, &key)).await;
    assert_eq!(
        value(&text, "p2p_tracker_refusals_total{reason=\"api-key-invalid\"}"),
        3.0
    );
    assert!(!text.contains(&key));
}
