//! The calls of the tracker's API (protocol.md, "Tracker HTTP"), one function each.

use super::{CallError, TrackerUrl, http::Credentials, http::Http};
use p2p_shared::{
    crypto::identity::{Challenge, Identity},
    id::{ChunkHash, FileHash, PeerId},
    tracker_api::{
        AnnounceRequest, AnnounceResponse, ChallengeRequest, ChallengeResponse, DIGESTS_MEDIA_TYPE,
        FilePeers, FileRecord, HeartbeatRequest, HeartbeatResponse, MAX_CHUNK_HASHES, RegisterRequest,
        RegisterResponse,
    },
};
use reqwest::Method;
use std::{net::SocketAddr, ops::Range};

/// What this peer's software is called, in registrations.
pub(crate) const AGENT: &str = concat!("p2p-peer/", env!("CARGO_PKG_VERSION"));

/// No body.
const NOTHING: Option<&()> = None;

/// Proves to `tracker` that this peer holds the secret half of its key, and registers it.
pub(crate) async fn register(
    http: &Http,
    tracker: &TrackerUrl,
    identity: &Identity,
    addresses: Vec<SocketAddr>,
    port: u16,
) -> Result<RegisterResponse, CallError> {
    let public_key = identity.public_key();
    let question = ChallengeRequest { public_key };
    let path = ["api", "peers", "challenge"];
    let challenge: ChallengeResponse = http
        .json(
            tracker,
            Method::POST,
            &path,
            Credentials::default(),
            Some(&question),
        )
        .await?;
    let proof = identity
        .prove(&Challenge {
            nonce: challenge.nonce,
            ephemeral_key: challenge.ephemeral_key,
        })
        .map_err(|error| CallError::NotATracker {
            tracker: tracker.clone(),
            reason: format!("its challenge cannot be answered ({error})"),
        })?;
    let request = RegisterRequest {
        public_key,
        nonce: challenge.nonce,
        proof: proof.0,
        addresses,
        port,
        bandwidth: None,
        agent: AGENT.to_owned(),
    };
    let path = ["api", "peers", "register"];
    http.json(
        tracker,
        Method::POST,
        &path,
        Credentials::default(),
        Some(&request),
    )
    .await
}

/// Says that the peer is still there, and what has changed.
pub(crate) async fn heartbeat(
    http: &Http,
    tracker: &TrackerUrl,
    peer: PeerId,
    token: &str,
    news: &HeartbeatRequest,
) -> Result<HeartbeatResponse, CallError> {
    let path = ["api", "peers", &peer.to_string(), "heartbeat"];
    http.json(
        tracker,
        Method::POST,
        &path,
        Credentials { token: Some(token) },
        Some(news),
    )
    .await
}

/// Says that the peer goes away: it is handed out no more.
pub(crate) async fn leave(
    http: &Http,
    tracker: &TrackerUrl,
    peer: PeerId,
    token: &str,
) -> Result<(), CallError> {
    let path = ["api", "peers", &peer.to_string()];
    http.command(tracker, Method::DELETE, &path, Credentials { token: Some(token) })
        .await
}

/// Says what is held of a file.
pub(crate) async fn announce(
    http: &Http,
    tracker: &TrackerUrl,
    token: &str,
    request: &AnnounceRequest,
) -> Result<AnnounceResponse, CallError> {
    let path = ["api", "files", "announce"];
    http.json(
        tracker,
        Method::POST,
        &path,
        Credentials { token: Some(token) },
        Some(request),
    )
    .await
}

/// What the tracker knows about a file.
pub(crate) async fn file(
    http: &Http,
    tracker: &TrackerUrl,
    hash: &FileHash,
) -> Result<FileRecord, CallError> {
    let path = ["api", "files", &hash.to_string()];
    let record: FileRecord = http
        .json(tracker, Method::GET, &path, Credentials::default(), NOTHING)
        .await?;
    if record.file.hash != *hash {
        return Err(CallError::NotATracker {
            tracker: tracker.clone(),
            reason: format!("asked about {hash}, it answered about {}", record.file.hash),
        });
    }
    Ok(record)
}

/// Peers of a file. With `token` the tracker knows who asks, and leaves that peer out.
pub(crate) async fn peers(
    http: &Http,
    tracker: &TrackerUrl,
    token: Option<&str>,
    hash: &FileHash,
) -> Result<FilePeers, CallError> {
    let path = ["api", "files", &hash.to_string(), "peers"];
    http.json(tracker, Method::GET, &path, Credentials { token }, NOTHING)
        .await
}

/// The hashes of the chunks `range` of a file, at most [`MAX_CHUNK_HASHES`] of them; not checked against anything.
pub(crate) async fn chunk_hashes(
    http: &Http,
    tracker: &TrackerUrl,
    hash: &FileHash,
    range: Range<u32>,
) -> Result<Vec<ChunkHash>, CallError> {
    debug_assert!(range.len() <= MAX_CHUNK_HASHES && !range.is_empty());
    let path = ["api", "files", &hash.to_string(), "chunks"];
    let bytes = (u64::from(range.start) * 32, u64::from(range.end) * 32 - 1);
    let answer = http.bytes(tracker, &path, DIGESTS_MEDIA_TYPE, bytes).await?;
    let (hashes, rest) = answer.as_chunks::<32>();
    if !rest.is_empty() || hashes.len() != range.len() {
        return Err(CallError::NotATracker {
            tracker: tracker.clone(),
            reason: format!(
                "it sent {} bytes of chunk hashes where {} were asked for",
                answer.len(),
                range.len() * 32
            ),
        });
    }
    Ok(hashes.iter().copied().map(ChunkHash).collect())
}
