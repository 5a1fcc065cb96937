//! A tracker in this process, and peers that talk to it over real HTTP.

use p2p_shared::{
    chunker::{CHUNK_SIZE, Layout},
    crypto::identity::{Challenge, Identity},
    hash::{FileHasher, HashAlgorithm},
    id::{ChunkHash, ChunkIndex, FileHash},
    manifest::{Manifest, Modified, ShareKind},
    merkle::merkle_root,
    protocol::relay::SUBPROTOCOL,
    tracker_api::{
        API_KEY_HEADER, AnnounceRequest, AnnounceResponse, ChallengeRequest, ChallengeResponse, ChunkHashes,
        FileMetadata, FilePeers, Have, NewKeyResponse, PROBLEM_MEDIA_TYPE, PeerRecord, Problem,
        RegisterRequest, RegisterResponse,
    },
};
use p2p_tracker::{Config, Tracker, TrackerHandle};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How long a test waits for something that has to happen; far beyond what it takes on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A tracker in this process.
pub(crate) struct TestTracker {
    pub(crate) handle: TrackerHandle,
    _folder: TempDir,
    config: Config,
    client: Client,
}

impl TestTracker {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::loopback(folder.path().join("data"));
        change(&mut config);
        let handle = Tracker::start(config.clone()).unwrap();
        let client = Client::new();
        Self {
            handle,
            _folder: folder,
            config,
            client,
        }
    }

    /// One that others are meant to reach, though it listens on loopback here; calls show the key of its operator.
    pub(crate) fn with_keys(change: impl FnOnce(&mut Config)) -> Self {
        let mut tracker = Self::start_with(|config| {
            config.public_url = Some("https://tracker.example.org".to_owned());
            change(config);
        });
        let key = tracker.handle.admin_key().unwrap().to_owned();
        tracker.client = client_with(&key);
        tracker
    }

    /// The same tracker, called with another key.
    pub(crate) fn client_of(&self, key: &str) -> impl Fn(Method, &str) -> RequestBuilder + use<> {
        let (client, url) = (client_with(key), self.handle.url());
        move |method, path| client.request(method, format!("{url}{path}"))
    }

    /// Makes a key as its operator.
    pub(crate) async fn make_key(&self, order: &serde_json::Value) -> NewKeyResponse {
        ok(self.post("/api/keys", order)).await
    }

    /// Stops it in good order and starts it again on the same data (and another port).
    pub(crate) async fn restart(self) -> Self {
        self.handle.shutdown().await;
        let handle = Tracker::start(self.config.clone()).unwrap();
        Self { handle, ..self }
    }

    pub(crate) fn config(&self) -> Config {
        self.config.clone()
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.handle.url()))
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str, body: &impl Serialize) -> RequestBuilder {
        self.request(Method::POST, path).json(body)
    }

    pub(crate) fn delete(&self, path: &str) -> RequestBuilder {
        self.request(Method::DELETE, path)
    }

    /// A new peer that has registered and listens on port 6881.
    pub(crate) async fn peer(&self) -> TestPeer {
        self.register(Identity::generate().unwrap()).await
    }

    pub(crate) async fn register(&self, identity: Identity) -> TestPeer {
        let request = self.proved(&identity).await;
        let registered: RegisterResponse = ok(self.post("/api/peers/register", &request)).await;
        TestPeer { identity, registered }
    }

    /// A registration with a fresh proof.
    pub(crate) async fn proved(&self, identity: &Identity) -> RegisterRequest {
        let ask = ChallengeRequest {
            public_key: identity.public_key(),
        };
        let challenge = ok(self.post("/api/peers/challenge", &ask)).await;
        answer(identity, &challenge)
    }

    /// What the tracker says about a peer.
    pub(crate) async fn record(&self, peer: &TestPeer) -> PeerRecord {
        ok(self.get(&format!("/api/peers/{}", peer.id()))).await
    }

    /// The peers of a file as a stranger on this machine is told.
    pub(crate) async fn swarm(&self, hash: FileHash) -> FilePeers {
        ok(self.get(&format!("/api/files/{hash}/peers"))).await
    }

    /// Announces and expects it to be taken.
    pub(crate) async fn announce(&self, peer: &TestPeer, announcement: &AnnounceRequest) -> AnnounceResponse {
        ok(self.announcing(peer, announcement)).await
    }

    pub(crate) fn announcing(&self, peer: &TestPeer, announcement: &AnnounceRequest) -> RequestBuilder {
        self.post("/api/files/announce", announcement)
            .bearer_auth(&peer.registered.token)
    }
}

