//! A tracker that does what a test tells it: real HTTP, a real check of proofs, everything else scripted.

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, web};
use p2p_shared::{
    crypto::identity::{Challenger, Proof},
    id::{ChunkHash, FileHash, PeerId},
    tracker_api::{
        AnnounceRequest, AnnounceResponse, ChallengeRequest, ChallengeResponse, FileMetadata, FilePeers,
        FileRecord, Have, HeartbeatRequest, HeartbeatResponse, PeerRecord, Problem, RegisterRequest,
        RegisterResponse, slug,
    },
};
use std::{
    collections::HashMap,
    net::TcpListener,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::{sync::watch, time::timeout};

/// What a peer said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Registered {
        port: u16,
    },
    Heartbeat,
    Announced {
        have: Have,
        full_from: Option<u32>,
        whole: bool,
    },
    Left,
}

#[derive(Default)]
pub(super) struct Script {
    /// The challenges that are not answered yet.
    challengers: HashMap<[u8; 32], Challenger>,
    /// Valid tokens.
    tokens: Vec<String>,
    /// Files known, and how many chunk hashes of each.
    pub(super) files: HashMap<FileHash, (FileMetadata, Vec<ChunkHash>)>,
    /// Who is handed out.
    pub(super) peers: Vec<PeerRecord>,
    /// How many chunk hashes one announcement may bring; 0: all.
    pub(super) hashes_a_call: usize,
    /// Lets nobody in without this key.
    pub(super) api_key: Option<&'static str>,
    /// Sends everybody there.
    pub(super) redirect: Option<String>,
    /// Seconds.
    pub(super) lease: u32,
    registrations: u32,
}

impl Script {
    /// As after a restart: registrations are gone.
    pub(super) fn forget_peers(&mut self) {
        self.tokens.clear();
    }
}

/// The tracker. Stopped when dropped.
pub(super) struct Tracker {
    pub(super) url: crate::client::TrackerUrl,
    script: Arc<Mutex<Script>>,
    said: watch::Receiver<Vec<Said>>,
    server: ServerHandle,
}

#[derive(Clone)]
struct Shared {
    script: Arc<Mutex<Script>>,
    said: Arc<watch::Sender<Vec<Said>>>,
}

impl Tracker {
    pub(super) fn start() -> Self {
        Self::start_on(0)
    }

    pub(super) fn start_on(port: u16) -> Self {
        let script = Arc::new(Mutex::new(Script {
            lease: 3600,
            ..Script::default()
        }));
        let (sender, said) = watch::channel(Vec::new());
        let shared = Shared {
            script: script.clone(),
            said: Arc::new(sender),
        };
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::new(shared.clone()))
                .app_data(web::JsonConfig::default().limit(4 << 20))
                .route("/api/peers/challenge", web::post().to(challenge))
                .route("/api/peers/register", web::post().to(register))
                .route("/api/peers/{id}/heartbeat", web::post().to(heartbeat))
                .route("/api/peers/{id}", web::delete().to(leave))
                .route("/api/files/announce", web::post().to(announce))
                .route("/api/files/{hash}", web::get().to(file))
                .route("/api/files/{hash}/chunks", web::get().to(chunks))
                .route("/api/files/{hash}/peers", web::get().to(peers))
        })
        .workers(1)
        .disable_signals()
        .listen(listener)
        .unwrap()
        .run();
        let handle = server.handle();
        actix_rt::spawn(server);
        Self {
            url,
            script,
            said,
            server: handle,
        }
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// Waits until what was said satisfies `enough`, and returns it.
    pub(super) async fn heard(&mut self, enough: impl Fn(&[Said]) -> bool) -> Vec<Said> {
        let heard = timeout(super::PATIENCE, self.said.wait_for(|said| enough(said))).await;
        match heard.map(|said| said.unwrap().clone()) {
            Ok(said) => said,
            Err(_) => panic!("only this was said: {:?}", self.said.borrow()),
        }
    }

    pub(super) async fn stop(&self) {
        self.server.stop(false).await;
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        // The future need not be awaited for the stop to be asked for.
        drop(self.server.stop(false));
    }
}

type Answer = Result<HttpResponse, actix_web::Error>;

fn problem(slug: &str, status: u16) -> HttpResponse {
    HttpResponse::build(status.try_into().unwrap())
        .content_type("application/problem+json")
        .json(Problem::new(slug, slug, status, "scripted"))
}

impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    fn say(&self, said: Said) {
        self.said.send_modify(|all| all.push(said));
    }

    /// What stands before every answer.
    fn refuses(&self, request: &HttpRequest, needs_token: bool) -> Option<HttpResponse> {
        let script = self.script();
        if let Some(elsewhere) = &script.redirect {
            let place = format!("{elsewhere}{}", request.uri());
            return Some(
                HttpResponse::TemporaryRedirect()
                    .insert_header(("location", place))
                    .finish(),
            );
        }
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        if script.api_key.is_some() && script.api_key != header("x-api-key") {
            return Some(problem(slug::API_KEY_INVALID, 401));
        }
        let token = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let known = token.is_some_and(|token| script.tokens.iter().any(|known| known == token));
        (needs_token && !known).then(|| problem(slug::TOKEN_INVALID, 401))
    }
}

