//! API keys: made, listed, rotated, revoked. For operators alone.

use super::{
    Api, audit, auth, body,
    error::{ApiError, Kind},
    path, to_the_end,
};
use crate::{
    access::{
        key, order,
        order::{MOST_KEYS, Ordered},
        ring::HeldKey,
    },
    relay::month_of,
    storage::{StoredKey, Write, Written},
};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use p2p_shared::tracker_api::{KeyRecord, KeysPage, NewKeyRequest, NewKeyResponse};
use serde::Deserialize;

/// Keys on one page if nobody says otherwise, and at most.
const PAGE: (u32, u32) = (100, 1000);

/// The query of a listing.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Listing {
    /// The `next` of the page before.
    cursor: Option<String>,
    /// Keys on the page; 100 if not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// The keys, never their secrets.
#[utoipa::path(
    get,
    path = "/api/keys",
    tag = "operators",
    params(Listing),
    responses((status = 200, description = "A page of them.", body = KeysPage))
)]
pub(super) async fn list(api: web::Data<Api>, request: HttpRequest) -> Result<web::Json<KeysPage>, ApiError> {
    auth::may_operate(&request)?;
    let Listing { cursor, limit } = path::query(&request)?;
    let limit = path::limit(limit, PAGE.0, PAGE.1)? as usize;
    let (ring, now) = (api.access.ring(), api.clock.now());
    let mut keys = ring.keys();
    keys.retain(|key| cursor.as_ref().is_none_or(|cursor| key.stored.id > *cursor));
    let next = keys
        .get(limit)
        .and_then(|_| limit.checked_sub(1))
        .map(|last| keys[last].stored.id.clone());
    keys.truncate(limit);
    Ok(web::Json(KeysPage {
        keys: keys.into_iter().map(|key| record(key, now)).collect(),
        next,
    }))
}

/// What operators see of a key.
fn record(key: &HeldKey, now: u64) -> KeyRecord {
    let stored = &key.stored;
    let used = key.share.month();
    KeyRecord {
        last_used: key.last_used().map(|time| time / 1000),
        relayed_this_month: if u64::from(used.month) == month_of(now) {
            used.bytes
        } else {
            0
        },
        ..record_of(stored, now)
    }
}

/// What operators see of a key that nobody has used yet.
pub(crate) fn record_of(stored: &StoredKey, now: u64) -> KeyRecord {
    let used = stored.month;
    KeyRecord {
        id: stored.id.clone(),
        name: stored.name.clone(),
        scope: order::said_scope(stored.scope),
        created_at: stored.created_at / 1000,
        expires_at: stored.expires_at.map(|time| time / 1000),
        expired: !key::is_valid(stored, now),
        last_used: stored.last_used.map(|time| time / 1000),
        quota: order::said_quota(&stored.quota),
        relayed_this_month: if u64::from(used.month) == month_of(now) {
            used.bytes
        } else {
            0
        },
    }
}

/// Makes a key, or one that takes the place of another. The key itself is in this answer and nowhere else.
#[utoipa::path(
    post,
    path = "/api/keys",
    tag = "operators",
    request_body = NewKeyRequest,
    responses((status = 201, description = "The key.", body = NewKeyResponse))
)]
pub(super) async fn add(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    auth::may_operate(&request)?;
    let asked: NewKeyRequest = body::json(&request, payload, body::SMALL).await?;
    let (ring, now) = (api.access.ring(), api.clock.now());
    if ring.len() >= MOST_KEYS {
        let detail = format!("there are {MOST_KEYS} keys, which is as many as there may be; revoke some");
        return Err(ApiError::new(Kind::TooMany, detail));
    }
    let replaced = match &asked.replaces {
        None => None,
        Some(id) => Some(&ring.get(id).ok_or_else(|| ApiError::key_unknown(id))?.stored),
    };
    let ordered = order::read(asked.clone(), replaced, now)?;
    let Ordered {
        key,
        scope,
        replaced_ends,
    } = ordered;
    let (text, stored) = key::make(key, scope, now).map_err(|error| {
        tracing::error!(%error, "no randomness");
        ApiError::internal()
    })?;
    let act = match &asked.replaces {
        None => audit::Act::of(&api, &request, "key.add", &stored.id)?,
        Some(old) => {
            audit::Act::of(&api, &request, "key.rotate", &stored.id)?.with(format!("in the place of {old}"))
        }
    };
    let answer = NewKeyResponse {
        key: text,
        record: record_of(&stored, now),
    };
    let api = api.get_ref().clone();
    to_the_end(async move {
        act.record(&api).await?;
        api.writer.commit(Write::AddKey(stored)).await?;
        if let Some((id, at)) = asked.replaces.zip(replaced_ends) {
            api.writer.commit(Write::ExpireKey { id, at }).await?;
        }
        Ok(api.keeper.reload().await?)
    })
    .await?;
    Ok(HttpResponse::build(StatusCode::CREATED).json(answer))
}

/// Makes a key worthless. Connections under it end within 5 s.
#[utoipa::path(
    delete,
    path = "/api/keys/{id}",
    tag = "operators",
    params(("id" = String, Path, description = "The id of the key.")),
    responses((status = 204, description = "It is worth nothing any more."))
)]
pub(super) async fn revoke(api: web::Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    auth::may_operate(&request)?;
    let id: String = path::segment(&request, "id")?;
    if api.access.ring().get(&id).is_none() {
        return Err(ApiError::key_unknown(&id));
    }
    let act = audit::Act::of(&api, &request, "key.revoke", &id)?;
    let at = api.clock.now();
    let api = api.get_ref().clone();
    to_the_end(async move {
        act.record(&api).await?;
        let revoke = Write::RevokeKey { id: id.clone(), at };
        if api.writer.commit(revoke).await? == Written::Missing {
            return Err(ApiError::key_unknown(&id));
        }
        Ok(api.keeper.reload().await?)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}
