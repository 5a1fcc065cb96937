//! Who is online and who holds what: the decisions.
//!
//! A peer is here exactly while its lease runs: whoever is silent for longer is taken out of every swarm and handed to
//! nobody. A file is here exactly while the catalogue has it. Never writes to the store, reads no clock and draws no
//! random numbers: time (Unix milliseconds) and randomness are arguments, and what the store should know comes out of
//! [`Registry::take_changes`].

use super::{
    address, handout,
    lease::Leases,
    news::News,
    swarm::{PeerSlot, Role},
    table::{Peer, Table, Totals, Unsaved},
    token::Session,
};
use crate::{
    events::event::Event,
    storage::{Contact, Snapshot, StoredPeer, Touch},
};
use p2p_shared::{
    chunker::Layout,
    id::{FileHash, PeerId, PublicKey},
    tracker_api::PeerRecord,
};
use std::net::{IpAddr, SocketAddr};

/// Peers online at most: at 400 bytes each, 800 MB.
const MOST_PEERS: usize = 2_000_000;

/// Files that one peer may announce: a large library, and no way to fill the memory with one token.
const MOST_FILES_A_PEER: usize = 200_000;

/// Why the registry refuses a peer what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The session is over or was never here: the peer registers again.
    #[error("this registration is not valid (any more)")]
    SessionOver,
    /// The catalogue does not have this file.
    #[error("this tracker does not know the file")]
    FileUnknown,
    /// The peer has announced as many files as one may.
    #[error("a peer may announce {MOST_FILES_A_PEER} files at most")]
    TooManyFiles,
    /// No room for another peer.
    #[error("this tracker has room for {MOST_PEERS} peers, and they are all there")]
    Full,
}

/// What the store should know. Losing one of these costs nothing but a fresher `last_seen`.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Heard of since the last time.
    pub(crate) touched: Vec<Touch>,
    /// Gone since the last time.
    pub(crate) ended: Vec<PeerId>,
}

/// Some peers of a file.
#[derive(Debug)]
pub(crate) struct HandOut {
    /// Whom the asker may try.
    pub(crate) peers: Vec<PeerRecord>,
    /// How many hold all of the file.
    pub(crate) seeders: u32,
    /// How many hold part of it.
    pub(crate) leechers: u32,
    /// What the asker is in this swarm.
    pub(crate) asker: Option<Role>,
}

/// Who asks for peers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    /// Its registration, if it showed one.
    pub(crate) session: Option<Session>,
    /// Where it is seen from.
    pub(crate) address: IpAddr,
}

/// What a peer's announcement comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// Chunks of the file.
    pub(crate) chunks: u32,
    /// Whether it says something new, which the store has to know first.
    pub(crate) news: bool,
}

/// What is in the memory about one peer.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    /// Where it may be reached.
    pub(crate) contact: Contact,
    /// When it was heard of last, Unix milliseconds.
    pub(crate) last_seen: u64,
    /// How many files it announced.
    pub(crate) files: u32,
    /// Whether it is connected to the relay.
    pub(crate) is_relayed: bool,
}

/// A heartbeat: what is absent stays as it was.
#[derive(Debug, Clone)]
pub(crate) struct SignOfLife {
    /// Where the peer is seen from.
    pub(crate) observed: IpAddr,
    /// Its listening port.
    pub(crate) port: Option<u16>,
    /// The addresses it lists, checked.
    pub(crate) listed: Option<Box<[SocketAddr]>>,
}

/// A peer as a clock would have it that shows `now`. It may have been written under a clock that was ahead: then its
/// registration would count as later than every one that follows, and its lease would not end.
fn not_ahead(mut peer: StoredPeer, now: u64) -> StoredPeer {
    peer.last_seen = peer.last_seen.min(now);
    if peer.session > now {
        // Of an earlier run of the tracker, so that no token is valid for it.
        peer.session = 0;
    }
    peer
}

