//! What is known of each peer: its ways, the wanted files that it may have, its sessions; and who wants what.
//!
//! Promises that what is remembered stays within [`Limits`](super::state::Limits), that a peer of no wanted file and
//! without a session is forgotten, that where files with different policies are wanted of one peer the stricter one
//! holds, and that whatever other peers name leaves room for those whom a tracker or a ticket names. Pure.

use super::{
    hint::{Hint, RelayAddress},
    links::Links,
    path::{Paths, Ways},
    policy::Policy,
    state::{Action, Connections},
};
use crate::event::PathKind;
use p2p_shared::id::{FileHash, PublicKey};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Instant,
};

/// Relays remembered for one peer: it is connected to those of its trackers.
const RELAYS: usize = 4;
/// Peers that are remembered as not to learn where we are. With that many, no more are asked through relays only.
const MOST_HIDDEN: usize = 65_536;

/// Who said where a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// A tracker or a ticket. Those that it names now count more than those that were named before.
    Tracker,
    /// The peer itself.
    Itself,
    /// Some other peer, that nobody vouches for.
    Peer,
}

/// A peer, as far as the table is concerned.
#[derive(Debug)]
pub(super) struct Peer {
    /// The newest last.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) relays: BTreeSet<RelayAddress>,
    /// The wanted files that somebody said it has, with the policies of those who want them.
    pub(super) files: BTreeMap<FileHash, Policy>,
    pub(super) paths: Paths,
    pub(super) links: Links,
    /// The path that was lost last.
    pub(super) lost: Option<PathKind>,
    pub(super) banned: bool,
    /// Something was wanted of it through relays only.
    pub(super) hidden: bool,
}

impl Peer {
    fn new(hidden: bool) -> Self {
        Self {
            addresses: Vec::new(),
            relays: BTreeSet::new(),
            files: BTreeMap::new(),
            paths: Paths::new(),
            links: Links::default(),
            lost: None,
            banned: false,
            hidden,
        }
    }

    pub(super) fn is_worth_keeping(&self) -> bool {
        self.banned || !self.files.is_empty() || !self.links.is_empty() || self.paths.is_trying()
    }

    /// By which paths it may be used: `own` policy, and those of whoever wants something of it, or did through relays only.
    pub(super) fn policy(&self, own: Policy) -> Policy {
        let own = if self.hidden { Policy::RelayOnly } else { own };
        self.files.values().fold(own, |policy, file| policy.and(*file))
    }

    pub(super) fn ways(&self, udp: bool) -> Ways {
        Ways {
            addresses: !self.addresses.is_empty(),
            relays: !self.relays.is_empty(),
            udp,
        }
    }

    /// Remembers new ways to it; each is a new chance. Of more addresses than `most` the oldest go; for what other peers name none
    /// does.
    pub(super) fn learn(
        &mut self,
        addresses: Vec<SocketAddr>,
        relays: Vec<RelayAddress>,
        most: usize,
        by: Named,
    ) {
        let known = self.addresses.len();
        let mut news = 0;
        for address in addresses.into_iter().take(most) {
            let has_room = by != Named::Peer || self.addresses.len() < most;
            if has_room && !self.addresses.contains(&address) {
                self.addresses.push(address);
                news += 1;
            }
        }
        let over = self.addresses.len().saturating_sub(most);
        self.addresses.drain(..over);
        if news > 0 && known > 0 {
            self.paths.on_address_change();
        }
        for relay in relays {
            if self.relays.len() < RELAYS && self.relays.insert(relay) {
                self.paths.on_new_relay();
            }
        }
    }
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

impl Connections {
    /// What is known of `key`, from now on if it was nothing.
    pub(super) fn peer(&mut self, key: PublicKey) -> &mut Peer {
        let hidden = self.hidden.contains_key(&key);
        self.peers.entry(key).or_insert_with(|| Peer::new(hidden))
    }

