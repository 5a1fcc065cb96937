//! Peers, files and who is in which swarm, with every index and total in step.
//!
//! A membership is kept on both sides: the swarm of the file names the peer, the peer names the file. [`Table::set_role`]
//! is the only place that changes either, so the two never disagree. Knows nothing of leases and sessions.

use super::{
    lease::Generation,
    swarm::{PeerSlot, Role, Swarm},
};
use crate::storage::{Contact, StoredPeer};
use p2p_shared::{
    id::{FileHash, PeerId, PublicKey},
    tracker_api::{Bandwidth, PeerRecord, PeerStatus},
};
use slab::Slab;
use std::{collections::HashMap, net::SocketAddr};

/// Where a file is kept.
pub(crate) type FileSlot = u32;

/// An online peer.
pub(crate) struct Peer {
    pub(crate) key: PublicKey,
    pub(crate) id: PeerId,
    pub(crate) session: u64,
    pub(crate) contact: Contact,
    pub(crate) bandwidth: Option<Bandwidth>,
    /// Unix milliseconds.
    pub(crate) last_seen: u64,
    pub(crate) generation: Generation,
    pub(crate) unsaved: Unsaved,
    /// Whether it is connected to the relay of this tracker.
    pub(crate) is_relayed: bool,
    files: Vec<FileSlot>,
}

impl Peer {
    /// How many files it announced.
    pub(crate) fn files(&self) -> usize {
        self.files.len()
    }

    /// The peer as others are told of it; `relay` is where it can be reached if it is connected there.
    pub(crate) fn record(&self, addresses: Vec<SocketAddr>, role: Role, relay: &str) -> PeerRecord {
        PeerRecord {
            peer_id: self.id,
            public_key: self.key,
            addresses,
            status: PeerStatus::Online,
            files: self.files.len() as u32,
            last_seen: self.last_seen / 1000,
            bandwidth: self.bandwidth,
            relay_url: self.is_relayed.then(|| relay.to_owned()),
            seeder: Some(role == Role::Seeder),
        }
    }
}

/// What the store does not know about a peer yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unsaved {
    /// Nothing.
    Nothing,
    /// When it was heard of last.
    Seen,
    /// That, and where it may be reached.
    Moved,
}

struct File {
    hash: FileHash,
    size: u64,
    /// `None` while nobody online has the file: most files of a large catalogue.
    swarm: Option<Box<Swarm>>,
}

/// Totals over what is in the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Peers online.
    pub(crate) peers_online: u64,
    /// Files in the catalogue.
    pub(crate) files: u64,
    /// Files that somebody online holds, wholly or in part.
    pub(crate) swarms: u64,
    /// Pairs of an online peer and a file that it holds whole.
    pub(crate) seeders: u64,
    /// Pairs of an online peer and a file that it holds in part.
    pub(crate) leechers: u64,
    /// Sizes of all files that somebody online holds whole, in bytes.
    pub(crate) bytes_shared: u64,
}

/// Peers, files, swarms.
#[derive(Default)]
pub(crate) struct Table {
    peers: Slab<Peer>,
    slot_of: HashMap<PeerId, PeerSlot>,
    files: Slab<File>,
    file_of: HashMap<FileHash, FileSlot>,
    totals: Totals,
    /// Files whose swarms changed; may name some that are gone.
    changed: Vec<FileSlot>,
    is_watched: bool,
}

impl Table {
    /// Puts a peer in that is not there.
    pub(crate) fn insert_peer(&mut self, peer: StoredPeer, generation: Generation) -> PeerSlot {
        let id = peer.peer_id();
        let slot = self.peers.insert(Peer {
            key: peer.public_key,
            id,
            session: peer.session,
            contact: peer.contact,
            bandwidth: peer.bandwidth,
            last_seen: peer.last_seen,
            generation,
            unsaved: Unsaved::Nothing,
            is_relayed: false,
            files: Vec::new(),
        }) as PeerSlot;
        self.slot_of.insert(id, slot);
        self.totals.peers_online += 1;
        slot
    }

    /// Takes a peer out, of every swarm too.
    pub(crate) fn remove_peer(&mut self, slot: PeerSlot) {
        let Some(peer) = self.peers.get_mut(slot as usize) else {
            return;
        };
        for file in std::mem::take(&mut peer.files) {
            self.set_role(file, slot, None);
        }
        let peer = self.peers.remove(slot as usize);
        self.slot_of.remove(&peer.id);
        self.totals.peers_online -= 1;
    }

    /// Where a peer is kept, if it is online.
    pub(crate) fn slot_of(&self, peer: &PeerId) -> Option<PeerSlot> {
        self.slot_of.get(peer).copied()
    }

    /// The peer in a slot.
    pub(crate) fn peer(&self, slot: PeerSlot) -> Option<&Peer> {
        self.peers.get(slot as usize)
    }

