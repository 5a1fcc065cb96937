//! The door of the relay: who comes in as a WebSocket. What is said behind it is in [`crate::relay`].

use super::{
    Api, auth,
    error::{ApiError, Kind},
    path,
};
use crate::accepted;
use actix_http::ws;
use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use p2p_shared::protocol::relay::SUBPROTOCOL;

/// Connects a peer to the relay, as a WebSocket.
#[utoipa::path(
    get,
    path = "/relay",
    tag = "relay",
    security(("api_key" = [], "peer_token" = [])),
    responses((status = 101, description = "From here on frames of the relay protocol."))
)]
pub(super) async fn relay(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let answer = connect(&api, &request, payload).await;
    if let Err(error) = &answer {
        api.relay.counters().refuse(error.slug());
    }
    answer
}

async fn connect(api: &Api, request: &HttpRequest, payload: web::Payload) -> Result<HttpResponse, ApiError> {
    auth::may_change(request)?;
    let registration = path::session(api, request)?;
    let accept = check_handshake(request)?;
    let peer = api.registry.key_of(registration).await?;
    let grant = auth::grant(api, request);
    let taken = grant.share.connect().ok_or_else(|| {
        let detail =
            "as many peers as may be are connected to the relay under this API key; come again later";
        ApiError::new(Kind::TooMany, detail)
    })?;
    let connected = api
        .relay
        .connect(peer, registration, (grant, taken), payload)
        .await;
    let outgoing = connected.map_err(|error| {
        let detail = format!("the relay is not answering: {error}; ask again in a second");
        ApiError::new(Kind::Busy, detail)
    })?;
    // Its session notices when it is gone.
    accepted::let_it_read_slowly(request);
    Ok(HttpResponse::build(StatusCode::SWITCHING_PROTOCOLS)
        .upgrade("websocket")
        .insert_header((header::SEC_WEBSOCKET_ACCEPT, &accept[..]))
        .insert_header((header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL))
        .streaming(outgoing))
}

/// What proves to the client that its handshake was understood (RFC 6455 section 4.2.2).
fn check_handshake(request: &HttpRequest) -> Result<[u8; 28], ApiError> {
    ws::verify_handshake(request.head()).map_err(|error| {
        let detail = format!("{error}; connect with a WebSocket client");
        ApiError::new(Kind::UpgradeRequired, detail)
    })?;
    if !offers_subprotocol(request) {
        let detail = format!("offer the subprotocol {SUBPROTOCOL}");
        return Err(ApiError::new(Kind::UpgradeRequired, detail));
    }
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    let key = key.ok_or_else(|| ApiError::new(Kind::UpgradeRequired, "there is no Sec-WebSocket-Key"))?;
    Ok(ws::hash_key(key.as_bytes()))
}

fn offers_subprotocol(request: &HttpRequest) -> bool {
    request
        .headers()
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .filter_map(|offered| offered.to_str().ok())
        .flat_map(|offered| offered.split(','))
        .any(|offered| offered.trim() == SUBPROTOCOL)
}