    /// This peer was not to learn where we are before the table was rebuilt.
    pub fn on_hidden(&mut self, key: PublicKey) {
        self.hidden.insert(key, None);
        self.peer(key).hidden = true;
        self.peers
            .retain(|other, peer| *other != key || peer.is_worth_keeping());
    }

    /// `file` is wanted of `key` by paths that `policy` allows. Whoever says that it may come directly after all shows where we are;
    /// who says nothing in particular does not.
    pub(super) fn heed(&mut self, key: PublicKey, file: FileHash, policy: Policy) -> Vec<Action> {
        let because_of = self.hidden.get(&key).copied();
        let (hidden, action) = match (policy, because_of) {
            (Policy::RelayOnly, None) => {
                self.hidden.insert(key, Some(file));
                (true, Action::Hide(key))
            }
            (Policy::DirectOnly | Policy::Sequential, Some(Some(before))) if before == file => {
                self.hidden.remove(&key);
                (false, Action::Show(key))
            }
            _ => return Vec::new(),
        };
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.hidden = hidden;
        }
        vec![action]
    }

    /// Whether what is wanted with `policy` may be fetched by `path`, also by what holds for everything.
    pub(super) fn may_use(&self, policy: Policy, path: PathKind) -> bool {
        policy.allows(path) && self.policy.allows(path)
    }

    /// `file` is wanted by paths that `policy` allows, and `hints` say who may have it. Repeated with news.
    pub fn want(
        &mut self,
        file: FileHash,
        policy: Policy,
        hints: impl IntoIterator<Item = Hint>,
        now: Instant,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.wanted.insert(file, policy) != Some(policy) {
            actions.extend(self.set_policy(&file, policy, now));
        }
        actions.extend(self.hint(file, hints, now));
        actions
    }

    /// From now on, `file` is wanted by other paths than before.
    fn set_policy(&mut self, file: &FileHash, policy: Policy, now: Instant) -> Vec<Action> {
        let mut changed = Vec::new();
        for (key, peer) in &mut self.peers {
            if let Some(before) = peer.files.get_mut(file) {
                *before = policy;
                changed.push(*key);
            }
        }
        let mut actions = Vec::new();
        for key in &changed {
            actions.extend(self.heed(*key, *file, policy));
        }
        actions.extend(changed.iter().flat_map(|key| self.settle(key, now)));
        actions
    }

    /// These may have `file`, too. Of no interest if nobody wants it (any more).
    pub fn hint(
        &mut self,
        file: FileHash,
        hints: impl IntoIterator<Item = Hint>,
        now: Instant,
    ) -> Vec<Action> {
        self.take_hints(file, hints, Named::Tracker, now)
    }

    pub(super) fn take_hints(
        &mut self,
        file: FileHash,
        hints: impl IntoIterator<Item = Hint>,
        by: Named,
        now: Instant,
    ) -> Vec<Action> {
        let Some(policy) = self.wanted.get(&file).copied() else {
            return Vec::new();
        };
        let mut actions = Vec::new();
        for hint in hints {
            if self.has_place(&file, policy, &hint.key, by) {
                actions.extend(self.learn(file, policy, hint, by, now));
            }
        }
        actions.extend(self.try_paths(now));
        actions
    }

    /// Whether one more peer of `file` may be remembered, or is already. For one that a tracker names, the one that failed most goes.
    fn has_place(&mut self, file: &FileHash, policy: Policy, key: &PublicKey, by: Named) -> bool {
        let is_full = policy == Policy::RelayOnly && self.hidden.len() >= MOST_HIDDEN;
        if *key == self.me || (is_full && !self.hidden.contains_key(key)) {
            return false;
        }
        if self.peers.contains_key(key) {
            return true;
        }
        let most = self.limits.known_per_file;
        let of_file = self.peers.values().filter(|peer| peer.files.contains_key(file));
        let known = of_file.count();
        match by {
            Named::Peer => known < most / 2,
            Named::Tracker | Named::Itself => known < most || self.forget_worst(file),
        }
    }

