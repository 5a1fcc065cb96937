//! Which router stands between this machine and the world.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};
use tokio::net::UdpSocket;

/// Where Linux shows its IPv4 routes.
const ROUTES: &str = "/proc/net/route";
/// A route with a gateway, that is up (`RTF_UP | RTF_GATEWAY` of `linux/route.h`).
const UP_AND_GATEWAY: u16 = 0x3;

/// The router, and our address towards it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gateway {
    pub router: Ipv4Addr,
    pub local: Ipv4Addr,
}

impl Gateway {
    /// Why no router need be asked for a listener on that address.
    pub(super) fn is_pointless(&self, listen: IpAddr) -> Option<String> {
        let on_elsewhere = !listen.is_unspecified() && listen.to_canonical() != IpAddr::V4(self.local);
        if on_elsewhere {
            return Some(format!("{listen} does not lead to the router"));
        }
        is_public(self.local).then(|| format!("{} is a public address, no router is in the way", self.local))
    }
}

/// The default gateway. An error says why there is none.
pub(super) async fn find() -> Result<Gateway, String> {
    let routes = tokio::fs::read_to_string(Path::new(ROUTES)).await;
    let routes = routes.map_err(|error| format!("the system does not show its routes: {error}"))?;
    let router = default_route(&routes).ok_or("there is no default route over IPv4")?;
    let local = local_towards(router).await;
    let local = local.ok_or("the default route has no address of ours")?;
    Ok(Gateway { router, local })
}

/// The gateway of the default route with the smallest metric.
fn default_route(routes: &str) -> Option<Ipv4Addr> {
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, destination, gateway, flags, _, _, metric, mask, ..] = fields[..] else {
            return None;
        };
        let hex = |text| u32::from_str_radix(text, 16).ok();
        let flags = u16::from_str_radix(flags, 16).ok()?;
        let is_default =
            hex(destination)? == 0 && hex(mask)? == 0 && flags & UP_AND_GATEWAY == UP_AND_GATEWAY;
        // As it lies in memory, and so in the order of the network.
        let gateway = Ipv4Addr::from(hex(gateway)?.to_ne_bytes());
        is_default.then_some((metric.parse::<u32>().ok()?, gateway))
    };
    routes
        .lines()
        .skip(1)
        .filter_map(route)
        .min()
        .map(|(_, gateway)| gateway)
}

/// Nothing is sent: connecting only asks the system for a route.
async fn local_towards(router: Ipv4Addr) -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok()?;
    socket.connect((router, 9)).await.ok()?;
    match socket.local_addr().ok()? {
        SocketAddr::V4(local) => Some(*local.ip()),
        SocketAddr::V6(_) => None,
    }
}

/// Whether the world knows this address, as far as its number tells: not one of RFC 1918, of a carrier's NAT (RFC 6598), of the link
/// or of the machine.
fn is_public(ip: Ipv4Addr) -> bool {
    let [first, second, ..] = ip.octets();
    let is_carriers = first == 100 && second & 0xc0 == 64;
    !(ip.is_private() || is_carriers || ip.is_link_local() || ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";

    /// An address as the kernel prints it.
    fn printed(ip: [u8; 4]) -> String {
        format!("{:08X}", u32::from_ne_bytes(ip))
    }

    #[test]
    fn the_default_route_with_the_smallest_metric_leads_to_the_router() {
        let line = |to: [u8; 4], over: [u8; 4], flags: u16, metric: u32, mask: [u8; 4]| {
            let (to, over, mask) = (printed(to), printed(over), printed(mask));
            format!("eth0\t{to}\t{over}\t{flags:04X}\t0\t0\t{metric}\t{mask}\t0\t0\t0\n")
        };
        let routes = [
            HEAD.to_owned(),
            line([10, 0, 0, 0], [0; 4], 1, 0, [255, 0, 0, 0]),
            line([0; 4], [192, 168, 7, 1], 3, 600, [0; 4]),
            line([0; 4], [192, 168, 1, 1], 3, 100, [0; 4]),
            line([0; 4], [192, 168, 2, 1], 2, 1, [0; 4]),
        ];
        assert_eq!(
            default_route(&routes.concat()),
            Some(Ipv4Addr::new(192, 168, 1, 1))
        );
    }

    #[test]
    fn without_a_default_route_there_is_no_router() {
        for routes in ["", HEAD, "nonsense\nmore of it\n", "h\neth0 0 0\n"] {
            assert_eq!(default_route(routes), None, "{routes:?}");
        }
    }

    #[test]
    fn a_router_is_not_asked_where_it_could_not_help() {
        let gateway = |local: [u8; 4]| Gateway {
            router: [192, 168, 1, 1].into(),
            local: local.into(),
        };
        let any: IpAddr = Ipv4Addr::UNSPECIFIED.into();
        let loopback: IpAddr = Ipv4Addr::LOCALHOST.into();
        assert_eq!(gateway([192, 168, 1, 2]).is_pointless(any), None);
        assert_eq!(
            gateway([192, 168, 1, 2]).is_pointless("::".parse().unwrap()),
            None
        );
        assert_eq!(gateway([100, 64, 0, 2]).is_pointless(any), None);
        assert!(gateway([192, 168, 1, 2]).is_pointless(loopback).is_some());
        assert!(gateway([198, 51, 100, 2]).is_pointless(any).is_some());
    }
}