/// A registration that answers a challenge.
pub(crate) fn answer(identity: &Identity, challenge: &ChallengeResponse) -> RegisterRequest {
    let &ChallengeResponse { nonce, ephemeral_key } = challenge;
    let proof = identity.prove(&Challenge { nonce, ephemeral_key }).unwrap();
    RegisterRequest {
        public_key: identity.public_key(),
        nonce,
        proof: proof.0,
        addresses: Vec::new(),
        port: 6881,
        bandwidth: None,
        agent: "test/1".to_owned(),
    }
}

/// A peer that has registered.
pub(crate) struct TestPeer {
    pub(crate) identity: Identity,
    pub(crate) registered: RegisterResponse,
}

impl TestPeer {
    pub(crate) fn id(&self) -> String {
        self.registered.peer_id.to_string()
    }

    pub(crate) fn token(&self) -> &str {
        &self.registered.token
    }
}

/// A file that peers can announce.
#[derive(Clone)]
pub(crate) struct TestFile {
    pub(crate) manifest: Manifest,
    pub(crate) hashes: Vec<ChunkHash>,
}

impl TestFile {
    /// `size` bytes that follow from `seed`.
    pub(crate) fn new(seed: u8, size: usize) -> Self {
        Self::with(HashAlgorithm::Sha256, seed, size)
    }

    pub(crate) fn with(algorithm: HashAlgorithm, seed: u8, size: usize) -> Self {
        let content: Vec<u8> = (0..size)
            .map(|at| seed ^ (at / 7) as u8 ^ (at / 1999) as u8)
            .collect();
        let layout = Layout::new(size as u64).unwrap();
        let mut whole = FileHasher::new(algorithm, layout);
        let mut hashes = Vec::new();
        for (index, chunk) in (0..).map(ChunkIndex).zip(content.chunks(CHUNK_SIZE as usize)) {
            let hash = algorithm.hash_chunk(layout, index, chunk);
            whole.update(chunk, &hash);
            hashes.push(hash);
        }
        Self::from_hashes(whole.finish().unwrap(), algorithm, layout, hashes)
    }

    /// A file too large to make, with chunk hashes out of thin air.
    pub(crate) fn huge(chunks: u32) -> Self {
        let layout = Layout::new(u64::from(chunks) * u64::from(CHUNK_SIZE)).unwrap();
        let hash = |chunk: u32| ChunkHash(std::array::from_fn(|at| chunk.to_be_bytes()[at % 4] ^ at as u8));
        Self::from_hashes(
            FileHash([9; 32]),
            HashAlgorithm::Sha256,
            layout,
            (0..chunks).map(hash).collect(),
        )
    }

    fn from_hashes(hash: FileHash, algorithm: HashAlgorithm, layout: Layout, hashes: Vec<ChunkHash>) -> Self {
        let manifest = Manifest {
            hash,
            algorithm,
            size: layout.size(),
            merkle_root: merkle_root(layout, &hashes),
            name: "A file (1).bin".parse().unwrap(),
            kind: ShareKind::File,
            mode: 0o644,
            modified: Modified {
                seconds: 1_700_000_000,
                nanos: 5,
            },
        };
        Self { manifest, hashes }
    }

    pub(crate) fn hash(&self) -> FileHash {
        self.manifest.hash
    }

    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/api/files/{}{rest}", self.hash())
    }

    /// The announcement in full, as far as one call takes it.
    pub(crate) fn full(&self) -> AnnounceRequest {
        self.run(0, self.hashes.len())
    }

    /// The announcement with some of the chunk hashes.
    pub(crate) fn run(&self, first: u32, end: usize) -> AnnounceRequest {
        AnnounceRequest {
            hash: self.hash(),
            have: Have::Seeder,
            file: Some(FileMetadata::from(&self.manifest)),
            chunk_hashes: Some(ChunkHashes::new(first, &self.hashes[first as usize..end])),
        }
    }

    /// The short announcement of a file that the tracker knows.
    pub(crate) fn have(&self, have: Have) -> AnnounceRequest {
        AnnounceRequest {
            hash: self.hash(),
            have,
            file: None,
            chunk_hashes: None,
        }
    }

    /// The bytes of all chunk hashes.
    pub(crate) fn digest_bytes(&self) -> Vec<u8> {
        self.hashes.iter().flat_map(|hash| hash.0).collect()
    }
}