    /// Forgets whoever of `file` was tried most often in vain; false if nobody was.
    fn forget_worst(&mut self, file: &FileHash) -> bool {
        let of_file = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.files.contains_key(file));
        let vain =
            of_file.filter(|(_, peer)| !peer.banned && peer.links.is_empty() && !peer.paths.is_trying());
        let worst = vain.max_by_key(|(_, peer)| peer.paths.failures());
        let worst = worst.filter(|(_, peer)| peer.paths.failures() > 0);
        let Some(key) = worst.map(|(key, _)| *key) else {
            return false;
        };
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.files.remove(file);
        }
        self.peers
            .retain(|other, peer| *other != key || peer.is_worth_keeping());
        true
    }

    /// Somebody says that a peer has `file`. If it is connected, for another file, and nobody had said so before: an offer.
    fn learn(&mut self, file: FileHash, policy: Policy, hint: Hint, by: Named, now: Instant) -> Vec<Action> {
        let most = self.limits.addresses;
        let peer = self.peer(hint.key);
        let news = peer.files.insert(file, policy).is_none();
        peer.learn(hint.addresses, hint.relays, most, by);
        let before = peer.links.current();
        let mut actions = self.heed(hint.key, file, policy);
        actions.extend(self.settle(&hint.key, now));
        // Of another session than before it was offered with all other files.
        let current = self.peers.get(&hint.key).and_then(|peer| peer.links.current());
        let current = current.filter(|current| news && before == Some(*current));
        if let Some((session, path)) = current.filter(|(_, path)| self.may_use(policy, *path)) {
            actions.push(self.offer(&hint.key, file, session, path));
        }
        actions
    }

    /// Nobody wants `file` any more.
    pub fn unwant(&mut self, file: &FileHash) {
        self.wanted.remove(file);
        for peer in self.peers.values_mut() {
            peer.files.remove(file);
        }
        self.peers.retain(|_, peer| peer.is_worth_keeping());
    }

    /// The sessions over which `file` may be had, for somebody who wants it from now on.
    pub fn offers(&mut self, file: FileHash) -> Vec<Action> {
        let Some(policy) = self.wanted.get(&file).copied() else {
            return Vec::new();
        };
        let mut actions = Vec::new();
        let talking = self
            .sessions
            .values()
            .filter(|kept| kept.attached.contains(&file));
        let talking: Vec<_> = talking.map(|kept| kept.key).collect();
        for key in talking {
            if let Some(peer) = self.peers.get_mut(&key) {
                peer.files.insert(file, policy);
                actions.extend(self.heed(key, file, policy));
            }
        }
        let having = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.files.contains_key(&file));
        let current = having.filter_map(|(key, peer)| Some((*key, peer.links.current()?)));
        let current = current.filter(|(_, (_, path))| self.may_use(policy, *path));
        actions.extend(current.map(|(key, (session, path))| self.offer(&key, file, session, path)));
        actions
    }

    /// How the peers of `file` stand.
    pub fn reach(&self, file: &FileHash) -> Reach {
        let mut reach = Reach::default();
        for peer in self.peers.values().filter(|peer| peer.files.contains_key(file)) {
            let count = if peer.banned {
                &mut reach.banned
            } else if peer.links.current().is_some() {
                &mut reach.active
            } else if peer.paths.is_trying() {
                &mut reach.pending
            } else if peer.paths.is_backing_off() {
                &mut reach.backing_off
            } else {
                &mut reach.known
            };
            *count += 1;
        }
        reach
    }

    /// Whether `key` was banned.
    pub fn is_banned(&self, key: &PublicKey) -> bool {
        self.peers.get(key).is_some_and(|peer| peer.banned)
    }
}

#[cfg(test)]
#[path = "peers_tests.rs"]
mod tests;
