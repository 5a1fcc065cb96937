//! Two hosts, the NATs between them and a relay: carries packets and signals, and moves the clock.

use super::{
    beginning,
    nat_model::{Lab, Nat},
};
use crate::{
    crypto::{identity::Identity, sealed},
    holepunch::{
        burst::{Burst, BurstAction, BurstFailure, Punched},
        candidate::{Candidate, CandidateKind, Loopback},
        nat::Observations,
        probe::PROBE,
        schedule::{Ours, Schedule, ScheduleAction},
        signal::{CertificateHash, PunchSignal, RoundNonce},
    },
    testing,
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// The two ports of the rendezvous.
const STUN: [&str; 2] = ["198.51.100.1:3478", "198.51.100.1:3479"];

enum Event {
    Packet {
        to: usize,
        from: SocketAddr,
        bytes: [u8; PROBE],
    },
    Signal {
        to: usize,
        sealed: Vec<u8>,
    },
}

pub(super) struct Host {
    pub(super) identity: Identity,
    address: SocketAddr,
    /// Into [`World::nats`], the nearest first.
    nats: Vec<usize>,
    pub(super) candidates: Vec<Candidate>,
    pub(super) observations: Observations,
    pub(super) schedule: Schedule,
    pub(super) burst: Option<Burst>,
    pub(super) admitted: Vec<SocketAddr>,
    pub(super) outcomes: Vec<Result<Punched, BurstFailure>>,
    /// When rounds began: the first probe of each.
    pub(super) first_probes: Vec<Instant>,
    probing: bool,
}

pub(super) struct World {
    pub(super) begin: Instant,
    pub(super) now: Instant,
    queue: BTreeMap<(Instant, u64), Event>,
    events: u64,
    pub(super) hosts: [Host; 2],
    nats: Vec<Nat>,
    pub(super) packet_delay: Duration,
    /// From one host to the other through the relay.
    pub(super) signal_delay: Duration,
    /// Whether the packet of this number is lost, counted from 0.
    pub(super) lost: fn(u64) -> bool,
    packets: u64,
    /// Signals of this number are lost.
    pub(super) lost_signals: Vec<u64>,
    pub(super) signals: u64,
}

impl World {
    /// Two hosts, each in a place of its own.
    pub(super) fn new(kinds: [Lab; 2]) -> Self {
        let mut nats = Vec::new();
        let hosts = std::array::from_fn(|at| {
            let kind = kinds[at];
            let site = at + 1;
            let ip = if kind.is_public() {
                format!("203.0.113.{site}:5000")
            } else {
                format!("10.{site}.0.2:5000")
            };
            let outside = format!("198.51.100.1{site}").parse().unwrap();
            let between = format!("100.64.{site}.2").parse().unwrap();
            let first = nats.len();
            nats.extend(kind.translators(outside, between));
            Host::new(at, ip.parse().unwrap(), (first..nats.len()).collect())
        });
        Self::with(hosts, nats)
    }

    /// Two hosts in one network behind one NAT, which does not turn packets around.
    pub(super) fn one_network(kind: Lab) -> Self {
        let outside = "198.51.100.11".parse().unwrap();
        let between = "100.64.1.2".parse().unwrap();
        let nats = kind.translators(outside, between);
        let all: Vec<usize> = (0..nats.len()).collect();
        let addresses = ["10.1.0.2:5000", "10.1.0.3:5000"];
        let hosts = std::array::from_fn(|at| Host::new(at, addresses[at].parse().unwrap(), all.clone()));
        Self::with(hosts, nats)
    }

    fn with(hosts: [Host; 2], nats: Vec<Nat>) -> Self {
        let begin = beginning();
        let mut world = Self {
            begin,
            now: begin,
            queue: BTreeMap::new(),
            events: 0,
            hosts,
            nats,
            packet_delay: Duration::from_millis(20),
            signal_delay: Duration::from_millis(35),
            lost: |_| false,
            packets: 0,
            lost_signals: Vec::new(),
            signals: 0,
        };
        world.gather(0);
        world.gather(1);
        world
    }

    /// Asks the rendezvous and notes the candidates.
    fn gather(&mut self, at: usize) {
        let own = self.hosts[at].address;
        let seen: Vec<Option<SocketAddr>> = STUN
            .iter()
            .map(|server| self.outward(at, server.parse().unwrap()))
            .collect();
        let mut candidates = vec![Candidate {
            kind: CandidateKind::Lan,
            address: own,
        }];
        if let Some(reflexive) = seen[0] {
            let observed = SocketAddr::new(reflexive.ip(), own.port());
            candidates.push(Candidate {
                kind: CandidateKind::Observed,
                address: observed,
            });
            candidates.push(Candidate {
                kind: CandidateKind::Reflexive,
                address: reflexive,
            });
        }
        let host = &mut self.hosts[at];
        host.candidates = candidates;
        host.observations = Observations {
            local: vec![own],
            seen,
        };
    }

    /// The source that a packet of this host has in the public network.
    fn outward(&mut self, at: usize, to: SocketAddr) -> Option<SocketAddr> {
        let host = &self.hosts[at];
        let mut source = host.address;
        for nat in &host.nats {
            source = self.nats[*nat].outward(source, to)?;
        }
        Some(source)
    }

    /// Which host a packet reaches, and with what source.
    pub(super) fn route(&mut self, at: usize, to: SocketAddr) -> Option<(usize, SocketAddr)> {
        let own = self.hosts[at].address;
        let near = self.hosts.iter().position(|host| host.address == to);
        if let Some(near) = near.filter(|_| network(own) == network(to)) {
            return Some((near, own));
        }
        let source = self.outward(at, to)?;
        (0..self.hosts.len())
            .filter(|other| *other != at)
            .find_map(|other| self.inward(other, source, to).map(|()| (other, source)))
    }

    fn inward(&self, at: usize, from: SocketAddr, to: SocketAddr) -> Option<()> {
        let host = &self.hosts[at];
        let outermost = host.nats.last().map(|nat| self.nats[*nat].outside);
        let public = host.address.ip().to_string().starts_with("203.");
        if !(public && to == host.address || !public && outermost == Some(to.ip())) {
            return None;
        }
        let inside = host
            .nats
            .iter()
            .rev()
            .try_fold(to, |to, nat| self.nats[*nat].inward(from, to))?;
        (inside == host.address).then_some(())
    }

    /// Runs until nothing happens any more, or `limit` is over.
    pub(super) fn run(&mut self, limit: Duration) {
        let end = self.now + limit;
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    fn next(&self) -> Option<Instant> {
        let queued = self.queue.keys().next().map(|(at, _)| *at);
        let timers = self.hosts.iter().flat_map(|host| {
            let burst = host.burst.as_ref().and_then(Burst::deadline);
            [host.schedule.deadline(), burst]
        });
        timers.chain([queued]).flatten().min()
    }

    fn step(&mut self) {
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= self.now) {
            match entry.remove() {
                Event::Packet { to, from, bytes } => {
                    let burst = self.hosts[to].burst.as_mut();
                    let actions = burst.map(|burst| burst.on_packet(self.now, from, &bytes));
                    self.carry_out(to, actions.unwrap_or_default());
                }
                Event::Signal { to, sealed } => self.on_signal(to, &sealed),
            }
        }
        for at in 0..2 {
            let ours = Ours::of(&self.hosts[at], self.events);
            let ours = ours.borrow();
            let actions = self.hosts[at].schedule.on_tick(self.now, &ours);
            self.act(at, actions);
            let burst = self.hosts[at].burst.as_mut();
            let actions = burst.map(|burst| burst.on_tick(self.now));
            self.carry_out(at, actions.unwrap_or_default());
        }
    }

    fn on_signal(&mut self, to: usize, sealed: &[u8]) {
        let from = self.hosts[1 - to].identity.public_key();
        let opened = sealed::open(&self.hosts[to].identity, &from, sealed).unwrap();
        let signal = PunchSignal::decode(&opened).unwrap();
        let ours = Ours::of(&self.hosts[to], self.events);
        let ours = ours.borrow();
        let actions = self.hosts[to].schedule.on_signal(self.now, &ours, signal);
        self.act(to, actions);
    }

    fn act(&mut self, at: usize, actions: Vec<ScheduleAction>) {
        for action in actions {
            match action {
                ScheduleAction::Send(signal) => {
                    let receiver = self.hosts[1 - at].identity.public_key();
                    let bytes = signal.encode().unwrap();
                    let sealed = sealed::seal(&self.hosts[at].identity, &receiver, &bytes).unwrap();
                    self.signals += 1;
                    if !self.lost_signals.contains(&(self.signals - 1)) {
                        let to = 1 - at;
                        self.push(self.signal_delay, Event::Signal { to, sealed });
                    }
                }
                ScheduleAction::Begin(round) => {
                    self.hosts[at].probing = false;
                    self.hosts[at].burst = Some(Burst::new(round, self.now));
                }
            }
        }
    }

    fn carry_out(&mut self, at: usize, actions: Vec<BurstAction>) {
        for action in actions {
            match action {
                BurstAction::Send { to, packet } => self.send(at, to, packet),
                BurstAction::Admit(from) => self.hosts[at].admitted.push(from),
                BurstAction::Punched(punched) => {
                    self.hosts[at].outcomes.push(Ok(punched));
                    self.hosts[at].schedule.on_punched();
                }
                BurstAction::Failed(failure) => {
                    self.hosts[at].outcomes.push(Err(failure));
                    self.hosts[at].schedule.on_failed(self.now);
                }
            }
        }
    }

    fn send(&mut self, at: usize, to: SocketAddr, bytes: [u8; PROBE]) {
        let host = &mut self.hosts[at];
        if !std::mem::replace(&mut host.probing, true) {
            host.first_probes.push(self.now);
        }
        let arrives = self.route(at, to);
        self.packets += 1;
        if let Some((to, from)) = arrives.filter(|_| !(self.lost)(self.packets - 1)) {
            self.push(self.packet_delay, Event::Packet { to, from, bytes });
        }
    }

    fn push(&mut self, delay: Duration, event: Event) {
        self.events += 1;
        self.queue.insert((self.now + delay, self.events), event);
    }
}

impl Host {
    fn new(at: usize, address: SocketAddr, nats: Vec<usize>) -> Self {
        let [identity, other] = [at, 1 - at].map(|at| testing::identity(at as u64 + 1));
        Self {
            schedule: Schedule::new(&identity.public_key(), other.public_key()),
            identity,
            address,
            nats,
            candidates: Vec::new(),
            observations: Observations::default(),
            burst: None,
            admitted: Vec::new(),
            outcomes: Vec::new(),
            first_probes: Vec::new(),
            probing: false,
        }
    }
}

/// What [`Ours`] borrows from.
pub(super) struct OwnedOurs {
    identity: Identity,
    candidates: Vec<Candidate>,
    nonce: RoundNonce,
}

impl OwnedOurs {
    pub(super) fn borrow(&self) -> Ours<'_> {
        Ours {
            identity: &self.identity,
            certificate: CertificateHash(self.identity.public_key().0),
            candidates: &self.candidates,
            loopback: Loopback::Refused,
            nonce: self.nonce,
        }
    }
}

impl Ours<'_> {
    /// Of a host at this moment; `number` makes the nonce new.
    fn of(host: &Host, number: u64) -> OwnedOurs {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&number.to_be_bytes());
        nonce[8..].copy_from_slice(&host.identity.public_key().0[..8]);
        OwnedOurs {
            identity: host.identity.clone(),
            candidates: host.candidates.clone(),
            nonce: RoundNonce(nonce),
        }
    }
}

/// The /24 that an address is in.
fn network(address: SocketAddr) -> String {
    let ip = address.ip().to_string();
    ip.rsplit_once('.').unwrap().0.to_owned()
}
