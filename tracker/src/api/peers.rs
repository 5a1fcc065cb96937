//! Peers: register, stay, go, look.

use super::{
    Api, auth, bans, body,
    error::{ApiError, Kind},
    path, to_the_end,
};
use crate::{
    registry::{Live, SignOfLife, address, token::Session},
    storage::{Contact, StoredPeer, Write, Written},
};
use actix_web::{HttpRequest, HttpResponse, web};
use p2p_shared::{
    crypto::identity::{Challenger, CryptoError, Proof},
    id::PeerId,
    tracker_api::{
        ChallengeRequest, ChallengeResponse, HeartbeatRequest, HeartbeatResponse, PeerRecord, PeerStatus,
        PeersPage, RegisterRequest, RegisterResponse,
    },
};
use serde::Deserialize;
use std::net::IpAddr;

/// Peers on one page if nobody says otherwise, and at most.
const PAGE: (u32, u32) = (100, 1000);

/// Asks for a challenge that the holder of a key can answer.
#[utoipa::path(
    post,
    path = "/api/peers/challenge",
    tag = "peers",
    request_body = ChallengeRequest,
    responses((status = 200, description = "The challenge.", body = ChallengeResponse))
)]
pub(super) async fn challenge(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<web::Json<ChallengeResponse>, ApiError> {
    let ChallengeRequest { public_key } = body::json(&request, payload, body::SMALL).await?;
    let challenger = Challenger::new().map_err(|error| {
        tracing::error!(%error, "no challenge");
        ApiError::internal()
    })?;
    let challenge = challenger.challenge();
    api.registry.keep_challenge(public_key, challenger).await?;
    Ok(web::Json(ChallengeResponse {
        nonce: challenge.nonce,
        ephemeral_key: challenge.ephemeral_key,
    }))
}

/// Registers a peer that answers a challenge.
#[utoipa::path(
    post,
    path = "/api/peers/register",
    tag = "peers",
    request_body = RegisterRequest,
    responses((status = 200, description = "It is registered.", body = RegisterResponse))
)]
pub(super) async fn register(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<web::Json<RegisterResponse>, ApiError> {
    let observed = path::observed(&request)?;
    let register: RegisterRequest = body::json(&request, payload, body::SMALL).await?;
    let listed = address::check_listed(&register.addresses)?;
    check_proof(&api, &register).await?;
    bans::check(&api, &PeerId::of(&register.public_key))?;

    let now = api.clock.now();
    let peer = StoredPeer {
        public_key: register.public_key,
        session: now,
        contact: Contact {
            observed,
            port: register.port,
            listed,
        },
        bandwidth: register.bandwidth,
        agent: register.agent,
        registered_at: now,
        last_seen: now,
        online: true,
    };
    let session = Session {
        peer: peer.peer_id(),
        number: peer.session,
    };
    let work = api.clone();
    to_the_end(async move { put_peer(&work, peer).await }).await?;
    Ok(web::Json(RegisterResponse {
        peer_id: session.peer,
        token: api.tokens.issue(session),
        lease: api.lease_seconds(),
        observed_address: observed,
        relay_url: Some(api.relay.url().to_owned()),
        udp_ports: api.udp_ports.to_vec(),
    }))
}

async fn check_proof(api: &Api, register: &RegisterRequest) -> Result<(), ApiError> {
    let challenger = api
        .registry
        .take_challenge(register.nonce, register.public_key)
        .await?;
    let Some(challenger) = challenger else {
        let detail =
            "the challenge was answered already, is too old, or was for another key; ask for a new one";
        return Err(ApiError::new(Kind::ChallengeExpired, detail));
    };
    match challenger.check(&register.public_key, &Proof(register.proof)) {
        Ok(()) => Ok(()),
        Err(error @ (CryptoError::WrongProof | CryptoError::BadPublicKey)) => {
            Err(ApiError::new(Kind::ProofWrong, error.to_string()))
        }
        Err(error) => {
            tracing::error!(%error, "a proof could not be checked");
            Err(ApiError::internal())
        }
    }
}

async fn put_peer(api: &Api, peer: StoredPeer) -> Result<(), ApiError> {
    match api.writer.commit(Write::PutPeer(peer.clone())).await? {
        Written::IdTaken => {
            let detail = "another key has the same peer id; make a new identity";
            Err(ApiError::new(Kind::NotYours, detail))
        }
        _ => Ok(api.registry.register(peer).await?),
    }
}

/// The session of the caller, who has to be the peer in the path.
fn own_session(api: &Api, request: &HttpRequest) -> Result<Session, ApiError> {
    let id: PeerId = path::segment(request, "id")?;
    let session = path::session(api, request)?;
    if session.peer == id {
        return Ok(session);
    }
    let detail = format!("the token is that of peer {}, not of {id}", session.peer);
    Err(ApiError::new(Kind::NotYours, detail))
}

/// Renews a registration.
#[utoipa::path(
    post,
    path = "/api/peers/{id}/heartbeat",
    tag = "peers",
    params(("id" = PeerId, Path, description = "The peer.")),
    request_body = HeartbeatRequest,
    security(("api_key" = [], "peer_token" = [])),
    responses((status = 200, description = "The lease begins again.", body = HeartbeatResponse))
)]
pub(super) async fn heartbeat(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<web::Json<HeartbeatResponse>, ApiError> {
    let session = own_session(&api, &request)?;
    let HeartbeatRequest {
        addresses,
        port,
        punches,
    } = body::json(&request, payload, body::SMALL).await?;
    let sign = SignOfLife {
        observed: path::observed(&request)?,
        port,
        listed: addresses.as_deref().map(address::check_listed).transpose()?,
    };
    api.registry.heartbeat(session, sign).await?;
    if let Some(report) = punches {
        api.metrics.punched(&report);
    }
    Ok(web::Json(HeartbeatResponse {
        lease: api.lease_seconds(),
        relay_url: Some(api.relay.url().to_owned()),
    }))
}

/// Ends a registration.
#[utoipa::path(
    delete,
    path = "/api/peers/{id}",
    tag = "peers",
    params(("id" = PeerId, Path, description = "The peer.")),
    security(("api_key" = [], "peer_token" = [])),
    responses((status = 204, description = "The peer is offline."))
)]
pub(super) async fn leave(api: web::Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let session = own_session(&api, &request)?;
    api.registry.leave(session).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The query of a listing of peers.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    /// The `next` of the page before.
    cursor: Option<PeerId>,
    /// Peers on the page; 100 if not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// The peers that are known, in the order of their ids.
#[utoipa::path(
    get,
    path = "/api/peers",
    tag = "peers",
    params(Listing),
    responses((status = 200, description = "A page of them.", body = PeersPage))
)]
pub(super) async fn list(
    api: web::Data<Api>,
    request: HttpRequest,
) -> Result<web::Json<PeersPage>, ApiError> {
    let Listing { cursor, limit } = path::query(&request)?;
    let limit = path::limit(limit, PAGE.0, PAGE.1)?;
    let viewer = Viewer::of(&request)?;
    let page = api.store.peers(cursor, limit).await?;
    let ids = page.items.iter().map(|(peer, _)| peer.peer_id()).collect();
    let live = api.registry.live(ids).await?;
    let records = page.items.into_iter().zip(live);
    Ok(web::Json(PeersPage {
        peers: records
            .map(|((peer, files), live)| viewer.record(&api, &peer, files, live))
            .collect(),
        next: page.next.map(|id| id.to_string()),
    }))
}

