//! The HTTP API: one file a resource.
//!
//! A handler reads the request, asks registry and store through their handles, and writes the answer. What a call means
//! is decided behind the handles; what a failure looks like, in [`error`]. Wire types are those of
//! [`p2p_shared::tracker_api`].

mod announce;
pub(crate) mod audit;
pub(crate) mod auth;
mod bans;
pub(crate) mod base;
mod body;
mod chunks;
pub(crate) mod compress;
mod error;
mod files;
pub(crate) mod guard;
mod health;
pub(crate) mod host;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod logging;
mod metrics;
mod openapi;
mod path;
mod peers;
mod range;
mod relay;
mod request_id;
mod stats;
mod websocket;

use crate::{
    access::{Access, client::TrustedProxies, keeper::Keeper},
    clock::Clock,
    events::EventsHandle,
    metrics::Metrics,
    registry::{RegistryHandle, elsewhere::Others, token::Tokens},
    relay::RelayHandle,
    storage::{Store, writer::StoreWriterHandle},
};
use actix_web::{
    HttpRequest, Resource, Route,
    guard::{Any, Get, Head},
    http::header,
    web,
};
use error::{ApiError, Kind};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;
use tracing::Instrument as _;

/// Announcements with chunk hashes that are read and checked at once: each takes up to 8 MiB for a moment.
const LARGE_BODIES: usize = 8;

/// What the handlers work with. Clones share it.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) registry: RegistryHandle,
    pub(crate) relay: RelayHandle,
    pub(crate) writer: StoreWriterHandle,
    pub(crate) store: Arc<dyn Store>,
    /// Peers at other trackers of the same database.
    pub(crate) others: Others,
    pub(crate) tokens: Tokens,
    pub(crate) access: Access,
    pub(crate) keeper: Keeper,
    pub(crate) clock: Clock,
    pub(crate) lease: Duration,
    /// Where the rendezvous answers, if it does.
    pub(crate) udp_ports: Arc<[u16]>,
    /// Under which host others reach this tracker, if it was told.
    pub(crate) public_host: Option<String>,
    /// What goes on.
    pub(crate) events: EventsHandle,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// The proxies whose word about a client's address counts.
    pub(crate) proxies: Arc<TrustedProxies>,
    /// Below which path everything lies; empty: there is none.
    pub(crate) base_path: Arc<str>,
    /// Set while the tracker is shutting down.
    pub(crate) draining: Arc<AtomicBool>,
    large_bodies: Arc<Semaphore>,
}

