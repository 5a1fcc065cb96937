//! This machine: its addresses, its listener, and the proxy that is in use.

use super::{Check, Examination, Finding};
use crate::{client::addresses, event::PathKind, p2p};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};

/// A listener of this machine accepts at once, or it is not there.
const ACCEPT: Duration = Duration::from_secs(1);

impl Examination<'_> {
    /// Whether peers with IPv6 can be reached by it.
    pub(super) async fn addresses(&self) -> bool {
        let own = addresses::routes().await;
        let listen = self.with.listen;
        let is_global = |address: &IpAddr| matches!(address, IpAddr::V6(v6) if !v6.is_unique_local());
        let ipv6 = own.iter().any(is_global);
        let mut finding = match own.as_slice() {
            [] => Finding::failed(Check::Addresses, "this machine has no way to any network")
                .advice("Connect it to a network; until then only peers on this machine are reached."),
            some => {
                let texts: Vec<_> = some.iter().map(|address| kind(*address)).collect();
                Finding::ok(Check::Addresses, texts.join(", "))
            }
        };
        if ipv6 && listen.is_ipv4() && listen.ip().is_unspecified() {
            let advice = format!(
                "Listen on IPv6 too (--listen [::]:{}): it has no NAT in the way.",
                listen.port()
            );
            finding = finding.advice(advice);
        }
        finding.addresses = own
            .into_iter()
            .map(|address| SocketAddr::new(address, listen.port()))
            .collect();
        self.tell(finding);
        ipv6
    }

    /// Whether the listener takes connections; `daemon`: where a daemon would listen, if none runs.
    pub(super) async fn listener(&self, daemon: Option<SocketAddr>) -> bool {
        if !self.with.policy.allows(PathKind::Direct) {
            let why = format!(
                "nobody is told where this peer is: its policy is {}",
                self.with.policy.as_str()
            );
            self.tell(Finding::skipped(Check::Listener, why));
            return false;
        }
        let listen = self.with.listen;
        let at = SocketAddr::new(on_this_machine(listen.ip()), listen.port());
        let accepted = timeout(ACCEPT, TcpStream::connect(at)).await;
        let accepts = matches!(accepted, Ok(Ok(_)));
        let finding = match accepted {
            Ok(Ok(_)) => Finding::ok(
                Check::Listener,
                format!("other peers can connect to port {} (TCP)", listen.port()),
            ),
            Ok(Err(error)) => Finding::failed(
                Check::Listener,
                format!("nobody can connect to {listen}: {error}"),
            )
            .advice("Look for a firewall on this machine, or let it listen elsewhere with --listen."),
            Err(_) => Finding::failed(Check::Listener, format!("{listen} does not accept connections"))
                .advice("Look for a firewall on this machine, or let it listen elsewhere with --listen."),
        };
        self.tell(Finding {
            addresses: vec![listen],
            ..finding
        });
        if let Some(daemon) = daemon.filter(|daemon| daemon.port() != 0) {
            self.tell(port_of_daemon(daemon));
        }
        accepts
    }

    pub(super) async fn proxy(&self) {
        let proxies = self.trackers.iter().map(|tracker| {
            let (host, port) = tracker.host_and_port();
            let host = match host.contains(':') {
                true => format!("[{host}]"),
                false => host.to_owned(),
            };
            (
                tracker,
                self.with.proxies.towards(tracker.is_encrypted(), &host, port),
            )
        });
        for (tracker, proxy) in proxies {
            if let Some(proxy) = proxy {
                let message = format!(
                    "trackers and relays are called through {}; peers are not",
                    crate::relay::proxy_name(&proxy)
                );
                self.tell(Finding::ok(Check::Proxy, message).of(tracker));
            }
        }
    }
}

/// No daemon runs: would it have its port?
fn port_of_daemon(address: SocketAddr) -> Finding {
    match p2p::listener::bind(address) {
        Ok(_) => Finding::ok(
            Check::Listener,
            format!("{address}, where a daemon would listen, is free"),
        ),
        Err(error) => Finding::warning(
            Check::Listener,
            format!("a daemon cannot listen on {address}: {error}"),
        )
        .advice("End the program that has that port, or choose another one with --listen."),
    }
}

fn on_this_machine(bound: IpAddr) -> IpAddr {
    match bound {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

fn kind(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) if v4.is_private() => format!("{address} (this network only)"),
        IpAddr::V4(_) => address.to_string(),
        IpAddr::V6(v6) if v6.is_unique_local() => format!("{address} (IPv6, this network only)"),
        IpAddr::V6(_) => format!("{address} (IPv6)"),
    }
}
