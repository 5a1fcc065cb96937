//! Where a relay is, and whose registration opens it.

use crate::client::TrackerUrl;
use p2p_shared::{protocol::relay::MAX_URL, tracker_url::check_tracker_url};
use std::{fmt, str::FromStr};

/// A `ws://` or `wss://` address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayUrl(reqwest::Url);

/// A relay, and the tracker whose registration opens it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayAddress {
    /// Where it is.
    pub url: RelayUrl,
    /// This peer shows the token that it has from there.
    pub tracker: TrackerUrl,
}

/// Text that is no relay's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRelayUrl {
    /// Neither a path nor a WebSocket's address.
    #[error("{0:?} is no relay's address: {1}")]
    Malformed(String, String),
    /// The tracker is spoken to encrypted, and the token is not to be shown unencrypted.
    #[error("the relay {0:?} of an https tracker is not encrypted")]
    Unencrypted(String),
}

impl RelayAddress {
    /// What `tracker` says of a relay, of its own or of a peer's: a `ws` or `wss` address, or a path below its own. Nothing: `relay`
    /// below its own.
    pub fn of(said: Option<&str>, tracker: &TrackerUrl) -> Result<Self, BadRelayUrl> {
        let said = said.unwrap_or("/relay");
        let url: RelayUrl = if said.starts_with('/') {
            let whole = format!("{tracker}{said}").replacen("http", "ws", 1);
            whole.parse()?
        } else {
            said.parse()?
        };
        if tracker.is_encrypted() && !url.is_encrypted() {
            return Err(BadRelayUrl::Unencrypted(url.to_string()));
        }
        let tracker = tracker.clone();
        Ok(Self { url, tracker })
    }
}

impl RelayUrl {
    /// Whether what is said there is encrypted on the way.
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "wss"
    }

    /// The host, an IPv6 address with its brackets.
    pub(crate) fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The port, the scheme's own if none is said.
    pub(crate) fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or_default()
    }

    /// What stands in the request line.
    pub(crate) fn path(&self) -> &str {
        self.0.path()
    }

    /// What stands in the `Host` header: the port only if it is not the scheme's own.
    pub(crate) fn authority(&self) -> String {
        match self.0.port() {
            Some(port) => format!("{}:{port}", self.host()),
            None => self.host().to_owned(),
        }
    }
}

impl FromStr for RelayUrl {
    type Err = BadRelayUrl;

    fn from_str(text: &str) -> Result<Self, BadRelayUrl> {
        let malformed = |why: &str| BadRelayUrl::Malformed(text.to_owned(), why.to_owned());
        if text.len() > MAX_URL {
            return Err(malformed("it is too long"));
        }
        if !text.starts_with("ws://") && !text.starts_with("wss://") {
            return Err(malformed("it does not begin with ws:// or wss://"));
        }
        // The rules for a tracker's address hold: no user, no query, no look-alike letters.
        check_tracker_url(&text.replacen("ws", "http", 1)).map_err(|error| malformed(&error.to_string()))?;
        let url = reqwest::Url::parse(text).map_err(|error| malformed(&error.to_string()))?;
        Ok(Self(url))
    }
}

impl fmt::Display for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for RelayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(said: Option<&str>, tracker: &str) -> Result<String, BadRelayUrl> {
        RelayAddress::of(said, &tracker.parse().unwrap()).map(|address| address.to_string())
    }

    #[test]
    fn a_path_and_no_word_at_all_mean_the_tracker_itself() {
        for (said, tracker, url) in [
            (None, "http://t:8080", "ws://t:8080/relay"),
            (Some("/relay"), "https://t/p2p", "wss://t/p2p/relay"),
            (Some("/relay"), "http://[::1]:1", "ws://[::1]:1/relay"),
            (
                Some("wss://r.example.org/relay"),
                "http://t",
                "wss://r.example.org/relay",
            ),
            // A host that has the letters of the scheme in it.
            (None, "http://http.example", "ws://http.example/relay"),
        ] {
            assert_eq!(of(said, tracker), Ok(url.to_owned()));
        }
    }

    #[test]
    fn what_is_no_relays_address_is_refused() {
        for said in [
            "",
            "relay",
            "http://t/relay",
            "ws://user@t/",
            "ws://t/?a",
            "ws://",
            "file:///x",
        ] {
            let refused = of(Some(said), "http://t");
            assert!(matches!(refused, Err(BadRelayUrl::Malformed(..))), "{said}");
        }
        let long = format!("ws://t/{}", "x".repeat(300));
        assert!(of(Some(&long), "http://t").is_err());
    }

    #[test]
    fn a_token_that_came_encrypted_is_not_shown_unencrypted() {
        let refused = of(Some("ws://t/relay"), "https://t");
        assert!(matches!(refused, Err(BadRelayUrl::Unencrypted(_))));
    }

    #[test]
    fn the_host_header_names_a_port_that_is_not_the_schemes_own() {
        let url = |text: &str| text.parse::<RelayUrl>().unwrap();
        assert_eq!(url("wss://t/relay").authority(), "t");
        assert_eq!(url("wss://t/relay").port(), 443);
        assert_eq!(url("ws://[::1]:8080/relay").authority(), "[::1]:8080");
    }
}
