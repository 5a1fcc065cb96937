//! Who is known, being dialled, connected, backing off or banned.
//!
//! Promises that there is at most one session with a peer, that both sides keep the same one when they dialled each
//! other at once, that everybody who wants a file hears of every session with a peer of it, and that dials, sessions and
//! what is remembered stay within [`Limits`]. Inputs are `on_*` calls, [`Connections::want`] and [`Connections::ban`];
//! the answer is a list of [`Action`]s. No socket, no clock, no actor.

use super::{dialling::back_off, redial::Redial};
use p2p_shared::id::{FileHash, PublicKey};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Bounds of what is kept and tried at a time.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Sessions at a time. Each may hold two serving buffers and some kernel memory.
    pub sessions: usize,
    /// Dials at a time: enough to find the living among many dead addresses, few enough not to look like a scan.
    pub dials: usize,
    /// Peers remembered for one wanted file; a tracker hands out 50 at a time.
    pub known_per_file: usize,
    /// Addresses remembered for one peer.
    pub addresses: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 256,
            dials: 16,
            known_per_file: 512,
            addresses: 16,
        }
    }
}

/// How long a peer that said "not now" or broke the protocol is left alone.
const LATER: Duration = Duration::from_secs(300);

/// Names one session for the life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// Which side began a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialler {
    /// We dialled.
    Us,
    /// They dialled.
    Them,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Dial this peer at these addresses; answered by a session or [`Connections::on_dial_failed`].
    Dial {
        /// Whom.
        key: PublicKey,
        /// Where, in no order.
        addresses: Vec<SocketAddr>,
    },
    /// Close this session; another one with the same peer is kept, or there is no room.
    Close {
        /// Which.
        session: SessionId,
        /// Why.
        why: Refusal,
    },
    /// Tell whoever wants `file` that it may be had over this session.
    Offer {
        /// Which file.
        file: FileHash,
        /// Over which session.
        session: SessionId,
    },
}

/// Why a session is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Another session with the peer is kept.
    Redundant,
    /// There are as many sessions as there may be.
    Full,
    /// The peer is banned.
    Banned,
}

/// A session that was just begun.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Names it.
    pub session: SessionId,
    /// Who is at the other end.
    pub key: PublicKey,
    /// Which side dialled.
    pub dialler: Dialler,
    /// Where the peer listens.
    pub listen: Vec<SocketAddr>,
}

/// How a peer is reached, or is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// Heard of; to be dialled when there is room.
    Known,
    /// Being dialled.
    Pending,
    /// A session runs.
    Active { session: SessionId, dialler: Dialler },
    /// To be dialled again at this time.
    BackingOff { until: Instant },
    /// Never again.
    Banned,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) status: Status,
    pub(super) addresses: BTreeSet<SocketAddr>,
    /// The wanted files that somebody said it has.
    pub(super) files: HashSet<FileHash>,
    /// Dials and sessions in a row that led to nothing.
    pub(super) failures: u32,
}

impl Peer {
    pub(super) fn new() -> Self {
        Self {
            status: Status::Known,
            addresses: BTreeSet::new(),
            files: HashSet::new(),
            failures: 0,
        }
    }
}

/// A running session, as far as the table is concerned.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) key: PublicKey,
    /// Where the peer listens.
    pub(super) listen: Vec<SocketAddr>,
    /// The files that the peer attached.
    pub(super) attached: BTreeSet<FileHash>,
    /// When it named others last.
    pub(super) named: Option<Instant>,
    /// When it was told of others last.
    pub(super) told: Option<Instant>,
}

/// How many peers of a file are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    /// Heard of, and neither dialled nor connected now.
    pub known: usize,
    /// Being dialled.
    pub pending: usize,
    /// Connected.
    pub active: usize,
    /// Dialled without success, to be dialled again.
    pub backing_off: usize,
    /// Never dealt with again.
    pub banned: usize,
}

impl Reach {
    /// Whether whoever is known to have it is banned, and that is somebody.
    pub fn is_banned(&self) -> bool {
        self.banned > 0 && self.known + self.pending + self.active + self.backing_off == 0
    }
}

/// The table of peers.
#[derive(Debug)]
pub struct Connections {
    me: PublicKey,
    pub(super) limits: Limits,
    /// Decides by how much pauses are shortened.
    pub(super) seed: u64,
    /// Ordered, so that the same inputs give the same actions.
    pub(super) peers: BTreeMap<PublicKey, Peer>,
    pub(super) wanted: HashSet<FileHash>,
    pub(super) sessions: BTreeMap<SessionId, Session>,
}

