//! The name of a request: the caller's or ours.

use actix_web::http::header::HeaderValue;
use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// The longest name that a caller may give: a UUID or a trace id with something before it.
const LONGEST: usize = 64;

/// The name of one request, which goes into logs and answers: letters, digits, `-`, `_` and `.` only.
pub(super) struct RequestId(String);

impl RequestId {
    /// What the caller calls it, if that can be repeated anywhere without harm; else a name of ours.
    pub(super) fn of(header: Option<&HeaderValue>) -> Self {
        let said = header.and_then(|value| value.to_str().ok());
        match said.filter(|name| is_harmless(name)) {
            Some(name) => Self(name.to_owned()),
            None => Self::next(),
        }
    }

    /// Unique while the process runs, and hardly ever the same in two: a random word of the process and a number.
    fn next() -> Self {
        static PROCESS: OnceLock<u32> = OnceLock::new();
        static LAST: AtomicU64 = AtomicU64::new(0);
        // Without randomness names are unique in this process only, which is what its log needs.
        let process = PROCESS.get_or_init(|| getrandom::u32().unwrap_or_default());
        let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        Self(format!("{process:08x}-{number}"))
    }

    pub(super) fn header(&self) -> HeaderValue {
        // It holds nothing that a header may not.
        HeaderValue::from_str(&self.0).unwrap_or_else(|_| HeaderValue::from_static("unnamed"))
    }

    /// As a problem document names it.
    pub(super) fn urn(&self) -> String {
        format!("urn:p2p:request:{}", self.0)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_harmless(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=LONGEST).contains(&name.len()) && name.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &[u8]) -> String {
        RequestId::of(Some(&HeaderValue::from_bytes(text).unwrap())).to_string()
    }

    #[test]
    fn a_caller_names_its_request() {
        for name in ["a", "0af7651916cd43dd8448eb211c80319c", "job_7.2-b"] {
            assert_eq!(named(name.as_bytes()), name);
        }
    }

    #[test]
    fn a_name_that_could_do_harm_is_replaced() {
        let long = "x".repeat(LONGEST + 1);
        for name in ["", "a b", "a\"b", "a,b", "\u{e9}", long.as_str()] {
            assert_ne!(named(name.as_bytes()), name);
        }
    }

    #[test]
    fn no_two_requests_get_one_name() {
        assert_ne!(RequestId::of(None).to_string(), RequestId::of(None).to_string());
    }
}
