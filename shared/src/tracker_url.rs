//! The address of a tracker, checked before anything is dialled.
//!
//! Strict on purpose: a URL from a ticket is somebody else's text. It is `http://` or `https://`, a host, perhaps a port and
//! a path below which the tracker lies; no user, query or fragment, and ASCII only, so that no look-alike letter passes
//! for a known host (international names are written in their `xn--` form).

use std::net::{Ipv4Addr, Ipv6Addr};

/// Most bytes of a URL; a ticket has to stay something that a person passes on.
pub const MAX_TRACKER_URL: usize = 255;

/// Why a text is no tracker's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrackerUrlError {
    /// Longer than [`MAX_TRACKER_URL`].
    #[error("it has {0} bytes, more than {MAX_TRACKER_URL}")]
    TooLong(usize),
    /// Not `http://` or `https://`.
    #[error("it does not begin with http:// or https://")]
    Scheme,
    /// A character that no URL has.
    #[error("{} does not belong there", .0.escape_debug())]
    Character(char),
    /// A user or password.
    #[error("it names a user; secrets do not belong in a URL")]
    User,
    /// A query or a fragment.
    #[error("it has a query or a fragment")]
    Query,
    /// No host, or text that is none.
    #[error("its host is neither a name nor an address")]
    Host,
    /// A port that is no number from 1 to 65535.
    #[error("its port is no number from 1 to 65535")]
    Port,
}

/// Whether `url` may be the address of a tracker.
pub fn check_tracker_url(url: &str) -> Result<(), TrackerUrlError> {
    if url.len() > MAX_TRACKER_URL {
        return Err(TrackerUrlError::TooLong(url.len()));
    }
    if let Some(odd) = url
        .chars()
        .find(|&c| !c.is_ascii_graphic() || "\\\"<>^`{|}".contains(c))
    {
        return Err(TrackerUrlError::Character(odd));
    }
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))
        .ok_or(TrackerUrlError::Scheme)?;
    if rest.contains(['?', '#']) {
        return Err(TrackerUrlError::Query);
    }
    let (authority, _path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err(TrackerUrlError::User);
    }
    let (host, port) = split_port(authority)?;
    if !is_host(host) {
        return Err(TrackerUrlError::Host);
    }
    match port.map(|port| (port, port.parse::<u16>())) {
        None => Ok(()),
        // `parse` would take a sign.
        Some((digits, Ok(1..))) if digits.bytes().all(|b| b.is_ascii_digit()) => Ok(()),
        Some(_) => Err(TrackerUrlError::Port),
    }
}

/// The host, an IPv6 address with its brackets, and what follows the colon behind it.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), TrackerUrlError> {
    let end = match authority.strip_prefix('[') {
        Some(inside) => inside.find(']').ok_or(TrackerUrlError::Host)? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(end);
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err(TrackerUrlError::Host),
    }
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    if host.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return host.parse::<Ipv4Addr>().is_ok();
    }
    // RFC 1123, 2.1, with the underscore that names in private networks have.
    host.len() <= 253 && host.strip_suffix('.').unwrap_or(host).split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let alphanumeric = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    label.len() <= 63
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && alphanumeric(label.as_bytes().first())
        && alphanumeric(label.as_bytes().last())
}

#[cfg(test)]
mod tests {
    use super::*;
    use TrackerUrlError::{Character, Host, Port, Query, Scheme, TooLong, User};

    #[test]
    fn usual_addresses_of_trackers_are_accepted() {
        for url in [
            "http://127.0.0.1:8080",
            "http://192.168.1.7:8080/",
            "https://tracker.example.org",
            "https://tracker.example.org./p2p/v1",
            "https://xn--bcher-kva.example:65535",
            "http://[::1]:8080",
            "http://[2001:db8::7]/",
            "http://localhost:1",
            "http://my_nas:8080",
            "http://3com.example",
        ] {
            assert_eq!(check_tracker_url(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        let long = format!("http://{}", "a".repeat(MAX_TRACKER_URL));
        for (url, why) in [
            ("", Scheme),
            ("tracker.example.org", Scheme),
            ("HTTP://tracker.example.org", Scheme),
            ("ftp://tracker.example.org", Scheme),
            ("file:///etc/passwd", Scheme),
            ("http:/tracker", Scheme),
            ("http://", Host),
            ("http:///path", Host),
            ("http://:8080", Host),
            ("http://.", Host),
            ("http://a..b", Host),
            ("http://-a", Host),
            ("http://a-", Host),
            ("http://1.2.3", Host),
            ("http://256.1.1.1", Host),
            ("http://[::1", Host),
            ("http://[::1]x", Host),
            ("http://[1.2.3.4]", Host),
            ("http://a%41.example", Host),
            ("http://user@host", User),
            ("http://user:secret@host/", User),
            ("http://host?key=1", Query),
            ("http://host/#part", Query),
            ("http://host:", Port),
            ("http://host:0", Port),
            ("http://host:+80", Port),
            ("http://host:65536", Port),
            ("http://host:80a", Port),
            ("http://h ost", Character(' ')),
            ("http://host/\n", Character('\n')),
            ("http://host\\@evil", Character('\\')),
            ("http://tr\u{430}cker.example", Character('\u{430}')),
            (long.as_str(), TooLong(long.len())),
        ] {
            assert_eq!(check_tracker_url(url), Err(why), "{url}");
        }
    }
}
