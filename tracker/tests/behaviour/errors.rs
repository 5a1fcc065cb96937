//! Every error is a problem document that says what was wrong.

use crate::support::{TestTracker, problem, problem_of};
use p2p_shared::{id::FileHash, tracker_api::ChallengeRequest};
use reqwest::{Body, Method, StatusCode, header};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

#[tokio::test]
async fn a_path_that_is_not_there_is_not_found() {
    let tracker = TestTracker::start();
    for path in [
        "/nothing",
        "/api",
        "/api/",
        "/api/files/",
        "/api/peers/a/b/c",
        "/dashboard/../etc",
    ] {
        problem(tracker.get(path), 404, "no-such-route").await;
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_refused_with_those_it_has() {
    let tracker = TestTracker::start();
    let hash = FileHash([1; 32]);
    let peer = "9c2b3c64-6ea3-8f4e-a1b2-0123456789ab";
    for (method, path, allowed) in [
        (Method::POST, "/".to_owned(), "GET"),
        (Method::PUT, "/api/files".to_owned(), "GET"),
        (Method::GET, "/api/files/announce".to_owned(), "POST"),
        (Method::PUT, "/api/peers/challenge".to_owned(), "POST"),
        (Method::DELETE, "/api/peers/register".to_owned(), "POST"),
        (Method::GET, format!("/api/peers/{peer}/heartbeat"), "POST"),
        (Method::PATCH, format!("/api/peers/{peer}"), "GET, DELETE"),
        (Method::POST, format!("/api/files/{hash}"), "GET, DELETE"),
        (Method::POST, format!("/api/files/{hash}/chunks"), "GET"),
        (Method::POST, "/healthz".to_owned(), "GET"),
        (Method::OPTIONS, "/api/files".to_owned(), "GET"),
    ] {
        let response = tracker.request(method, &path).send().await.unwrap();
        assert_eq!(response.headers()[header::ALLOW], allowed, "{path}");
        problem_of(response, 405, "method-not-allowed").await;
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused_with_the_place() {
    let tracker = TestTracker::start();
    let send = |body: &'static str| {
        let post = tracker.request(Method::POST, "/api/peers/challenge");
        post.header(header::CONTENT_TYPE, "application/json").body(body)
    };
    for (body, part) in [
        ("", "EOF"),
        ("{\n  \"public_key\": oops}", "line 2"),
        ("{}", "public_key"),
        ("[]", "with 1 element"),
        ("{\"public_key\": \"00\"}", "64 hexadecimal digits"),
        ("{\"public_key\": 5}", "integer `5`"),
        ("\u{0}", "line 1"),
    ] {
        let detail = problem(send(body), 400, "request-invalid").await.detail;
        assert!(detail.contains(part), "{body:?}: {detail}");
    }
    let body = json!({ "public_key": "00".repeat(32), "more": 1 });
    let detail = problem(
        tracker.post("/api/peers/challenge", &body),
        400,
        "request-invalid",
    )
    .await
    .detail;
    assert!(detail.contains("more"), "{detail}");
}

#[tokio::test]
async fn a_body_that_does_not_say_it_is_json_is_refused() {
    let tracker = TestTracker::start();
    let post = || tracker.request(Method::POST, "/api/peers/challenge");
    problem(post().body("{}"), 415, "body-not-json").await;
    // What a form on another site could send without asking (a simple request of the Fetch standard).
    let form = post().header(header::CONTENT_TYPE, "text/plain").body("{}");
    problem(form, 415, "body-not-json").await;
    let with_charset = post()
        .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
        .body("{}");
    problem(with_charset, 400, "request-invalid").await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let tracker = TestTracker::start();
    // It says so, and sends nothing: an answer shows that nobody waits for it.
    let mut stream = TcpStream::connect(tracker.handle.address()).await.unwrap();
    let head = "POST /api/peers/challenge HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 70000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_body_that_turns_out_too_large_is_refused() {
    let tracker = TestTracker::start();
    let chunks = (0..10).map(|_| Ok::<_, std::io::Error>(vec![b' '; 10_000]));
    let post = tracker.request(Method::POST, "/api/peers/challenge");
    let body = Body::wrap_stream(futures_util::stream::iter(chunks));
    let request = post.header(header::CONTENT_TYPE, "application/json").body(body);
    problem(request, 413, "body-too-large").await;
}

#[tokio::test]
async fn ids_limits_and_queries_that_are_none_are_refused_by_name() {
    let tracker = TestTracker::start();
    for (path, part) in [
        ("/api/files/abc", "64 hexadecimal digits"),
        ("/api/files/abc/peers", "\"abc\""),
        ("/api/files/%00/chunks", "hash"),
        ("/api/peers/not-a-uuid", "not-a-uuid"),
        ("/api/files?limit=0", "1 to 500"),
        ("/api/files?limit=501", "501"),
        ("/api/files?limit=-1", "query"),
        ("/api/files?cursor=abc", "query"),
        ("/api/files?page=2", "page"),
        ("/api/peers?limit=1001", "1 to 1000"),
        ("/api/peers?cursor=abc", "query"),
    ] {
        let detail = problem(tracker.get(path), 400, "request-invalid").await.detail;
        assert!(detail.contains(part), "{path}: {detail}");
    }
    let long = format!("/api/files?query={}", "x".repeat(256));
    problem(tracker.get(&long), 400, "request-invalid").await;
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let tracker = TestTracker::start();
    let hash = FileHash([1; 32]);
    for path in ["", "/chunks", "/chunks?format=bytes", "/peers"] {
        let detail = problem(
            tracker.get(&format!("/api/files/{hash}{path}")),
            404,
            "file-unknown",
        )
        .await
        .detail;
        assert!(detail.contains("announce"), "{detail}");
    }
    let peer = "/api/peers/9c2b3c64-6ea3-8f4e-a1b2-0123456789ab";
    problem(tracker.get(peer), 404, "peer-unknown").await;
}

#[tokio::test]
async fn a_request_that_is_none_is_refused_and_the_next_connection_is_served() {
    let tracker = TestTracker::start();
    for nonsense in [
        "\r\n\r\n\r\nGET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}",
        "A",
    ] {
        let mut stream = TcpStream::connect(tracker.handle.address()).await.unwrap();
        stream.write_all(nonsense.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // Refused with a status, or closed; never served, never hanging.
        stream.read_to_end(&mut answer).await.ok();
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{nonsense:?}");
    }
    assert_eq!(
        tracker.get("/healthz").send().await.unwrap().status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn no_other_site_is_let_in() {
    let tracker = TestTracker::start();
    let response = tracker
        .get("/api/files")
        .header(header::ORIGIN, "https://evil.example")
        .send()
        .await
        .unwrap();
    assert!(
        !response
            .headers()
            .contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
    );
    let preflight = tracker
        .request(Method::OPTIONS, "/api/files/announce")
        .header(header::ORIGIN, "https://evil.example")
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST");
    let response = preflight.send().await.unwrap();
    assert!(
        !response
            .headers()
            .contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
    );
    problem_of(response, 405, "method-not-allowed").await;
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let tracker = TestTracker::start();
    let id = async |path: &str| {
        let response = tracker.get(path).send().await.unwrap();
        response.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    let body = ChallengeRequest {
        public_key: p2p_shared::id::PublicKey([1; 32]),
    };
    let challenge = tracker.post("/api/peers/challenge", &body).send().await.unwrap();
    let ids = [
        id("/").await,
        id("/nothing").await,
        challenge.headers()["x-request-id"].to_str().unwrap().to_owned(),
    ];
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids.iter().all(|id| !id.is_empty()));
}
