//! What others may have us send where, before anybody there has said a word to us.
//!
//! A round of punching sends probes to addresses that the other side names, and whoever has a key can be the other side. Promises that
//! a round is aimed at few addresses ([`EACH_KIND`], [`HOSTS`]), that one address is aimed at in few rounds whoever names it
//! ([`ROUNDS`] in [`WINDOW`]), and that what is remembered for that is bounded. Addresses that an authentic probe came from are
//! not counted: the [burst](p2p_shared::holepunch::burst) answers those. Pure.

use p2p_shared::holepunch::candidate::{Candidate, canonical};
use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    time::{Duration, Instant},
};

/// Candidates of one kind that are probed: a machine has two interfaces that matter, and two servers see two mappings at most.
const EACH_KIND: usize = 2;
/// Hosts that are probed in a round: two networks of its own, an IPv6 address, one outside of the NAT, and one that the router names.
const HOSTS: usize = 5;
/// Rounds that are aimed at one host in [`WINDOW`], some 14 packets each: several peers may be behind one NAT, and try a few times.
const ROUNDS: u32 = 8;
/// See [`ROUNDS`].
const WINDOW: Duration = Duration::from_secs(60);
/// Hosts that are remembered. When there are so many within [`WINDOW`], no new one is probed.
const REMEMBERED: usize = 1024;

/// Where rounds were aimed lately.
#[derive(Debug, Default)]
pub(super) struct Manners {
    aimed: HashMap<IpAddr, Aimed>,
}

#[derive(Debug)]
struct Aimed {
    since: Instant,
    rounds: u32,
}

impl Manners {
    /// Which of `candidates`, best first, a round may be aimed at that begins now.
    pub(super) fn aim(&mut self, candidates: Vec<Candidate>, now: Instant) -> Vec<Candidate> {
        self.aimed
            .retain(|_, aimed| now.saturating_duration_since(aimed.since) < WINDOW);
        let mut kept: Vec<Candidate> = Vec::new();
        let mut hosts = BTreeSet::new();
        for candidate in candidates {
            let host = canonical(candidate.address).ip();
            let alike = kept.iter().filter(|other| other.kind == candidate.kind);
            let has_room = alike.count() < EACH_KIND && (hosts.contains(&host) || hosts.len() < HOSTS);
            if has_room && (hosts.contains(&host) || self.may_aim_at(host, now)) {
                hosts.insert(host);
                kept.push(candidate);
            }
        }
        kept
    }

    /// Whether one more round may be aimed at `host`; counts it.
    fn may_aim_at(&mut self, host: IpAddr, now: Instant) -> bool {
        if !self.aimed.contains_key(&host) && self.aimed.len() >= REMEMBERED {
            return false;
        }
        let aimed = self.aimed.entry(host).or_insert(Aimed {
            since: now,
            rounds: 0,
        });
        aimed.rounds += 1;
        aimed.rounds <= ROUNDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p2p_shared::holepunch::candidate::{
        CandidateKind::{self, Ipv6, Lan, Mapped, Reflexive},
        Loopback, MAX_CANDIDATES, usable,
    };

    fn at(kind: CandidateKind, address: &str) -> Candidate {
        let address = address.parse().unwrap();
        Candidate { kind, address }
    }

    /// What somebody offers who has nothing good in mind: as many as there may be of these kinds in turns.
    fn victims(kinds: &[CandidateKind]) -> Vec<Candidate> {
        let victims = (0..MAX_CANDIDATES).map(|n| at(kinds[n % kinds.len()], &format!("203.0.113.{n}:53")));
        usable(victims, Loopback::Refused)
    }

    #[test]
    fn whoever_names_many_hosts_has_few_of_them_probed() {
        let now = Instant::now();
        let offered = victims(&CandidateKind::ALL);
        assert_eq!(offered.len(), MAX_CANDIDATES);
        assert_eq!(Manners::default().aim(offered, now).len(), HOSTS);
        assert_eq!(
            Manners::default().aim(victims(&[Reflexive]), now).len(),
            EACH_KIND
        );
    }

    #[test]
    fn what_an_honest_peer_offers_is_probed_in_order() {
        let honest = vec![
            at(Lan, "192.168.0.7:1"),
            at(Lan, "10.8.0.2:1"),
            at(Ipv6, "[2001:db8::7]:1"),
            at(Mapped, "198.51.100.7:1"),
            at(Reflexive, "198.51.100.7:2"),
            at(Reflexive, "198.51.100.7:3"),
        ];
        assert_eq!(Manners::default().aim(honest.clone(), Instant::now()), honest);
    }

    #[test]
    fn one_host_is_aimed_at_in_few_rounds_whoever_names_it_and_in_as_many_a_minute_later() {
        let (mut manners, now) = (Manners::default(), Instant::now());
        let rounds = |manners: &mut Manners, now| {
            let port = |n: u16| vec![at(Reflexive, &format!("203.0.113.1:{}", n + 1))];
            let rounds = (0..1000).filter(|n| !manners.aim(port(*n), now).is_empty());
            rounds.count()
        };
        assert_eq!(rounds(&mut manners, now), 8);
        assert_eq!(rounds(&mut manners, now + WINDOW - Duration::from_secs(1)), 0);
        assert_eq!(rounds(&mut manners, now + WINDOW), 8);
    }

    #[test]
    fn no_more_hosts_are_remembered_than_may_be_and_each_for_a_while() {
        let (mut manners, now) = (Manners::default(), Instant::now());
        let host = |n: u32| {
            vec![at(
                Reflexive,
                &format!("{}:1", std::net::Ipv4Addr::from(0x0b00_0000 + n)),
            )]
        };
        let probed = (0..5000).filter(|n| !manners.aim(host(*n), now).is_empty());
        assert_eq!(probed.count(), REMEMBERED);
        assert_eq!(manners.aimed.len(), REMEMBERED);
        assert_eq!(manners.aim(host(9999), now + WINDOW).len(), 1);
        assert_eq!(manners.aimed.len(), 1);
    }
}