/// The live half of the tracker.
pub(crate) struct Registry {
    table: Table,
    leases: Leases,
    /// Peers that the store should hear about; may name some that are gone.
    unsaved: Vec<PeerSlot>,
    ended: Vec<PeerId>,
    news: News,
    /// Where the relay is, for those who are told of a peer that is connected there.
    relay: Box<str>,
}

impl Registry {
    /// A registry with nobody in it; leases are of `lease` milliseconds.
    pub(crate) fn new(lease: u64) -> Self {
        Self {
            table: Table::default(),
            leases: Leases::new(lease),
            unsaved: Vec::new(),
            ended: Vec::new(),
            news: News::default(),
            relay: Box::default(),
        }
    }

    /// The same with a relay.
    pub(crate) fn with_relay(mut self, relay: &str) -> Self {
        self.relay = relay.into();
        self
    }

    /// The registry as the store knows it. Leases go on from when each peer was heard of last.
    pub(crate) fn restore(lease: u64, snapshot: Snapshot, now: u64) -> Self {
        let mut registry = Self::new(lease);
        let add = |(hash, size)| registry.table.insert_file(hash, size);
        let files: Vec<_> = snapshot.files.into_iter().map(add).collect();
        let peers: Vec<_> = snapshot
            .peers
            .into_iter()
            .map(|peer| registry.insert(not_ahead(peer, now)))
            .collect();
        for (peer, file, seeder) in snapshot.members {
            if let (Some(peer), Some(file)) = (peers.get(peer as usize), files.get(file as usize)) {
                registry.table.set_role(*file, *peer, Some(Role::of(seeder)));
            }
        }
        registry.expire(now);
        registry
    }

    /// Whether there is room for this peer.
    pub(crate) fn check_room(&mut self, peer: &PeerId, now: u64) -> Result<(), Refused> {
        self.expire(now);
        let room = self.table.peers() < MOST_PEERS || self.table.slot_of(peer).is_some();
        room.then_some(()).ok_or(Refused::Full)
    }

    /// A registration that is in the store. What an earlier one of the peer had announced is forgotten. An older
    /// registration than the one that is here changes nothing.
    pub(crate) fn on_registered(&mut self, peer: StoredPeer, now: u64) {
        self.expire(now);
        if let Some(slot) = self.table.slot_of(&peer.peer_id()) {
            if self
                .table
                .peer(slot)
                .is_some_and(|there| there.session > peer.session)
            {
                return;
            }
            self.table.remove_peer(slot);
        }
        self.news.online(peer.peer_id());
        let slot = self.insert(peer);
        // The end of an earlier registration may be on its way to the store, behind this one.
        self.hear(slot, Unsaved::Seen, now);
    }

    /// The peer of a session says that it is there.
    pub(crate) fn on_heartbeat(
        &mut self,
        session: Session,
        sign: SignOfLife,
        now: u64,
    ) -> Result<(), Refused> {
        let (slot, peer) = self.online(session, now)?;
        let contact = Contact {
            observed: sign.observed,
            port: sign.port.unwrap_or(peer.contact.port),
            listed: sign.listed.unwrap_or_else(|| peer.contact.listed.clone()),
        };
        let moved = contact != peer.contact;
        peer.contact = contact;
        self.hear(slot, if moved { Unsaved::Moved } else { Unsaved::Seen }, now);
        Ok(())
    }

    /// The peer of a session says goodbye.
    pub(crate) fn on_leave(&mut self, session: Session, now: u64) -> Result<(), Refused> {
        let (slot, _) = self.online(session, now)?;
        self.end(slot);
        Ok(())
    }

    /// A peer may not take part any more. Its key, if it was here.
    pub(crate) fn on_expelled(&mut self, peer: &PeerId, now: u64) -> Option<PublicKey> {
        self.expire(now);
        let slot = self.table.slot_of(peer)?;
        let key = self.table.peer(slot)?.key;
        self.end(slot);
        Some(key)
    }