/// One peer.
#[utoipa::path(
    get,
    path = "/api/peers/{id}",
    tag = "peers",
    params(("id" = PeerId, Path, description = "The peer.")),
    responses((status = 200, description = "What is known of it.", body = PeerRecord))
)]
pub(super) async fn one(
    api: web::Data<Api>,
    request: HttpRequest,
) -> Result<web::Json<PeerRecord>, ApiError> {
    let id: PeerId = path::segment(&request, "id")?;
    let viewer = Viewer::of(&request)?;
    let found = api.store.peer(id).await?;
    let (peer, files) = found.ok_or_else(|| ApiError::peer_unknown(&id))?;
    let live = api.registry.live(vec![id]).await?.into_iter().next().flatten();
    Ok(web::Json(viewer.record(&api, &peer, files, live)))
}

/// Who looks at peers: an operator sees every address, anybody else those that a peer in their place would.
enum Viewer {
    Operator,
    SeenFrom(IpAddr),
}

impl Viewer {
    fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        if auth::is_admin(request) {
            return Ok(Self::Operator);
        }
        path::observed(request).map(Self::SeenFrom)
    }

    /// A peer as the store has it, and as it is now if it is online.
    fn record(&self, api: &Api, peer: &StoredPeer, files: u32, live: Option<Live>) -> PeerRecord {
        let status = if live.is_some() || api.others.is_online(peer.online, peer.last_seen) {
            PeerStatus::Online
        } else {
            PeerStatus::Offline
        };
        let now = live.unwrap_or_else(|| Live {
            contact: peer.contact.clone(),
            last_seen: peer.last_seen,
            files,
            is_relayed: false,
        });
        PeerRecord {
            peer_id: peer.peer_id(),
            public_key: peer.public_key,
            addresses: match self {
                Self::Operator => address::all(&now.contact).collect(),
                Self::SeenFrom(ip) => address::visible_to(&now.contact, *ip),
            },
            status,
            files: now.files,
            last_seen: now.last_seen / 1000,
            bandwidth: peer.bandwidth,
            relay_url: now.is_relayed.then(|| api.relay.url().to_owned()),
            seeder: None,
        }
    }
}
