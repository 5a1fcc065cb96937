//! Who may give orders: whoever can read the token, and no web page.
//!
//! A page in the owner's browser reaches loopback too. It is kept out three ways: it does not know the token; a name that
//! it had resolved to loopback (DNS rebinding) is no allowed `Host`; and what a browser says of a request's origin
//! (`Origin`, `Sec-Fetch-Site`) has to be this API itself.

use actix_web::http::{
    StatusCode,
    header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, ORIGIN},
};
use std::net::IpAddr;
use subtle::ConstantTimeEq as _;

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// It was meant for somebody else.
    #[error("this is the local API of a peer; it answers to its address and to localhost only")]
    WrongHost,
    /// A web page made it.
    #[error("requests from web pages of others are refused")]
    CrossSite,
    /// It does not carry the token.
    #[error("the token is missing or wrong; it stands in api.json in the peer's data folder")]
    NoToken,
}

impl Refusal {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::WrongHost => StatusCode::MISDIRECTED_REQUEST,
            Self::CrossSite => StatusCode::FORBIDDEN,
            Self::NoToken => StatusCode::UNAUTHORIZED,
        }
    }
}

/// Checks what a request says of itself. `token` is what it has to know.
pub(super) fn check(headers: &HeaderMap, token: &str) -> Result<(), Refusal> {
    let host = single(headers, &HOST)
        .filter(|host| is_this_machine(host))
        .ok_or(Refusal::WrongHost)?;
    if !is_same_site(headers, host) {
        return Err(Refusal::CrossSite);
    }
    let given = single(headers, &AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    match given.is_some_and(|given| given.as_bytes().ct_eq(token.as_bytes()).into()) {
        true => Ok(()),
        false => Err(Refusal::NoToken),
    }
}

/// The header's value; none if it is missing, repeated or no text.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name);
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Whether `host` is an address or `localhost`, with or without a port. Only a name can be pointed at this machine by
/// others.
fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

fn is_same_site(headers: &HeaderMap, host: &str) -> bool {
    let origin_fits = match headers.contains_key(ORIGIN) {
        true => single(headers, &ORIGIN).and_then(|origin| origin.strip_prefix("http://")) == Some(host),
        false => true,
    };
    let site_fits = headers
        .get_all("sec-fetch-site")
        .all(|site| matches!(site.as_bytes(), b"same-origin" | b"none"));
    origin_fits && site_fits
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    const TOKEN: &str = "0123456789abcdef";

    fn checked(pairs: &[(&'static str, &'static str)]) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        check(&headers, TOKEN)
    }

    const GOOD_HOST: (&str, &str) = ("host", "127.0.0.1:7881");
    const GOOD_TOKEN: (&str, &str) = ("authorization", "Bearer 0123456789abcdef");

    #[test]
    fn the_owner_is_let_in() {
        for host in [
            "127.0.0.1:7881",
            "localhost:7881",
            "LOCALHOST",
            "[::1]:7881",
            "192.168.1.5:7881",
        ] {
            assert_eq!(checked(&[("host", host), GOOD_TOKEN]), Ok(()), "{host}");
        }
        let own_page = [
            GOOD_HOST,
            ("origin", "http://127.0.0.1:7881"),
            ("sec-fetch-site", "same-origin"),
            GOOD_TOKEN,
        ];
        assert_eq!(checked(&own_page), Ok(()));
        assert_eq!(
            checked(&[GOOD_HOST, ("sec-fetch-site", "none"), GOOD_TOKEN]),
            Ok(())
        );
    }

    #[test]
    fn a_name_that_is_not_this_machine_is_refused_even_with_the_token() {
        for host in [
            "evil.example",
            "evil.example:7881",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
        ] {
            assert_eq!(
                checked(&[("host", host), GOOD_TOKEN]),
                Err(Refusal::WrongHost),
                "{host}"
            );
        }
        assert_eq!(checked(&[GOOD_TOKEN]), Err(Refusal::WrongHost));
        assert_eq!(
            checked(&[GOOD_HOST, ("host", "evil.example"), GOOD_TOKEN]),
            Err(Refusal::WrongHost)
        );
    }

    #[test]
    fn a_page_of_somebody_else_is_refused_even_with_the_token() {
        for pair in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("origin", "http://127.0.0.1:8080"),
            ("origin", "https://127.0.0.1:7881"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert_eq!(
                checked(&[GOOD_HOST, pair, GOOD_TOKEN]),
                Err(Refusal::CrossSite),
                "{pair:?}"
            );
        }
    }

    #[test]
    fn nobody_is_let_in_without_the_token() {
        assert_eq!(checked(&[GOOD_HOST]), Err(Refusal::NoToken));
        for value in [
            "Bearer 0123456789abcdeX",
            "Bearer 0123456789abcde",
            "Bearer ",
            "0123456789abcdef",
            "Basic x",
        ] {
            assert_eq!(
                checked(&[GOOD_HOST, ("authorization", value)]),
                Err(Refusal::NoToken),
                "{value}"
            );
        }
    }
}
