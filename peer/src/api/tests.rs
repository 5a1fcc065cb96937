//! The local API over real HTTP, on a peer that runs in this process.

use super::{ApiInfo, client::LocalClient};
use crate::{
    config::Config,
    event::{self, Event, EventStream},
    operation::{ShareRequest, ShareState},
    root::{Peer, PeerHandle},
};
use reqwest::{Method, RequestBuilder, StatusCode};
use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};
use tempfile::TempDir;

/// Runs a test where peers run: one thread for actors, others for everything else.
fn run(test: impl Future<Output = ()>) {
    p2p_shared::supervision::system(2).unwrap().block_on(test);
}

/// A running peer and what its owner can read.
struct Bench {
    folder: TempDir,
    peer: PeerHandle,
    info: ApiInfo,
    http: reqwest::Client,
}

async fn start() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let peer = Peer::start(Config::loopback(&data)).await.unwrap();
    Bench {
        info: ApiInfo::read(&data).unwrap().unwrap(),
        http: reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .build()
            .unwrap(),
        folder,
        peer,
    }
}

impl Bench {
    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("http://{}{path}", self.info.address))
    }

    async fn client(&self) -> LocalClient {
        LocalClient::connect(&self.data()).await.unwrap().unwrap()
    }

    fn share_of(&self, name: &str) -> ShareRequest {
        let path = self.folder.path().join(name);
        fs::write(&path, name).unwrap();
        ShareRequest {
            paths: vec![path],
            algorithm: Default::default(),
            skip_unreadable: false,
            trackers: Vec::new(),
        }
    }
}

async fn all(mut events: EventStream) -> Vec<Event> {
    let mut all = Vec::new();
    while let Some(event) = events.next().await {
        all.push(event);
    }
    all
}

