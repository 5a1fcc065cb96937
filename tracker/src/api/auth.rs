//! Who may call at all.
//!
//! With keys, every route but `/` and the health checks wants `X-API-Key`: scope `read` to look, `peer` to change
//! anything and to be relayed, `admin` for what operators do. Without keys the tracker serves this machine only and everybody on it is its
//! operator; then the `Host` of a request has to be this machine too, or a web page could reach the tracker through a name that it makes
//! point here (DNS rebinding), and it may not come through a proxy, behind which everybody would be this machine.

use super::{
    Api,
    error::{ApiError, Kind},
    host,
};
use crate::{
    access::{Grant, client, ring::HeldKey},
    storage::Scope,
};
use actix_web::{
    HttpMessage as _, HttpRequest, ResponseError as _,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, header},
    middleware::Next,
    web,
};
use p2p_shared::tracker_api::API_KEY_HEADER;
use std::sync::Arc;

/// What needs no key.
pub(super) const OPEN: [&str; 5] = ["/", "/healthz", "/readyz", "/api/openapi.json", "/api/docs"];

/// Nor does what is below this: the parts of a page that anybody may read.
pub(super) const OPEN_BELOW: &str = "/api/docs/";

/// Where a key may stand in `Authorization: Bearer`, too: Prometheus sends no headers of other names before its version 2.55, and Debian
/// 12 has 2.42.
const METRICS: &str = "/metrics";

/// What the caller of a request may do, and by which key.
#[derive(Clone)]
struct Caller {
    scope: Scope,
    /// None where no keys are needed.
    key: Option<Arc<HeldKey>>,
}

/// Which key the caller of a request has shown, by its id; empty where no keys are needed.
pub(super) fn key_id(request: &HttpRequest) -> String {
    let caller = request.extensions().get::<Caller>().cloned();
    let key = caller.and_then(|caller| caller.key);
    key.map_or_else(String::new, |key| key.stored.id.clone())
}

/// What the caller of a request was let in with, for who stays longer than an answer takes.
pub(super) fn grant(api: &Api, request: &HttpRequest) -> Grant {
    let caller = request.extensions().get::<Caller>().cloned();
    let key = caller.and_then(|caller| caller.key);
    api.access.grant(key.as_deref())
}

/// Whether the caller is an operator.
pub(super) fn is_admin(request: &HttpRequest) -> bool {
    let scope = request.extensions().get::<Caller>().map(|caller| caller.scope);
    scope == Some(Scope::Admin)
}

/// Middleware: lets a request pass, or answers it.
pub(crate) async fn authorize<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, actix_web::Error> {
    match admit(&request) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            Ok(next.call(request).await?.map_into_left_body())
        }
        Err(error) => Ok(request
            .into_response(error.error_response())
            .map_into_right_body()),
    }
}

fn admit(request: &ServiceRequest) -> Result<Caller, ApiError> {
    let api = request
        .app_data::<web::Data<Api>>()
        .ok_or_else(ApiError::internal)?;
    let ring = api.access.ring();
    if !ring.is_required() {
        check_nearness(request)?;
        return Ok(Caller::unnamed(Scope::Admin));
    }
    let path = request.path();
    if OPEN.contains(&path) || path.starts_with(OPEN_BELOW) {
        return Ok(Caller::unnamed(Scope::Read));
    }
    let now = api.clock.now();
    let key = key_of(request).and_then(|key| ring.find(key, now));
    let key = key.ok_or_else(|| {
        let detail = format!("send a valid API key of this tracker as {API_KEY_HEADER}");
        ApiError::new(Kind::ApiKeyInvalid, detail)
    })?;
    key.check(now).map_err(|wait| {
        let detail = "too many requests a second under this API key";
        ApiError::rate_limited(detail, wait)
    })?;
    let caller = Caller {
        scope: key.stored.scope,
        key: Some(Arc::clone(key)),
    };
    match [Method::GET, Method::HEAD].contains(request.method()) {
        true => Ok(caller),
        false => caller.may(Scope::Peer).map(|()| caller),
    }
}

/// Refuses a caller who may look only: for a handler whose method says that it is a look, and which is more. Asked there and not by the
/// path, which can be written in more than one way.
pub(super) fn may_change(request: &HttpRequest) -> Result<(), ApiError> {
    may(request, Scope::Peer)
}

/// Refuses a caller who is no operator. Asked by the handler, for the same reason.
pub(super) fn may_operate(request: &HttpRequest) -> Result<(), ApiError> {
    may(request, Scope::Admin)
}

fn may(request: &HttpRequest, scope: Scope) -> Result<(), ApiError> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(ApiError::internal)?.may(scope)
}

impl Caller {
    fn may(&self, scope: Scope) -> Result<(), ApiError> {
        if self.scope >= scope {
            return Ok(());
        }
        let has = match self.scope {
            Scope::Read => "read",
            Scope::Peer | Scope::Admin => "peer",
        };
        let needs = match scope {
            Scope::Read | Scope::Peer => "one of scope peer or admin",
            Scope::Admin => "one of scope admin",
        };
        let detail = format!("the API key has the scope {has}; this call needs {needs}");
        Err(ApiError::new(Kind::ScopeMissing, detail))
    }

    fn unnamed(scope: Scope) -> Self {
        Self { scope, key: None }
    }
}

fn key_of(request: &ServiceRequest) -> Option<&str> {
    let headers = request.headers();
    match headers.get(API_KEY_HEADER) {
        Some(key) => key.to_str().ok(),
        // Elsewhere that is the place of a peer's token.
        None if request.path() == METRICS => bearer(headers.get(header::AUTHORIZATION)?.to_str().ok()?),
        None => None,
    }
}

/// What stands behind `Bearer`.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn check_nearness(request: &ServiceRequest) -> Result<(), ApiError> {
    if client::is_forwarded(request.headers()) {
        let detail = "the request came through a proxy, and without API keys this tracker answers this machine only; \
                      start it with --public-url and --trusted-proxy to be reached through one";
        return Err(ApiError::new(Kind::WrongHost, detail));
    }
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    match host {
        Some(host) if !host::is_this_machine(host) => {
            let detail = "without API keys this tracker answers as localhost only; \
                          start it with --public-url to be reached under another name";
            Err(ApiError::new(Kind::WrongHost, detail))
        }
        _ => Ok(()),
    }
}
