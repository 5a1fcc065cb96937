//! From where a request really came, when proxies stand before the tracker. Pure.
//!
//! Every proxy adds the address that it saw to the right end of `X-Forwarded-For`; what stands to the left of that, the client may have
//! written itself. So the list is read from the right, past proxies that the operator named, and ends at the first address that is
//! none of them.

use actix_web::http::header::{HeaderMap, HeaderName};
use ipnet::IpNet;
use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

/// The list of addresses that proxies saw.
pub(crate) static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What shows that a request came through a proxy.
const OF_PROXIES: [&str; 4] = ["x-forwarded-for", "forwarded", "x-real-ip", "x-forwarded-host"];

/// The proxies whose word counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// Text that names no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an address nor a network like 10.0.0.0/8")]
pub struct BadNetwork(String);

impl TrustedProxies {
    /// Those in these networks: each an address or in CIDR notation.
    ///
    /// # Errors
    /// The first one that is neither.
    pub fn parse<T: AsRef<str>>(networks: &[T]) -> Result<Self, BadNetwork> {
        let parse = |text: &T| {
            let text = text.as_ref();
            let network = IpNet::from_str(text).or_else(|_| IpAddr::from_str(text).map(IpNet::from));
            network.map_err(|_| BadNetwork(text.to_owned()))
        };
        networks.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client's address, of a request that came from `peer` with these headers.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.contains(client) {
            return client;
        }
        let lines: Vec<&str> = headers
            .get_all(&FORWARDED_FOR)
            .filter_map(|line| line.to_str().ok())
            .collect();
        for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            // A trusted proxy writes addresses; what is none was not written by one.
            let Some(address) = address(hop.trim()) else { break };
            client = address;
            if !self.contains(client) {
                break;
            }
        }
        client
    }
}

/// An address, with a port or without.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address| address.to_canonical())
}

/// Whether a request says that it came through a proxy.
pub(crate) fn is_forwarded(headers: &HeaderMap) -> bool {
    OF_PROXIES.iter().any(|name| headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    fn client(peer: &str, lines: &[&str]) -> String {
        let trusted = TrustedProxies::parse(&["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]).unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR.clone(), HeaderValue::from_str(line).unwrap());
        }
        trusted.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn who_is_no_trusted_proxy_is_the_client_whatever_it_says() {
        assert_eq!(client("203.0.113.7", &["198.51.100.1"]), "203.0.113.7");
        assert_eq!(client("::ffff:203.0.113.7", &["198.51.100.1"]), "203.0.113.7");
    }

    #[test]
    fn behind_trusted_proxies_the_first_other_address_from_the_right_is_the_client() {
        assert_eq!(client("10.1.1.1", &[]), "10.1.1.1");
        assert_eq!(client("10.1.1.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(client("::ffff:10.1.1.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(client("10.1.1.1", &["203.0.113.7, 192.0.2.1"]), "203.0.113.7");
        assert_eq!(
            client("10.1.1.1", &["203.0.113.7", "192.0.2.1 ,10.2.2.2"]),
            "203.0.113.7"
        );
        assert_eq!(client("2001:db8::1", &["[2001:db9::1]:4711"]), "2001:db9::1");
        assert_eq!(client("10.1.1.1", &["203.0.113.7:4711"]), "203.0.113.7");
    }

    #[test]
    fn what_the_client_wrote_to_the_left_changes_nothing() {
        assert_eq!(client("10.1.1.1", &["198.51.100.1, 203.0.113.7"]), "203.0.113.7");
        assert_eq!(client("10.1.1.1", &["10.9.9.9", "203.0.113.7"]), "203.0.113.7");
        // Nor what is no address: the proxy that passed it on is the client then.
        assert_eq!(client("10.1.1.1", &["unknown, 10.2.2.2"]), "10.2.2.2");
        assert_eq!(client("10.1.1.1", &["", "nonsense"]), "10.1.1.1");
    }

    #[test]
    fn what_names_no_network_is_repeated() {
        for text in ["", "10.0.0.0/33", "proxy.example.org", "10.0.0"] {
            let error = TrustedProxies::parse(&["::1", text]).unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
