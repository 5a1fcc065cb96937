//! A real router's port mapping: miniupnpd on the gateway of a site.
//!
//! Promises that it opens ports of that gateway alone, in a table of its own, and that what it does can be waited for, since it says so. It speaks UPnP-IGD, or
//! PCP and NAT-PMP, as asked for. It refuses to work behind addresses that are reserved, as all of the laboratory's are; so the gateway gets one more.

use super::net::Net;
use crate::lab::Lab;
use crate::process::{Launch, Program};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

/// Where Debian puts it (package miniupnpd-nftables).
const PROGRAM: &str = "/usr/sbin/miniupnpd";

/// A public address, which nobody outside the laboratory hears of.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(25, 0, 0, 11);

/// Seconds that it opens a port for at most, by PCP.
pub const LIFETIME: u32 = 120;

/// What it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// UPnP-IGD.
    Upnp,
    /// PCP, and NAT-PMP.
    Pcp,
}

/// Where its rules go; the gateway's own are in other tables.
const RULES: &str = "table inet upnp {
    chain forward { type filter hook forward priority 0; policy accept; jump miniupnpd; }
    chain miniupnpd { }
    chain prerouting { type nat hook prerouting priority -110; policy accept; jump prerouting_miniupnpd; }
    chain postrouting { type nat hook postrouting priority 90; policy accept; jump postrouting_miniupnpd; }
    chain prerouting_miniupnpd { }
    chain postrouting_miniupnpd { }
}
";

/// It, running on a gateway.
#[derive(Debug)]
pub struct Router {
    program: Program,
}

impl Router {
    /// Whether it is installed. Where it is not, that is said, and in CI the test fails: it must not be lost unseen.
    pub fn is_installed() -> bool {
        let is_there = Path::new(PROGRAM).is_file();
        if !is_there {
            assert!(
                std::env::var_os("CI").is_none(),
                "in CI this must run: {PROGRAM} is not there"
            );
            eprintln!("skipped: {PROGRAM} is not there: tests/prepare.sh nextest installs it");
        }
        is_there
    }

    /// Starts it on the gateway of this site.
    pub fn start(lab: &Lab, net: &Net, site: usize, speaks: Speaks) -> Self {
        let (folder, gateway) = (lab.folder("router"), &net.sites[site].gateway);
        gateway.ip(&format!("addr add {OUTSIDE}/32 dev wan"));
        net.route_to(OUTSIDE, site);
        gateway.nft(RULES);
        let yes = |is: bool| if is { "yes" } else { "no" };
        let (upnp, pmp) = (yes(speaks == Speaks::Upnp), yes(speaks == Speaks::Pcp));
        let config = format!(
            "ext_ifname=wan\next_ip={OUTSIDE}\nlistening_ip=lan\nenable_upnp={upnp}\nenable_natpmp={pmp}\nsecure_mode=yes\n\
             min_lifetime=60\nmax_lifetime={LIFETIME}\nuuid=00000000-0000-0000-0000-000000000001\nupnp_table_name=upnp\n\
             upnp_nat_table_name=upnp\nallow 1024-65535 0.0.0.0/0 1024-65535\n"
        );
        let path = folder.join("miniupnpd.conf");
        fs::write(&path, config).expect("a configuration");
        let program = Launch::new(PROGRAM, &folder)
            .inside(gateway)
            .args(["-d", "-f"])
            .arg(&path)
            .arg("-P")
            .arg(folder.join("miniupnpd.pid"))
            .start();
        let begins = match speaks {
            Speaks::Upnp => "HTTP listening on port",
            Speaks::Pcp => "Listening for NAT-PMP/PCP traffic",
        };
        let router = Self { program };
        router.wait(0, begins);
        router
    }

    /// Waits until it says this, from that line of what it says on; the line after that.
    pub fn wait(&self, from: usize, what: &str) -> usize {
        let said = |line: &str| line.contains(what).then_some(());
        self.program.wait_err(from, what, said).1
    }

    /// How many lines it has said.
    pub fn lines(&self) -> usize {
        self.program.lines().1
    }
}

/// The ports that are open on the gateway of a site, as its rules have them.
pub fn open_ports(net: &Net, site: usize) -> Vec<String> {
    let listed = net.sites[site].gateway.list_nft("table inet upnp");
    let rules = listed.lines().filter(|line| line.contains("dnat"));
    rules.map(|rule| rule.trim().to_owned()).collect()
}
