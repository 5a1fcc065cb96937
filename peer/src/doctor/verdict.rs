//! What follows from what was found: whether a transfer can work at all, and which peers are reached how. Pure.
//!
//! What two kinds of NAT allow is what the matrix of `tests/tests/nat` shows. How a NAT filters is not asked
//! (see [`NatKind`]), so where that decides, two ways are named, the better one first.

use crate::{connection::Policy, error::Failure, event::PathKind};
use p2p_shared::holepunch::nat::NatKind;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What was found, as far as anything follows from it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) trackers: Vec<Standing>,
    /// A relay can be used.
    pub(super) relay: bool,
    pub(super) nat: NatKind,
    /// Others may connect without being invited, as far as can be seen from here.
    pub(super) is_open: bool,
    /// The router has said that they may.
    pub(super) is_mapped: bool,
    /// This machine has an IPv6 address that others may reach, too.
    pub(super) has_ipv6: bool,
    /// What the owner allows.
    pub(super) policy: Policy,
}

/// How this peer stands with a tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is registered there, and the tracker answers.
    Registered,
    /// The tracker says no.
    Refused(String),
    /// The tracker is not reached.
    Unreachable(String),
    /// This peer has no registration there to be asked about.
    NotAsked,
}

/// Whether a transfer can work, and with whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether a transfer can work at all.
    pub transfers: bool,
    /// Why not. Decides the exit code of `doctor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// One entry for each kind of peer.
    pub reach: Vec<Reach>,
}

/// How peers of one kind are reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// Stable, for scripts: `same-network`, `open`, `nat`, `symmetric-nat`, `no-udp`, `ipv6`.
    pub peers: Cow<'static, str>,
    /// For people.
    pub description: Cow<'static, str>,
    /// The paths that can work, the best first; none: not at all. The second one is taken where the other side's NAT does not let the
    /// first one through.
    pub paths: Vec<PathKind>,
}

/// What follows.
pub(super) fn of(found: &Found) -> Verdict {
    let failure = failure(&found.trackers);
    let reach = KINDS.iter().filter(|kind| found.has_ipv6 || kind.peers != "ipv6");
    Verdict {
        transfers: failure.is_none(),
        reach: match failure {
            None => reach.map(|kind| kind.reached_by(found)).collect(),
            Some(_) => Vec::new(),
        },
        failure,
    }
}

/// None if one tracker is there, or none was to be: a ticket may name addresses.
fn failure(trackers: &[Standing]) -> Option<Failure> {
    let asked: Vec<_> = trackers
        .iter()
        .filter(|standing| **standing != Standing::NotAsked)
        .collect();
    if asked.is_empty() || asked.contains(&&Standing::Registered) {
        return None;
    }
    let refused = asked.iter().find_map(|standing| match standing {
        Standing::Refused(why) => Some(Failure::refused(format!("no tracker takes this peer in: {why}"))),
        _ => None,
    });
    let away = asked.iter().find_map(|standing| match standing {
        Standing::Unreachable(why) => Some(Failure::unreachable(format!(
            "no tracker answers, and without one no relay either: {why}"
        ))),
        _ => None,
    });
    refused.or(away)
}

/// A kind of peer.
struct Kind {
    peers: &'static str,
    description: &'static str,
}

/// From the easiest to the hardest.
const KINDS: [Kind; 6] = [
    Kind {
        peers: "same-network",
        description: "peers in the same network",
    },
    Kind {
        peers: "ipv6",
        description: "peers that have IPv6 too",
    },
    Kind {
        peers: "open",
        description: "peers with a public address or a forwarded port",
    },
    Kind {
        peers: "nat",
        description: "peers behind a NAT that shows everybody the same port",
    },
    Kind {
        peers: "symmetric-nat",
        description: "peers behind a symmetric NAT",
    },
    Kind {
        peers: "no-udp",
        description: "peers whose UDP is blocked",
    },
];

impl Kind {
    fn reached_by(&self, found: &Found) -> Reach {
        let mut paths = match self.peers {
            "same-network" | "open" => vec![PathKind::Direct],
            // A firewall may keep uninvited packets out, which punching opens.
            "ipv6" => vec![PathKind::Direct, PathKind::Punched],
            _ => self.reached_behind_nat(found),
        };
        if found.relay && !(self.is_sure(found) && found.policy.allows(PathKind::Direct)) {
            paths.push(PathKind::Relayed);
        }
        paths.retain(|path| found.policy.allows(*path));
        if !found.relay {
            // Who is to send packets at the same time has to be told when, through a relay.
            paths.retain(|path| *path != PathKind::Punched);
        }
        Reach {
            peers: Cow::Borrowed(self.peers),
            description: Cow::Borrowed(self.description),
            paths,
        }
    }
}

impl Kind {
    /// Those that nobody can connect to.
    fn reached_behind_nat(&self, found: &Found) -> Vec<PathKind> {
        let mut paths = Vec::new();
        if found.is_open {
            // They come to us.
            paths.push(PathKind::Direct);
        }
        let other = match self.peers {
            "nat" => NatKind::EndpointIndependent,
            "symmetric-nat" => NatKind::AddressDependent,
            _ => NatKind::Blocked,
        };
        if !found.is_mapped && can_punch(found, other) {
            paths.push(PathKind::Punched);
        }
        paths
    }

