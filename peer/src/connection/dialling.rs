//! Whom to dial, and when again: the part of the table that is about peers without a session.
//!
//! Promises that a peer is dialled once at a time, also across a crash of the table, that those who failed least come
//! first, and that nobody is dialled for whom nothing is wanted. Pure; when to try again is in [`redial`].

use super::{
    redial,
    state::{Action, Connections, Peer, Status, is_worth_keeping},
};
use p2p_shared::id::PublicKey;
use std::time::Instant;

impl Connections {
    /// A dial of `key` is under way already: one that the table began before it was rebuilt.
    pub fn on_dialling(&mut self, key: PublicKey) {
        let peer = self.peers.entry(key).or_insert_with(Peer::new);
        if peer.status == Status::Known {
            peer.status = Status::Pending;
        }
    }

    /// Nobody answered as `key` at any of its addresses.
    pub fn on_dial_failed(&mut self, key: &PublicKey, now: Instant) -> Vec<Action> {
        let seed = self.seed;
        let pending = self
            .peers
            .get_mut(key)
            .filter(|peer| peer.status == Status::Pending);
        if let Some(peer) = pending {
            back_off(peer, key, seed, now);
            if !is_worth_keeping(peer) {
                self.peers.remove(key);
            }
        }
        self.dial(now)
    }

    /// Time passed.
    pub fn on_tick(&mut self, now: Instant) -> Vec<Action> {
        self.dial(now)
    }

    pub(super) fn dial(&mut self, now: Instant) -> Vec<Action> {
        let pending = self
            .peers
            .values()
            .filter(|peer| peer.status == Status::Pending)
            .count();
        let room = self.limits.dials.saturating_sub(pending);
        let room = room.min(self.limits.sessions.saturating_sub(pending + self.sessions.len()));
        let due = self.peers.iter_mut().filter(|(_, peer)| is_due(peer, now));
        let mut due: Vec<_> = due.collect();
        due.sort_by_key(|(_, peer)| peer.failures);
        due.into_iter()
            .take(room)
            .map(|(key, peer)| {
                peer.status = Status::Pending;
                Action::Dial {
                    key: *key,
                    addresses: peer.addresses.iter().copied().collect(),
                }
            })
            .collect()
    }
}

fn is_due(peer: &Peer, now: Instant) -> bool {
    let wanted = !peer.files.is_empty() && !peer.addresses.is_empty();
    wanted
        && match peer.status {
            Status::Known => true,
            Status::BackingOff { until } => until <= now,
            _ => false,
        }
}

pub(super) fn back_off(peer: &mut Peer, key: &PublicKey, seed: u64, now: Instant) {
    let chance = key.0.iter().fold(seed ^ u64::from(peer.failures), |sum, byte| {
        sum.rotate_left(7).wrapping_add(u64::from(*byte))
    });
    peer.status = Status::BackingOff {
        until: now + redial::pause(peer.failures, chance),
    };
    peer.failures = peer.failures.saturating_add(1);
}
