//! By which ways one peer is to be reached, and when each of them is tried.
//!
//! Promises that at most one dial, one punch and one tunnel to a peer are under way; that while the peer is wanted and
//! not reached something is under way or due at a known time, if the policy and what is known of it leave any way; that
//! a worse path never waits for a better one longer than [`HEAD_START`]; and that a better one is still looked for while
//! a worse one carries bytes, ever more rarely ([`ROUNDS`]). Inputs are `on_*` calls, what is to be begun is
//! [`Paths::due`]. Which session is used is decided in [`super::links`], how many attempts there may be in all in
//! [`super::dialling`]. No socket, no clock.

use super::{
    policy::Policy,
    redial::{self, Redial},
};
use crate::event::PathKind;
use std::time::{Duration, Instant};

/// Pauses between rounds that look for a better path than the one that is used: those that both sides expect.
pub use p2p_shared::holepunch::schedule::WAITS as ROUNDS;

/// How long a direct path is waited for before the relay is used.
pub const HEAD_START: Duration = Duration::from_millis(500);
/// How much sooner the tunnel is opened, so that it stands by then: some ten trips to the relay and back, two of which are the way
/// to the peer and back. Nothing but the greeting goes through it before.
const PREPARATION: Duration = Duration::from_millis(250);
/// When the tunnel is opened, after the beginning.
pub const TUNNEL_AFTER: Duration = HEAD_START.saturating_sub(PREPARATION);
/// How long a peer that does not want us is left alone.
const LATER: Duration = Duration::from_secs(300);

/// A way that is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attempt {
    /// TCP to all its addresses.
    Dial,
    /// Candidates are exchanged through a relay, then UDP from both sides.
    Punch,
    /// A tunnel through a relay.
    Tunnel,
}

impl Attempt {
    /// All of them, the best first.
    pub const ALL: [Self; 3] = [Self::Dial, Self::Punch, Self::Tunnel];

    /// The path that it leads to.
    pub fn path(self) -> PathKind {
        match self {
            Self::Dial => PathKind::Direct,
            Self::Punch => PathKind::Punched,
            Self::Tunnel => PathKind::Relayed,
        }
    }

    /// What leads to `path`.
    pub fn to(path: PathKind) -> Self {
        match path {
            PathKind::Direct => Self::Dial,
            PathKind::Punched => Self::Punch,
            PathKind::Relayed => Self::Tunnel,
        }
    }
}

/// What is known of a peer, and of ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ways {
    /// Addresses to dial.
    pub addresses: bool,
    /// Relays to meet it at.
    pub relays: bool,
    /// Whether we can punch: there is a UDP socket.
    pub udp: bool,
}

/// The best path that is held now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Its kind.
    pub path: PathKind,
    /// Nothing is heard on it, though something is owed.
    pub quiet: bool,
}

/// One kind of attempt.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    under_way: bool,
    /// Attempts in a row that led to nothing.
    failures: u32,
    /// Not before this.
    next: Option<Instant>,
}

/// The ways to one peer.
#[derive(Debug)]
pub struct Paths {
    dial: Round,
    punch: Round,
    tunnel: Round,
    /// Since when it is wanted and not reached.
    since: Option<Instant>,
    holding: Option<Holding>,
}

impl Default for Paths {
    fn default() -> Self {
        Self::new()
    }
}

impl Paths {
    /// Of a peer that nobody tried to reach.
    pub fn new() -> Self {
        Self {
            dial: Round::default(),
            punch: Round::default(),
            tunnel: Round::default(),
            since: None,
            holding: None,
        }
    }

    fn round(&self, attempt: Attempt) -> &Round {
        match attempt {
            Attempt::Dial => &self.dial,
            Attempt::Punch => &self.punch,
            Attempt::Tunnel => &self.tunnel,
        }
    }

    fn round_mut(&mut self, attempt: Attempt) -> &mut Round {
        match attempt {
            Attempt::Dial => &mut self.dial,
            Attempt::Punch => &mut self.punch,
            Attempt::Tunnel => &mut self.tunnel,
        }
    }

