//! What a request may do to the tracker: take a while, crash, come too late; and nothing worse.

use super::{
    Api,
    error::{ApiError, Kind},
};
use actix_web::{
    ResponseError as _,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header,
    middleware::Next,
    web,
};
use futures_util::FutureExt as _;
use std::{panic::AssertUnwindSafe, time::Duration};

/// A request, its body with it, has to be done in this time: long enough for 4 MiB over a slow line, and the end for who
/// sends a byte a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// Middleware: a crash becomes a 500, an endless request a 408.
pub(crate) async fn contain<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    // What a crashed handler leaves half done is its own; registry and store are behind their handles.
    let response = AssertUnwindSafe(next.call(request)).catch_unwind();
    match tokio::time::timeout(PATIENCE, response).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => Err(ApiError::internal().into()),
        Err(_) => {
            let detail = format!("the request was not complete after {} s", PATIENCE.as_secs());
            Err(ApiError::new(Kind::TooSlow, detail).into())
        }
    }
}

/// Middleware: while the tracker shuts down, nothing new is begun, and connections end with their answer.
pub(crate) async fn drain<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, actix_web::Error> {
    let api = request.app_data::<web::Data<Api>>().cloned();
    let draining = api.is_some_and(|api| api.is_draining());
    if !draining || ["/healthz", "/readyz"].contains(&request.path()) {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let error = ApiError::new(
        Kind::Stopping,
        "the tracker is shutting down; ask again when it is back",
    );
    let mut response = error.error_response();
    response
        .headers_mut()
        .insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    Ok(request.into_response(response).map_into_right_body())
}
