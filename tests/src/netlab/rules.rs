//! The rules of a gateway, in the language of nftables.
//!
//! Promises text for `nft -f`, of interfaces called `lan` and `wan`; loads nothing. The behaviours are those of RFC 4787, made of what conntrack
//! does by itself: its NAT is port-restricted and keeps ports; cones add a map of who has which port; `fully-random` makes it symmetric.

use super::kind::Nat;
use std::net::{Ipv4Addr, SocketAddrV4};

/// What an idle mapping of a cone lives for.
const MAPPING: &str = "60s";

/// The rules of a gateway of this kind whose outside address is `wan`. `tracker` is what `Tcp443` may reach.
pub(super) fn of(nat: Nat, wan: Ipv4Addr, tracker: SocketAddrV4) -> String {
    // A NAT's own stack must not take an unsolicited packet: the entry that conntrack makes of it takes the outside port of the peer that
    // it was meant for, whose mapping then moves.
    let own = "chain own { type filter hook input priority filter; iifname wan ct state new meta l4proto { tcp, udp } drop; }";
    let (nat, filter) = (translation(nat, wan), filter(nat, tracker));
    format!(
        "{nat}\ntable inet filter {{\n{own}\nchain pass {{ type filter hook forward priority filter; {filter}; }}\n}}\n"
    )
}

fn translation(nat: Nat, wan: Ipv4Addr) -> String {
    let (map, before, learn, after) = match nat {
        Nat::None | Nat::Fw => return String::new(),
        Nat::Port | Nat::NoUdp | Nat::Tcp443 => (String::new(), String::new(), String::new(), masquerade("")),
        Nat::Sym => (
            String::new(),
            String::new(),
            String::new(),
            masquerade(" fully-random"),
        ),
        Nat::Remap => {
            // The same port for the same socket, somewhere: it is taken in this machine's byte order.
            let ports = "jhash ip saddr . udp sport mod 20000 seed 0x2a offset 30000";
            let after = format!(
                "oifname wan meta l4proto udp snat ip to {wan} : {ports}\n{}",
                masquerade("")
            );
            (String::new(), String::new(), String::new(), after)
        }
        Nat::Full => (
            format!("map who {{ type inet_service : ipv4_addr; flags dynamic,timeout; timeout {MAPPING}; }}"),
            format!("ip daddr {wan} meta l4proto udp dnat ip to udp dport map @who"),
            format!(
                "iifname lan oifname wan meta l4proto udp update @who {{ udp sport timeout {MAPPING} : ip saddr }}"
            ),
            format!("{}\niifname lan oifname lan snat ip to {wan}", masquerade("")),
        ),
        Nat::Addr => (
            format!(
                "map who {{ type ipv4_addr . inet_service : ipv4_addr; flags dynamic,timeout; timeout {MAPPING}; }}"
            ),
            format!("iifname wan ip daddr {wan} meta l4proto udp dnat ip to ip saddr . udp dport map @who"),
            format!(
                "iifname lan oifname wan meta l4proto udp update @who {{ ip daddr . udp sport timeout {MAPPING} : ip saddr }}"
            ),
            masquerade(""),
        ),
    };
    format!(
        "table ip nat {{
{map}
chain before {{ type nat hook prerouting priority dstnat; {before}
}}
chain learn {{ type filter hook forward priority filter; {learn}
}}
chain after {{ type nat hook postrouting priority srcnat; {after}
}}
}}"
    )
}

fn masquerade(how: &str) -> String {
    format!("oifname wan masquerade{how}")
}

fn filter(nat: Nat, tracker: SocketAddrV4) -> String {
    match nat {
        Nat::Fw => "iifname wan ct state new drop".to_owned(),
        Nat::NoUdp => "meta l4proto udp drop".to_owned(),
        Nat::Tcp443 => format!(
            "iifname lan oifname wan ip daddr {} tcp dport {} accept
             iifname lan oifname wan ct state established accept
             iifname lan oifname wan drop",
            tracker.ip(),
            tracker.port()
        ),
        _ => "accept".to_owned(),
    }
}

/// Rules that stop everything with these addresses from passing, in a table of their own.
pub(super) fn barrier(name: &str, v4: &[String], v6: &[String]) -> String {
    let drop = |family: &str, addresses: &[String]| {
        let set = addresses.join(", ");
        match addresses {
            [] => String::new(),
            _ => format!("{family} saddr {{ {set} }} drop\n{family} daddr {{ {set} }} drop\n"),
        }
    };
    format!(
        "table inet {name} {{ chain stop {{ type filter hook forward priority -200;\n{}{}}}\n}}\n",
        drop("ip", v4),
        drop("ip6", v6)
    )
}
