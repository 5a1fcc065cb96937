//! The door of the events: who comes in as a WebSocket. What is said behind it is in [`crate::events`].

use super::{
    Api, auth,
    error::{ApiError, Kind},
    host, path,
};
use crate::events::{
    session,
    subscription::{Subscription, Wanted},
};
use actix_web::{HttpRequest, HttpResponse, http::header, web};
use actix_web_actors::ws;

/// Clients that watch at most: each takes some 20 KiB.
const MOST_WATCHERS: usize = 16_384;

/// What goes on, as a WebSocket of JSON messages (docs/events.md).
#[utoipa::path(
    get,
    path = "/ws",
    tag = "tracker",
    params(Wanted),
    responses((status = 101, description = "From here on events."))
)]
pub(super) async fn events(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    check_origin(&api, &request)?;
    let subscription = Subscription::of(path::query(&request)?);
    let subscription =
        subscription.map_err(|error| ApiError::new(Kind::RequestInvalid, error.to_string()))?;
    let mut response = ws::handshake(&request).map_err(|error| {
        let detail = format!("{error}; connect with a WebSocket client");
        ApiError::new(Kind::UpgradeRequired, detail)
    })?;
    if api.events.watchers() >= MOST_WATCHERS {
        return Err(ApiError::new(Kind::Busy, "too many clients watch already"));
    }
    let over = auth::grant(&api, &request).over();
    Ok(response.streaming(session::start(api, subscription, over, payload)))
}

/// Refuses what a web page of somebody else began: browsers say whose page it is, and send along what the tracker's own page would.
fn check_origin(api: &Api, request: &HttpRequest) -> Result<(), ApiError> {
    let Some(origin) = request.headers().get(header::ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or_default();
    let named = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let from = host::of_url(origin);
    let is_ours = origin.contains("://")
        && [named, api.public_host.as_deref()]
            .into_iter()
            .flatten()
            .any(|ours| ours.eq_ignore_ascii_case(from));
    if is_ours {
        return Ok(());
    }
    let detail =
        "this WebSocket is for the tracker's own pages and for programs, not for pages of other sites";
    Err(ApiError::new(Kind::OriginRefused, detail))
}
