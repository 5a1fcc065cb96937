//! Answers in gzip for whoever takes it.
//!
//! Two layers around actix-web's own. Outside, [`choose`] leaves of `Accept-Encoding` what matters here, so that nobody is refused for it.
//! Bytes that do not get smaller, and of which ranges are asked for, say with [`AS_IT_IS`] that they stay as they are.

use actix_web::{
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderValue},
    middleware::Next,
};

/// As `Content-Encoding`: not to be compressed. Taken away again before the answer leaves.
pub(super) const AS_IT_IS: HeaderValue = HeaderValue::from_static("identity");

/// Middleware: says to the next one whether to compress.
pub(crate) async fn choose<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let takes_gzip = request
        .headers()
        .get_all(header::ACCEPT_ENCODING)
        .any(|value| value.to_str().is_ok_and(takes_gzip));
    let headers = request.headers_mut();
    headers.remove(header::ACCEPT_ENCODING);
    if takes_gzip {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let mut response = next.call(request).await?;
    let headers = response.headers_mut();
    if headers.get(header::CONTENT_ENCODING) == Some(&AS_IT_IS) {
        headers.remove(header::CONTENT_ENCODING);
    }
    Ok(response)
}

/// Whether `Accept-Encoding` (RFC 9110 section 12.5.3) names gzip, and not to refuse it.
fn takes_gzip(value: &str) -> bool {
    value.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        let is_refused = weight.is_some_and(|weight| weight.parse() == Ok(0.0));
        name.eq_ignore_ascii_case("gzip") && !is_refused
    })
}

#[cfg(test)]
mod tests {
    use super::takes_gzip;

    #[test]
    fn gzip_is_for_those_who_ask_for_it() {
        for value in ["gzip", "GZIP", "br, gzip", "deflate, gzip;q=0.5", "gzip; q=1"] {
            assert!(takes_gzip(value), "{value}");
        }
        for value in ["", "*", "br", "gzip;q=0", "identity;q=0, gzip;q=0.0", "gzipped"] {
            assert!(!takes_gzip(value), "{value}");
        }
    }
}
