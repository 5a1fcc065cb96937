//! One round of punching: probes to all candidates of the other side until a path answers, or two seconds are over.
//!
//! Promises one outcome, `Punched` or `Failed`, after at most [`LONGEST`] behind the round's delay; that probes go to the candidates of the round and to
//! addresses that an authentic probe came from (at most [`MAX_LEARNED`]), and to nobody else; that what arrives is answered by no
//! more than it was. Owns no socket, reads no clock: whoever drives it calls [`Burst::on_tick`] at [`Burst::deadline`], hands
//! in every datagram that names the round, and carries out the actions in order.
//!
//! Both sides do the same, but only the client chooses: it takes the best address that answered, and dials QUIC there. The server goes on
//! probing and answering until it is dropped (when QUIC stands), because the client may not have heard of it yet.

use super::{
    candidate::{Candidate, CandidateKind, canonical},
    probe::{Kind, PROBE, Probe, ProbeKey, Role},
    signal::CertificateHash,
};
use crate::id::PublicKey;
use std::{
    cmp::Reverse,
    collections::HashSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How long probes are sent: long enough for both sides to have begun, though a signal was late.
pub const SENDING: Duration = Duration::from_secs(2);
/// How long answers are still waited for: the longest round trip that one would want to use.
pub const GRACE: Duration = Duration::from_millis(500);
/// From the first probe to the outcome.
pub const LONGEST: Duration = Duration::from_millis(2_500);
/// Addresses that the other side's probes came from and that it had not named: a NAT that maps each destination to a port of its own shows
/// one for each address of ours.
pub const MAX_LEARNED: usize = 8;

/// Between the first two probes to an address; twice that between the next two, and so on.
const FIRST_GAP: Duration = Duration::from_millis(10);
const LAST_GAP: Duration = Duration::from_millis(200);
/// How long a better address may take to answer, once another one has (as a better family may in RFC 8305 section 3).
const SETTLE: Duration = Duration::from_millis(50);

/// What both sides agreed on through the relay.
#[derive(Debug)]
pub struct Round {
    /// Who is to be reached.
    pub remote: PublicKey,
    /// For the probes; knows the roles.
    pub key: ProbeKey,
    /// Where it may be, best first, as [`usable`](super::candidate::usable) leaves them.
    pub candidates: Vec<Candidate>,
    /// What its QUIC endpoint has to show.
    pub certificate: CertificateHash,
    /// How long to wait before the first probe, so that both sides begin at the same time.
    pub delay: Duration,
}

/// A way that packets pass, there and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Punched {
    /// The other side's address.
    pub address: SocketAddr,
    /// What it called this address. `None`: it did not know it, a probe came from there.
    pub kind: Option<CandidateKind>,
    /// Who dials: the client.
    pub role: Role,
    /// What a probe and its answer took.
    pub rtt: Duration,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BurstAction {
    /// Send this datagram from the socket that QUIC uses.
    Send {
        /// Where to.
        to: SocketAddr,
        /// All of it.
        packet: [u8; PROBE],
    },
    /// The other side has sent an authentic packet from here: its QUIC packets may pass. Said once for an address.
    Admit(SocketAddr),
    /// There is a path. Said at most once.
    Punched(Punched),
    /// There is none. The last action.
    Failed(BurstFailure),
}

/// Why a round failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BurstFailure {
    /// Nothing came through.
    #[error("no packet of the peer came through")]
    Silence,
    /// The other side's packets arrive, ours do not.
    #[error("the peer's packets come through, ours do not")]
    OneWay,
}

/// An address that probes go to.
struct Target {
    address: SocketAddr,
    kind: Option<CandidateKind>,
    /// Probes sent.
    sent: u32,
    /// When the next one is due.
    next: Instant,
    /// An authentic packet came from here.
    heard: bool,
    /// The round trip of the first answer.
    rtt: Option<Duration>,
}

