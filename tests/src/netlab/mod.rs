//! A laboratory of real networks: machines, gateways and an internet, out of network namespaces, veth pairs and nftables.
//!
//! Promises that nothing touches this machine's own interfaces and rules, that nothing stays behind however a test ends, and that any number of laboratories
//! stand side by side. In reading order: what stands before a peer and what that lets through ([`Kind`]), its rules (`rules`), one machine
//! ([`Namespace`]), all of it ([`Net`]), a line with a delay ([`Line`]), what is tried in it by hand ([`probe`]) and with the product ([`cast`],
//! [`transfer`]); a router that opens ports when asked ([`upnp`]).
//!
//! Needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW) and the programs `ip`, `nft` and `ethtool`: see [`permitted`].

pub mod cast;
mod kind;
mod line;
mod namespace;
mod net;
pub mod probe;
mod rules;
pub mod transfer;
pub mod upnp;

pub use kind::{Filtering, Kind, Nat};
pub use line::{Fault, Line};
pub use namespace::Namespace;
pub use net::{Net, Plan, Site, TRACKER, TRACKER_PORT, TRACKER_V6};

use std::process::Command;

/// What has to be installed (Debian: iproute2, nftables, ethtool).
const PROGRAMS: [(&str, &str); 3] = [("ip", "-V"), ("nft", "--version"), ("ethtool", "--version")];

/// Whether this machine lets us build networks. Where it does not, that is said, and in CI the test fails: it must not be lost unseen.
pub fn permitted() -> bool {
    let Err(reason) = try_out() else { return true };
    assert!(std::env::var_os("CI").is_none(), "in CI this must run: {reason}");
    eprintln!("skipped: {reason}");
    false
}

fn try_out() -> Result<(), String> {
    for (program, version) in PROGRAMS {
        let there = Command::new(program).arg(version).output();
        there.map_err(|error| {
            format!("{program} does not run ({error}): tests/prepare.sh nextest installs it")
        })?;
    }
    let made = Namespace::make("trial");
    made.map_err(|error| format!("this user may make no network namespace: {error}"))?;
    Ok(())
}