    /// The peer in a slot, to be changed.
    pub(crate) fn peer_mut(&mut self, slot: PeerSlot) -> Option<&mut Peer> {
        self.peers.get_mut(slot as usize)
    }

    /// How many peers there are.
    pub(crate) fn peers(&self) -> usize {
        self.peers.len()
    }

    /// Puts a file in, if it is not there, and says where it is kept.
    pub(crate) fn insert_file(&mut self, hash: FileHash, size: u64) -> FileSlot {
        if let Some(slot) = self.file_of.get(&hash) {
            return *slot;
        }
        let swarm = None;
        let slot = self.files.insert(File { hash, size, swarm }) as FileSlot;
        self.file_of.insert(hash, slot);
        self.totals.files += 1;
        slot
    }

    /// Takes a file out, and everybody out of its swarm.
    pub(crate) fn remove_file(&mut self, slot: FileSlot) {
        let members: Vec<PeerSlot> = self
            .swarm(slot)
            .map_or_else(Vec::new, |swarm| swarm.members().collect());
        for peer in members {
            self.set_role(slot, peer, None);
        }
        if let Some(file) = self.files.try_remove(slot as usize) {
            self.file_of.remove(&file.hash);
            self.totals.files -= 1;
        }
    }

    /// Where a file is kept, if the catalogue has it.
    pub(crate) fn file_of(&self, hash: &FileHash) -> Option<FileSlot> {
        self.file_of.get(hash).copied()
    }

    /// Bytes of a file; 0 if there is none in the slot.
    pub(crate) fn size(&self, file: FileSlot) -> u64 {
        self.files.get(file as usize).map_or(0, |file| file.size)
    }

    /// The swarm of a file, if anybody is in it.
    pub(crate) fn swarm(&self, file: FileSlot) -> Option<&Swarm> {
        self.files.get(file as usize)?.swarm.as_deref()
    }

    /// Seeders and leechers of a file.
    pub(crate) fn counts(&self, file: FileSlot) -> (u32, u32) {
        let swarm = self.swarm(file);
        swarm.map_or((0, 0), |swarm| (swarm.seeders(), swarm.leechers()))
    }

    /// What a peer is in the swarm of a file.
    pub(crate) fn role(&self, file: FileSlot, peer: PeerSlot) -> Option<Role> {
        self.swarm(file)?.role(peer)
    }

    /// Makes a peer a seeder or leecher of a file, or neither.
    pub(crate) fn set_role(&mut self, file: FileSlot, peer: PeerSlot, role: Option<Role>) {
        let (Some(entry), Some(member)) = (
            self.files.get_mut(file as usize),
            self.peers.get_mut(peer as usize),
        ) else {
            return;
        };
        let swarm = entry.swarm.get_or_insert_default();
        let before = (swarm.seeders(), swarm.leechers());
        let was_in = swarm.role(peer).is_some();
        match role {
            Some(role) => swarm.join(peer, role),
            None => swarm.leave(peer),
        }
        let after = (swarm.seeders(), swarm.leechers());
        if swarm.is_empty() {
            entry.swarm = None;
        }
        match (was_in, role.is_some()) {
            (false, true) => member.files.push(file),
            (true, false) => member.files.retain(|other| *other != file),
            _ => {}
        }
        self.totals.moved(entry.size, before, after);
        if self.is_watched && before != after {
            self.changed.push(file);
        }
    }

    /// Whether changes of swarms are kept for somebody.
    pub(crate) fn watch(&mut self, is_watched: bool) {
        self.is_watched = is_watched;
        if !is_watched {
            self.changed = Vec::new();
        }
    }

    /// Files whose swarms changed since the last time, with seeders and leechers as they are now.
    pub(crate) fn take_changed(&mut self) -> Vec<(FileHash, (u32, u32))> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        let now = |slot| Some((self.files.get(slot as usize)?.hash, self.counts(slot)));
        changed.into_iter().filter_map(now).collect()
    }

    /// The totals.
    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }
}

impl Totals {
    /// A swarm went from `before` to `after` (seeders, leechers).
    fn moved(&mut self, size: u64, before: (u32, u32), after: (u32, u32)) {
        self.seeders = self.seeders + u64::from(after.0) - u64::from(before.0);
        self.leechers = self.leechers + u64::from(after.1) - u64::from(before.1);
        match (before, after) {
            ((0, 0), (0, 0)) => {}
            ((0, 0), _) => self.swarms += 1,
            (_, (0, 0)) => self.swarms -= 1,
            _ => {}
        }
        match (before.0, after.0) {
            (0, 1..) => self.bytes_shared += size,
            (1.., 0) => self.bytes_shared -= size,
            _ => {}
        }
    }
}
