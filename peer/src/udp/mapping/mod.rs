//! A port of the router, asked for: PCP, NAT-PMP (`pmp`) or UPnP-IGD (`igd`), whichever it speaks.
//!
//! Promises that nobody waits for it (it is a task beside everything), that a mapping is renewed when half its life is over and given back
//! when the program ends, and that the router is asked again, ever more rarely, when it had no port. Both TCP and UDP are asked for,
//! under their own numbers if the router has them free.

mod gateway;
mod igd;
mod pmp;
#[cfg(test)]
mod tests;

use gateway::Gateway;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// How long a mapping is asked for. A router that was not told goodbye forgets it after that.
const LIFETIME: Duration = Duration::from_secs(3600);
/// A router that grants less is asked no more often than this.
const SHORTEST: Duration = Duration::from_secs(60);
/// How long giving it back may take.
const RELEASE: Duration = Duration::from_secs(2);
/// Pauses after failures; the last one is repeated.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(1800),
];
/// Where routers with UPnP listen.
const SSDP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 255, 255, 250)), 1900);

/// How a router was talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Port Control Protocol (RFC 6887).
    Pcp,
    /// NAT Port Mapping Protocol (RFC 6886).
    NatPmp,
    /// UPnP Internet Gateway Device.
    Upnp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcp => "PCP",
            Self::NatPmp => "NAT-PMP",
            Self::Upnp => "UPnP",
        })
    }
}

/// What the router opened.
#[derive(Debug, Clone)]
pub struct Mapped {
    /// Where the TCP listener is reached from outside.
    pub tcp: Option<SocketAddr>,
    /// Where the UDP socket is reached from outside.
    pub udp: SocketAddr,
    /// How it was asked.
    pub protocol: Protocol,
    lifetime: Duration,
    back: GiveBack,
}

/// What it takes to give it back.
#[derive(Debug, Clone)]
enum GiveBack {
    Pmp(Box<pmp::Opened>),
    Igd(Box<igd::Opened>),
}

/// What became of the port.
#[derive(Debug, Clone, Default)]
pub enum MappingStatus {
    /// Nobody asks: it was switched off, or the program ends.
    #[default]
    Off,
    /// The router is being asked.
    Asking,
    /// It opened a port.
    Mapped(Mapped),
    /// It has none; in words for the person.
    Failed(String),
}

impl fmt::Display for MappingStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("the router is not asked to let others in"),
            Self::Asking => f.write_str("the router is being asked to let others in"),
            Self::Mapped(Mapped {
                tcp, udp, protocol, ..
            }) => match tcp {
                Some(tcp) => write!(
                    f,
                    "the router lets others in at {tcp} (TCP) and {udp} (UDP), by {protocol}"
                ),
                None => write!(f, "the router lets others in at {udp} (UDP), by {protocol}"),
            },
            Self::Failed(why) => write!(f, "the router does not let others in: {why}"),
        }
    }
}

/// Who asks. Knows whom to ask, and holds nothing.
#[derive(Debug, Clone)]
pub struct Mapper {
    /// Who is asked by PCP and NAT-PMP; the system's default gateway, if not said.
    gateway: Option<Gateway>,
    ssdp: SocketAddr,
}

impl Default for Mapper {
    fn default() -> Self {
        Self {
            gateway: None,
            ssdp: SSDP,
        }
    }
}

impl Mapper {
    /// Has the router keep ports open for `tcp` and `udp`, for ever, and says in `status` what became of it.
    pub(super) async fn keep(&self, tcp: SocketAddr, udp: SocketAddr, status: &watch::Sender<MappingStatus>) {
        let mut failures = 0;
        loop {
            let held = status.borrow().clone();
            let pause = match self.ask_or_renew(held, tcp, udp, status).await {
                Ok(mapped) => {
                    failures = 0;
                    let pause = (mapped.lifetime / 2).max(SHORTEST);
                    tracing::info!(tcp = ?mapped.tcp, udp = %mapped.udp, protocol = %mapped.protocol, "the router opened a port");
                    status.send_replace(MappingStatus::Mapped(mapped));
                    pause
                }
                Err(why) => {
                    tracing::debug!(%why, "the router opened no port");
                    status.send_replace(MappingStatus::Failed(why));
                    let pause = PAUSES[failures.min(PAUSES.len() - 1)];
                    failures += 1;
                    pause
                }
            };
            sleep(pause).await;
        }
    }

    /// A mapping that is held is renewed, and holds meanwhile; if that fails, or there is none, it is asked for.
    async fn ask_or_renew(
        &self,
        held: MappingStatus,
        tcp: SocketAddr,
        udp: SocketAddr,
        status: &watch::Sender<MappingStatus>,
    ) -> Result<Mapped, String> {
        if let MappingStatus::Mapped(Mapped {
            back: GiveBack::Pmp(opened),
            ..
        }) = held
            && let Ok(mapped) = opened.renew().await
        {
            return Ok(mapped);
        }
        status.send_if_modified(|status| {
            let is_first = matches!(status, MappingStatus::Off);
            if is_first {
                *status = MappingStatus::Asking;
            }
            is_first
        });
        self.ask(tcp, udp).await
    }

    /// Asks the router once, by each of its languages until one works. An error says what each answered.
    async fn ask(&self, tcp: SocketAddr, udp: SocketAddr) -> Result<Mapped, String> {
        let gateway = match &self.gateway {
            Some(gateway) => *gateway,
            None => gateway::find().await?,
        };
        if let Some(why) = gateway.is_pointless(tcp.ip()) {
            return Err(why);
        }
        let pmp = match pmp::open(gateway, tcp.port(), udp.port()).await {
            Ok(mapped) => return Ok(mapped),
            Err(why) => why,
        };
        let igd = match igd::open(self.ssdp, gateway, tcp.port(), udp.port()).await {
            Ok(mapped) => return Ok(mapped),
            Err(why) => why,
        };
        Err(format!("PCP and NAT-PMP: {pmp}; UPnP: {igd}"))
    }

    /// Gives a port back, if the router listens.
    pub(super) async fn release(&self, mapped: &Mapped) {
        let release = async {
            match &mapped.back {
                GiveBack::Pmp(opened) => opened.close().await,
                GiveBack::Igd(opened) => opened.close().await,
            }
        };
        if timeout(RELEASE, release).await.is_err() {
            tracing::debug!("the router did not take its port back; it forgets it by itself");
        }
    }
}
