//! When two peers try to punch: who offers, who answers, when both begin, and how long they wait after a failure.
//!
//! One [`Schedule`] for each other peer, on both sides. It turns wishes ("a better path is wanted"), sealed signals and time into signals to send and
//! rounds to [begin](ScheduleAction::Begin); the [burst](super::burst) carries a round out, and its end is told here. Promises:
//!
//! - one round at a time; of two offers that cross, the client's counts, so that both sides mean the same one;
//! - no packet goes to a candidate before the other side has shown that it is there now, by naming a nonce that only it could read:
//!   a recorded signal that is sent again is worth one answer to the genuine peer at most, and one a second at most;
//! - both sides begin within the difference of their ways through the relay: who offered measures the round trip and begins half
//!   of it after its "start" (as DCUtR of libp2p does);
//! - failed rounds wait 5, 15, 60, then 300 s; an address that changed, here or there, begins anew.
//!
//! Owns no socket, reads no clock, makes no nonces.

use super::{
    burst::Round,
    candidate::{Candidate, Loopback, usable},
    probe::{ProbeKey, Role},
    signal::{CertificateHash, Offer, PunchSignal, RoundNonce},
};
use crate::{crypto::identity::Identity, id::PublicKey};
use std::time::{Duration, Instant};

/// The waits after the first, second, … failed round in a row.
pub const WAITS: [Duration; 4] = [
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(300),
];

/// How long an answer, or the start after it, may take: the longest way through two relays' queues that is worth waiting for.
pub const SIGNAL_WAIT: Duration = Duration::from_secs(3);

/// The least time between two offers, and between two answers.
pub const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// No relay is so slow that it is worth waiting for longer; the other side has begun by then.
const LONGEST_DELAY: Duration = Duration::from_millis(500);

/// Our side, as it is at this moment.
#[derive(Debug, Clone, Copy)]
pub struct Ours<'a> {
    /// Who we are.
    pub identity: &'a Identity,
    /// What our QUIC endpoint shows.
    pub certificate: CertificateHash,
    /// Where we may be reached, in any order, unfiltered.
    pub candidates: &'a [Candidate],
    /// Whether the machine itself is offered, and looked at for the peer.
    pub loopback: Loopback,
    /// New and random for every call: used if a round needs one.
    pub nonce: RoundNonce,
}

impl Ours<'_> {
    fn offer(&self) -> Offer {
        Offer {
            nonce: self.nonce,
            certificate: self.certificate,
            candidates: usable(self.candidates.iter().copied(), self.loopback),
        }
    }
}

/// What is to be done.
#[derive(Debug)]
pub enum ScheduleAction {
    /// Seal it for the peer and pass it on through a relay. If that fails: [`Schedule::on_failed`].
    Send(PunchSignal),
    /// Begin this round, and tell how it ended: [`Schedule::on_punched`] or [`Schedule::on_failed`].
    Begin(Round),
}

enum State {
    /// Nothing goes on. When we offer next, if we want to.
    Idle { next: Option<Instant> },
    /// Our offer is on its way.
    Offered { nonce: RoundNonce, since: Instant },
    /// Our answer is; the round is ready.
    Answered {
        nonce: RoundNonce,
        since: Instant,
        round: Box<Round>,
    },
    /// A round is going on.
    Punching,
}

/// See the [module](self).
pub struct Schedule {
    remote: PublicKey,
    role: Role,
    state: State,
    /// We want a path, whatever the other side wants.
    wanted: bool,
    /// Failed rounds in a row.
    failures: u32,
    /// An address of ours changed during a round.
    changed: bool,
    offered_at: Option<Instant>,
    answered_at: Option<Instant>,
    /// The candidates of the other side when it last named them.
    theirs: Vec<Candidate>,
}

impl Schedule {
    /// Between us and `remote`. Nothing is wanted yet.
    pub fn new(own: &PublicKey, remote: PublicKey) -> Self {
        Self {
            remote,
            role: Role::of(own, &remote),
            state: State::Idle { next: None },
            wanted: false,
            failures: 0,
            changed: false,
            offered_at: None,
            answered_at: None,
            theirs: Vec::new(),
        }
    }