impl Connections {
    /// An empty table of the peer `me`; `seed` is any random number.
    pub fn new(me: PublicKey, limits: Limits, seed: u64) -> Self {
        Self {
            me,
            limits,
            seed,
            peers: BTreeMap::new(),
            wanted: HashSet::new(),
            sessions: BTreeMap::new(),
        }
    }

    /// `file` is wanted, and `hints` say who may have it. Repeated with news.
    pub fn want(
        &mut self,
        file: FileHash,
        hints: impl IntoIterator<Item = (PublicKey, Vec<SocketAddr>)>,
        now: Instant,
    ) -> Vec<Action> {
        self.wanted.insert(file);
        self.hint(file, hints, now)
    }

    /// These may have `file`, too. Of no interest if nobody wants it (any more).
    pub fn hint(
        &mut self,
        file: FileHash,
        hints: impl IntoIterator<Item = (PublicKey, Vec<SocketAddr>)>,
        now: Instant,
    ) -> Vec<Action> {
        if !self.wanted.contains(&file) {
            return Vec::new();
        }
        let hints = hints.into_iter();
        let mut actions: Vec<_> = hints
            .filter_map(|(key, addresses)| self.learn(file, key, addresses))
            .collect();
        actions.extend(self.dial(now));
        actions
    }

