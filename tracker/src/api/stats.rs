//! What this is, and how much of everything there is.

use super::{Api, error::ApiError};
use actix_web::web;
use p2p_shared::tracker_api::Stats;
use serde_json::{Value, json};

/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// For somebody who opens the address to see what is there.
#[utoipa::path(
    get,
    path = "/",
    tag = "tracker",
    responses((status = 200, description = "What this is.", body = Object))
)]
pub(super) async fn about() -> web::Json<Value> {
    web::Json(json!({
        "name": "p2p-tracker",
        "version": VERSION,
        "what": "Introduces peers that share files to each other and keeps the catalogue. It never sees the files.",
        "try": [
            "GET /api/stats",
            "GET /api/files?query=",
            "GET /api/files/{hash}",
            "GET /api/files/{hash}/chunks",
            "GET /api/files/{hash}/peers",
            "GET /api/peers",
            "GET /api/docs/",
            "GET /api/openapi.json",
            "GET /metrics",
            "GET /healthz",
            "GET /readyz",
            "GET /relay (WebSocket)",
        ],
    }))
}

/// How much there is of everything.
#[utoipa::path(
    get,
    path = "/api/stats",
    tag = "tracker",
    responses((status = 200, description = "The numbers.", body = Stats))
)]
pub(super) async fn stats(api: web::Data<Api>) -> Result<web::Json<Stats>, ApiError> {
    let totals = api.registry.totals().await?;
    Ok(web::Json(Stats {
        peers_online: totals.peers_online,
        peers_known: api.store.known_peers().await?,
        files: totals.files,
        seeders: totals.seeders,
        leechers: totals.leechers,
        bytes_shared: totals.bytes_shared,
        uptime_seconds: api.clock.uptime().as_secs(),
        version: VERSION.to_owned(),
        relay: api.relay.counters().stats(),
    }))
}