    /// Whether `attempt` is under way.
    pub fn is_under_way(&self, attempt: Attempt) -> bool {
        self.round(attempt).under_way
    }

    /// Whether anything is.
    pub fn is_trying(&self) -> bool {
        Attempt::ALL.into_iter().any(|attempt| self.is_under_way(attempt))
    }

    /// Attempts in a row that led to nothing, of the kind that failed most.
    pub fn failures(&self) -> u32 {
        self.dial.failures.max(self.tunnel.failures)
    }

    /// Whether something was tried in vain, and nothing is under way.
    pub fn is_backing_off(&self) -> bool {
        !self.is_trying()
            && Attempt::ALL
                .into_iter()
                .any(|attempt| self.round(attempt).next.is_some())
    }

    /// What is to be begun now. `wanted`: a file is wanted of the peer.
    pub fn due(&mut self, policy: Policy, ways: Ways, wanted: bool, now: Instant) -> Vec<Attempt> {
        let reached = self.holding.is_some();
        if !wanted && !reached {
            self.since = None;
            return Vec::new();
        }
        let since = *self.since.get_or_insert(now);
        let open = Attempt::ALL.into_iter();
        let open = open.filter(|attempt| self.is_open(*attempt, policy, ways, wanted));
        let open: Vec<_> = open.collect();
        let is_turn = |attempt: &Attempt| match policy {
            Policy::Sequential => self.is_next_in_line(*attempt, &open),
            _ => *attempt != Attempt::Tunnel || self.has_waited(since, &open, now),
        };
        let due = open.iter().copied().filter(|attempt| {
            let round = self.round(*attempt);
            !round.under_way && round.next.is_none_or(|next| next <= now)
        });
        due.filter(is_turn).collect()
    }

    /// Whether the attempt could lead to something better than what is held.
    fn is_open(&self, attempt: Attempt, policy: Policy, ways: Ways, wanted: bool) -> bool {
        let known = match attempt {
            Attempt::Dial => ways.addresses,
            // Whoever wants something asks for it; the other side answers.
            Attempt::Punch => ways.relays && ways.udp && wanted,
            Attempt::Tunnel => ways.relays && wanted,
        };
        let (path, stays) = (attempt.path(), policy == Policy::Sequential);
        known
            && policy.allows(path)
            && match self.holding {
                None => true,
                Some(Holding { path: held, quiet }) if quiet => held != path,
                Some(Holding { path: held, .. }) if policy.allows(held) => path < held && !stays,
                Some(_) => true,
            }
    }

    /// Whether the relay is to be asked: nothing better can be expected soon.
    fn has_waited(&self, since: Instant, open: &[Attempt], now: Instant) -> bool {
        let hope = open.iter().any(|attempt| {
            let round = self.round(*attempt);
            *attempt == Attempt::Dial && (round.under_way || round.failures == 0)
        });
        !hope || self.holding.is_some() || now.saturating_duration_since(since) >= TUNNEL_AFTER
    }

    /// Until when a tunnel that is begun now is to be kept back, for a direct path may be there by then.
    pub fn not_before(&self, attempt: Attempt) -> Option<Instant> {
        let dial = self.round(Attempt::Dial);
        let hope = attempt == Attempt::Tunnel && self.holding.is_none() && dial.under_way;
        self.since.filter(|_| hope).map(|since| since + HEAD_START)
    }

    /// One after the other: whatever failed least comes next, the best first.
    fn is_next_in_line(&self, attempt: Attempt, open: &[Attempt]) -> bool {
        let next = open
            .iter()
            .min_by_key(|attempt| (self.round(**attempt).failures, **attempt));
        !self.is_trying() && next == Some(&attempt)
    }

    /// When to look again at the latest, if nothing happens: the earliest time at which an attempt becomes due.
    pub fn next(&self, policy: Policy, ways: Ways, wanted: bool) -> Option<Instant> {
        let open = Attempt::ALL.into_iter();
        let open = open.filter(|attempt| self.is_open(*attempt, policy, ways, wanted));
        open.filter_map(|attempt| {
            let head_start = self.since.filter(|_| attempt == Attempt::Tunnel);
            let head_start = head_start.map(|since| since + TUNNEL_AFTER);
            self.round(attempt).next.max(head_start)
        })
        .min()
    }

