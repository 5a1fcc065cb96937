//! Where a tracker is: a checked `http://` or `https://` address.

use p2p_shared::tracker_url::check_tracker_url;
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, str::FromStr};

/// The address of a tracker: `http://HOST[:PORT][/PREFIX]` or the same with `https://`, in canonical form and
/// without a slash at its end. Carries no credentials: those would end up in logs and tickets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrackerUrl(reqwest::Url);

/// Text that is no tracker's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTrackerUrl {
    /// Not an URL at all.
    #[error("{0:?} is not a tracker's address ({1}); write it like http://HOST:8080")]
    Malformed(String, String),
    /// Neither `http` nor `https`.
    #[error("{0:?}: a tracker is reached by http:// or https://, not by {1}://")]
    Scheme(String, String),
    /// A user name or a password in it. The text is not repeated: it holds a secret.
    #[error(
        "a tracker's address holds no user name or password; the API key goes into P2P_API_KEY or P2P_API_KEY_FILE"
    )]
    Credentials,
    /// Something after the path.
    #[error("{0:?}: a tracker's address ends with its path, nothing follows after ? or #")]
    Surplus(String),
}

impl TrackerUrl {
    /// The address of `path` (segments, unescaped) below this tracker, for instance `["api", "stats"]`.
    pub fn join(&self, path: &[&str]) -> reqwest::Url {
        let mut url = self.0.clone();
        // Fails for URLs that cannot have a path only; `from_str` let no such one in.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// Whether what is said to this tracker is encrypted on the way.
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether the tracker is named as being on this machine.
    pub fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let address = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    /// Host and port, as a resolver takes them. An IPv6 address stands without brackets.
    pub fn host_and_port(&self) -> (&str, u16) {
        let host = self.0.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        (host, self.0.port_or_known_default().unwrap_or_default())
    }
}

impl FromStr for TrackerUrl {
    type Err = BadTrackerUrl;

    fn from_str(text: &str) -> Result<Self, BadTrackerUrl> {
        let malformed = |why: &str| BadTrackerUrl::Malformed(text.to_owned(), why.to_owned());
        let mut url = reqwest::Url::parse(text).map_err(|error| match text.contains('@') {
            true => BadTrackerUrl::Credentials,
            false => malformed(&error.to_string()),
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadTrackerUrl::Credentials);
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BadTrackerUrl::Scheme(text.to_owned(), url.scheme().to_owned()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BadTrackerUrl::Surplus(text.to_owned()));
        }
        if url.port() == Some(0) {
            return Err(malformed("port 0"));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        let url = Self(url);
        // What a ticket could not carry would be refused much later, by whoever reads the ticket.
        check_tracker_url(&url.to_string()).map_err(|error| malformed(&error.to_string()))?;
        Ok(url)
    }
}

impl TryFrom<String> for TrackerUrl {
    type Error = BadTrackerUrl;

    fn try_from(text: String) -> Result<Self, BadTrackerUrl> {
        text.parse()
    }
}

impl From<TrackerUrl> for String {
    fn from(url: TrackerUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for TrackerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> TrackerUrl {
        text.parse().unwrap()
    }

    #[test]
    fn a_slash_at_the_end_makes_no_difference() {
        assert_eq!(url("http://localhost:8080/"), url("http://localhost:8080"));
        assert_eq!(url("http://localhost:8080/").to_string(), "http://localhost:8080");
        assert_eq!(
            url("https://example.org/p2p/").to_string(),
            "https://example.org/p2p"
        );
    }

    #[test]
    fn paths_are_appended_and_escaped() {
        let joined = |text: &str| url(text).join(&["api", "a b"]).to_string();
        assert_eq!(joined("http://h:1"), "http://h:1/api/a%20b");
        assert_eq!(joined("https://h/p2p"), "https://h/p2p/api/a%20b");
    }

    #[test]
    fn loopback_is_recognised_by_name_and_by_address() {
        for text in ["http://localhost", "http://127.0.0.9:1", "http://[::1]:8080"] {
            assert!(url(text).is_loopback(), "{text}");
        }
        for text in [
            "http://example.org",
            "http://10.0.0.1",
            "http://localhost.example.org",
        ] {
            assert!(!url(text).is_loopback(), "{text}");
        }
    }

    #[test]
    fn host_and_port_are_what_a_resolver_takes() {
        assert_eq!(url("http://[::1]:8080").host_and_port(), ("::1", 8080));
        assert_eq!(url("https://example.org").host_and_port(), ("example.org", 443));
    }

    #[test]
    fn what_is_no_trackers_address_is_refused_saying_why() {
        let error = |text: &str| text.parse::<TrackerUrl>().unwrap_err().to_string();
        assert!(error("localhost").contains("write it like http://HOST:8080"));
        assert!(error("ftp://h").contains("not by ftp://"));
        assert!(error("http://h/?a=b").contains("nothing follows"));
        assert!(error("http://h:0").contains("port 0"));
        assert!(error(&format!("http://h/{}", "x".repeat(300))).contains("more than 255"));
    }

    #[test]
    fn credentials_are_refused_and_not_repeated() {
        for text in [
            "http://user:hunter2@h",
            "http://:hunter2@h",
            "http://user:hunter2@h:x",
        ] {
            let error = text.parse::<TrackerUrl>().unwrap_err();
            assert_eq!(error, BadTrackerUrl::Credentials, "{text}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
