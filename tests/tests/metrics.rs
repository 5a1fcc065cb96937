//! A real scrape of a daemon: what a transfer did is in it, nobody without the token gets it.

use p2p_tests::fixtures;
use p2p_tests::lab::Lab;
use p2p_tests::process::{PATIENCE, Program};
use p2p_tests::programs::{Peer, Tracker};
use p2p_tests::prometheus::Scrape;
use serde_json::Value;
use std::time::{Duration, Instant};

const SIZE: u64 = 3_000_000;
const CHUNKS: f64 = 12.0;

/// How often to look again.
const LOOK: Duration = Duration::from_millis(50);

/// A file was shared by one daemon and fetched by another.
struct Scene {
    lab: Lab,
    sharer: Peer,
    fetcher: Peer,
    hash: String,
    _programs: (Tracker, [Program; 2]),
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        let tracker = Tracker::start(&lab);
        let [sharer, fetcher] = ["sharer", "fetcher"].map(|name| Peer::new(&lab, name).tracker(&tracker));
        let start = |peer: &Peer| peer.start_daemon_with(|launch| launch.env("P2P_NO_PORT_MAPPING", "1"));
        let daemons = [start(&sharer), start(&fetcher)];
        let source = lab.folder("source").join("a name of a file");
        fixtures::write_file(&source, 1, SIZE);
        let shared = sharer.command("share").arg(&source).run().expect_code(0).events();
        let ticket = shared.iter().find(|event| event["event"] == "ticket").unwrap();
        let fetched = fetcher.get(ticket["ticket"].as_str().unwrap(), &lab.folder("output"));
        drop(fetched.run().expect_code(0));
        Self {
            hash: ticket["hash"].as_str().unwrap().to_owned(),
            lab,
            sharer,
            fetcher,
            _programs: (tracker, daemons),
        }
    }
}

/// What is answered, with its status, to who shows this token.
fn scrape(peer: &Peer, token: Option<&str>) -> (u16, String) {
    let info = std::fs::read(peer.data().join("api.json")).unwrap();
    let info: Value = serde_json::from_slice(&info).unwrap();
    let url = format!("http://{}/metrics", info["address"].as_str().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut request = reqwest::Client::builder().no_proxy().build().unwrap().get(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    })
}

/// As Prometheus does it, with the token from its file.
#[track_caller]
fn text(peer: &Peer) -> String {
    let token = std::fs::read_to_string(peer.data().join("api.token")).unwrap();
    let (status, text) = scrape(peer, Some(&token));
    assert_eq!(status, 200, "{text}");
    text
}

#[test]
fn a_transfer_is_in_the_numbers_of_both_sides() {
    let scene = Scene::new();
    let (sent, got) = (
        Scrape::read(&text(&scene.sharer)),
        Scrape::read(&text(&scene.fetcher)),
    );
    assert_eq!(
        got.value(r#"p2p_peer_received_bytes_total{path="direct"}"#),
        SIZE as f64
    );
    assert_eq!(
        got.sum("p2p_peer_received_bytes_total"),
        SIZE as f64,
        "by one path only"
    );
    assert_eq!(sent.sum("p2p_peer_sent_bytes_total"), SIZE as f64);
    assert_eq!(
        sent.sum("p2p_peer_received_bytes_total") + got.sum("p2p_peer_sent_bytes_total"),
        0.0
    );
    assert_eq!(
        got.value(r#"p2p_peer_chunks_checked_total{result="verified"}"#),
        CHUNKS
    );
    assert_eq!(
        got.value(r#"p2p_peer_chunks_checked_total{result="failed"}"#),
        0.0
    );
    assert_eq!(got.value("p2p_peer_chunk_hash_seconds_count"), CHUNKS);
    assert!(got.value("p2p_peer_chunk_hash_seconds_sum") > 0.0);
    assert_eq!(
        got.value(r#"p2p_peer_chunk_disk_seconds_count{operation="write"}"#),
        CHUNKS
    );
    for numbers in [&sent, &got] {
        assert_eq!(numbers.value(r#"p2p_peer_sessions{path="direct"}"#), 1.0);
        assert_eq!(numbers.value(r#"p2p_peer_shares{state="seeding"}"#), 1.0);
        assert_eq!(numbers.value(r#"p2p_peer_shares{state="downloading"}"#), 0.0);
        assert_eq!(numbers.value(r#"p2p_peer_trackers{state="registered"}"#), 1.0);
        assert_eq!(numbers.sum("p2p_peer_build_info"), 1.0);
    }
}

#[test]
fn relays_and_round_trips_appear_once_they_are_known() {
    let scene = Scene::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let numbers = Scrape::read(&text(&scene.sharer));
        let relays = numbers.value(r#"p2p_peer_relays{state="connected"}"#);
        let trips = numbers.sum("p2p_peer_session_round_trip_seconds_count");
        if relays == 1.0 && trips > 0.0 {
            return;
        }
        assert!(Instant::now() < deadline, "{relays} relays, {trips} round trips");
        std::thread::sleep(LOOK);
    }
}

#[test]
fn nobody_gets_them_without_the_token_and_no_secret_is_in_them() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new();
    assert_eq!(scrape(&scene.sharer, None).0, 401);
    assert_eq!(scrape(&scene.sharer, Some("0123")).0, 401);
    let file = scene.sharer.data().join("api.token");
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let token = std::fs::read_to_string(file).unwrap();
    let text = text(&scene.sharer);
    let key = scene.fetcher.command("id").run().expect_code(0).events()[0]["public_key"].clone();
    for private in [
        token.as_str(),
        &scene.hash,
        "a name of a file",
        key.as_str().unwrap(),
        "127.0.0.1",
    ] {
        assert!(!text.contains(private), "{private} in\n{text}");
    }
    drop(scene.lab);
}