    /// An attempt begins (or one that was begun earlier is still under way).
    pub fn on_begun(&mut self, attempt: Attempt) {
        self.round_mut(attempt).under_way = true;
    }

    /// An attempt led to nothing; `chance` is any random number.
    pub fn on_failed(&mut self, attempt: Attempt, chance: u64, now: Instant) {
        let reached = self.holding.is_some_and(|holding| !holding.quiet);
        let round = self.round_mut(attempt);
        if !std::mem::take(&mut round.under_way) {
            return;
        }
        let pause = match attempt {
            Attempt::Dial | Attempt::Tunnel if !reached => redial::pause(round.failures, chance),
            _ => round_pause(round.failures),
        };
        round.next = Some(now + pause);
        round.failures = round.failures.saturating_add(1);
    }

    /// An attempt led to a session, whatever becomes of that.
    pub fn on_answered(&mut self, attempt: Attempt) {
        self.round_mut(attempt).under_way = false;
    }

    /// What is held now, after a session began, ended, fell silent or was heard again.
    pub fn on_holding(&mut self, holding: Option<Holding>, now: Instant) {
        let before = std::mem::replace(&mut self.holding, holding);
        let Some(holding) = holding else {
            self.since = before.map(|_| now).or(self.since);
            return;
        };
        if before.is_some_and(|before| before.path == holding.path) {
            return;
        }
        let better = Attempt::ALL.into_iter();
        for attempt in better.filter(|attempt| attempt.path() < holding.path) {
            let round = self.round_mut(attempt);
            if round.under_way {
                round.failures = 0;
            } else if round.failures > 0 || round.next.is_some() {
                // It was tried, and led to nothing: one round is over.
                round.failures = 1;
                round.next = Some(now + round_pause(0));
            }
        }
    }

    /// A session by `path` ended that was not retired; [`Self::on_holding`] was told before what is left.
    pub fn on_lost(&mut self, path: PathKind, redial: Redial, chance: u64, now: Instant) {
        if redial == Redial::Later {
            for attempt in Attempt::ALL {
                self.round_mut(attempt).next = Some(now + LATER);
            }
            return;
        }
        let reached = self.holding.is_some();
        let round = self.round_mut(Attempt::to(path));
        if round.under_way {
            return;
        }
        let pause = if reached {
            round_pause(0)
        } else {
            redial::pause(round.failures, chance)
        };
        round.next = Some(now + pause);
        round.failures = round.failures.saturating_add(1);
        if !reached {
            self.hurry(path, now);
        }
    }

    /// Nothing is held any more: other ways than the one that was lost are tried without delay.
    fn hurry(&mut self, lost: PathKind, now: Instant) {
        let others = Attempt::ALL.into_iter().filter(|attempt| attempt.path() != lost);
        for attempt in others {
            let round = self.round_mut(attempt);
            round.next = round.next.map(|next| next.min(now + redial::pause(0, 0)));
            // For the pauses of who is not reached are other ones.
            round.failures = round.failures.min(1);
        }
    }

    /// Something came by `path`: it is worth trying again at once.
    pub fn on_useful(&mut self, path: PathKind) {
        self.round_mut(Attempt::to(path)).failures = 0;
    }

    /// An address is new, ours or one of the peer's: a new chance for whatever failed.
    pub fn on_address_change(&mut self) {
        for attempt in [Attempt::Dial, Attempt::Punch] {
            let round = self.round_mut(attempt);
            (round.failures, round.next) = (0, None);
        }
    }

    /// A relay is known that was not.
    pub fn on_new_relay(&mut self) {
        let round = &mut self.tunnel;
        (round.failures, round.next) = (0, None);
    }
}

fn round_pause(failures: u32) -> Duration {
    ROUNDS[(failures as usize).min(ROUNDS.len() - 1)]
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
