//! A STUN server as people write it: `stun:HOST[:PORT]` (RFC 7064), the port 3478 if none is named.

use crate::client::TrackerUrl;
use serde::Deserialize;
use std::{
    fmt, io,
    net::{Ipv6Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};
use tokio::{net::lookup_host, time::timeout};

/// The port of STUN.
const PORT: u16 = 3478;
/// A name server that does not answer must not hold up who asks.
const LOOKUP: Duration = Duration::from_secs(2);

/// Where to ask how others see us.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct StunServer {
    /// A name, or an address; one of IPv6 without brackets.
    host: String,
    port: u16,
}

/// Why a text names no STUN server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no STUN server; write it as stun:HOST or stun:HOST:PORT")]
pub struct BadStunServer;

impl StunServer {
    /// The UDP ports that a tracker answers STUN on, as its answer to a registration names them.
    pub fn of_tracker(tracker: &TrackerUrl, ports: &[u16]) -> Vec<Self> {
        let (host, _) = tracker.host_and_port();
        let server = |port: &u16| Self {
            host: host.to_owned(),
            port: *port,
        };
        ports.iter().map(server).collect()
    }

    /// Its first address that `reaches` accepts.
    pub(super) async fn resolve(&self, reaches: impl Fn(SocketAddr) -> bool) -> io::Result<SocketAddr> {
        let found = timeout(LOOKUP, lookup_host((&*self.host, self.port)));
        let mut found = found.await.map_err(|_| io::ErrorKind::TimedOut)??;
        found
            .find(|address| reaches(*address))
            .ok_or_else(|| io::Error::other("it has no address of a kind that we can send to"))
    }
}

impl From<SocketAddr> for StunServer {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

impl fmt::Display for StunServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "stun:[{}]:{}", self.host, self.port)
        } else {
            write!(f, "stun:{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for StunServer {
    type Err = BadStunServer;

    fn from_str(text: &str) -> Result<Self, BadStunServer> {
        let (scheme, rest) = text.split_once(':').ok_or(BadStunServer)?;
        if !scheme.eq_ignore_ascii_case("stun") {
            return Err(BadStunServer);
        }
        let in_brackets = rest.rfind(']').map_or(0, |end| end + 1);
        let (host, port) = match rest[in_brackets..].rfind(':') {
            Some(at) => rest.split_at(in_brackets + at),
            None => (rest, ""),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| BadStunServer)?,
            None => PORT,
        };
        let host = match host.strip_prefix('[') {
            Some(v6) => v6.strip_suffix(']').filter(|v6| v6.parse::<Ipv6Addr>().is_ok()),
            None => Some(host).filter(|host| is_name(host)),
        };
        let host = host.filter(|_| port > 0).ok_or(BadStunServer)?.to_owned();
        Ok(Self { host, port })
    }
}

/// A name in DNS, or an IPv4 address.
fn is_name(host: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !host.is_empty() && host.bytes().all(fits)
}

impl TryFrom<String> for StunServer {
    type Error = BadStunServer;

    fn try_from(text: String) -> Result<Self, BadStunServer> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_written_with_or_without_its_port() {
        for (text, is) in [
            ("stun:stun.example.org", "stun:stun.example.org:3478"),
            ("STUN:192.0.2.1:99", "stun:192.0.2.1:99"),
            ("stun:[2001:db8::1]", "stun:[2001:db8::1]:3478"),
            ("stun:[2001:db8::1]:5", "stun:[2001:db8::1]:5"),
        ] {
            assert_eq!(text.parse::<StunServer>().unwrap().to_string(), is);
        }
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for text in [
            "",
            "stun:",
            "stun.example.org",
            "turn:a",
            "stun:a:",
            "stun:a:0",
            "stun:a:65536",
            "stun:a b",
            "stun:[::1",
            "stun:::1",
            "stun://a",
            "stun:[a]:1",
        ] {
            assert_eq!(text.parse::<StunServer>(), Err(BadStunServer), "{text:?}");
        }
    }

    #[test]
    fn a_tracker_is_a_server_on_each_of_its_udp_ports() {
        for (tracker, first) in [
            ("http://tracker.example:8080", "stun:tracker.example:3478"),
            ("https://[2001:db8::1]", "stun:[2001:db8::1]:3478"),
        ] {
            let servers = StunServer::of_tracker(&tracker.parse().unwrap(), &[3478, 3479]);
            assert_eq!(servers.len(), 2);
            assert_eq!(servers[0].to_string(), first);
        }
    }
}
