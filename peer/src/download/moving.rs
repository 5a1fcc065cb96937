//! Peers that come, go, and are reached by another session than before: the part of [`Download`] that is about who is
//! there.
//!
//! Promises that what was asked over a session that goes is not asked again as long as it may come, and at once when that
//! session has ended; and that a peer's record goes where the peer goes.

use super::{
    lines::Known,
    score::Standing,
    source::Source,
    state::{Action, Download},
};
use crate::connection::state::SessionId;
use p2p_shared::{
    bitfield::Bitfield,
    id::{ChunkIndex, PublicKey},
};
use std::collections::HashSet;

impl Download {
    /// A peer is there of which others say that it shares the file. It is asked at once, so that nothing waits for what it says
    /// itself; what it does not have after all it rejects, and that is not held against it.
    pub fn on_named(&mut self, peer: PublicKey) -> Vec<Action> {
        if self.sources.contains_key(&peer) {
            return Vec::new();
        }
        let score = self.records.remove(&peer).unwrap_or_default();
        if score.standing() != Standing::Good {
            self.records.insert(peer, score);
            return Vec::new();
        }
        let source = Source::presumed(self.chunks.len(), score);
        self.picker.on_peer(&source.bits);
        self.sources.insert(peer, source);
        let mut actions: Vec<_> = self.update_interest(&peer).into_iter().collect();
        actions.extend(self.assign(&peer));
        actions
    }

    /// A peer that was asked already says what it holds.
    fn confirm(&mut self, peer: &PublicKey, bits: Bitfield) -> Vec<Action> {
        if let Some(source) = self.sources.get_mut(peer) {
            self.picker.on_peer_gone(&source.bits, source.was_whole);
            self.picker.on_peer(&bits);
            source.was_whole = bits.is_full();
            source.bits = bits;
            source.presumed = false;
        }
        self.update_interest(peer).into_iter().collect()
    }

    /// A peer that holds `bits` is there (or says anew what it holds).
    pub fn on_attached(&mut self, peer: PublicKey, bits: Bitfield) -> Vec<Action> {
        if self.sources.get(&peer).is_some_and(|source| source.presumed) {
            return self.confirm(&peer, bits);
        }
        self.on_detached(&peer);
        let score = self.records.remove(&peer).unwrap_or_default();
        if score.standing() == Standing::Banned {
            self.records.insert(peer, score);
            return vec![Action::Ban(peer)];
        }
        self.picker.on_peer(&bits);
        self.sources.insert(peer, Source::new(bits, score));
        self.update_interest(&peer).into_iter().collect()
    }

    /// The peer is not reached any more by the session that was used. What it owes over others may still come.
    pub fn on_detached(&mut self, peer: &PublicKey) -> Vec<Action> {
        if !self.forget_source(peer) {
            return Vec::new();
        }
        for chunk in self.asked_now(peer) {
            self.chunks.on_given_up(chunk, peer);
        }
        self.assign_all()
    }

    /// True if it was there.
    fn forget_source(&mut self, peer: &PublicKey) -> bool {
        let Some(source) = self.sources.remove(peer) else {
            return false;
        };
        self.picker.on_peer_gone(&source.bits, source.was_whole);
        self.records.insert(*peer, source.score);
        true
    }

    /// What is asked of `peer` over the session that is used.
    fn asked_now(&self, peer: &PublicKey) -> HashSet<ChunkIndex> {
        let theirs = self.chunks.asked().filter(|(_, asked)| asked.of(peer));
        theirs
            .map(|(chunk, _)| chunk)
            .filter(|chunk| !self.owed.has(peer, *chunk))
            .collect()
    }

    /// The peer is asked over session `to` from now on. What was asked over `from`, if that has not ended, is owed there.
    pub fn on_moved(
        &mut self,
        peer: PublicKey,
        from: Option<SessionId>,
        to: SessionId,
        known: Known,
    ) -> Vec<Action> {
        let asked = self.asked_now(&peer);
        let was_interested = self.sources.get(&peer).is_some_and(|source| source.interested);
        if let Some(from) = from {
            self.owed.insert(from, peer, asked);
        }
        self.forget_source(&peer);
        let Some(bits) = known.bits else {
            return Vec::new();
        };
        let mut actions = self.on_attached(peer, bits);
        let back = self.owed.take(to).map_or(0, |(_, chunks)| chunks.len());
        if let Some(source) = self.sources.get_mut(&peer) {
            source.asked = back as u32;
        }
        if was_interested && actions.is_empty() {
            // Said over the session before; nobody said so over this one.
            let interested = true;
            actions.push(Action::Interest { peer, interested });
        }
        actions.extend(self.on_choke(&peer, known.choked, known.room));
        actions
    }

    /// What is known of the session by which `peer` is asked.
    pub fn known(&self, peer: &PublicKey) -> Known {
        self.sources
            .get(peer)
            .filter(|source| !source.presumed)
            .map_or_else(Known::default, |source| Known {
                bits: Some(source.bits.clone()),
                choked: source.choked,
                room: source.room,
                round_trip: None,
            })
    }

    /// A session that was going has ended: what it owes is missing again.
    pub fn on_gone(&mut self, session: SessionId) -> Vec<Action> {
        let Some((peer, chunks)) = self.owed.take(session) else {
            return Vec::new();
        };
        for chunk in chunks {
            self.chunks.on_given_up(chunk, &peer);
        }
        self.assign_all()
    }

    /// A session that goes will not bring these (or takes too long).
    pub fn on_given_back(&mut self, peer: &PublicKey, chunks: &[ChunkIndex]) -> Vec<Action> {
        for chunk in chunks {
            if self.owed.remove(peer, *chunk) {
                self.chunks.on_given_up(*chunk, peer);
            }
        }
        self.assign_all()
    }

    /// Whether a peer that holds `theirs` has something that is wanted.
    pub fn wants_of(&self, theirs: &Bitfield) -> bool {
        self.chunks.wants_of(theirs)
    }

    /// One question less is open with `peer`.
    pub(super) fn settle(&mut self, peer: &PublicKey, chunk: ChunkIndex) {
        if self.owed.remove(peer, chunk) {
            return;
        }
        if let Some(source) = self.sources.get_mut(peer) {
            source.asked = source.asked.saturating_sub(1);
        }
    }
}

#[cfg(test)]
#[path = "moving_tests.rs"]
mod tests;
