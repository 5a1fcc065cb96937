//! The sessions by which each peer of one download is reached: the one that is used, one that is coming, those that go.
//!
//! Promises that a peer is asked over one session at a time; that a better one is used as soon as it can be asked, and
//! not before, so that nothing stands still meanwhile; and that what is known of a session that goes is not lost, should
//! it come back. Owns the handles, whatever they are; what was asked over a session that goes is in [`super::owed`].

use super::source::Room;
use crate::{connection::state::SessionId, event::PathKind};
use p2p_shared::{
    bitfield::Bitfield,
    id::{ChunkIndex, PublicKey},
};
use std::{collections::HashMap, time::Duration};

/// One session with a peer.
#[derive(Debug)]
pub struct Line<S> {
    /// Names it.
    pub id: SessionId,
    /// The way to it.
    pub session: S,
    /// By which kind of path.
    pub path: PathKind,
    /// Why this one.
    pub reason: &'static str,
    /// What is known of it; kept up to date while it is not used.
    pub known: Known,
}

/// What a session said of its peer.
#[derive(Debug, Clone)]
pub struct Known {
    /// What the peer holds, once it said so.
    pub bits: Option<Bitfield>,
    /// It answers no requests.
    pub choked: bool,
    /// How much it may be asked for.
    pub room: Room,
    /// How long the way there and back takes.
    pub round_trip: Option<Duration>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            bits: None,
            choked: true,
            room: Room::default(),
            round_trip: None,
        }
    }
}

/// What a session is to its peer's download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Requests go over it.
    Used,
    /// They will, as soon as it can be asked.
    Coming,
    /// Nothing new goes over it; what was asked still comes.
    Going,
    /// It is none of this download's.
    Unknown,
}

/// What a session that is offered is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// It is used already.
    Known,
    /// The first one with the peer: it is used, and to be attached.
    First,
    /// It replaces another one, and is to be attached.
    Next,
    /// It replaces another one, and was attached before.
    Back,
}

/// The sessions with one peer.
#[derive(Debug)]
struct Peer<S> {
    used: Option<Line<S>>,
    coming: Option<Line<S>>,
    going: Vec<Line<S>>,
}

/// The sessions with all peers.
#[derive(Debug)]
pub struct Lines<S> {
    peers: HashMap<PublicKey, Peer<S>>,
}

impl<S> Default for Lines<S> {
    fn default() -> Self {
        Self {
            peers: HashMap::new(),
        }
    }
}

impl<S> Peer<S> {
    fn is_empty(&self) -> bool {
        self.used.is_none() && self.coming.is_none() && self.going.is_empty()
    }

    fn all(&self) -> impl Iterator<Item = &Line<S>> {
        self.used.iter().chain(&self.coming).chain(&self.going)
    }

    fn waiting_mut(&mut self, id: SessionId) -> Option<&mut Line<S>> {
        let mut waiting = self.coming.iter_mut().chain(&mut self.going);
        waiting.find(|line| line.id == id)
    }
}

impl<S> Lines<S> {
    /// What the session `id` is.
    pub fn role(&self, peer: &PublicKey, id: SessionId) -> Role {
        let Some(peer) = self.peers.get(peer) else {
            return Role::Unknown;
        };
        let is = |line: &Line<S>| line.id == id;
        if peer.used.as_ref().is_some_and(is) {
            Role::Used
        } else if peer.coming.as_ref().is_some_and(is) {
            Role::Coming
        } else if peer.going.iter().any(is) {
            Role::Going
        } else {
            Role::Unknown
        }
    }

    /// The session over which `peer` is asked.
    pub fn used(&self, peer: &PublicKey) -> Option<&Line<S>> {
        self.peers.get(peer)?.used.as_ref()
    }

    /// The peers that can be asked.
    pub fn peers(&self) -> impl Iterator<Item = &PublicKey> {
        let used = self.peers.iter().filter(|(_, peer)| peer.used.is_some());
        used.map(|(key, _)| key)
    }