/// Every route there is.
fn routes() -> [(Method, &'static str); 7] {
    [
        (Method::POST, "/v1/share"),
        (Method::POST, "/v1/get"),
        (Method::GET, "/v1/shares"),
        (Method::DELETE, "/v1/shares/abcd"),
        (Method::POST, "/v1/shares/abcd/verify"),
        (Method::GET, "/v1/status"),
        (Method::GET, "/nothing/here"),
    ]
}

#[test]
fn no_route_answers_without_the_token() {
    run(async {
        let bench = start().await;
        for (method, path) in routes() {
            let without = bench.request(method.clone(), path).send().await.unwrap();
            assert_eq!(without.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
            let wrong = bench
                .request(method.clone(), path)
                .bearer_auth("0".repeat(64))
                .send()
                .await
                .unwrap();
            assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
            let failure: crate::error::Failure = wrong.json().await.unwrap();
            assert_eq!(failure.exit_code(), 6);
        }
        bench.peer.shutdown().await.unwrap();
    });
}

#[test]
fn no_route_answers_a_web_page_or_another_host_even_with_the_token() {
    run(async {
        let bench = start().await;
        for (method, path) in routes() {
            let request = || bench.request(method.clone(), path).bearer_auth(&bench.info.token);
            let rebound = request().header("host", "evil.example").send().await.unwrap();
            assert_eq!(
                rebound.status(),
                StatusCode::MISDIRECTED_REQUEST,
                "{method} {path}"
            );
            let page = request()
                .header("origin", "http://evil.example")
                .send()
                .await
                .unwrap();
            assert_eq!(page.status(), StatusCode::FORBIDDEN, "{method} {path}");
            let image = request()
                .header("sec-fetch-site", "cross-site")
                .send()
                .await
                .unwrap();
            assert_eq!(image.status(), StatusCode::FORBIDDEN, "{method} {path}");
        }
        bench.peer.shutdown().await.unwrap();
    });
}

#[test]
fn a_body_that_is_no_json_of_the_right_form_is_refused_with_the_reason() {
    run(async {
        let bench = start().await;
        let post = || {
            bench
                .request(Method::POST, "/v1/share")
                .bearer_auth(&bench.info.token)
        };
        let cases = [
            post().body("paths=/etc"),
            post().header("content-type", "text/plain").body("{}"),
            post()
                .header("content-type", "application/json")
                .body("{\"paths\": [], \"surprise\": 1}"),
            post()
                .header("content-type", "application/json")
                .body("[".repeat(2 << 20)),
        ];
        for request in cases {
            let answer = request.send().await.unwrap();
            assert!(answer.status().is_client_error(), "{}", answer.status());
            let failure: crate::error::Failure = answer.json().await.unwrap();
            assert!(failure.message.contains("the body cannot be read"), "{failure}");
        }
        bench.peer.shutdown().await.unwrap();
    });
}

#[test]
fn the_token_is_for_the_owner_alone_and_goes_with_the_peer() {
    run(async {
        let bench = start().await;
        let path = bench.data().join("api.json");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(bench.info.pid, std::process::id());
        let data = bench.data();
        bench.peer.shutdown().await.unwrap();
        assert!(!path.exists());
        assert!(LocalClient::connect(&data).await.unwrap().is_none());
    });
}

#[test]
fn a_client_shares_lists_verifies_and_removes() {
    run(async {
        let bench = start().await;
        let client = bench.client().await;
        let (sink, events) = event::channel();
        client.share(&bench.share_of("letter.txt"), sink).await.unwrap();
        let events = all(events).await;
        let ticket = events.iter().find_map(|event| match event {
            Event::Ticket(line) => Some(line),
            _ => None,
        });
        let ticket = ticket.expect("a ticket");
        assert_eq!((ticket.name.as_str(), ticket.size), ("letter.txt", 10));
        let listed = client.list().await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(
            (listed[0].hash, listed[0].state),
            (ticket.hash, ShareState::Seeding)
        );
        let (sink, _events) = event::channel();
        let verified = client.verify(&ticket.hash.to_string()[..8], sink).await.unwrap();
        assert_eq!((verified.good, verified.bad), (1, 0));
        assert_eq!(client.remove(&ticket.ticket).await.unwrap().hash, ticket.hash);
        assert!(client.list().await.unwrap().is_empty());
        let missing = client.remove("abcdef").await.unwrap_err();
        assert_eq!(missing.exit_code(), 3);
        bench.peer.shutdown().await.unwrap();
    });
}

#[test]
fn a_failure_reaches_the_client_with_its_exit_code() {
    run(async {
        let bench = start().await;
        let client = bench.client().await;
        let mut request = bench.share_of("gone.txt");
        fs::remove_file(&request.paths[0]).unwrap();
        let (sink, _events) = event::channel();
        let failure = client.share(&request, sink).await.unwrap_err();
        assert_eq!(failure.exit_code(), 7);
        assert!(failure.message.contains("gone.txt"), "{failure}");
        request.paths.clear();
        bench.peer.shutdown().await.unwrap();
    });
}

#[test]
fn what_a_client_began_goes_on_without_it() {
    run(async {
        let bench = start().await;
        let request = bench.share_of("letter.txt");
        let answer = bench
            .request(Method::POST, "/v1/share")
            .bearer_auth(&bench.info.token)
            .json(&request)
            .send()
            .await
            .unwrap();
        drop(answer);
        let client = bench.client().await;
        let listed = tokio::time::timeout(std::time::Duration::from_secs(20), async {
            loop {
                let listed = client.list().await.unwrap();
                if !listed.is_empty() {
                    return listed;
                }
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(listed.await.expect("it was not shared")[0].name, "letter.txt");
        bench.peer.shutdown().await.unwrap();
    });
}

#[test]
fn an_id_that_is_no_id_leads_to_no_other_route() {
    run(async {
        let bench = start().await;
        for id in ["../status", "a/b", "ab?x", "ab#x", "%2e%2e"] {
            let failure = bench.client().await.remove(id).await.unwrap_err();
            assert!(failure.message.contains("names no share"), "{id}: {failure}");
        }
        bench.peer.shutdown().await.unwrap();
    });
}
