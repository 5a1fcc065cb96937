//! Peers that are kept out. For operators alone.

use super::{
    Api, audit, auth, body,
    error::{ApiError, Kind},
    path, to_the_end,
};
use crate::storage::{Ban, Write, Written};
use actix_web::{HttpRequest, HttpResponse, web};
use p2p_shared::{
    id::PeerId,
    tracker_api::{BanRecord, BanRequest, BansPage},
};
use serde::Deserialize;

/// Bans on one page if nobody says otherwise, and at most.
const PAGE: (u32, u32) = (100, 1000);

/// Bans at a time: all of them are in memory. Keys cost nothing, so who comes again and again under new ones is met by limits.
const MOST: usize = 100_000;

/// Longest reason, in characters.
const LONGEST_REASON: usize = 200;

/// The query of a listing.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Listing {
    /// The `next` of the page before.
    cursor: Option<PeerId>,
    /// Bans on the page; 100 if not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// The peers that are kept out.
#[utoipa::path(
    get,
    path = "/api/bans",
    tag = "operators",
    params(Listing),
    responses((status = 200, description = "A page of them.", body = BansPage))
)]
pub(super) async fn list(api: web::Data<Api>, request: HttpRequest) -> Result<web::Json<BansPage>, ApiError> {
    auth::may_operate(&request)?;
    let Listing { cursor, limit } = path::query(&request)?;
    let limit = path::limit(limit, PAGE.0, PAGE.1)? as usize;
    let ring = api.access.ring();
    let mut bans = ring.bans();
    bans.retain(|ban| cursor.is_none_or(|cursor| ban.peer > cursor));
    let next = bans
        .get(limit)
        .and_then(|_| limit.checked_sub(1))
        .map(|last| bans[last].peer.to_string());
    bans.truncate(limit);
    Ok(web::Json(BansPage {
        bans: bans.into_iter().map(record).collect(),
        next,
    }))
}

fn record(ban: &Ban) -> BanRecord {
    BanRecord {
        peer_id: ban.peer,
        reason: ban.reason.clone(),
        by: ban.by.clone(),
        at: ban.at / 1000,
    }
}

/// Keeps a peer out: its registration and its relay connection end, and it does not register again.
#[utoipa::path(
    put,
    path = "/api/bans/{id}",
    tag = "operators",
    params(("id" = PeerId, Path, description = "The peer; it need not be known.")),
    request_body = BanRequest,
    responses((status = 200, description = "It is out.", body = BanRecord))
)]
pub(super) async fn put(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<web::Json<BanRecord>, ApiError> {
    auth::may_operate(&request)?;
    let peer: PeerId = path::segment(&request, "id")?;
    let BanRequest { reason } = body::json(&request, payload, body::SMALL).await?;
    if reason.chars().count() > LONGEST_REASON || reason.chars().any(char::is_control) {
        let detail = format!("a reason has at most {LONGEST_REASON} printable characters");
        return Err(ApiError::new(Kind::RequestInvalid, detail));
    }
    let ring = api.access.ring();
    if ring.bans().len() >= MOST && ring.ban(&peer).is_none() {
        let detail = format!("{MOST} peers are banned, which is as many as may be; let some in");
        return Err(ApiError::new(Kind::TooMany, detail));
    }
    let ban = Ban {
        peer,
        reason,
        by: auth::key_id(&request),
        at: api.clock.now(),
    };
    let act = audit::Act::of(&api, &request, "peer.ban", &peer.to_string())?.with(ban.reason.clone());
    let answer = record(&ban);
    let api = api.get_ref().clone();
    to_the_end(async move {
        act.record(&api).await?;
        api.writer.commit(Write::BanPeer(ban)).await?;
        Ok(api.keeper.reload().await?)
    })
    .await?;
    Ok(web::Json(answer))
}

/// Lets a peer in again.
#[utoipa::path(
    delete,
    path = "/api/bans/{id}",
    tag = "operators",
    params(("id" = PeerId, Path, description = "The peer.")),
    responses((status = 204, description = "It may register again."))
)]
pub(super) async fn lift(api: web::Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    auth::may_operate(&request)?;
    let peer: PeerId = path::segment(&request, "id")?;
    let unknown = move || ApiError::new(Kind::PeerUnknown, format!("peer {peer} is not banned"));
    if api.access.ring().ban(&peer).is_none() {
        return Err(unknown());
    }
    let act = audit::Act::of(&api, &request, "peer.unban", &peer.to_string())?;
    let api = api.get_ref().clone();
    to_the_end(async move {
        act.record(&api).await?;
        if api.writer.commit(Write::UnbanPeer(peer)).await? == Written::Missing {
            return Err(unknown());
        }
        Ok(api.keeper.reload().await?)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Refuses a peer that is banned.
pub(super) fn check(api: &Api, peer: &PeerId) -> Result<(), ApiError> {
    if api.access.ring().ban(peer).is_none() {
        return Ok(());
    }
    let detail = format!("peer {peer} was banned by an operator of this tracker; ask them");
    Err(ApiError::new(Kind::PeerBanned, detail))
}
