//! What is known of each peer: its ways, the wanted files that it may have, its sessions; and who wants what.
//!
//! Promises that what is remembered stays within [`Limits`](super::state::Limits), that a peer of no wanted file and
//! without a session is forgotten, and that where files with different policies are wanted of one peer the stricter one
//! holds. Pure.

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

/// A peer, as far as the table is concerned.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) addresses: BTreeSet<SocketAddr>,
    pub(super) relays: BTreeSet<RelayAddress>,
    /// The wanted files that somebody said it has, with the policies of those who want them.
    pub(super) files: BTreeMap<FileHash, Policy>,
    pub(super) paths: Paths,
    pub(super) links: Links,
    /// The path that was lost last.
    pub(super) lost: Option<PathKind>,
    pub(super) banned: bool,
}

impl Peer {
    pub(super) fn new() -> Self {
        Self {
            addresses: BTreeSet::new(),
            relays: BTreeSet::new(),
            files: BTreeMap::new(),
            paths: Paths::new(),
            links: Links::default(),
            lost: None,
            banned: false,
        }
    }

    pub(super) fn is_worth_keeping(&self) -> bool {
        self.banned || !self.files.is_empty() || !self.links.is_empty() || self.paths.is_trying()
    }

    /// By which paths it may be used: `own` policy, and those of whoever wants something of it.
    pub(super) fn policy(&self, own: Policy) -> Policy {
        self.files.values().fold(own, |policy, file| policy.and(*file))
    }

    pub(super) fn ways(&self, udp: bool) -> Ways {
        Ways {
            addresses: !self.addresses.is_empty(),
            relays: !self.relays.is_empty(),
            udp,
        }
    }

    /// Remembers new ways to it; each is a new chance.
    pub(super) fn learn(&mut self, addresses: Vec<SocketAddr>, relays: Vec<RelayAddress>, most: usize) {
        let known = self.addresses.len();
        let room = most.saturating_sub(known);
        let new = addresses
            .into_iter()
            .filter(|address| !self.addresses.contains(address));
        let new: BTreeSet<_> = new.collect();
        self.addresses.extend(new.into_iter().take(room));
        if self.addresses.len() > known && known > 0 {
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
        let settled = changed.iter().flat_map(|key| self.settle(key, now));
        settled.collect()
    }

    /// These may have `file`, too. Of no interest if nobody wants it (any more).
    pub fn hint(
        &mut self,
        file: FileHash,
        hints: impl IntoIterator<Item = Hint>,
        now: Instant,
    ) -> Vec<Action> {
        let Some(policy) = self.wanted.get(&file).copied() else {
            return Vec::new();
        };
        let mut actions = Vec::new();
        for hint in hints {
            actions.extend(self.learn(file, policy, hint, now));
        }
        actions.extend(self.try_paths(now));
        actions
    }

    /// Somebody says that a peer has `file`. If it is connected, for another file, and nobody had said so before: an offer.
    fn learn(&mut self, file: FileHash, policy: Policy, hint: Hint, now: Instant) -> Vec<Action> {
        let of_file = self.peers.values().filter(|peer| peer.files.contains_key(&file));
        let crowded = of_file.count() >= self.limits.known_per_file;
        if hint.key == self.me || (crowded && !self.peers.contains_key(&hint.key)) {
            return Vec::new();
        }
        let most = self.limits.addresses;
        let peer = self.peers.entry(hint.key).or_insert_with(Peer::new);
        let news = peer.files.insert(file, policy).is_none();
        peer.learn(hint.addresses, hint.relays, most);
        let before = peer.links.current();
        let mut actions = self.settle(&hint.key, now);
        // Of another session than before it was offered with all other files.
        let current = self.peers.get(&hint.key).and_then(|peer| peer.links.current());
        let current = current.filter(|current| news && before == Some(*current));
        if let Some((session, path)) = current.filter(|(_, path)| policy.allows(*path)) {
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
        for kept in self
            .sessions
            .values()
            .filter(|kept| kept.attached.contains(&file))
        {
            if let Some(peer) = self.peers.get_mut(&kept.key) {
                peer.files.insert(file, policy);
            }
        }
        let having = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.files.contains_key(&file));
        let current = having.filter_map(|(key, peer)| Some((*key, peer.links.current()?)));
        let current = current.filter(|(_, (_, path))| policy.allows(*path));
        current
            .map(|(key, (session, path))| self.offer(&key, file, session, path))
            .collect()
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