    /// Every session there is.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, PublicKey)> + '_ {
        self.sessions.iter().map(|(session, kept)| (*session, kept.key))
    }

    /// The sessions over which `file` may be had, for somebody who wants it from now on.
    pub fn offers(&mut self, file: FileHash) -> Vec<Action> {
        let mut actions = Vec::new();
        for (session, kept) in &self.sessions {
            let Some(peer) = self.peers.get_mut(&kept.key) else {
                continue;
            };
            if kept.attached.contains(&file) {
                peer.files.insert(file);
            }
            if peer.files.contains(&file) {
                let session = *session;
                actions.push(Action::Offer { file, session });
            }
        }
        actions
    }

    /// How the peers of `file` stand.
    pub fn reach(&self, file: &FileHash) -> Reach {
        let mut reach = Reach::default();
        for peer in self.peers.values().filter(|peer| peer.files.contains(file)) {
            match peer.status {
                Status::Known => reach.known += 1,
                Status::Pending => reach.pending += 1,
                Status::Active { .. } => reach.active += 1,
                Status::BackingOff { .. } => reach.backing_off += 1,
                Status::Banned => reach.banned += 1,
            }
        }
        reach
    }

    /// Somebody says that `key` has `file`. If it is connected, for another file, and nobody had said so before: an offer.
    pub(super) fn learn(
        &mut self,
        file: FileHash,
        key: PublicKey,
        addresses: Vec<SocketAddr>,
    ) -> Option<Action> {
        let crowded = self
            .peers
            .values()
            .filter(|peer| peer.files.contains(&file))
            .count()
            >= self.limits.known_per_file;
        if key == self.me || (crowded && !self.peers.contains_key(&key)) {
            return None;
        }
        let peer = self.peers.entry(key).or_insert_with(Peer::new);
        let news = peer.files.insert(file);
        for address in addresses {
            let room = peer.addresses.len() < self.limits.addresses;
            if room && peer.addresses.insert(address) && matches!(peer.status, Status::BackingOff { .. }) {
                // A new address is a new chance.
                peer.status = Status::Known;
                peer.failures = 0;
            }
        }
        match peer.status {
            Status::Active { session, .. } if news => Some(Action::Offer { file, session }),
            _ => None,
        }
    }

    /// Nobody wants `file` any more.
    pub fn unwant(&mut self, file: &FileHash) {
        self.wanted.remove(file);
        for peer in self.peers.values_mut() {
            peer.files.remove(file);
        }
        self.peers.retain(|_, peer| is_worth_keeping(peer));
    }

    /// Never deal with `key` again. The session with it, if any, is closed.
    pub fn ban(&mut self, key: PublicKey) -> Vec<Action> {
        let peer = self.peers.entry(key).or_insert_with(Peer::new);
        let before = std::mem::replace(&mut peer.status, Status::Banned);
        match before {
            Status::Active { session, .. } => {
                self.sessions.remove(&session);
                vec![Action::Close {
                    session,
                    why: Refusal::Banned,
                }]
            }
            _ => Vec::new(),
        }
    }

    /// Whether `key` was banned.
    pub fn is_banned(&self, key: &PublicKey) -> bool {
        self.peers
            .get(key)
            .is_some_and(|peer| peer.status == Status::Banned)
    }

    /// A session runs.
    pub fn on_session(&mut self, new: NewSession, now: Instant) -> Vec<Action> {
        if self.sessions.contains_key(&new.session) {
            return Vec::new();
        }
        match self.welcome(&new) {
            Err(why) => vec![Action::Close {
                session: new.session,
                why,
            }],
            Ok(replaced) => {
                let mut actions = self.replace(replaced);
                actions.extend(self.activate(new));
                actions.extend(self.dial(now));
                actions
            }
        }
    }

    /// Whether a session is kept, and which one it replaces.
    fn welcome(&self, new: &NewSession) -> Result<Option<SessionId>, Refusal> {
        if new.key == self.me {
            return Err(Refusal::Redundant);
        }
        match self.peers.get(&new.key).map(|peer| peer.status) {
            Some(Status::Banned) => Err(Refusal::Banned),
            Some(Status::Active { session, dialler }) => {
                let keeps_new = if dialler == new.dialler {
                    // The same side dialled twice: it lost the old one.
                    session < new.session
                } else {
                    // Both dialled at once: the one that the smaller key began is kept, on both sides.
                    (new.dialler == Dialler::Us) == (self.me < new.key)
                };
                keeps_new.then_some(Some(session)).ok_or(Refusal::Redundant)
            }
            _ if self.sessions.len() >= self.limits.sessions => Err(Refusal::Full),
            _ => Ok(None),
        }
    }

    fn replace(&mut self, old: Option<SessionId>) -> Vec<Action> {
        let Some(session) = old else { return Vec::new() };
        self.sessions.remove(&session);
        vec![Action::Close {
            session,
            why: Refusal::Redundant,
        }]
    }

    fn activate(&mut self, new: NewSession) -> Vec<Action> {
        let NewSession {
            session,
            key,
            dialler,
            listen,
        } = new;
        let kept = Session {
            key,
            listen,
            attached: BTreeSet::new(),
            named: None,
            told: None,
        };
        self.sessions.insert(session, kept);
        let peer = self.peers.entry(key).or_insert_with(Peer::new);
        peer.status = Status::Active { session, dialler };
        let mut files: Vec<_> = peer.files.iter().copied().collect();
        files.sort_unstable();
        files
            .into_iter()
            .map(|file| Action::Offer { file, session })
            .collect()
    }

    /// The peer of `session` attached `file`: it has some of it, or wants it.
    pub fn on_attached(&mut self, session: SessionId, file: FileHash) -> Vec<Action> {
        let Some(kept) = self.sessions.get_mut(&session) else {
            return Vec::new();
        };
        kept.attached.insert(file);
        let peer = self.peers.get_mut(&kept.key);
        let Some(peer) = peer.filter(|_| self.wanted.contains(&file)) else {
            return Vec::new();
        };
        peer.files.insert(file);
        vec![Action::Offer { file, session }]
    }

    /// The peer of `session` is done with `file`.
    pub fn on_detached(&mut self, session: SessionId, file: &FileHash) {
        if let Some(kept) = self.sessions.get_mut(&session) {
            kept.attached.remove(file);
        }
    }

    /// The session delivered something: its peer is worth dialling again at once.
    pub fn on_useful(&mut self, session: SessionId) {
        let kept = self.sessions.get(&session);
        if let Some(peer) = kept.and_then(|kept| self.peers.get_mut(&kept.key)) {
            peer.failures = 0;
        }
    }

    /// A session ended.
    pub fn on_closed(&mut self, session: SessionId, redial: Redial, now: Instant) -> Vec<Action> {
        let Some(Session { key, .. }) = self.sessions.remove(&session) else {
            return self.dial(now);
        };
        let seed = self.seed;
        if let Some(peer) = self.peers.get_mut(&key) {
            match redial {
                Redial::Soon => back_off(peer, &key, seed, now),
                Redial::Later => peer.status = Status::BackingOff { until: now + LATER },
            }
            if !is_worth_keeping(peer) {
                self.peers.remove(&key);
            }
        }
        self.dial(now)
    }
}

pub(super) fn is_worth_keeping(peer: &Peer) -> bool {
    !peer.files.is_empty() || !matches!(peer.status, Status::Known | Status::BackingOff { .. })
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
