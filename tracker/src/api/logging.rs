//! One line of log a request and its place in the numbers, and the name under which to find it.
//!
//! The name is what the caller sends as `X-Request-Id`, if it is short and harmless, else one of ours. It goes back in `X-Request-Id`, is
//! in every line of log that the request leads to, and in the `instance` of a problem document. Heartbeats and hand-outs are logged at
//! `debug`: there are thousands a second of them. Never logs a body, a token, a key or a query.

use super::{Api, error::Reported, request_id::RequestId};
use actix_web::{
    HttpResponse,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{Method, StatusCode, header::HeaderName},
    middleware::Next,
    web,
};
use std::{net::IpAddr, time::Instant};
use tracing::Instrument as _;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Routes that are asked all the time.
const FREQUENT: [&str; 5] = [
    "/api/peers/{id}/heartbeat",
    "/api/files/{hash}/peers",
    "/healthz",
    "/readyz",
    "/metrics",
];

/// Middleware: names the request, and logs and counts how it ended.
pub(crate) async fn log<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, actix_web::Error> {
    let line = Line {
        begin: Instant::now(),
        id: RequestId::of(request.headers().get(&REQUEST_ID)),
        method: request.method().clone(),
        from: super::path::observed(request.request()).ok(),
        api: request.app_data::<web::Data<Api>>().cloned(),
    };
    let span = tracing::error_span!("request", id = %line.id);
    match next.call(request).instrument(span).await {
        Ok(mut response) => {
            let route = response.request().match_pattern();
            line.write(route.as_deref(), response.status());
            let reported = line.take_report(response.response_mut());
            let mut response = match reported {
                Some(body) => response.map_body(|_, _| EitherBody::right(body)),
                None => response.map_into_left_body(),
            };
            response
                .headers_mut()
                .insert(REQUEST_ID.clone(), line.id.header());
            Ok(response)
        }
        Err(error) => {
            let mut response: HttpResponse = error.error_response();
            line.write(None, response.status());
            if let Some(body) = line.take_report(&mut response) {
                response = response.set_body(body);
            }
            response
                .headers_mut()
                .insert(REQUEST_ID.clone(), line.id.header());
            Err(InternalError::from_response(error, response).into())
        }
    }
}

struct Line {
    begin: Instant,
    id: RequestId,
    method: Method,
    from: Option<IpAddr>,
    /// Absent where no application is around the middleware.
    api: Option<web::Data<Api>>,
}

impl Line {
    fn write(&self, route: Option<&str>, status: StatusCode) {
        let Self { id, method, from, .. } = self;
        let took = self.begin.elapsed();
        let ms = took.as_micros() as f64 / 1000.0;
        let (route, code) = (route.unwrap_or("none"), status.as_u16());
        if let Some(api) = &self.api {
            api.metrics.answered(name_of(method), route, code, took);
        }
        let from = from.map(tracing::field::display);
        if status.is_server_error() {
            tracing::warn!(request = %id, %method, route, status = code, ms, from, "request");
        } else if FREQUENT.contains(&route) {
            tracing::debug!(request = %id, %method, route, status = code, ms, from, "request");
        } else {
            tracing::info!(request = %id, %method, route, status = code, ms, from, "request");
        }
    }

    /// The body of a problem document, with the name of the request in it; `None` if the answer is none.
    fn take_report<B>(&self, response: &mut HttpResponse<B>) -> Option<BoxBody> {
        let Reported { slug, mut problem } = response.extensions_mut().remove()?;
        if let Some(api) = &self.api {
            api.metrics.refused(slug);
        }
        problem.instance = Some(self.id.urn());
        match serde_json::to_vec(&problem) {
            Ok(body) => Some(BoxBody::new(body)),
            Err(error) => {
                // The document as it was says the same but for the name.
                tracing::error!(%error, "a problem document could not be written");
                None
            }
        }
    }
}

/// A method as a label: one of few.
fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