/// Sends a request that has to succeed, and reads the answer.
pub(crate) async fn ok<T: DeserializeOwned>(request: RequestBuilder) -> T {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Sends a request that has to fail with this status and kind of problem. Returns what it says.
pub(crate) async fn problem(request: RequestBuilder, status: u16, slug: &str) -> Problem {
    problem_of(request.send().await.unwrap(), status, slug).await
}

/// Reads an answer that has to be this kind of problem.
pub(crate) async fn problem_of(response: Response, status: u16, slug: &str) -> Problem {
    let media_type = response.headers().get(header::CONTENT_TYPE).cloned();
    let got = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(got, StatusCode::from_u16(status).unwrap(), "{text}");
    assert_eq!(media_type.unwrap(), PROBLEM_MEDIA_TYPE, "{text}");
    let problem: Problem = serde_json::from_str(&text).unwrap();
    assert_eq!((problem.status, problem.slug()), (status, Some(slug)), "{text}");
    assert!(!problem.title.is_empty() && !problem.detail.is_empty(), "{text}");
    problem
}

/// Asks again until the answer is as wanted.
pub(crate) async fn eventually<T, F: Future<Output = T>>(
    mut ask: impl FnMut() -> F,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let begin = Instant::now();
    loop {
        let answer = ask().await;
        if wanted(&answer) {
            return answer;
        }
        assert!(begin.elapsed() < PATIENCE, "it does not happen");
        // Not to wait for a time to pass: only so that the asking leaves the tracker some of the processor.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A client that is seen from another loopback address.
pub(crate) fn client_at(address: [u8; 4]) -> Client {
    Client::builder()
        .local_address(IpAddr::from(address))
        .build()
        .unwrap()
}

/// A client that shows this key with every call.
pub(crate) fn client_with(key: &str) -> Client {
    let headers = [(API_KEY_HEADER.parse().unwrap(), key.parse().unwrap())];
    Client::builder()
        .default_headers(headers.into_iter().collect())
        .build()
        .unwrap()
}

/// A new peer that has registered with the tracker at this URL.
pub(crate) async fn register_at(url: &str, key: &str) -> TestPeer {
    let (client, identity) = (client_with(key), Identity::generate().unwrap());
    let ask = ChallengeRequest {
        public_key: identity.public_key(),
    };
    let challenge: ChallengeResponse = ok(client.post(format!("{url}/api/peers/challenge")).json(&ask)).await;
    let request = answer(&identity, &challenge);
    let registered = ok(client.post(format!("{url}/api/peers/register")).json(&request)).await;
    TestPeer { identity, registered }
}

/// A relay connection, as far as it takes to see how it ends.
pub(crate) struct RelaySocket(TcpStream);

impl RelaySocket {
    /// Connects the peer under this key.
    pub(crate) async fn open(address: SocketAddr, key: &str, token: &str) -> Result<Self, String> {
        Self::open_at(address, "/relay", key, token).await
    }

    /// The same where the relay is elsewhere.
    pub(crate) async fn open_at(
        address: SocketAddr,
        path: &str,
        key: &str,
        token: &str,
    ) -> Result<Self, String> {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\nAuthorization: Bearer {token}\r\n{API_KEY_HEADER}: {key}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        match head.starts_with("HTTP/1.1 101 ") {
            true => Ok(Self(stream)),
            false => Err(head),
        }
    }

    /// Waits until the relay ends the connection, and says with which code.
    pub(crate) async fn end(mut self) -> Option<u16> {
        let mut bytes = Vec::new();
        let read = self.0.read_to_end(&mut bytes);
        // A connection that is reset has said before what there was to say.
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("it goes on")
            .ok();
        // The last message of a server: FIN and close, a length, a code, and why.
        (0..bytes.len())
            .filter(|at| {
                bytes[*at] == 0x88 && bytes.len() == at + 2 + usize::from(*bytes.get(at + 1).unwrap_or(&0))
            })
            .find_map(|at| Some(u16::from_be_bytes([*bytes.get(at + 2)?, *bytes.get(at + 3)?])))
    }
}