    /// Whether the peer of a session may say that it holds a file, and whether that is news. It counts as a sign of
    /// life.
    pub(crate) fn check_announce(
        &mut self,
        session: Session,
        hash: &FileHash,
        role: Option<Role>,
        now: u64,
    ) -> Result<Announcement, Refused> {
        let (slot, peer) = self.online(session, now)?;
        let files = peer.files();
        self.hear(slot, Unsaved::Seen, now);
        let file = self.table.file_of(hash).ok_or(Refused::FileUnknown)?;
        let is = self.table.role(file, slot);
        if is.is_none() && role.is_some() && files >= MOST_FILES_A_PEER {
            return Err(Refused::TooManyFiles);
        }
        Ok(Announcement {
            // The catalogue has no file with a size that has no layout.
            chunks: Layout::new(self.table.size(file)).map_or(0, Layout::chunks),
            news: is != role,
        })
    }

    /// What a peer holds, as it is in the store now.
    pub(crate) fn on_announced(
        &mut self,
        session: Session,
        hash: &FileHash,
        role: Option<Role>,
        now: u64,
    ) -> Result<(), Refused> {
        let (slot, _) = self.online(session, now)?;
        let file = self.table.file_of(hash).ok_or(Refused::FileUnknown)?;
        self.table.set_role(file, slot, role);
        Ok(())
    }

    /// Whether a peer is connected to the relay. It counts as no sign of life: a connection may be half open.
    pub(crate) fn on_relayed(&mut self, session: Session, is_relayed: bool, now: u64) -> Result<(), Refused> {
        let (slot, peer) = self.online(session, now)?;
        peer.is_relayed = is_relayed;
        // Those who ask at other trackers are told by way of the store.
        if peer.unsaved == Unsaved::Nothing {
            peer.unsaved = Unsaved::Seen;
            self.unsaved.push(slot);
        }
        Ok(())
    }

    /// The key of the peer whose session this is.
    pub(crate) fn key_of(&mut self, session: Session, now: u64) -> Result<PublicKey, Refused> {
        let (_, peer) = self.online(session, now)?;
        Ok(peer.key)
    }

    /// The catalogue has this file.
    pub(crate) fn on_file_added(&mut self, hash: FileHash, size: u64) {
        if self.table.file_of(&hash).is_none() {
            self.news.announced(hash, size);
        }
        self.table.insert_file(hash, size);
    }

    /// The catalogue does not have this file any more.
    pub(crate) fn on_file_removed(&mut self, hash: &FileHash) {
        if let Some(file) = self.table.file_of(hash) {
            self.table.remove_file(file);
            self.news.removed(*hash);
        }
    }

    /// Peers of a file for someone who asks; at most `limit`, and nobody whom the asker cannot reach.
    pub(crate) fn hand_out(
        &mut self,
        hash: &FileHash,
        asker: Asker,
        limit: usize,
        random: u64,
        now: u64,
    ) -> Result<HandOut, Refused> {
        self.expire(now);
        let asking = match asker.session {
            Some(session) => Some(self.online(session, now)?.0),
            None => None,
        };
        let file = self.table.file_of(hash).ok_or(Refused::FileUnknown)?;
        let role = asking.and_then(|slot| self.table.role(file, slot));
        let offer = |slot: PeerSlot, role| {
            let peer = self.table.peer(slot).filter(|_| asking != Some(slot))?;
            let addresses = address::visible_to(&peer.contact, asker.address);
            let reachable = peer.is_relayed || !addresses.is_empty();
            reachable.then(|| peer.record(addresses, role, &self.relay))
        };
        let swarm = self.table.swarm(file);
        let peers = swarm.map_or_else(Vec::new, |swarm| {
            handout::choose(swarm, role, limit, random, offer)
        });
        let (seeders, leechers) = self.table.counts(file);
        Ok(HandOut {
            peers,
            seeders,
            leechers,
            asker: role,
        })
    }

