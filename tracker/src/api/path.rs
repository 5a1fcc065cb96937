//! Reads what a request carries in its path, its query and its headers.

use super::{
    Api, bans,
    error::{ApiError, Kind},
};
use crate::registry::token::Session;
use actix_web::{HttpRequest, http::header, web};
use serde::de::DeserializeOwned;
use std::{fmt::Display, net::IpAddr, str::FromStr};

/// A path segment that has to parse.
pub(crate) fn segment<T: FromStr<Err: Display>>(request: &HttpRequest, name: &str) -> Result<T, ApiError> {
    let text = request.match_info().get(name).unwrap_or_default();
    text.parse().map_err(|error| {
        ApiError::new(
            Kind::RequestInvalid,
            format!("the path's {name} {:?} is none: {error}", shortened(text)),
        )
    })
}

/// The query, with unknown parameters refused.
pub(crate) fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, ApiError> {
    let query = web::Query::<T>::from_query(request.query_string());
    query
        .map(web::Query::into_inner)
        .map_err(|error| ApiError::new(Kind::RequestInvalid, format!("the query cannot be read: {error}")))
}

/// A page limit: what was asked for if it is between 1 and `most`, `default` if nothing was.
pub(crate) fn limit(asked: Option<u32>, default: u32, most: u32) -> Result<u32, ApiError> {
    match asked {
        None => Ok(default),
        Some(limit) if (1..=most).contains(&limit) => Ok(limit),
        Some(limit) => {
            let detail = format!("limit has to be from 1 to {most}, not {limit}");
            Err(ApiError::new(Kind::RequestInvalid, detail))
        }
    }
}

/// Where the caller is seen from, past trusted proxies.
pub(crate) fn observed(request: &HttpRequest) -> Result<IpAddr, ApiError> {
    let peer = request.peer_addr().ok_or_else(ApiError::internal)?;
    let api = request.app_data::<web::Data<Api>>();
    Ok(match api {
        Some(api) => api.proxies.client(peer.ip(), request.headers()),
        None => peer.ip().to_canonical(),
    })
}

/// The session of the peer that calls, if it shows a token.
pub(crate) fn session_if_any(api: &Api, request: &HttpRequest) -> Result<Option<Session>, ApiError> {
    let Some(value) = request.headers().get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let token = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let Some(token) = token else {
        let detail = "the Authorization header has to be `Bearer TOKEN`";
        return Err(ApiError::new(Kind::TokenInvalid, detail));
    };
    match api.tokens.read(token) {
        Some(session) => bans::check(api, &session.peer).map(|()| Some(session)),
        None => Err(ApiError::token_invalid()),
    }
}

/// The session of the peer that calls.
pub(crate) fn session(api: &Api, request: &HttpRequest) -> Result<Session, ApiError> {
    session_if_any(api, request)?.ok_or_else(|| {
        let detail = "send the token of the registration as `Authorization: Bearer TOKEN`";
        ApiError::new(Kind::TokenMissing, detail)
    })
}

/// The start of a text that is too long to repeat.
fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(80).map_or(text.len(), |(at, _)| at);
    &text[..end]
}