    /// Whether a direct connection works for sure. Filters of NATs, firewalls that let nobody in and such that let nothing out but to the tracker are not
    /// known before it is tried.
    fn is_sure(&self, found: &Found) -> bool {
        match self.peers {
            "same-network" => true,
            "open" => found.nat != NatKind::Blocked,
            "ipv6" => false,
            _ => found.is_mapped && found.is_open,
        }
    }
}

/// Whether punching may work. Of a NAT of which nothing is known everything is possible.
fn can_punch(found: &Found, other: NatKind) -> bool {
    found.nat.may_punch(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use PathKind::{Direct, Punched, Relayed};

    fn found(nat: NatKind) -> Found {
        Found {
            trackers: vec![Standing::Registered],
            relay: true,
            nat,
            is_open: nat == NatKind::None,
            is_mapped: false,
            has_ipv6: false,
            policy: Policy::Auto,
        }
    }

    fn paths(found: &Found, peers: &str) -> Vec<PathKind> {
        let verdict = of(found);
        let kind = verdict.reach.into_iter().find(|kind| kind.peers == peers);
        kind.expect("that kind of peer").paths
    }

    #[test]
    fn who_is_reached_how_is_what_the_matrix_of_nats_allows() {
        for (nat, others, expected) in [
            (NatKind::None, "open", vec![Direct]),
            (NatKind::None, "nat", vec![Direct, Punched, Relayed]),
            (NatKind::None, "symmetric-nat", vec![Direct, Punched, Relayed]),
            (NatKind::None, "no-udp", vec![Direct, Relayed]),
            (NatKind::EndpointIndependent, "open", vec![Direct]),
            (NatKind::EndpointIndependent, "nat", vec![Punched, Relayed]),
            (
                NatKind::EndpointIndependent,
                "symmetric-nat",
                vec![Punched, Relayed],
            ),
            (NatKind::EndpointIndependent, "no-udp", vec![Relayed]),
            (NatKind::AddressDependent, "open", vec![Direct]),
            (NatKind::AddressDependent, "nat", vec![Punched, Relayed]),
            (NatKind::AddressDependent, "symmetric-nat", vec![Relayed]),
            (NatKind::Blocked, "open", vec![Direct, Relayed]),
            (NatKind::Blocked, "nat", vec![Relayed]),
            (NatKind::Blocked, "symmetric-nat", vec![Relayed]),
        ] {
            assert_eq!(paths(&found(nat), others), expected, "{nat:?} {others}");
        }
    }

    #[test]
    fn a_port_that_the_router_forwards_is_better_than_no_nat_behind_what_may_be_a_firewall() {
        let mapped = Found {
            is_open: true,
            is_mapped: true,
            ..found(NatKind::AddressDependent)
        };
        assert_eq!(paths(&mapped, "symmetric-nat"), [Direct]);
    }

    #[test]
    fn without_a_relay_nobody_is_told_when_to_punch() {
        let alone = Found {
            relay: false,
            has_ipv6: true,
            ..found(NatKind::EndpointIndependent)
        };
        assert_eq!(paths(&alone, "nat"), []);
        assert_eq!(paths(&alone, "open"), [Direct]);
        assert_eq!(paths(&alone, "ipv6"), [Direct]);
        assert!(of(&alone).transfers, "what is open is still reached");
    }

    #[test]
    fn what_the_owner_forbids_is_no_way() {
        let with = |policy| Found {
            policy,
            ..found(NatKind::EndpointIndependent)
        };
        assert_eq!(paths(&with(Policy::RelayOnly), "same-network"), [Relayed]);
        assert_eq!(paths(&with(Policy::RelayOnly), "nat"), [Relayed]);
        assert_eq!(paths(&with(Policy::DirectOnly), "nat"), [Punched]);
        assert_eq!(paths(&with(Policy::DirectOnly), "no-udp"), []);
    }

    #[test]
    fn ipv6_is_spoken_of_only_where_there_is_some() {
        let verdict = of(&found(NatKind::Unknown));
        assert!(verdict.reach.iter().all(|kind| kind.peers != "ipv6"));
    }

    #[test]
    fn one_tracker_is_enough_and_a_refusal_says_more_than_silence() {
        let with = |trackers: Vec<Standing>| {
            let verdict = of(&Found {
                trackers,
                ..found(NatKind::None)
            });
            assert_eq!(verdict.transfers, verdict.failure.is_none());
            verdict.failure.map(|failure| failure.exit_code())
        };
        let away = || Standing::Unreachable("away".into());
        let refused = || Standing::Refused("no".into());
        assert_eq!(with(vec![]), None);
        assert_eq!(with(vec![Standing::NotAsked]), None);
        assert_eq!(with(vec![away(), Standing::Registered, refused()]), None);
        assert_eq!(with(vec![away(), Standing::NotAsked]), Some(4));
        assert_eq!(with(vec![away(), refused()]), Some(6));
    }
}
