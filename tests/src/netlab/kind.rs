//! What stands between a peer and the internet, and what such things let through.
//!
//! Promises names that are stable (they are what tests and tables say) and, as plain rules, what is possible between two kinds: the laboratory is
//! tried against these, and the product's choice of path, too. Knows nothing of namespaces.

use std::fmt;
use std::str::FromStr;

/// How a gateway treats what passes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nat {
    /// A plain router: the addresses behind it are public.
    None,
    /// Full cone: one outside port whoever is talked to, and everybody may answer there; it also turns datagrams back inside (hairpin).
    Full,
    /// Restricted cone: one outside port, and who was talked to may answer from any port.
    Addr,
    /// Port-restricted cone, ports kept: one outside port, and only the very address that was talked to may answer.
    Port,
    /// As `Port`, with other ports outside than inside.
    Remap,
    /// Symmetric: another outside port for each that is talked to.
    Sym,
    /// No NAT, but nothing unsolicited comes in.
    Fw,
    /// As `Port`, and no UDP at all.
    NoUdp,
    /// As `Port`, and nothing leaves but TCP to port 443 of the tracker.
    Tcp443,
}

/// What stands before a peer: its own gateway, perhaps a carrier's NAT behind that, and the family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind {
    /// The gateway of the site.
    pub home: Nat,
    /// The carrier's NAT, if there is one: `Port` or `Sym`.
    pub carrier: Option<Nat>,
    /// Addresses are IPv6, and there are no others.
    pub is_v6: bool,
}

/// Gateways by their names.
const NATS: [(&str, Nat); 9] = [
    ("none", Nat::None),
    ("full", Nat::Full),
    ("addr", Nat::Addr),
    ("port", Nat::Port),
    ("remap", Nat::Remap),
    ("sym", Nat::Sym),
    ("fw", Nat::Fw),
    ("noudp", Nat::NoUdp),
    ("tcp443", Nat::Tcp443),
];

impl Kind {
    /// All that the laboratory is proved with.
    pub const ALL: [&'static str; 16] = [
        "none",
        "full",
        "addr",
        "port",
        "remap",
        "sym",
        "fw",
        "cgnat-full",
        "cgnat-port",
        "cgnat-sym",
        "cgsym-port",
        "cgsym-sym",
        "noudp",
        "tcp443",
        "v6",
        "v6-fw",
    ];

    /// One address and port outside for a socket, whoever it talks to.
    pub fn keeps_its_mapping(self) -> bool {
        self.home != Nat::Sym && self.carrier != Some(Nat::Sym)
    }

    /// Who may send to a socket behind it.
    pub fn filtering(self) -> Filtering {
        match self.home {
            _ if self.carrier.is_some() => Filtering::AddressAndPort,
            Nat::None | Nat::Full => Filtering::Anybody,
            Nat::Addr => Filtering::Address,
            _ => Filtering::AddressAndPort,
        }
    }

    /// Datagrams get out.
    pub fn has_udp(self) -> bool {
        !matches!(self.home, Nat::NoUdp | Nat::Tcp443)
    }

    /// TCP connections to a peer behind it can be opened from outside.
    pub fn takes_tcp(self) -> bool {
        self.home == Nat::None && self.carrier.is_none()
    }

    /// The addresses of its peers are routed: nothing rewrites them.
    pub fn is_public(self) -> bool {
        matches!(self.home, Nat::None | Nat::Fw) && self.carrier.is_none()
    }

    /// A connection from a peer behind this to a port of a peer behind `other`.
    pub fn reaches(self, other: Self) -> bool {
        other.takes_tcp() && self.is_v6 == other.is_v6 && self.home != Nat::Tcp443
    }

    /// Plain hole punching with peer-reflexive candidates gets through: unless one side has another port for everybody and the other admits
    /// only whom it has talked to.
    pub fn punches(self, other: Self) -> bool {
        let misses = |a: Self, b: Self| !a.keeps_its_mapping() && b.filtering() == Filtering::AddressAndPort;
        let both = self.has_udp() && other.has_udp() && self.is_v6 == other.is_v6;
        both && !misses(self, other) && !misses(other, self)
    }

