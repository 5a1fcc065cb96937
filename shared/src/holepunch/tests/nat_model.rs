//! What a NAT or firewall does to UDP packets (RFC 4787), as the kinds of the laboratory do it.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
};

/// As in the laboratory of real NATs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lab {
    None,
    Full,
    Addr,
    Port,
    Remap,
    Sym,
    Fw,
    CgnatPort,
    CgsymPort,
    NoUdp,
}

impl Lab {
    pub(super) const ALL: [Self; 10] = [
        Self::None,
        Self::Full,
        Self::Addr,
        Self::Port,
        Self::Remap,
        Self::Sym,
        Self::Fw,
        Self::CgnatPort,
        Self::CgsymPort,
        Self::NoUdp,
    ];

    /// The translators between a host and the public network, the host's first. `outside` and `between` are their addresses.
    pub(super) fn translators(self, outside: IpAddr, between: IpAddr) -> Vec<Nat> {
        use {Filtering as F, Mapping as M};
        match self {
            Self::None => vec![],
            Self::Full => vec![Nat::new(outside, M::PerSource { shift: 0 }, F::Open)],
            Self::Addr => vec![Nat::new(outside, M::PerSource { shift: 0 }, F::Address)],
            Self::Port => vec![Nat::new(outside, M::PerSource { shift: 0 }, F::AddressAndPort)],
            Self::Remap => vec![Nat::new(
                outside,
                M::PerSource { shift: 30_000 },
                F::AddressAndPort,
            )],
            Self::Sym => vec![Nat::new(outside, M::PerDestination, F::AddressAndPort)],
            Self::Fw => vec![Nat::new(outside, M::Transparent, F::AddressAndPort)],
            Self::CgnatPort => vec![
                Nat::new(between, M::PerSource { shift: 0 }, F::AddressAndPort),
                Nat::new(outside, M::PerSource { shift: 0 }, F::AddressAndPort),
            ],
            Self::CgsymPort => vec![
                Nat::new(between, M::PerSource { shift: 0 }, F::AddressAndPort),
                Nat::new(outside, M::PerDestination, F::AddressAndPort),
            ],
            Self::NoUdp => vec![Nat::new(outside, M::PerSource { shift: 0 }, F::Blocked)],
        }
    }

    /// Whether the host itself has a public address.
    pub(super) fn is_public(self) -> bool {
        matches!(self, Self::None | Self::Fw)
    }

    /// What the laboratory's README says: which pairs a plain punch gets through.
    pub(super) fn punches_with(self, other: Self) -> bool {
        let symmetric = |kind| matches!(kind, Self::Sym | Self::CgsymPort);
        let strict =
            |kind| symmetric(kind) || matches!(kind, Self::Port | Self::Remap | Self::Fw | Self::CgnatPort);
        let blocked = self == Self::NoUdp || other == Self::NoUdp;
        let hopeless = (symmetric(self) && strict(other)) || (symmetric(other) && strict(self));
        !blocked && !hopeless
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mapping {
    /// A firewall: addresses stay.
    Transparent,
    /// One outside port for an inside one.
    PerSource { shift: u16 },
    /// One for every destination.
    PerDestination,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Filtering {
    /// Whatever comes for a port that is mapped.
    Open,
    /// From addresses that something was sent to.
    Address,
    /// From ports that something was sent to.
    AddressAndPort,
    /// No UDP, either way.
    Blocked,
}

struct Binding {
    inside: SocketAddr,
    outside: SocketAddr,
    destination: Option<SocketAddr>,
}

pub(super) struct Nat {
    pub(super) outside: IpAddr,
    mapping: Mapping,
    filtering: Filtering,
    bindings: Vec<Binding>,
    /// Outside addresses and where something was sent from them.
    passed: HashSet<(SocketAddr, SocketAddr)>,
    next_port: u16,
}

impl Nat {
    fn new(outside: IpAddr, mapping: Mapping, filtering: Filtering) -> Self {
        Self {
            outside,
            mapping,
            filtering,
            bindings: Vec::new(),
            passed: HashSet::new(),
            next_port: 40_000,
        }
    }

    /// A packet leaves: its source outside. `None`: it does not.
    pub(super) fn outward(&mut self, source: SocketAddr, to: SocketAddr) -> Option<SocketAddr> {
        if self.filtering == Filtering::Blocked {
            return None;
        }
        let outside = match self.mapping {
            Mapping::Transparent => source,
            Mapping::PerSource { .. } => self.bind(source, None),
            Mapping::PerDestination => self.bind(source, Some(to)),
        };
        self.passed.insert((outside, to));
        Some(outside)
    }

    /// A packet comes from outside: where it goes inside. `None`: nowhere.
    pub(super) fn inward(&self, from: SocketAddr, to: SocketAddr) -> Option<SocketAddr> {
        let passes = match self.filtering {
            Filtering::Open => true,
            Filtering::Address => self
                .passed
                .iter()
                .any(|(outside, sent)| *outside == to && sent.ip() == from.ip()),
            Filtering::AddressAndPort => self.passed.contains(&(to, from)),
            Filtering::Blocked => false,
        };
        if !passes {
            return None;
        }
        match self.mapping {
            Mapping::Transparent => Some(to),
            Mapping::PerSource { .. } | Mapping::PerDestination => {
                let binding = self.bindings.iter().find(|binding| binding.outside == to)?;
                Some(binding.inside)
            }
        }
    }

    fn bind(&mut self, inside: SocketAddr, destination: Option<SocketAddr>) -> SocketAddr {
        let same = |binding: &&Binding| binding.inside == inside && binding.destination == destination;
        if let Some(binding) = self.bindings.iter().find(same) {
            return binding.outside;
        }
        let port = match self.mapping {
            Mapping::PerSource { shift } => inside.port() + shift,
            _ => {
                self.next_port += 1;
                self.next_port
            }
        };
        let mut outside = SocketAddr::new(self.outside, port);
        while self.bindings.iter().any(|binding| binding.outside == outside) {
            outside.set_port(outside.port() + 1);
        }
        self.bindings.push(Binding {
            inside,
            outside,
            destination,
        });
        outside
    }
}