impl Target {
    /// Unnamed addresses come last.
    fn rank(&self) -> u8 {
        self.kind.map_or(0, CandidateKind::rank)
    }
}

/// A probe on its way.
struct Sent {
    to: SocketAddr,
    at: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Open,
    Punched,
    Failed,
}

/// See the [module](self).
pub struct Burst {
    key: ProbeKey,
    begin: Instant,
    targets: Vec<Target>,
    /// By number.
    sent: Vec<Sent>,
    /// Numbers of the other side's probes: each counts once, so that nobody on the path can send one again from elsewhere.
    seen: HashSet<u16>,
    /// Since an address answered: when the choice is made.
    settle: Option<Instant>,
    outcome: Outcome,
}

impl Burst {
    /// Begins a round; nothing is sent before the first tick.
    pub fn new(round: Round, now: Instant) -> Self {
        let begin = now + round.delay;
        let targets = round.candidates.iter().map(|candidate| Target {
            address: canonical(candidate.address),
            kind: Some(candidate.kind),
            sent: 0,
            next: begin,
            heard: false,
            rtt: None,
        });
        Self {
            begin,
            targets: targets.collect(),
            key: round.key,
            sent: Vec::new(),
            seen: HashSet::new(),
            settle: None,
            outcome: Outcome::Open,
        }
    }

    /// When [`on_tick`](Self::on_tick) is due. `None`: never again.
    pub fn deadline(&self) -> Option<Instant> {
        let probe = self.next_probe().filter(|_| self.is_probing());
        match self.outcome {
            Outcome::Failed => None,
            Outcome::Punched => probe,
            Outcome::Open => [probe, self.settle, Some(self.begin + SENDING + GRACE)]
                .into_iter()
                .flatten()
                .min(),
        }
    }

    /// Time has passed.
    pub fn on_tick(&mut self, now: Instant) -> Vec<BurstAction> {
        let mut actions = Vec::new();
        if self.outcome == Outcome::Failed {
            return actions;
        }
        self.choose(now, &mut actions);
        self.send_due(now, &mut actions);
        if self.outcome == Outcome::Open && now >= self.begin + SENDING + GRACE {
            self.outcome = Outcome::Failed;
            let heard = self.targets.iter().any(|target| target.heard);
            actions.push(BurstAction::Failed(if heard {
                BurstFailure::OneWay
            } else {
                BurstFailure::Silence
            }));
        }
        actions
    }

