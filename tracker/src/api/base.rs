//! The path below which everything lies, if a proxy leaves it in.
//!
//! Behind this layer nobody knows of it. Health checks are answered without it too: who asks for those asks past the proxy.

use super::{
    Api,
    error::{ApiError, Kind},
};
use actix_web::{
    ResponseError as _,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::Uri,
    middleware::Next,
    web,
};

/// What is answered without the base path.
const WITHOUT: [&str; 2] = ["/healthz", "/readyz"];

/// Middleware: takes the base path away; what lies elsewhere is not there.
pub(crate) async fn strip<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, actix_web::Error> {
    let api = request.app_data::<web::Data<Api>>().cloned();
    let base = api.as_ref().map_or("", |api| &*api.base_path);
    if !base.is_empty() && !WITHOUT.contains(&request.path()) {
        let Some(uri) = below(base, request.uri()) else {
            let detail = format!("everything lies below {base} here");
            let error = ApiError::new(Kind::NoSuchRoute, detail);
            return Ok(request
                .into_response(error.error_response())
                .map_into_right_body());
        };
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
    }
    Ok(next.call(request).await?.map_into_left_body())
}

/// The rest of a URI below `base`, which begins with a slash and does not end with one.
fn below(base: &str, uri: &Uri) -> Option<Uri> {
    let rest = uri.path().strip_prefix(base)?;
    let path = match rest {
        "" => "/",
        rest if rest.starts_with('/') => rest,
        _ => return None,
    };
    match uri.query() {
        Some(query) => format!("{path}?{query}").parse().ok(),
        None => path.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_below_the_base_is_found_and_nothing_else() {
        let below = |uri: &str| below("/p2p", &uri.parse().unwrap()).map(|uri| uri.to_string());
        for (uri, rest) in [
            ("/p2p", Some("/")),
            ("/p2p/", Some("/")),
            ("/p2p/api/files?query=a%20b", Some("/api/files?query=a%20b")),
            ("/p2p?x=1", Some("/?x=1")),
            ("http://host/p2p/relay", Some("/relay")),
            ("/p2px", None),
            ("/api/files", None),
            ("/", None),
            ("/%702p/api", None),
        ] {
            assert_eq!(below(uri).as_deref(), rest, "{uri}");
        }
    }
}
