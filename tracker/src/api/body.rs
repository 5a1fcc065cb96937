//! Reads request bodies: the limit first, then the bytes, then the JSON.
//!
//! A body that says it is too large is refused before a byte of it is read, one that does not say so as soon as it is.
//! What is wrong with the JSON is said with line and column.

use super::error::{ApiError, Kind};
use actix_web::{HttpRequest, http::header, web};
use serde::de::DeserializeOwned;

/// For every body but one: a registration with 16 addresses is 1 KiB.
pub(crate) const SMALL: usize = 64 << 10;

/// For announcements: 65,536 digests in base64 are 2.7 MiB, and the rest of it is small.
pub(crate) const ANNOUNCEMENT: usize = 4 << 20;

/// Reads a JSON body of at most `limit` bytes.
pub(crate) async fn json<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: web::Payload,
    limit: usize,
) -> Result<T, ApiError> {
    if !is_json(request) {
        let detail = "send the body as JSON, with `Content-Type: application/json`";
        return Err(ApiError::new(Kind::BodyNotJson, detail));
    }
    if announced_length(request)?.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    let bytes = match payload.to_bytes_limited(limit).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => {
            let detail = format!("the body ended early or is badly framed: {error}");
            return Err(ApiError::new(Kind::RequestInvalid, detail));
        }
        Err(_) => return Err(too_large(limit)),
    };
    serde_json::from_slice(&bytes).map_err(|error| {
        ApiError::new(
            Kind::RequestInvalid,
            format!("the body is not what this call takes: {error}"),
        )
    })
}

fn is_json(request: &HttpRequest) -> bool {
    let media_type = request.headers().get(header::CONTENT_TYPE);
    media_type
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// What `Content-Length` says, if there is one.
pub(crate) fn announced_length(request: &HttpRequest) -> Result<Option<u64>, ApiError> {
    let Some(value) = request.headers().get(header::CONTENT_LENGTH) else {
        return Ok(None);
    };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    let detail = "the Content-Length is not a number";
    length
        .map(Some)
        .ok_or_else(|| ApiError::new(Kind::RequestInvalid, detail))
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(
        Kind::BodyTooLarge,
        format!("this call takes bodies of at most {limit} bytes"),
    )
}