    /// A datagram that names this round. What is not authentic changes nothing.
    pub fn on_packet(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Vec<BurstAction> {
        let from = canonical(from);
        let mut actions = Vec::new();
        if self.outcome == Outcome::Failed {
            return actions;
        }
        match self.key.open(datagram) {
            None => {}
            Some(probe) if probe.kind == Kind::Probe => self.on_probe(now, from, probe.number, &mut actions),
            Some(answer) => self.on_answer(now, from, answer.number, &mut actions),
        }
        actions
    }

    fn on_probe(&mut self, now: Instant, from: SocketAddr, number: u16, actions: &mut Vec<BurstAction>) {
        if !self.seen.insert(number) {
            return;
        }
        self.begin_now(now);
        if self.hear(now, from, actions).is_some() {
            let answer = Probe {
                kind: Kind::Answer,
                number,
            };
            let packet = self.key.seal(answer);
            actions.push(BurstAction::Send { to: from, packet });
        }
    }

    fn on_answer(&mut self, now: Instant, from: SocketAddr, number: u16, actions: &mut Vec<BurstAction>) {
        let Some((to, at)) = self.sent.get(usize::from(number)).map(|sent| (sent.to, sent.at)) else {
            return;
        };
        let Some(target) = self.hear(now, from, actions) else {
            return;
        };
        // From elsewhere it proves nothing about the address that was probed; the other one is probed now.
        if to == from {
            target
                .rtt
                .get_or_insert_with(|| now.saturating_duration_since(at));
            self.choose(now, actions);
        }
    }

    /// The other side has begun: there is nothing to wait for.
    fn begin_now(&mut self, now: Instant) {
        if now < self.begin {
            self.begin = now;
            for target in &mut self.targets {
                target.next = now;
            }
        }
    }

    /// Notes that the other side is at `from`. An address that is heard for the first time is probed soon, not at once: what came is
    /// not to be answered by two packets. `None`: there are enough addresses that nobody had named.
    fn hear(
        &mut self,
        now: Instant,
        from: SocketAddr,
        actions: &mut Vec<BurstAction>,
    ) -> Option<&mut Target> {
        let soon = now + FIRST_GAP;
        let at = match self.targets.iter().position(|target| target.address == from) {
            Some(at) => at,
            None => self.learn(from, soon)?,
        };
        let target = &mut self.targets[at];
        if !target.heard {
            target.heard = true;
            target.next = target.next.min(soon);
            target.sent = 0;
            actions.push(BurstAction::Admit(from));
        }
        Some(target)
    }

    /// Adds an address that nobody had named (RFC 8445 calls it a peer-reflexive candidate).
    fn learn(&mut self, address: SocketAddr, next: Instant) -> Option<usize> {
        let learned = self.targets.iter().filter(|target| target.kind.is_none()).count();
        (learned < MAX_LEARNED).then(|| {
            self.targets.push(Target {
                address,
                kind: None,
                sent: 0,
                next,
                heard: false,
                rtt: None,
            });
            self.targets.len() - 1
        })
    }

    /// Settles on an address: at once if none that is better can still answer, else after a short while.
    fn choose(&mut self, now: Instant, actions: &mut Vec<BurstAction>) {
        if self.outcome != Outcome::Open {
            return;
        }
        let answered = self
            .targets
            .iter()
            .filter_map(|target| Some((target, target.rtt?)));
        let Some((best, rtt)) = answered.min_by_key(|(target, rtt)| (Reverse(target.rank()), *rtt)) else {
            return;
        };
        let better = self
            .targets
            .iter()
            .any(|target| target.rank() > best.rank() && target.rtt.is_none());
        let settle = *self.settle.get_or_insert(now + SETTLE);
        if better && now < settle {
            return;
        }
        self.outcome = Outcome::Punched;
        actions.push(BurstAction::Punched(Punched {
            address: best.address,
            kind: best.kind,
            role: self.key.role(),
            rtt,
        }));
    }

    /// The client that has chosen needs no more answers; the server cannot know whether the client has any.
    fn is_probing(&self) -> bool {
        match self.outcome {
            Outcome::Open => true,
            Outcome::Punched => self.key.role() == Role::Server,
            Outcome::Failed => false,
        }
    }

    fn next_probe(&self) -> Option<Instant> {
        let next = self.targets.iter().map(|target| target.next).min();
        next.filter(|next| *next < self.begin + SENDING)
    }

    fn send_due(&mut self, now: Instant, actions: &mut Vec<BurstAction>) {
        let over = now >= self.begin + SENDING;
        if over || !self.is_probing() {
            // Nothing more is due, whatever the clock says.
            let end = self.begin + SENDING;
            self.targets.iter_mut().for_each(|target| target.next = end);
            return;
        }
        for target in self.targets.iter_mut().filter(|target| target.next <= now) {
            // Two seconds of probes to every address are far fewer than there are numbers.
            let Ok(number) = u16::try_from(self.sent.len()) else {
                return;
            };
            let kind = Kind::Probe;
            let packet = self.key.seal(Probe { kind, number });
            let to = target.address;
            self.sent.push(Sent { to, at: now });
            actions.push(BurstAction::Send { to, packet });
            target.next = now + gap(target.sent);
            target.sent += 1;
        }
    }
}

/// The wait after `sent` probes and one more.
fn gap(sent: u32) -> Duration {
    FIRST_GAP
        .saturating_mul(1u32.checked_shl(sent).unwrap_or(u32::MAX))
        .min(LAST_GAP)
}
