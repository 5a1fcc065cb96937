//! What a request may be before anybody looks at who sends it: not too often from one address, a head of some KiB, no secret in its URL.
//!
//! Bodies have their limits in [`super::body`], pages in [`super::path`].

use super::{
    Api,
    error::{ApiError, Kind},
    path,
};
use crate::access::key::PREFIX;
use actix_web::{
    ResponseError as _,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web,
};

/// Longest path and query in bytes: the longest name in a search, every byte of it escaped, is 765.
const LONGEST_URL: usize = 4096;

/// Most bytes of all headers: the longest that peers send is a tenth of this.
const LARGEST_HEAD: usize = 16 << 10;

/// Middleware: lets a request pass, or answers it.
pub(crate) async fn limit<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, actix_web::Error> {
    let Err(error) = check(&request) else {
        return Ok(next.call(request).await?.map_into_left_body());
    };
    Ok(request
        .into_response(error.error_response())
        .map_into_right_body())
}

fn check(request: &ServiceRequest) -> Result<(), ApiError> {
    let api = request
        .app_data::<web::Data<Api>>()
        .ok_or_else(ApiError::internal)?;
    let address = path::observed(request.request())?;
    api.access
        .check_address(address)
        .map_err(|wait| ApiError::rate_limited("too many requests a second from this address", wait))?;
    check_head(request)
}

fn check_head(request: &ServiceRequest) -> Result<(), ApiError> {
    let url = request.uri().path_and_query().map_or("", |text| text.as_str());
    if url.len() > LONGEST_URL {
        let detail = format!("path and query have {} bytes, more than {LONGEST_URL}", url.len());
        return Err(ApiError::new(Kind::HeadTooLarge, detail));
    }
    let headers = request.headers().iter();
    let bytes: usize = headers
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum();
    if bytes > LARGEST_HEAD {
        let detail = format!("the headers have {bytes} bytes, more than {LARGEST_HEAD}");
        return Err(ApiError::new(Kind::HeadTooLarge, detail));
    }
    if names_a_key(url) {
        let detail = "an API key in a URL is in logs and histories by now: revoke it, and send the next one as X-API-Key";
        return Err(ApiError::new(Kind::KeyInUrl, detail));
    }
    Ok(())
}

/// Whether a key stands in a URL, escaped or not; also where a parameter is called so, whatever it holds.
fn names_a_key(url: &str) -> bool {
    let plain = unescaped(url).to_ascii_lowercase();
    let (_, query) = plain.split_once('?').unwrap_or_default();
    let names = query.split('&').filter_map(|pair| pair.split('=').next());
    plain.contains(&format!("{PREFIX}_"))
        || names
            .map(|name| name.replace('_', "-"))
            .any(|name| ["x-api-key", "api-key", "apikey", "access-token"].contains(&name.as_str()))
}

/// Text with its escapes resolved, as far as they are ASCII.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        plain.push_str(before);
        let byte = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte.filter(u8::is_ascii) {
            Some(byte) => {
                plain.push(char::from(byte));
                rest = &after[2..];
            }
            None => {
                plain.push('%');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_a_url_is_seen_however_it_is_written() {
        for url in [
            "/api/stats?key=p2pk_0123_abc",
            "/api/stats?x=%702pk%5f0123_abc",
            "/p2pk_0123_abc/x",
            "/api/stats?API_KEY=abc",
            "/api/stats?limit=1&x-api-key=",
            "/api/stats?api%2dkey=abc",
        ] {
            assert!(names_a_key(url), "{url}");
        }
        for url in [
            "/api/files?query=p2pk",
            "/api/keys?cursor=abc&limit=5",
            "/%",
            "/%zz%é?%4",
        ] {
            assert!(!names_a_key(url), "{url}");
        }
    }
}
