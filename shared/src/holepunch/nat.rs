//! What kind of NAT a peer is behind, as far as two STUN answers show it, in words that a person can act on.
//!
//! Compares where two ports (or two servers) see one socket. What is behind the words: RFC 4787 section 4.1, "endpoint-independent" and
//! "address-dependent" mapping. How a NAT filters is not asked (RFC 5780 needs a server with two addresses): punching finds out. One family at a time. Pure.

use super::candidate::canonical;
use std::{fmt, net::SocketAddr};

/// What was seen of one UDP socket, in one address family.
#[derive(Debug, Clone, Default)]
pub struct Observations {
    /// The addresses of this machine, with the socket's port.
    pub local: Vec<SocketAddr>,
    /// What each STUN port said that was asked: `None` for one that did not answer in time.
    pub seen: Vec<Option<SocketAddr>>,
}

/// How the way out changes addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NatKind {
    /// Not at all: this machine's own address is the public one.
    None,
    /// The same for whoever is talked to: what one sees, all see.
    EndpointIndependent,
    /// Another one for each address that is talked to ("symmetric").
    AddressDependent,
    /// No UDP comes back at all.
    Blocked,
    /// Too little was seen.
    Unknown,
}

impl NatKind {
    /// What follows from observations. Contradictions count as the worse kind.
    pub fn of(observations: &Observations) -> Self {
        let mut seen: Vec<SocketAddr> = observations
            .seen
            .iter()
            .flatten()
            .map(|at| canonical(*at))
            .collect();
        let answers = seen.len();
        seen.dedup();
        let local = |address: &SocketAddr| observations.local.iter().any(|own| canonical(*own) == *address);
        match seen.as_slice() {
            [] if observations.seen.is_empty() => Self::Unknown,
            [] => Self::Blocked,
            [address] if local(address) => Self::None,
            [_] if answers > 1 => Self::EndpointIndependent,
            [_] => Self::Unknown,
            _ => Self::AddressDependent,
        }
    }

    /// The word for scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::EndpointIndependent => "endpoint-independent",
            Self::AddressDependent => "address-dependent",
            Self::Blocked => "blocked",
            Self::Unknown => "unknown",
        }
    }

    /// Whether punching between two such peers can work. `false` only where it is sure not to: how the NATs filter is not known.
    pub fn may_punch(self, other: Self) -> bool {
        !matches!(
            (self, other),
            (Self::Blocked, _) | (_, Self::Blocked) | (Self::AddressDependent, Self::AddressDependent)
        )
    }

    /// What to do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::None => {
                "Nothing to do. If a firewall stands before this machine, let UDP and TCP in on the peer's port: then every peer reaches it directly."
            }
            Self::EndpointIndependent => {
                "Direct connections to most peers work by hole punching. To reach all of them, forward the peer's port (UDP and TCP) in the router, \
                 or switch on UPnP, NAT-PMP or PCP there."
            }
            Self::AddressDependent => {
                "Direct connections work only with peers that are reachable themselves; the others are reached through the relay. Forward the \
                 peer's port (UDP and TCP) in the router, switch on UPnP, NAT-PMP or PCP there, or use IPv6."
            }
            Self::Blocked => {
                "Direct connections work over TCP only, else data goes through the relay. Allow outgoing UDP in the firewall, at least to the tracker's \
                 UDP ports."
            }
            Self::Unknown => {
                "Only one STUN port answered, or none was asked. Check that both UDP ports of the tracker can be reached, or name another STUN server."
            }
        }
    }
}

impl fmt::Display for NatKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no NAT: others see this machine's own address",
            Self::EndpointIndependent => "a NAT that shows everybody the same address and port",
            Self::AddressDependent => "a symmetric NAT: it shows everybody another port",
            Self::Blocked => "UDP is blocked: no answer came back",
            Self::Unknown => "not known",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use NatKind as K;
    use proptest::{collection::vec, option, prelude::*};

    fn kind(local: &[&str], seen: &[Option<&str>]) -> NatKind {
        let parse = |text: &&str| text.parse().unwrap();
        NatKind::of(&Observations {
            local: local.iter().map(parse).collect(),
            seen: seen.iter().map(|at| at.as_ref().map(parse)).collect(),
        })
    }

    const LAN: &[&str] = &["10.0.0.2:7000", "[fd00::2]:7000"];
    const ONE: Option<&str> = Some("198.51.100.1:7000");
    const OTHER_PORT: Option<&str> = Some("198.51.100.1:7001");
    const OTHER_IP: Option<&str> = Some("198.51.100.2:7000");

    #[test]
    fn two_answers_tell_how_a_nat_maps() {
        assert_eq!(kind(LAN, &[ONE, ONE]), K::EndpointIndependent);
        assert_eq!(kind(LAN, &[ONE, OTHER_PORT]), K::AddressDependent);
        assert_eq!(kind(LAN, &[ONE, OTHER_IP]), K::AddressDependent);
        assert_eq!(kind(LAN, &[ONE, OTHER_PORT, ONE]), K::AddressDependent);
    }

    #[test]
    fn our_own_address_means_no_nat_and_the_right_ip_with_another_port_does_not() {
        let public = &["198.51.100.1:7000"][..];
        assert_eq!(kind(public, &[ONE, ONE]), K::None);
        assert_eq!(kind(public, &[ONE, None]), K::None);
        assert_eq!(kind(public, &[Some("[::ffff:198.51.100.1]:7000"), ONE]), K::None);
        assert_eq!(kind(public, &[OTHER_PORT, OTHER_PORT]), K::EndpointIndependent);
    }

    #[test]
    fn silence_is_blocked_only_if_somebody_was_asked() {
        assert_eq!(kind(LAN, &[None, None]), K::Blocked);
        assert_eq!(kind(LAN, &[None]), K::Blocked);
        assert_eq!(kind(LAN, &[]), K::Unknown);
    }

    #[test]
    fn one_answer_alone_tells_nothing_about_mapping() {
        assert_eq!(kind(LAN, &[ONE]), K::Unknown);
        assert_eq!(kind(LAN, &[None, ONE]), K::Unknown);
    }

    const ALL: [K; 5] = [
        K::None,
        K::EndpointIndependent,
        K::AddressDependent,
        K::Blocked,
        K::Unknown,
    ];

    #[test]
    fn only_what_cannot_work_is_called_hopeless() {
        for one in ALL {
            for other in ALL {
                let hopeless = one == K::Blocked
                    || other == K::Blocked
                    || (one == K::AddressDependent && other == K::AddressDependent);
                assert_eq!(one.may_punch(other), !hopeless, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn every_kind_has_words_and_advice_of_its_own() {
        for kind in ALL {
            let same = ALL.iter().filter(|other| {
                other.name() == kind.name()
                    || other.to_string() == kind.to_string()
                    || other.advice() == kind.advice()
            });
            assert_eq!(same.count(), 1, "{kind:?}");
        }
    }

    proptest! {
        #[test]
        fn the_order_of_the_servers_does_not_matter(
            ports in vec(option::of(1..4u16), 0..4),
            local in vec(1..4u16, 0..2),
        ) {
            let at = |port: u16| SocketAddr::from(([198, 51, 100, 1], port));
            let mut observations = Observations {
                local: local.into_iter().map(at).collect(),
                seen: ports.into_iter().map(|port| port.map(at)).collect(),
            };
            let kind = NatKind::of(&observations);
            observations.seen.reverse();
            prop_assert_eq!(NatKind::of(&observations), kind);
        }
    }
}
