//! A real Prometheus (Debian's, 2.42 or later) scrapes a tracker that wants keys, and a peer.

use p2p_tests::lab::Lab;
use p2p_tests::process::{Launch, PATIENCE, Program};
use p2p_tests::programs::{Peer, Tracker, listening};
use p2p_tests::prometheus::{Scrape, is_installed, promtool_check};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often Prometheus is asked again.
const LOOK: Duration = Duration::from_millis(100);

/// A tracker that wants keys, a daemon, and files with what each of them wants to see.
struct Scene {
    lab: Lab,
    tracker: Tracker,
    tracker_key: PathBuf,
    peer: Peer,
    _daemon: Program,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        let public = |launch: Launch| launch.arg("--public-url").arg("http://tracker.example.org");
        let tracker = Tracker::start_with(&lab, public);
        let key = |line: &str| Some(line.trim().to_owned()).filter(|line| line.starts_with("p2pk_"));
        let (key, _) = tracker.program.wait_err(0, "its key", key);
        let tracker_key = lab.at("tracker.key");
        std::fs::write(&tracker_key, key).unwrap();
        let peer = Peer::new(&lab, "peer").tracker(&tracker);
        let key_file = tracker_key.clone();
        let daemon = peer.start_daemon_with(move |launch| {
            launch
                .env("P2P_NO_PORT_MAPPING", "1")
                .env("P2P_API_KEY_FILE", key_file)
        });
        Self {
            lab,
            tracker,
            tracker_key,
            peer,
            _daemon: daemon,
        }
    }

    fn peer_address(&self) -> String {
        let info = std::fs::read(self.peer.data().join("api.json")).unwrap();
        let info: Value = serde_json::from_slice(&info).unwrap();
        info["address"].as_str().unwrap().to_owned()
    }

    fn peer_token(&self) -> PathBuf {
        self.peer.data().join("api.token")
    }
}

fn job(name: &str, target: &str, credentials: &Path) -> String {
    format!(
        "  - job_name: {name}
    scrape_interval: 1s
    scrape_timeout: 1s
    authorization:
      credentials_file: {}
    static_configs:
      - targets: [\"{target}\"]
",
        credentials.display()
    )
}

/// What is answered at this path of an HTTP server.
fn ask(at: SocketAddr, path: &str, token: Option<&Path>) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client.get(format!("http://{at}{path}"));
        if let Some(token) = token {
            request = request.bearer_auth(std::fs::read_to_string(token).unwrap().trim());
        }
        let answer = request.send().await.ok()?.error_for_status().ok()?;
        answer.text().await.ok()
    })
}

/// The value that Prometheus has of an expression with one result.
fn value(prometheus: SocketAddr, expression: &str) -> Option<f64> {
    let path = format!("/api/v1/query?query={expression}");
    let answer: Value = serde_json::from_str(&ask(prometheus, &path, None)?).ok()?;
    answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
}

#[test]
fn prometheus_scrapes_a_tracker_and_a_peer() {
    if !is_installed("prometheus") {
        return;
    }
    let scene = Scene::new();
    let config = scene.lab.at("prometheus.yml");
    let jobs = [
        job(
            "tracker",
            &scene.tracker.address().to_string(),
            &scene.tracker_key,
        ),
        job("peer", &scene.peer_address(), &scene.peer_token()),
    ];
    std::fs::write(&config, format!("scrape_configs:\n{}", jobs.concat())).unwrap();
    let folder = scene.lab.folder("prometheus");
    let prometheus = Launch::new("/usr/bin/prometheus", &folder)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
        .arg("--web.listen-address=127.0.0.1:0")
        .start();
    let (at, _) = prometheus.wait_err(0, "where it listens", |line| {
        // It says "Start listening" before, with the port 0.
        line.contains("Listening on")
            .then(|| listening(&line.replace("Listening", "listening")))?
    });
    let begin = Instant::now();
    for expression in [
        "up{job=\"tracker\"}",
        "up{job=\"peer\"}",
        "p2p_tracker_peers_online",
        "p2p_tracker_build_info",
        "p2p_peer_trackers{state=\"registered\"}",
        "p2p_peer_build_info",
    ] {
        while value(at, expression) != Some(1.0) {
            assert!(
                begin.elapsed() < PATIENCE,
                "{expression}\n{}",
                prometheus.err_text()
            );
            std::thread::sleep(LOOK);
        }
    }
}

#[test]
fn promtool_has_nothing_to_object_to() {
    let scene = Scene::new();
    let peer: SocketAddr = scene.peer_address().parse().unwrap();
    let tracker = ask(scene.tracker.address(), "/metrics", Some(&scene.tracker_key)).unwrap();
    let peer = ask(peer, "/metrics", Some(&scene.peer_token())).unwrap();
    for text in [&tracker, &peer] {
        Scrape::read(text);
        if is_installed("promtool") {
            promtool_check(text);
        }
    }
    let key = std::fs::read_to_string(&scene.tracker_key).unwrap();
    for private in [key.as_str(), "127.0.0.1", "tracker.example.org"] {
        assert!(!tracker.contains(private), "{private} in\n{tracker}");
    }
}
