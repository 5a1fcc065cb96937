//! UPnP-IGD.

use super::{GiveBack, LIFETIME, Mapped, Protocol, gateway::Gateway as Router};
use igd_next::{
    AddPortError, PortMappingProtocol, SearchOptions,
    aio::{
        Gateway,
        tokio::{Tokio, search_gateway},
    },
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// How long a router may take to say that it is there. One that is answers in milliseconds.
const SEARCH: Duration = Duration::from_secs(3);
/// What people see in the router's list.
const DESCRIPTION: &str = "p2p-peer";

/// What was opened where.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    gateway: Gateway<Tokio>,
    ports: Vec<(PortMappingProtocol, u16)>,
}

impl Opened {
    /// Gives the ports back.
    pub(super) async fn close(&self) {
        for (protocol, port) in &self.ports {
            if let Err(error) = self.gateway.remove_port(*protocol, *port).await {
                tracing::debug!(%error, "the router did not take its port back; it forgets it by itself");
            }
        }
    }
}

/// Asks for both ports. One of them is worth having; without any, the error says why.
pub(super) async fn open(ssdp: SocketAddr, router: Router, tcp: u16, udp: u16) -> Result<Mapped, String> {
    let local = router.local;
    let mut options = SearchOptions::default();
    // A device may speak for itself, and anybody for the router; nobody has us call on somebody else.
    options.allowed_gateway_ips = vec![router.router.into()];
    options.bind_addr = SocketAddr::new(IpAddr::V4(local), 0);
    options.broadcast_address = ssdp;
    options.timeout = Some(SEARCH);
    options.single_search_timeout = Some(SEARCH);
    let gateway = search_gateway(options).await.map_err(|error| error.to_string())?;
    let ip = gateway
        .get_external_ip()
        .await
        .map_err(|error| error.to_string())?;
    let at = |port| SocketAddr::new(IpAddr::V4(local), port);
    let udp = map(&gateway, PortMappingProtocol::UDP, at(udp)).await?;
    let tcp = map(&gateway, PortMappingProtocol::TCP, at(tcp)).await;
    if let Err(why) = &tcp {
        tracing::debug!(%why, "the router opened the UDP port, and not the TCP port");
    }
    let tcp = tcp.ok();
    let ports = [
        Some((PortMappingProtocol::UDP, udp)),
        tcp.map(|port| (PortMappingProtocol::TCP, port)),
    ];
    Ok(Mapped {
        tcp: tcp.map(|port| SocketAddr::new(ip, port)),
        udp: SocketAddr::new(ip, udp),
        protocol: Protocol::Upnp,
        lifetime: LIFETIME,
        back: GiveBack::Igd(Box::new(Opened {
            gateway,
            ports: ports.into_iter().flatten().collect(),
        })),
    })
}

/// The same number outside as inside if it is free, for ever if the router knows no end, else any number.
async fn map(
    gateway: &Gateway<Tokio>,
    protocol: PortMappingProtocol,
    local: SocketAddr,
) -> Result<u16, String> {
    let seconds = u32::try_from(LIFETIME.as_secs()).unwrap_or(u32::MAX);
    let mut asked = gateway
        .add_port(protocol, local.port(), local, seconds, DESCRIPTION)
        .await;
    if let Err(AddPortError::OnlyPermanentLeasesSupported) = asked {
        asked = gateway
            .add_port(protocol, local.port(), local, 0, DESCRIPTION)
            .await;
    }
    match asked {
        Ok(()) => Ok(local.port()),
        Err(AddPortError::PortInUse | AddPortError::ExternalPortZeroInvalid) => {
            let any = gateway.add_any_port(protocol, local, seconds, DESCRIPTION).await;
            any.map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    }
}
