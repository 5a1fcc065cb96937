//! Which proxy stands between this peer and a tracker or a relay: what the owner says, else what the environment says.
//!
//! Promises that a host on this machine is called without one (what is local to us is not local to it), that `NO_PROXY` holds for either,
//! and that a password in a proxy's address is never shown. Peers are called straight: a proxy that let that through would be none.

use hyper_util::client::proxy::matcher::Matcher;
use serde::Deserialize;
use std::{fmt, net::IpAddr, str::FromStr};

pub(crate) use hyper_util::client::proxy::matcher::Intercept;

/// What the owner says about proxies.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ProxySetting {
    /// None, whatever the environment says.
    None,
    /// This one: `http`, `https`, `socks5` (names are looked up here) or `socks5h` (there), perhaps with a user and a password.
    Through(reqwest::Url),
}

/// Text that is no proxy's address. The text is not repeated: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("that is no proxy's address ({0}); write it like http://HOST:3128 or socks5h://HOST:1080, or none")]
pub struct BadProxy(String);

impl FromStr for ProxySetting {
    type Err = BadProxy;

    fn from_str(text: &str) -> Result<Self, BadProxy> {
        if text == "none" {
            return Ok(Self::None);
        }
        let url = reqwest::Url::parse(text).map_err(|error| BadProxy(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h") {
            return Err(BadProxy("it is reached in another way".to_owned()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(BadProxy("it has no host".to_owned()));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(BadProxy("something follows its port".to_owned()));
        }
        Ok(Self::Through(url))
    }
}

impl TryFrom<String> for ProxySetting {
    type Error = BadProxy;

    fn try_from(text: String) -> Result<Self, BadProxy> {
        text.parse()
    }
}

impl fmt::Debug for ProxySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Through(url) => write!(f, "{}://{}:…", url.scheme(), url.host_str().unwrap_or_default()),
        }
    }
}

/// The rule by which relays are called.
#[derive(Debug)]
pub(crate) struct Proxies(Option<Matcher>);

impl Proxies {
    /// What `setting` says; nothing: what the environment says (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`).
    pub(crate) fn new(setting: Option<&ProxySetting>) -> Self {
        Self(match setting {
            Some(ProxySetting::None) => None,
            Some(ProxySetting::Through(url)) => {
                Some(Matcher::builder().all(url.as_str()).no(no_proxy()).build())
            }
            None => Some(Matcher::from_env()),
        })
    }

    /// The proxy on the way to `host` (an IPv6 address in brackets), if there is one.
    pub(crate) fn towards(&self, is_encrypted: bool, host: &str, port: u16) -> Option<Intercept> {
        if is_this_machine(host) {
            return None;
        }
        let scheme = if is_encrypted { "https" } else { "http" };
        let uri: http::Uri = format!("{scheme}://{host}:{port}/").parse().ok()?;
        self.0.as_ref()?.intercept(&uri)
    }
}

/// The hosts that the environment wants called without a proxy.
fn no_proxy() -> String {
    let first = ["NO_PROXY", "no_proxy"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok());
    first.unwrap_or_default()
}

/// Has `builder` call trackers as `setting` says.
pub(crate) fn apply(
    builder: reqwest::ClientBuilder,
    setting: Option<&ProxySetting>,
) -> Result<reqwest::ClientBuilder, reqwest::Error> {
    Ok(match setting {
        Some(ProxySetting::None) => builder.no_proxy(),
        Some(ProxySetting::Through(url)) => {
            let proxy = reqwest::Proxy::all(url.clone())?;
            builder.proxy(proxy.no_proxy(reqwest::NoProxy::from_string(&no_proxy())))
        }
        None => builder,
    })
}

/// Whether this names the machine itself.
pub(crate) fn is_this_machine(host: &str) -> bool {
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(text: &str) -> Proxies {
        Proxies::new(Some(&text.parse().unwrap()))
    }

    #[test]
    fn a_proxy_is_on_the_way_to_every_host_but_this_machine() {
        let proxies = through("socks5h://user:secret@proxy:1080");
        let proxy = proxies.towards(true, "relay.example.org", 443).unwrap();
        assert_eq!(proxy.uri().host(), Some("proxy"));
        assert_eq!(proxy.raw_auth(), Some(("user", "secret")));
        assert!(proxies.towards(false, "[2001:db8::1]", 80).is_some());
        for host in ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"] {
            assert!(proxies.towards(false, host, 80).is_none(), "{host}");
        }
    }

    #[test]
    fn none_is_none_whatever_the_environment_says() {
        assert!(through("none").towards(true, "relay.example.org", 443).is_none());
    }

    #[test]
    fn what_is_no_proxys_address_is_refused_and_a_password_never_shown() {
        for text in [
            "",
            "proxy",
            "ftp://user:hunter2@proxy",
            "socks4://user:hunter2@proxy",
            "http://user:hunter2@proxy/path",
            "http://user:hunter2@:1",
        ] {
            let error = text.parse::<ProxySetting>().unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        let proxy: ProxySetting = "http://user:hunter2@proxy:3128".parse().unwrap();
        assert!(!format!("{proxy:?}").contains("hunter2"));
    }
}