    /// Who would dial.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Rounds that failed in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// When [`on_tick`](Self::on_tick) is due. `None`: not before something else happens.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Idle { next } => *next,
            State::Offered { since, .. } | State::Answered { since, .. } => Some(*since + SIGNAL_WAIT),
            State::Punching => None,
        }
    }

    /// A path is wanted, now: there is none, or none so good. After [`on_punched`](Self::on_punched) it is not, until wanted again.
    pub fn want(&mut self, now: Instant) {
        if !self.wanted {
            self.wanted = true;
            self.wait(now, Duration::ZERO);
        }
    }

    /// No path is wanted any more. Offers of the other side are still answered, and a round that is going on goes on.
    pub fn unwant(&mut self) {
        self.wanted = false;
        if matches!(self.state, State::Idle { .. } | State::Offered { .. }) {
            self.state = State::Idle { next: None };
        }
    }

    /// An address of ours changed: what failed before may work now.
    pub fn on_address_change(&mut self, now: Instant) {
        self.failures = 0;
        match self.state {
            State::Idle { .. } if self.wanted => self.wait(now, Duration::ZERO),
            State::Idle { .. } => {}
            _ => self.changed = true,
        }
    }

    /// The round led to a path that works.
    pub fn on_punched(&mut self) {
        self.wanted = false;
        self.failures = 0;
        self.changed = false;
        self.state = State::Idle { next: None };
    }

    /// The round failed, or a signal could not be sent.
    pub fn on_failed(&mut self, now: Instant) {
        if matches!(self.state, State::Idle { .. }) {
            return;
        }
        self.state = State::Idle { next: None };
        let pause = if std::mem::take(&mut self.changed) {
            self.failures = 0;
            Duration::ZERO
        } else {
            let pause = WAITS[WAITS.len().min(self.failures as usize + 1) - 1];
            self.failures = self.failures.saturating_add(1);
            pause
        };
        if self.wanted {
            self.wait(now, pause);
        }
    }

    /// Time has passed.
    pub fn on_tick(&mut self, now: Instant, ours: &Ours<'_>) -> Vec<ScheduleAction> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        match self.state {
            State::Idle { .. } => self.offer(now, ours),
            // The other side is not there, does not want to, or the signal was lost.
            State::Offered { .. } => {
                self.on_failed(now);
                Vec::new()
            }
            // The offer was an old one that somebody sent again, or its maker is gone: says nothing about a path.
            State::Answered { .. } => {
                self.state = State::Idle { next: None };
                if self.wanted {
                    self.wait(now, Duration::ZERO);
                }
                Vec::new()
            }
            State::Punching => Vec::new(),
        }
    }

    /// An opened signal of the other side.
    pub fn on_signal(&mut self, now: Instant, ours: &Ours<'_>, signal: PunchSignal) -> Vec<ScheduleAction> {
        match signal {
            PunchSignal::Offer(offer) => self.on_offer(now, ours, offer),
            PunchSignal::Answer { to, offer } => self.on_answer(now, ours, to, offer),
            PunchSignal::Start { to } => self.on_start(to),
        }
    }

    fn offer(&mut self, now: Instant, ours: &Ours<'_>) -> Vec<ScheduleAction> {
        let nonce = ours.nonce;
        self.offered_at = Some(now);
        self.state = State::Offered { nonce, since: now };
        vec![ScheduleAction::Send(PunchSignal::Offer(ours.offer()))]
    }

    fn on_offer(&mut self, now: Instant, ours: &Ours<'_>, theirs: Offer) -> Vec<ScheduleAction> {
        let ours_counts = match self.state {
            State::Punching => true,
            State::Offered { .. } => self.role == Role::Client,
            State::Idle { .. } | State::Answered { .. } => false,
        };
        let too_soon = self.answered_at.is_some_and(|at| now < at + LEAST_PAUSE);
        if ours_counts || too_soon {
            return Vec::new();
        }
        let to = theirs.nonce;
        let Some(round) = self.round(ours, &ours.nonce, theirs) else {
            return Vec::new();
        };
        self.answered_at = Some(now);
        self.state = State::Answered {
            nonce: ours.nonce,
            since: now,
            round: Box::new(round),
        };
        let offer = ours.offer();
        vec![ScheduleAction::Send(PunchSignal::Answer { to, offer })]
    }

    fn on_answer(
        &mut self,
        now: Instant,
        ours: &Ours<'_>,
        to: RoundNonce,
        theirs: Offer,
    ) -> Vec<ScheduleAction> {
        let (nonce, since) = match self.state {
            State::Offered { nonce, since } if nonce == to => (nonce, since),
            _ => return Vec::new(),
        };
        let start = PunchSignal::Start { to: theirs.nonce };
        let Some(mut round) = self.round(ours, &nonce, theirs) else {
            return Vec::new();
        };
        round.delay = (now.saturating_duration_since(since) / 2).min(LONGEST_DELAY);
        self.state = State::Punching;
        vec![ScheduleAction::Send(start), ScheduleAction::Begin(round)]
    }

    fn on_start(&mut self, to: RoundNonce) -> Vec<ScheduleAction> {
        match std::mem::replace(&mut self.state, State::Punching) {
            State::Answered { nonce, round, .. } if nonce == to => vec![ScheduleAction::Begin(*round)],
            other => {
                self.state = other;
                Vec::new()
            }
        }
    }

    /// The round that the two nonces make. `None`: the other side's key is none, so there is nothing to agree on.
    fn round(&mut self, ours: &Ours<'_>, nonce: &RoundNonce, theirs: Offer) -> Option<Round> {
        let key = ProbeKey::new(ours.identity, nonce, &self.remote, &theirs.nonce).ok()?;
        if theirs.candidates != self.theirs {
            self.failures = 0;
            self.theirs.clone_from(&theirs.candidates);
        }
        Some(Round {
            remote: self.remote,
            key,
            candidates: usable(theirs.candidates, ours.loopback),
            certificate: theirs.certificate,
            delay: Duration::ZERO,
        })
    }

    /// Offers after `pause`, but not sooner after the last offer than is allowed.
    fn wait(&mut self, now: Instant, pause: Duration) {
        if let State::Idle { next } = &mut self.state {
            let soonest = self.offered_at.map_or(now, |at| now.max(at + LEAST_PAUSE));
            *next = Some(soonest.max(now + pause));
        }
    }
}
