//! Who is known, being reached, connected, backing off or banned.
//!
//! Promises that there is at most one session with a peer a kind of path, that both sides keep the same one when they
//! dialled each other at once, that everybody who wants a file hears of the session by which a peer of it is to be used
//! (and of a better one), that a peer of which something was wanted through relays only is never dialled, also when nothing is wanted
//! of it any more, and that attempts, sessions and what is remembered stay within [`Limits`]. Inputs are `on_*`
//! calls, [`Connections::want`] and [`Connections::ban`]; the answer is a list of [`Action`]s. No socket, no clock, no actor.

use super::{
    links::{Link, Shift, Verdict},
    path::Attempt,
    peers::{Named, Peer},
    policy::Policy,
    redial::Redial,
};
use crate::event::PathKind;
use p2p_shared::id::{FileHash, PublicKey};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    time::{Duration, Instant},
};

pub use super::{
    peers::Reach,
    terms::{Action, Dialler, NewSession, Refusal, SessionId},
};

/// Bounds of what is kept and tried at a time.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Sessions at a time. Each may hold two serving buffers and some kernel memory.
    pub sessions: usize,
    /// So many of them may be taken by peers of which nothing is wanted: keys cost nothing, and who has many must not keep us from
    /// those that we need.
    pub guests: usize,
    /// Attempts of a kind at a time: enough to find the living among many dead addresses, few enough not to look like a scan.
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
            guests: 192,
            dials: 16,
            known_per_file: 512,
            addresses: 16,
        }
    }
}

/// A session with nothing heard on it for this long, though something is owed, is closed if there is another one.
pub const GIVE_UP: Duration = Duration::from_millis(1_750);

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

/// The table of peers.
#[derive(Debug)]
pub struct Connections {
    pub(super) me: PublicKey,
    pub(super) limits: Limits,
    /// How peers are to be reached, whatever is wanted of them.
    pub(super) policy: Policy,
    /// Whether we can punch.
    pub(super) udp: bool,
    /// Decides by how much pauses are shortened.
    pub(super) seed: u64,
    /// Ordered, so that the same inputs give the same actions.
    pub(super) peers: BTreeMap<PublicKey, Peer>,
    pub(super) wanted: HashMap<FileHash, Policy>,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    /// Who is not to learn where we are, and because of which file; nothing: one that is not known any more.
    pub(super) hidden: BTreeMap<PublicKey, Option<FileHash>>,
    /// When it was looked last who is to be told of whom.
    pub(super) introduced: Option<Instant>,
}

impl Connections {
    /// An empty table of the peer `me`; `seed` is any random number.
    pub fn new(me: PublicKey, limits: Limits, policy: Policy, seed: u64) -> Self {
        Self {
            me,
            limits,
            policy,
            udp: false,
            seed,
            peers: BTreeMap::new(),
            wanted: HashMap::new(),
            sessions: BTreeMap::new(),
            hidden: BTreeMap::new(),
            introduced: None,
        }
    }

    /// From now on holes can be punched, or not.
    pub fn set_udp(&mut self, udp: bool) {
        self.udp = udp;
    }

