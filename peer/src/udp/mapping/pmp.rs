//! PCP, and NAT-PMP where the router knows no PCP.

use super::{GiveBack, LIFETIME, Mapped, Protocol, gateway::Gateway};
use crab_nat::{
    InternetProtocol, PortMapping, PortMappingOptions, PortMappingType, TimeoutConfig,
    natpmp::external_address,
};
use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    time::Duration,
};

/// A router answers in milliseconds, and mostly does not speak this at all.
const TIMES: TimeoutConfig = TimeoutConfig {
    initial_timeout: Duration::from_millis(250),
    max_retries: 2,
    max_retry_timeout: Some(Duration::from_secs(1)),
};

/// What was opened. PCP knows its owner by a number in each.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    gateway: Gateway,
    udp: PortMapping,
    tcp: Option<PortMapping>,
}

/// Asks for both ports. The UDP port is worth having alone; without it, the error says why.
pub(super) async fn open(gateway: Gateway, tcp: u16, udp: u16) -> Result<Mapped, String> {
    let udp = map(gateway, InternetProtocol::Udp, udp).await?;
    let tcp = map(gateway, InternetProtocol::Tcp, tcp).await;
    if let Err(why) = &tcp {
        tracing::debug!(%why, "the router opened the UDP port, and not the TCP port");
    }
    let tcp = tcp.ok();
    let opened = Opened { gateway, udp, tcp };
    opened.describe().await
}

impl Opened {
    /// Asks for the same once more.
    pub(super) async fn renew(mut self) -> Result<Mapped, String> {
        self.udp.renew().await.map_err(|error| error.to_string())?;
        if let Some(tcp) = &mut self.tcp {
            tcp.renew().await.map_err(|error| error.to_string())?;
        }
        self.describe().await
    }

    /// Gives the ports back.
    pub(super) async fn close(&self) {
        for mapping in self.mappings() {
            if let Err((error, _)) = mapping.clone().try_drop().await {
                tracing::debug!(%error, "the router did not take its port back; it forgets it by itself");
            }
        }
    }

    fn mappings(&self) -> impl Iterator<Item = &PortMapping> {
        std::iter::once(&self.udp).chain(&self.tcp)
    }

    async fn describe(self) -> Result<Mapped, String> {
        let ip = match self.external_ip().await {
            Ok(ip) => ip,
            Err(why) => {
                self.close().await;
                return Err(why);
            }
        };
        let address = |mapping: &PortMapping| SocketAddr::new(ip, mapping.external_port().get());
        let lifetime = self
            .mappings()
            .map(PortMapping::lifetime)
            .min()
            .unwrap_or_default();
        Ok(Mapped {
            tcp: self.tcp.as_ref().map(address),
            udp: address(&self.udp),
            protocol: match self.udp.mapping_type() {
                PortMappingType::NatPmp => Protocol::NatPmp,
                PortMappingType::Pcp { .. } => Protocol::Pcp,
            },
            lifetime: Duration::from_secs(lifetime.into()),
            back: GiveBack::Pmp(Box::new(self)),
        })
    }

    async fn external_ip(&self) -> Result<IpAddr, String> {
        match self.udp.mapping_type() {
            PortMappingType::Pcp { external_ip, .. } => Ok(external_ip.to_canonical()),
            PortMappingType::NatPmp => {
                let ip = external_address(self.gateway.router.into(), Some(TIMES)).await;
                ip.map(IpAddr::from).map_err(|error| error.to_string())
            }
        }
    }
}

async fn map(gateway: Gateway, protocol: InternetProtocol, port: u16) -> Result<PortMapping, String> {
    let port = NonZeroU16::new(port).ok_or("there is no port")?;
    let options = PortMappingOptions {
        external_port: Some(port),
        lifetime_seconds: u32::try_from(LIFETIME.as_secs()).ok(),
        timeout_config: Some(TIMES),
    };
    let mapping = PortMapping::new(
        gateway.router.into(),
        gateway.local.into(),
        protocol,
        port,
        options,
    )
    .await;
    mapping.map_err(|error| error.to_string())
}