    /// The best path that two peers behind these have.
    pub fn best_path(self, other: Self) -> &'static str {
        if self.reaches(other) || other.reaches(self) {
            "direct"
        } else if self.punches(other) {
            "punched"
        } else {
            "relayed"
        }
    }
}

/// Who may send to a socket behind a gateway (RFC 4787 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filtering {
    /// Endpoint-independent.
    Anybody,
    /// Address-dependent.
    Address,
    /// Address and port-dependent.
    AddressAndPort,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let nat = |name: &str| NATS.iter().find(|(known, _)| *known == name).map(|(_, nat)| *nat);
        let (home, carrier, is_v6) = match name.split_once('-') {
            None if name == "v6" => (Some(Nat::None), None, true),
            None => (nat(name), None, false),
            Some(("v6", "fw")) => (Some(Nat::Fw), None, true),
            // A carrier knows one address of its customer, so there is a NAT there.
            Some((_, "none" | "fw")) => (None, None, false),
            Some(("cgnat", home)) => (nat(home), Some(Nat::Port), false),
            Some(("cgsym", home)) => (nat(home), Some(Nat::Sym), false),
            Some(_) => (None, None, false),
        };
        let home = home.ok_or_else(|| {
            format!(
                "{name:?} is no kind of NAT; these are: {}, and cgnat-K, cgsym-K",
                Self::ALL.join(" ")
            )
        })?;
        Ok(Self { home, carrier, is_v6 })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let home = NATS
            .iter()
            .find(|(_, nat)| *nat == self.home)
            .map_or("?", |(name, _)| name);
        match (self.is_v6, self.carrier) {
            (true, _) if self.home == Nat::None => f.pad("v6"),
            (true, _) => f.pad(&format!("v6-{home}")),
            (_, None) => f.pad(home),
            (_, Some(Nat::Sym)) => f.pad(&format!("cgsym-{home}")),
            (_, Some(_)) => f.pad(&format!("cgnat-{home}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str) -> Kind {
        name.parse().unwrap()
    }

    #[test]
    fn every_kind_is_shown_as_it_is_named() {
        for name in Kind::ALL {
            assert_eq!(kind(name).to_string(), name);
        }
        for wrong in [
            "",
            "cone",
            "cgnat-none",
            "cgnat-fw",
            "cgnat-",
            "v6-sym",
            "cgnat-cgnat-port",
        ] {
            assert!(wrong.parse::<Kind>().is_err(), "{wrong}");
        }
    }

    /// What was measured with other tools, in words.
    #[test]
    fn a_symmetric_side_needs_one_that_is_not_strict() {
        for symmetric in ["sym", "cgsym-port", "cgnat-sym"] {
            for strict in ["port", "remap", "fw", "cgnat-port", "sym", "cgsym-port"] {
                assert!(!kind(symmetric).punches(kind(strict)), "{symmetric} {strict}");
                assert!(!kind(strict).punches(kind(symmetric)), "{strict} {symmetric}");
            }
            for open in ["none", "full", "addr"] {
                assert!(kind(symmetric).punches(kind(open)), "{symmetric} {open}");
            }
        }
        for cone in ["none", "full", "addr", "port", "remap", "fw", "cgnat-port"] {
            assert!(kind(cone).punches(kind("port")), "{cone}");
            assert!(
                !kind(cone).punches(kind("noudp")) && !kind("tcp443").punches(kind(cone)),
                "{cone}"
            );
        }
    }

    #[test]
    fn the_best_path_is_what_the_kinds_allow() {
        let path = |a: &str, b: &str| kind(a).best_path(kind(b));
        assert_eq!(path("none", "sym"), "direct", "the one behind the NAT dials");
        assert_eq!(path("noudp", "none"), "direct");
        assert_eq!(path("tcp443", "none"), "relayed");
        assert_eq!(path("full", "port"), "punched");
        assert_eq!(path("sym", "sym"), "relayed");
        assert_eq!(path("v6-fw", "v6-fw"), "punched");
        assert_eq!(path("v6", "none"), "relayed", "no family in common");
    }
}