    /// Every session.
    pub fn all(&self) -> impl Iterator<Item = &S> {
        self.peers.values().flat_map(Peer::all).map(|line| &line.session)
    }

    /// Every session with `peer`.
    pub fn of(&self, peer: &PublicKey) -> impl Iterator<Item = &S> {
        let lines = self.peers.get(peer).into_iter().flat_map(Peer::all);
        lines.map(|line| &line.session)
    }

    /// A session is to be used from now on.
    pub fn join(&mut self, peer: PublicKey, line: Line<S>) -> Joined {
        let known = self.peers.entry(peer).or_insert(Peer {
            used: None,
            coming: None,
            going: Vec::new(),
        });
        if known.coming.as_ref().is_some_and(|coming| coming.id == line.id) {
            return Joined::Known;
        }
        // Whatever was coming is not what is wanted now.
        known.going.extend(known.coming.take());
        match &known.used {
            Some(used) if used.id == line.id => Joined::Known,
            None => {
                known.going.retain(|going| going.id != line.id);
                known.used = Some(line);
                Joined::First
            }
            Some(_) => {
                let before = known.going.iter().position(|going| going.id == line.id);
                let back = before.map(|index| known.going.remove(index));
                let joined = match back {
                    Some(_) => Joined::Back,
                    None => Joined::Next,
                };
                let reason = line.reason;
                let mut coming = back.unwrap_or(line);
                coming.reason = reason;
                known.coming = Some(coming);
                joined
            }
        }
    }

    /// What is known of a session that is not the one used.
    pub fn known_mut(&mut self, peer: &PublicKey, id: SessionId) -> Option<&mut Known> {
        let line = self.peers.get_mut(peer)?.waiting_mut(id)?;
        Some(&mut line.known)
    }

    /// A peer of a session that is not the one used holds one more.
    pub fn on_has(&mut self, peer: &PublicKey, id: SessionId, chunk: ChunkIndex) {
        let bits = self.known_mut(peer, id).and_then(|known| known.bits.as_mut());
        if let Some(bits) = bits.filter(|bits| chunk.0 < bits.len()) {
            bits.set(chunk);
        }
    }

    /// Uses the session that is coming from now on, if it can be asked (or there is no other one). `last`: what is known of
    /// the one that was used. The one that is used no more.
    pub fn switch(&mut self, peer: &PublicKey, last: Known) -> Option<Option<SessionId>> {
        let known = self.peers.get_mut(peer)?;
        let coming = known.coming.as_ref()?;
        let is_ready = coming.known.bits.is_some() && !coming.known.choked;
        if !is_ready && known.used.is_some() {
            return None;
        }
        let before = std::mem::replace(&mut known.used, known.coming.take());
        let before = before.map(|before| Line {
            known: last,
            ..before
        });
        let id = before.as_ref().map(|before| before.id);
        known.going.extend(before);
        Some(id)
    }

    /// A session ended (or is not this download's any more); what it was.
    pub fn end(&mut self, peer: &PublicKey, id: SessionId) -> Role {
        let role = self.role(peer, id);
        let Some(known) = self.peers.get_mut(peer) else {
            return role;
        };
        match role {
            Role::Used => known.used = None,
            Role::Coming => known.coming = None,
            Role::Going => known.going.retain(|line| line.id != id),
            Role::Unknown => {}
        }
        if known.is_empty() {
            self.peers.remove(peer);
        }
        role
    }

    /// Nothing more of `peer`: its sessions.
    pub fn part(&mut self, peer: &PublicKey) -> Vec<Line<S>> {
        let parted = self.peers.remove(peer).into_iter();
        parted
            .flat_map(|peer| peer.used.into_iter().chain(peer.coming).chain(peer.going))
            .collect()
    }

    /// Nothing more of anybody: all sessions.
    pub fn drain(&mut self) -> Vec<S> {
        let peers: Vec<_> = self.peers.keys().copied().collect();
        let parted = peers.iter().flat_map(|peer| self.part(peer));
        parted.map(|line| line.session).collect()
    }
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