    /// Seeders and leechers of files; none for a file that is not here.
    pub(crate) fn counts(&mut self, files: &[FileHash], now: u64) -> Vec<(u32, u32)> {
        self.expire(now);
        let count = |hash| self.table.file_of(hash).map(|file| self.table.counts(file));
        files.iter().map(|hash| count(hash).unwrap_or_default()).collect()
    }

    /// What is known about those of these peers that are online.
    pub(crate) fn live(&mut self, peers: &[PeerId], now: u64) -> Vec<Option<Live>> {
        self.expire(now);
        let live = |id| {
            let peer = self.table.peer(self.table.slot_of(id)?)?;
            Some(Live {
                contact: peer.contact.clone(),
                last_seen: peer.last_seen,
                files: peer.files() as u32,
                is_relayed: peer.is_relayed,
            })
        };
        peers.iter().map(live).collect()
    }

    /// The totals.
    pub(crate) fn totals(&mut self, now: u64) -> Totals {
        self.expire(now);
        self.table.totals()
    }

    /// Takes out everybody whose lease has run out by `now`.
    pub(crate) fn expire(&mut self, now: u64) {
        while let Some((slot, generation)) = self.leases.next_due(now) {
            let peer = self.table.peer(slot).filter(|peer| peer.generation == generation);
            match peer.map(|peer| peer.last_seen) {
                Some(last_seen) if self.leases.end(last_seen) > now => {
                    self.leases.queue(slot, generation, last_seen);
                }
                Some(_) => self.end(slot),
                // It left before, or registered anew.
                None => {}
            }
        }
    }

    /// What happened since the last time, and how many events there was no room for. `is_wanted`: whether anybody will want to know of
    /// what happens from now on.
    pub(crate) fn take_news(&mut self, is_wanted: bool) -> (Vec<Event>, u64) {
        let swarms = self.table.take_changed();
        self.table.watch(is_wanted);
        self.news.take(swarms, is_wanted)
    }

    /// What the store should know since the last time.
    pub(crate) fn take_changes(&mut self) -> Changes {
        let mut touched = Vec::with_capacity(self.unsaved.len());
        for slot in std::mem::take(&mut self.unsaved) {
            let Some(peer) = self.table.peer_mut(slot) else {
                continue;
            };
            let unsaved = std::mem::replace(&mut peer.unsaved, Unsaved::Nothing);
            if unsaved != Unsaved::Nothing {
                touched.push(Touch {
                    peer: peer.id,
                    last_seen: peer.last_seen,
                    contact: (unsaved == Unsaved::Moved).then(|| peer.contact.clone()),
                    is_relayed: peer.is_relayed,
                });
            }
        }
        let ended = std::mem::take(&mut self.ended);
        Changes { touched, ended }
    }

    /// The peer of a session, if the session is valid at `now`.
    fn online(&mut self, session: Session, now: u64) -> Result<(PeerSlot, &mut Peer), Refused> {
        self.expire(now);
        let slot = self.table.slot_of(&session.peer).ok_or(Refused::SessionOver)?;
        match self.table.peer_mut(slot) {
            Some(peer) if peer.session == session.number => Ok((slot, peer)),
            _ => Err(Refused::SessionOver),
        }
    }

    fn insert(&mut self, peer: StoredPeer) -> PeerSlot {
        let generation = self.leases.generation();
        let last_seen = peer.last_seen;
        let slot = self.table.insert_peer(peer, generation);
        self.leases.queue(slot, generation, last_seen);
        slot
    }

    fn hear(&mut self, slot: PeerSlot, unsaved: Unsaved, now: u64) {
        let Some(peer) = self.table.peer_mut(slot) else {
            return;
        };
        peer.last_seen = peer.last_seen.max(now);
        if peer.unsaved == Unsaved::Nothing {
            self.unsaved.push(slot);
        }
        peer.unsaved = peer.unsaved.max(unsaved);
    }

    fn end(&mut self, slot: PeerSlot) {
        if let Some(peer) = self.table.peer(slot) {
            self.ended.push(peer.id);
            self.news.offline(peer.id);
            self.table.remove_peer(slot);
        }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
