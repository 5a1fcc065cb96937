//! One line of log a request, and the name under which to find it.
//!
//! The name goes back in `X-Request-Id`. Heartbeats and hand-outs are logged at `debug`: there are thousands a second of
//! them. Never logs a body, a token, a key or a query.

use actix_web::{
    HttpResponse,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        StatusCode,
        header::{HeaderName, HeaderValue},
    },
    middleware::Next,
};
use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Routes that are asked all the time.
const FREQUENT: [&str; 4] = [
    "/api/peers/{id}/heartbeat",
    "/api/files/{hash}/peers",
    "/healthz",
    "/readyz",
];

/// Middleware: names the request and logs how it ended.
pub(crate) async fn log<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let begin = Instant::now();
    let line = Line {
        id: RequestId::next(),
        method: request.method().to_string(),
        from: request
            .peer_addr()
            .map_or_else(String::new, |address| address.ip().to_string()),
    };
    match next.call(request).await {
        Ok(mut response) => {
            let route = response.request().match_pattern();
            line.write(route.as_deref(), response.status(), begin);
            response
                .headers_mut()
                .insert(REQUEST_ID.clone(), line.id.header());
            Ok(response)
        }
        Err(error) => {
            let mut response: HttpResponse = error.error_response();
            line.write(None, response.status(), begin);
            response
                .headers_mut()
                .insert(REQUEST_ID.clone(), line.id.header());
            Err(InternalError::from_response(error, response).into())
        }
    }
}

struct Line {
    id: RequestId,
    method: String,
    from: String,
}

impl Line {
    fn write(&self, route: Option<&str>, status: StatusCode, begin: Instant) {
        let Self { id, method, from } = self;
        let ms = begin.elapsed().as_micros() as f64 / 1000.0;
        let (route, code) = (route.unwrap_or("none"), status.as_u16());
        if status.is_server_error() {
            tracing::warn!(request = %id, %method, route, status = code, ms, %from, "request");
        } else if FREQUENT.contains(&route) {
            tracing::debug!(request = %id, %method, route, status = code, ms, %from, "request");
        } else {
            tracing::info!(request = %id, %method, route, status = code, ms, %from, "request");
        }
    }
}

/// Unique while the process runs.
struct RequestId(u64);

impl RequestId {
    fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn header(&self) -> HeaderValue {
        HeaderValue::from(self.0)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
