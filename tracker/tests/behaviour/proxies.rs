//! Behind a real nginx: the client's address, the base path, the relay's WebSocket.

use crate::support::{RelaySocket, TestTracker, client_at, eventually, ok, problem};
use p2p_shared::tracker_api::{API_KEY_HEADER, PeersPage, RegisterResponse, Stats};
use p2p_tracker::{Config, TrustedProxies};
use reqwest::{Client, Method, StatusCode, header};
use std::{
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// Where nginx comes from.
const PROXY: &str = "127.0.0.200";

/// An nginx in front of a tracker.
struct Nginx {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Nginx {
    /// In front of `target`, with `/p2p` left in. Waits until it answers.
    async fn start(target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Taken and given back: nginx cannot be told to choose one.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let path = folder.path().display();
        let text = format!(
            "daemon off; master_process off; pid {path}/pid; error_log {path}/error.log;
             events {{ }}
             http {{
                 access_log off;
                 client_body_temp_path {path}/body; proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/f;
                 uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;
                 map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
                 server {{
                     listen {address};
                     location /p2p {{
                         proxy_pass http://{target};
                         proxy_bind {PROXY};
                         proxy_http_version 1.1;
                         proxy_set_header Host $host;
                         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                         proxy_set_header Upgrade $http_upgrade;
                         proxy_set_header Connection $connection_upgrade;
                     }}
                 }}
             }}"
        );
        std::fs::write(folder.path().join("nginx.conf"), text).unwrap();
        let child = Command::new("nginx")
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(folder.path().join("nginx.conf"))
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is installed");
        let url = format!("http://{address}/");
        eventually(|| reqwest::get(&url), Result::is_ok).await.unwrap();
        Self {
            child,
            address,
            _folder: folder,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn behind(config: &mut Config) {
    config.trusted_proxies = TrustedProxies::parse(&[PROXY]).unwrap();
    config.base_path = "/p2p".to_owned();
}

#[tokio::test]
async fn a_peer_is_seen_from_its_own_address_and_a_forged_header_changes_nothing() {
    let tracker = TestTracker::start_with(behind);
    let key = tracker
        .handle
        .admin_key()
        .expect("a proxy means that others come")
        .to_owned();
    let nginx = Nginx::start(tracker.handle.address()).await;
    let client = client_at([127, 0, 0, 77]);
    let call = |method, path: &str| {
        client
            .request(method, nginx.url(path))
            .header(API_KEY_HEADER, &key)
            .header("X-Forwarded-For", "198.51.100.1, 198.51.100.2")
    };
    let identity = p2p_shared::crypto::identity::Identity::generate().unwrap();
    let asked = serde_json::json!({"public_key": identity.public_key()});
    let challenge = ok(call(Method::POST, "/p2p/api/peers/challenge").json(&asked)).await;
    let request = crate::support::answer(&identity, &challenge);
    let registered: RegisterResponse = ok(call(Method::POST, "/p2p/api/peers/register").json(&request)).await;
    assert_eq!(registered.observed_address.to_string(), "127.0.0.77");
    let page: PeersPage = ok(call(Method::GET, "/p2p/api/peers")).await;
    assert!(
        page.peers[0]
            .addresses
            .contains(&"127.0.0.77:6881".parse().unwrap())
    );

    // Straight to the tracker, past the proxy, nobody is believed.
    let straight = client_at([127, 0, 0, 78])
        .post(format!("{}/api/peers/challenge", tracker.handle.url()))
        .header(API_KEY_HEADER, &key)
        .header("X-Forwarded-For", "198.51.100.1")
        .json(&asked);
    let challenge = ok(straight).await;
    let request = crate::support::answer(&identity, &challenge);
    let straight = client_at([127, 0, 0, 78])
        .post(format!("{}/api/peers/register", tracker.handle.url()))
        .header(API_KEY_HEADER, &key)
        .header("X-Forwarded-For", "198.51.100.1")
        .json(&request);
    let registered: RegisterResponse = ok(straight).await;
    assert_eq!(registered.observed_address.to_string(), "127.0.0.78");
}

#[tokio::test]
async fn limits_meet_the_client_and_not_the_proxy_whatever_it_claims_to_be() {
    let tracker = TestTracker::start_with(|config| {
        behind(config);
        config.requests = 3;
    });
    let key = tracker.handle.admin_key().unwrap().to_owned();
    let nginx = Nginx::start(tracker.handle.address()).await;
    let url = nginx.url("/p2p/api/stats");
    let get = |client: &Client, claim: usize| {
        client
            .get(&url)
            .header(API_KEY_HEADER, &key)
            .header("X-Forwarded-For", format!("198.51.100.{claim}"))
    };
    let greedy = client_at([127, 0, 0, 7]);
    let mut claims = 0..250;
    let ask = || {
        let request = get(&greedy, claims.next().unwrap());
        async { request.send().await.unwrap().status() }
    };
    eventually(ask, |status| *status == StatusCode::TOO_MANY_REQUESTS).await;
    let _: Stats = ok(get(&client_at([127, 0, 0, 8]), 1)).await;
}

#[tokio::test]
async fn everything_lies_below_the_base_path_and_the_relay_too() {
    let tracker = TestTracker::start_with(behind);
    let key = tracker.handle.admin_key().unwrap().to_owned();
    let url = tracker.handle.url();
    assert!(url.ends_with("/p2p"), "{url}");
    let nginx = Nginx::start(tracker.handle.address()).await;
    let get = |url: String| Client::new().get(url).header(API_KEY_HEADER, &key);
    let _: Stats = ok(get(nginx.url("/p2p/api/stats"))).await;
    let bare = url.strip_suffix("/p2p").unwrap().to_owned();
    problem(get(format!("{bare}/api/stats")), 404, "no-such-route").await;
    problem(get(format!("{bare}/p2pk/api/stats")), 404, "no-such-route").await;
    for path in ["/healthz", "/p2p/healthz"] {
        let answer = reqwest::get(format!("{bare}{path}")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
    let peer = crate::support::register_at(&nginx.url("/p2p"), &key).await;
    let socket = RelaySocket::open_at(nginx.address, "/p2p/relay", &key, peer.token()).await;
    assert!(socket.is_ok(), "{:?}", socket.err());
}

#[tokio::test]
async fn without_keys_nobody_comes_through_a_proxy() {
    let tracker = TestTracker::start();
    for name in ["X-Forwarded-For", "Forwarded", "X-Real-IP"] {
        let request = tracker.get("/api/stats").header(name, "for=203.0.113.7");
        let refused = problem(request, 421, "wrong-host").await;
        assert!(refused.detail.contains("--trusted-proxy"), "{}", refused.detail);
    }
    let _: Stats = ok(tracker.get("/api/stats").header(header::VIA, "1.1 cache")).await;
}