impl Api {
    pub(crate) fn new(
        registry: RegistryHandle,
        relay: RelayHandle,
        writer: StoreWriterHandle,
        store: Arc<dyn Store>,
        (tokens, access): (Tokens, Access),
        (clock, lease): (Clock, Duration),
        events: EventsHandle,
    ) -> Self {
        let keeper = Keeper::new(
            access.clone(),
            Arc::clone(&store),
            writer.clone(),
            registry.clone(),
            relay.clone(),
        );
        Self {
            registry,
            relay,
            writer,
            others: Others::new(Arc::clone(&store), clock, lease),
            store,
            tokens,
            access,
            keeper,
            clock,
            lease,
            events,
            public_host: None,
            udp_ports: Arc::default(),
            metrics: Metrics::default(),
            proxies: Arc::default(),
            base_path: Arc::from(""),
            draining: Arc::default(),
            large_bodies: Arc::new(Semaphore::new(LARGE_BODIES)),
        }
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The lease in whole seconds, as peers are told; a shorter one counts as a second.
    fn lease_seconds(&self) -> u32 {
        u32::try_from(self.lease.as_secs()).unwrap_or(u32::MAX).max(1)
    }

    /// Seconds until a downloader should ask for peers again. A source that appears is found within 10 s, and with
    /// short leases (tests) sooner.
    fn ask_again(&self) -> u32 {
        (self.lease_seconds() / 3).clamp(1, 10)
    }
}

/// Puts all routes in place.
pub(crate) fn configure(app: &mut web::ServiceConfig) {
    app.service(resource("/", &["GET"]).route(get().to(stats::about)))
        .service(resource("/healthz", &["GET"]).route(get().to(health::healthz)))
        .service(resource("/readyz", &["GET"]).route(get().to(health::readyz)))
        .service(resource("/metrics", &["GET"]).route(get().to(metrics::metrics)))
        .service(resource("/ws", &["GET"]).route(web::get().to(websocket::events)))
        .service(resource("/relay", &["GET"]).route(web::get().to(relay::relay)))
        .service(resource("/api/stats", &["GET"]).route(get().to(stats::stats)))
        .service(resource("/api/peers/challenge", &["POST"]).route(web::post().to(peers::challenge)))
        .service(resource("/api/peers/register", &["POST"]).route(web::post().to(peers::register)))
        .service(resource("/api/peers/{id}/heartbeat", &["POST"]).route(web::post().to(peers::heartbeat)))
        .service(
            resource("/api/peers/{id}", &["GET", "DELETE"])
                .route(get().to(peers::one))
                .route(web::delete().to(peers::leave)),
        )
        .service(resource("/api/peers", &["GET"]).route(get().to(peers::list)))
        .service(
            resource("/api/keys", &["GET", "POST"])
                .route(get().to(keys::list))
                .route(web::post().to(keys::add)),
        )
        .service(resource("/api/keys/{id}", &["DELETE"]).route(web::delete().to(keys::revoke)))
        .service(resource("/api/bans", &["GET"]).route(get().to(bans::list)))
        .service(
            resource("/api/bans/{id}", &["PUT", "DELETE"])
                .route(web::put().to(bans::put))
                .route(web::delete().to(bans::lift)),
        )
        .service(resource("/api/audit", &["GET"]).route(get().to(audit::list)))
        .service(resource("/api/files/announce", &["POST"]).route(web::post().to(announce::announce)))
        .service(resource("/api/files/{hash}/chunks", &["GET"]).route(get().to(chunks::chunks)))
        .service(resource("/api/files/{hash}/peers", &["GET"]).route(get().to(files::peers)))
        .service(
            resource("/api/files/{hash}", &["GET", "DELETE"])
                .route(get().to(files::one))
                .route(web::delete().to(files::remove)),
        )
        .service(resource("/api/files", &["GET"]).route(get().to(files::list)))
        .service(resource("/api/openapi.json", &["GET"]).route(get().to(openapi::document)))
        .service(resource("/api/docs", &["GET"]).route(get().to(openapi::front)))
        .service(resource("/api/docs/{file:.*}", &["GET"]).route(get().to(openapi::page)))
        .default_service(web::to(no_such_route));
}

/// A path with these methods; any other is answered 405.
fn resource(path: &str, methods: &'static [&'static str]) -> Resource {
    web::resource(path).default_service(web::to(move |request: HttpRequest| async move {
        let allowed = methods.join(", ");
        let detail = format!("{} takes {allowed}, not {}", request.path(), request.method());
        Err::<&str, _>(ApiError::new(Kind::MethodNotAllowed, detail).with_header(header::ALLOW, &allowed))
    }))
}

/// GET, and HEAD as RFC 9110 wants it wherever there is GET; the server leaves the body out.
fn get() -> Route {
    web::route().guard(Any(Get()).or(Head()))
}

async fn no_such_route(request: HttpRequest) -> Result<&'static str, ApiError> {
    let detail = format!(
        "there is nothing at {}; GET / lists what there is",
        request.path()
    );
    Err(ApiError::new(Kind::NoSuchRoute, detail))
}

/// Carries on to the end although the caller goes away: what began to be written is told to the registry too.
async fn to_the_end<T: 'static>(
    work: impl Future<Output = Result<T, ApiError>> + 'static,
) -> Result<T, ApiError> {
    match actix_web::rt::spawn(work.in_current_span()).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!(%error, "a request crashed");
            Err(ApiError::internal())
        }
    }
}