    /// Every session there is, retired ones too.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, PublicKey)> + '_ {
        self.sessions.iter().map(|(session, kept)| (*session, kept.key))
    }

    /// Whether `session` is the one by which its peer is used.
    pub fn is_current(&self, session: SessionId) -> bool {
        let kept = self.sessions.get(&session);
        let peer = kept.and_then(|kept| self.peers.get(&kept.key));
        peer.and_then(|peer| peer.links.current())
            .is_some_and(|(current, _)| current == session)
    }

    /// Never deal with `key` again. The sessions with it, if any, are closed.
    pub fn ban(&mut self, key: PublicKey) -> Vec<Action> {
        let peer = self.peer(key);
        peer.banned = true;
        peer.links = Default::default();
        let theirs = self.sessions.iter().filter(|(_, kept)| kept.key == key);
        let theirs: Vec<_> = theirs.map(|(session, _)| *session).collect();
        let closed = theirs.into_iter().map(|session| {
            self.sessions.remove(&session);
            let why = Refusal::Banned;
            Action::Close { session, why }
        });
        closed.collect()
    }

    /// A session runs.
    pub fn on_session(&mut self, new: NewSession, now: Instant) -> Vec<Action> {
        if self.sessions.contains_key(&new.session) {
            return Vec::new();
        }
        // A punched hole is dug from both sides, whoever is said to have dialled.
        let is_ours = new.dialler == Dialler::Us || new.path == PathKind::Punched;
        if let Some(peer) = self.peers.get_mut(&new.key).filter(|_| is_ours) {
            peer.paths.on_answered(Attempt::to(new.path));
        }
        let session = new.session;
        match self.welcome(&new) {
            Err(why) => vec![Action::Close { session, why }],
            Ok(replaced) => {
                let mut actions = Vec::new();
                if let Some(session) = replaced {
                    self.sessions.remove(&session);
                    let why = Refusal::Redundant;
                    actions.push(Action::Close { session, why });
                }
                actions.extend(self.take_in(new, now));
                actions.extend(self.try_paths(now));
                actions
            }
        }
    }

    /// Whether a session is kept, and which one it replaces.
    fn welcome(&self, new: &NewSession) -> Result<Option<SessionId>, Refusal> {
        if new.key == self.me {
            return Err(Refusal::Redundant);
        }
        let peer = self.peers.get(&new.key);
        if peer.is_some_and(|peer| peer.banned) {
            return Err(Refusal::Banned);
        }
        let verdict = peer.map(|peer| {
            let policy = peer.policy(self.policy);
            let we_are_smaller = self.me < new.key;
            peer.links.verdict(new.path, link(new), we_are_smaller, policy)
        });
        match verdict.unwrap_or(Verdict::Keep(None)) {
            Verdict::Redundant => Err(Refusal::Redundant),
            Verdict::Keep(None) if self.sessions.len() >= self.most_sessions(peer) => Err(Refusal::Full),
            Verdict::Keep(replaced) => Ok(replaced),
        }
    }

    /// How many sessions there may be before one more with `peer` is one too many.
    fn most_sessions(&self, peer: Option<&Peer>) -> usize {
        match peer.is_some_and(|peer| !peer.files.is_empty()) {
            true => self.limits.sessions,
            false => self.limits.guests.min(self.limits.sessions),
        }
    }

    fn take_in(&mut self, new: NewSession, now: Instant) -> Vec<Action> {
        let most = self.limits.addresses;
        let replaced = self.peer(new.key).links.insert(new.path, link(&new));
        replaced.and_then(|old| self.sessions.remove(&old));
        let peer = self.peer(new.key);
        if new.path != PathKind::Direct {
            // Where it says it listens is worth a dial.
            peer.learn(new.listen.clone(), Vec::new(), most, Named::Itself);
        }
        let kept = Session {
            key: new.key,
            listen: new.listen,
            attached: BTreeSet::new(),
            named: None,
            told: None,
        };
        self.sessions.insert(new.session, kept);
        self.settle(&new.key, now)
    }

    /// Decides anew which session with `key` is used, and tells who has to know.
    pub(super) fn settle(&mut self, key: &PublicKey, now: Instant) -> Vec<Action> {
        let own = self.policy;
        let Some(peer) = self.peers.get_mut(key) else {
            return Vec::new();
        };
        let Shift { current, retired } = peer.links.choose(peer.policy(own));
        peer.paths.on_holding(peer.links.holding(), now);
        let mut actions = Vec::new();
        if let Some((session, path)) = current {
            let files = peer.files.iter();
            let files = files.filter(|(_, policy)| own.allows(path) && policy.allows(path));
            let files: Vec<_> = files.map(|(file, _)| *file).collect();
            let offers = files.into_iter().map(|file| self.offer(key, file, session, path));
            actions.extend(offers);
        }
        actions.extend(retired.into_iter().map(Action::Retire));
        actions
    }

    pub(super) fn offer(
        &self,
        key: &PublicKey,
        file: FileHash,
        session: SessionId,
        path: PathKind,
    ) -> Action {
        let why = self.why(key, path);
        Action::Offer { file, session, why }
    }

    /// The peer of `session` attached `file`: it has some of it, or wants it.
    pub fn on_attached(&mut self, session: SessionId, file: FileHash) -> Vec<Action> {
        let Some(kept) = self.sessions.get_mut(&session) else {
            return Vec::new();
        };
        kept.attached.insert(file);
        let key = kept.key;
        let Some(policy) = self.wanted.get(&file).copied() else {
            return Vec::new();
        };
        let Some(peer) = self.peers.get_mut(&key) else {
            return Vec::new();
        };
        peer.files.insert(file, policy);
        let mut actions = self.heed(key, file, policy);
        let current = self.peers.get(&key).and_then(|peer| peer.links.current());
        let current = current.filter(|(current, path)| *current == session && self.may_use(policy, *path));
        actions.extend(current.map(|(session, path)| self.offer(&key, file, session, path)));
        actions
    }

    /// The peer of `session` is done with `file`.
    pub fn on_detached(&mut self, session: SessionId, file: &FileHash) {
        if let Some(kept) = self.sessions.get_mut(&session) {
            kept.attached.remove(file);
        }
    }

    /// The session delivered something: its peer is worth trying again at once.
    pub fn on_useful(&mut self, session: SessionId, path: PathKind) {
        let kept = self.sessions.get(&session);
        if let Some(peer) = kept.and_then(|kept| self.peers.get_mut(&kept.key)) {
            peer.paths.on_useful(path);
        }
    }

    /// Nothing was heard on a session `since` so long, though something is owed on it; nothing: it was heard again.
    pub fn on_quiet(&mut self, session: SessionId, since: Option<Duration>, now: Instant) -> Vec<Action> {
        let Some(key) = self.sessions.get(&session).map(|kept| kept.key) else {
            return Vec::new();
        };
        let own = self.policy;
        let Some(peer) = self.peers.get_mut(&key) else {
            return Vec::new();
        };
        peer.links.set_quiet(session, since.is_some());
        let is_given_up =
            since.is_some_and(|since| since >= GIVE_UP) && peer.links.has_other(session, peer.policy(own));
        let mut actions = self.settle(&key, now);
        if is_given_up {
            let why = Refusal::Silent;
            actions.push(Action::Close { session, why });
            actions.extend(self.on_closed(session, Redial::Soon, now));
        } else {
            actions.extend(self.try_paths(now));
        }
        actions
    }

    /// A session ended.
    pub fn on_closed(&mut self, session: SessionId, redial: Redial, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(Session { key, .. }) = self.sessions.remove(&session)
            && let Some(peer) = self.peers.get_mut(&key)
        {
            // A retired one stands no more.
            if let Some(path) = peer.links.remove(session) {
                actions = self.settle(&key, now);
                self.lose(&key, path, redial, now);
            }
            self.peers
                .retain(|other, peer| *other != key || peer.is_worth_keeping());
        }
        actions.extend(self.try_paths(now));
        actions
    }
}

fn link(new: &NewSession) -> Link {
    Link {
        session: new.session,
        dialler: new.dialler,
        quiet: false,
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "state_properties.rs"]
mod properties;