async fn challenge(
    shared: web::Data<Shared>,
    request: HttpRequest,
    _: web::Json<ChallengeRequest>,
) -> Answer {
    if let Some(refusal) = shared.refuses(&request, false) {
        return Ok(refusal);
    }
    let challenger = Challenger::new().unwrap();
    let challenge = challenger.challenge();
    shared.script().challengers.insert(challenge.nonce, challenger);
    Ok(HttpResponse::Ok().json(ChallengeResponse {
        nonce: challenge.nonce,
        ephemeral_key: challenge.ephemeral_key,
    }))
}

async fn register(
    shared: web::Data<Shared>,
    request: HttpRequest,
    body: web::Json<RegisterRequest>,
) -> Answer {
    if let Some(refusal) = shared.refuses(&request, false) {
        return Ok(refusal);
    }
    let mut script = shared.script();
    let Some(challenger) = script.challengers.remove(&body.nonce) else {
        return Ok(problem(slug::CHALLENGE_EXPIRED, 401));
    };
    if challenger.check(&body.public_key, &Proof(body.proof)).is_err() {
        return Ok(problem(slug::PROOF_WRONG, 403));
    }
    script.registrations += 1;
    let token = format!("token-{}", script.registrations);
    script.tokens.push(token.clone());
    let answer = RegisterResponse {
        peer_id: PeerId::of(&body.public_key),
        token,
        lease: script.lease,
        observed_address: request.peer_addr().unwrap().ip(),
        relay_url: None,
        udp_ports: Vec::new(),
    };
    drop(script);
    shared.say(Said::Registered { port: body.port });
    Ok(HttpResponse::Ok().json(answer))
}

async fn heartbeat(
    shared: web::Data<Shared>,
    request: HttpRequest,
    _: web::Json<HeartbeatRequest>,
) -> Answer {
    if let Some(refusal) = shared.refuses(&request, true) {
        return Ok(refusal);
    }
    shared.say(Said::Heartbeat);
    let lease = shared.script().lease;
    Ok(HttpResponse::Ok().json(HeartbeatResponse {
        lease,
        relay_url: None,
    }))
}

async fn leave(shared: web::Data<Shared>, request: HttpRequest) -> Answer {
    if let Some(refusal) = shared.refuses(&request, true) {
        return Ok(refusal);
    }
    shared.say(Said::Left);
    Ok(HttpResponse::NoContent().finish())
}

async fn announce(
    shared: web::Data<Shared>,
    request: HttpRequest,
    body: web::Json<AnnounceRequest>,
) -> Answer {
    if let Some(refusal) = shared.refuses(&request, true) {
        return Ok(refusal);
    }
    let mut script = shared.script();
    let at_once = match script.hashes_a_call {
        0 => usize::MAX,
        some => some,
    };
    if let Some(metadata) = &body.file {
        script
            .files
            .entry(body.hash)
            .or_insert_with(|| (metadata.clone(), Vec::new()));
    }
    let Some((metadata, hashes)) = script.files.get_mut(&body.hash) else {
        return Ok(problem(slug::FILE_UNKNOWN, 404));
    };
    if let Some(more) = &body.chunk_hashes {
        assert_eq!(more.first as usize, hashes.len(), "hashes come in order");
        hashes.extend(more.hashes().unwrap().into_iter().take(at_once));
    }
    let chunks = metadata.size.div_ceil(u64::from(metadata.chunk_size)) as usize;
    let answer = AnnounceResponse {
        complete: hashes.len() == chunks,
        next_chunk: hashes.len() as u32,
        interval: 3600,
    };
    drop(script);
    shared.say(Said::Announced {
        have: body.have,
        full_from: body.chunk_hashes.as_ref().map(|hashes| hashes.first),
        whole: answer.complete,
    });
    Ok(HttpResponse::Ok().json(answer))
}

async fn file(shared: web::Data<Shared>, request: HttpRequest, hash: web::Path<FileHash>) -> Answer {
    if let Some(refusal) = shared.refuses(&request, false) {
        return Ok(refusal);
    }
    let script = shared.script();
    let Some((file, hashes)) = script.files.get(&*hash) else {
        return Ok(problem(slug::FILE_UNKNOWN, 404));
    };
    Ok(HttpResponse::Ok().json(FileRecord {
        file: file.clone(),
        chunks: hashes.len() as u32,
        seeders: 1,
        leechers: 0,
        announced_at: 0,
    }))
}

async fn chunks(shared: web::Data<Shared>, request: HttpRequest, hash: web::Path<FileHash>) -> Answer {
    if let Some(refusal) = shared.refuses(&request, false) {
        return Ok(refusal);
    }
    let script = shared.script();
    let Some((_, hashes)) = script.files.get(&*hash) else {
        return Ok(problem(slug::FILE_UNKNOWN, 404));
    };
    assert_eq!(
        request.headers().get("accept").unwrap(),
        "application/octet-stream"
    );
    let range = request.headers().get("range").unwrap().to_str().unwrap();
    let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let part = bytes[first.min(bytes.len())..(last + 1).min(bytes.len())].to_vec();
    Ok(HttpResponse::PartialContent()
        .content_type("application/octet-stream")
        .body(part))
}

async fn peers(shared: web::Data<Shared>, request: HttpRequest, hash: web::Path<FileHash>) -> Answer {
    if let Some(refusal) = shared.refuses(&request, false) {
        return Ok(refusal);
    }
    let script = shared.script();
    if !script.files.contains_key(&*hash) {
        return Ok(problem(slug::FILE_UNKNOWN, 404));
    }
    Ok(HttpResponse::Ok().json(FilePeers {
        hash: *hash,
        peers: script.peers.clone(),
        seeders: 1,
        leechers: 0,
        interval: 30,
    }))
}
