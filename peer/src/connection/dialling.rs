//! Whom to try to reach, and when again: the part of the table that is about attempts.
//!
//! Promises that an attempt of a kind is under way once at a time with a peer, also across a crash of the table, that those
//! who failed least come first, that no more attempts of a kind are under way than [`Limits`](super::state::Limits) says,
//! and that nobody is tried for whom nothing is wanted and with whom there is no session. Pure; which attempt is due is
//! decided in [`super::path`].

use super::{
    path::Attempt,
    peers::Peer,
    policy::Policy,
    redial::Redial,
    state::{Action, Connections},
};
use crate::event::PathKind;
use p2p_shared::id::PublicKey;
use std::time::Instant;

impl Connections {
    /// An attempt is under way already: one that the table began before it was rebuilt.
    pub fn on_trying(&mut self, key: PublicKey, attempt: Attempt) {
        self.peer(key).paths.on_begun(attempt);
    }

    /// An attempt to reach `key` led to nobody.
    pub fn on_failed(&mut self, key: &PublicKey, attempt: Attempt, now: Instant) -> Vec<Action> {
        if let Some(peer) = self.peers.get_mut(key) {
            let chance = chance(self.seed, key, peer.paths.failures());
            peer.paths.on_failed(attempt, chance, now);
            if !peer.is_worth_keeping() {
                self.peers.remove(key);
            }
        }
        self.try_paths(now)
    }

    /// An address of ours is new: whatever failed has a new chance.
    pub fn on_address_change(&mut self, now: Instant) -> Vec<Action> {
        for peer in self.peers.values_mut() {
            peer.paths.on_address_change();
        }
        self.try_paths(now)
    }

    /// Time passed.
    pub fn on_tick(&mut self, now: Instant) -> Vec<Action> {
        self.try_paths(now)
    }

    /// A session with `key` ended that was not retired.
    pub(super) fn lose(&mut self, key: &PublicKey, path: PathKind, redial: Redial, now: Instant) {
        if let Some(peer) = self.peers.get_mut(key) {
            let chance = chance(self.seed, key, peer.paths.failures());
            peer.paths.on_lost(path, redial, chance, now);
            peer.lost = Some(path);
        }
    }

    /// Begins whatever is due and has room.
    pub(super) fn try_paths(&mut self, now: Instant) -> Vec<Action> {
        let mut room = Attempt::ALL.map(|attempt| self.room(attempt));
        let (own, udp) = (self.policy, self.udp);
        let mut due = Vec::new();
        for (key, peer) in self.peers.iter_mut().filter(|(_, peer)| !peer.banned) {
            let (policy, ways) = (peer.policy(own), peer.ways(udp));
            let wanted = !peer.files.is_empty();
            for attempt in peer.paths.due(policy, ways, wanted, now) {
                due.push((peer.paths.failures(), *key, attempt));
            }
        }
        due.sort_by_key(|(failures, _, _)| *failures);
        let mut actions = Vec::new();
        for (_, key, attempt) in due {
            let room = &mut room[attempt as usize];
            if let Some(left) = room.checked_sub(1)
                && let Some(peer) = self.peers.get_mut(&key)
            {
                *room = left;
                peer.paths.on_begun(attempt);
                actions.push(begin(key, peer, attempt, own));
            }
        }
        actions
    }

    /// How many more attempts of this kind may be begun.
    fn room(&self, attempt: Attempt) -> usize {
        let pending = self.peers.values();
        let pending = pending.filter(|peer| peer.paths.is_under_way(attempt)).count();
        let sessions = self.limits.sessions.saturating_sub(pending + self.sessions.len());
        self.limits.dials.saturating_sub(pending).min(sessions)
    }
}

fn begin(key: PublicKey, peer: &Peer, attempt: Attempt, own: Policy) -> Action {
    // The newest first: the oldest is the least likely to be right.
    let addresses = peer.addresses.iter().rev().copied();
    Action::Try {
        attempt,
        key,
        addresses: addresses.filter(|_| attempt == Attempt::Dial).collect(),
        relays: peer
            .relays
            .iter()
            .filter(|_| attempt != Attempt::Dial)
            .cloned()
            .collect(),
        policy: peer.policy(own),
        not_before: peer.paths.not_before(attempt),
    }
}

fn chance(seed: u64, key: &PublicKey, failures: u32) -> u64 {
    key.0.iter().fold(seed ^ u64::from(failures), |sum, byte| {
        sum.rotate_left(7).wrapping_add(u64::from(*byte))
    })
}
