//! The API as its document has it: every call asks for the key that the document names.

use crate::support::{TestTracker, ok};
use p2p_shared::tracker_api::API_KEY_HEADER;
use p2p_tracker::Config;
use reqwest::{Method, StatusCode, header};
use serde_json::Value;

/// The calls that need no key. Whoever adds one here says why in `docs/security.md`.
const OPEN: [&str; 6] = [
    "GET /",
    "GET /api/docs",
    "GET /api/docs/{file}",
    "GET /api/openapi.json",
    "GET /healthz",
    "GET /readyz",
];

pub(crate) struct Call {
    pub(crate) method: Method,
    pattern: String,
    pub(crate) scope: String,
}

impl Call {
    /// The path with something in the place of its parameters.
    pub(crate) fn path(&self) -> String {
        let hash = "0".repeat(64);
        self.pattern
            .replace("{hash}", &hash)
            .replace("{id}", "9c2b3c64-6ea3-8f4e-a1b2-0123456789ab")
            .replace("{file}", "index.html")
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.pattern)
    }
}

pub(crate) async fn calls(tracker: &TestTracker) -> Vec<Call> {
    let document: Value = ok(tracker.get("/api/openapi.json")).await;
    let mut calls = Vec::new();
    for (pattern, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            calls.push(Call {
                method: method.to_uppercase().parse().unwrap(),
                pattern: pattern.clone(),
                scope: operation["x-required-scope"].as_str().unwrap().to_owned(),
            });
        }
    }
    assert!(calls.len() > 15, "the document is empty");
    calls
}

fn public(config: &mut Config) {
    config.public_url = Some("https://tracker.example.org".to_owned());
}

async fn status(tracker: &TestTracker, call: &Call, key: Option<&str>) -> StatusCode {
    let mut request = tracker.request(call.method.clone(), &call.path());
    if let Some(key) = key {
        request = request.header(API_KEY_HEADER, key);
    }
    request.send().await.unwrap().status()
}

#[tokio::test]
async fn every_documented_call_refuses_without_a_key_of_its_scope() {
    let tracker = TestTracker::start_with(public);
    let key = tracker.handle.admin_key().unwrap().to_owned();
    let mut open = Vec::new();
    for call in calls(&tracker).await {
        if call.scope == "none" {
            open.push(call.name());
            assert!(
                status(&tracker, &call, None).await.is_success(),
                "{}",
                call.name()
            );
            continue;
        }
        assert_eq!(
            status(&tracker, &call, None).await,
            StatusCode::UNAUTHORIZED,
            "{}",
            call.name()
        );
        let wrong = Some("p2pk_000000000000_0");
        assert_eq!(
            status(&tracker, &call, wrong).await,
            StatusCode::UNAUTHORIZED,
            "{}",
            call.name()
        );
    }
    open.sort();
    assert_eq!(open, OPEN);

    // The same tracker with a key that may look only.
    let database = rusqlite::Connection::open(tracker.config().data.join("tracker.db")).unwrap();
    let changed = database
        .execute("UPDATE api_keys SET scope = 'read'", [])
        .unwrap();
    assert_eq!(changed, 1);
    drop(database);
    let tracker = tracker.restart().await;
    for call in calls(&tracker).await {
        let got = status(&tracker, &call, Some(&key)).await;
        let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&got);
        let expected = matches!(call.scope.as_str(), "peer" | "admin");
        assert_eq!(refused, expected, "{} with a key to look: {got}", call.name());
        assert!(
            !expected || got == StatusCode::FORBIDDEN,
            "{}: {got}",
            call.name()
        );
    }
}

#[tokio::test]
async fn the_page_brings_everything_that_it_needs() {
    let tracker = TestTracker::start();
    let front = tracker.get("/api/docs").send().await.unwrap();
    assert!(front.url().path().ends_with("/api/docs/"), "{}", front.url());
    let policy = front.headers()[header::CONTENT_SECURITY_POLICY]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        policy.contains("script-src 'self'") && !policy.contains("http"),
        "{policy}"
    );
    let page = front.text().await.unwrap();
    let links: Vec<&str> = ["src=\"", "href=\""]
        .into_iter()
        .flat_map(|start| page.split(start).skip(1))
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(links.len() > 3, "{page}");
    for link in links {
        assert!(!link.contains("//"), "{link} is elsewhere");
        let path = format!("/api/docs/{}", link.trim_start_matches("./"));
        let part = tracker.get(&path).send().await.unwrap();
        assert_eq!(part.status(), StatusCode::OK, "{path}");
    }
    let missing = tracker.get("/api/docs/../mod.rs%00").send().await.unwrap();
    assert!(missing.status().is_client_error());
}
