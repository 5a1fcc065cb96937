//! Peers that are at home at other trackers of the same database.
//!
//! They are read from the store and kept for [`FRESH`], so a hand-out waits for the database at most once in that time, however many ask;
//! while the database is away, what was known last is handed out until its leases would be over. A tracker alone on its
//! database asks nothing.

use super::{HandOut, address, swarm::Role};
use crate::{
    clock::Clock,
    storage::{Elsewhere, PeerElsewhere, Store},
};
use p2p_shared::{
    id::{FileHash, PeerId},
    tracker_api::{PeerRecord, PeerStatus},
};
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long what was read counts, in milliseconds: a peer at another tracker is known here this much later at most.
const FRESH: u64 = 2000;

/// Swarms kept at most; beyond that those that are no longer fresh are let go.
const SWARMS: usize = 10_000;

/// How long a hand-out waits for the database before it goes without, or with what was known last.
const PATIENCE: Duration = Duration::from_millis(600);

/// What is known of a swarm. Times are Unix milliseconds.
#[derive(Default)]
struct Kept {
    /// When the database was asked last, whatever came of it: those who waited meanwhile do not ask it again.
    asked: u64,
    /// When it answered last.
    read: u64,
    swarm: Arc<Elsewhere>,
}

type Known = Arc<tokio::sync::Mutex<Kept>>;

/// Asks for swarms elsewhere. Clones share what is known.
#[derive(Clone)]
pub(crate) struct Others {
    store: Arc<dyn Store>,
    clock: Clock,
    lease: Duration,
    known: Arc<Mutex<HashMap<FileHash, Known>>>,
}

impl Others {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Clock, lease: Duration) -> Self {
        Self {
            store,
            clock,
            lease,
            known: Arc::default(),
        }
    }

    /// The peers of a file that are at home elsewhere, as of two seconds ago at most if the database answers.
    pub(crate) async fn swarm(&self, hash: FileHash) -> Arc<Elsewhere> {
        if !self.store.is_shared() {
            return Arc::default();
        }
        let entry = self.entry(hash);
        // One asks, the others wait for what it hears.
        let mut kept = entry.lock().await;
        let now = self.clock.now();
        if now < kept.asked + FRESH {
            return Arc::clone(&kept.swarm);
        }
        kept.asked = now;
        let read = tokio::time::timeout(PATIENCE, self.store.elsewhere(hash, self.lease)).await;
        if let Ok(Ok(swarm)) = read {
            kept.read = now;
            kept.swarm = Arc::new(swarm);
        } else if now >= kept.read.saturating_add(self.lease.as_millis() as u64) {
            // The store has said what is wrong; nobody's lease runs any more.
            kept.swarm = Arc::default();
        }
        Arc::clone(&kept.swarm)
    }

    /// Adds the peers elsewhere to seeders and leechers of files here.
    pub(crate) async fn add_counts(&self, hashes: Vec<FileHash>, counts: &mut [(u32, u32)]) {
        if !self.store.is_shared() {
            return;
        }
        let read = self.store.counts_elsewhere(hashes.clone(), self.lease);
        let Ok(Ok(elsewhere)) = tokio::time::timeout(PATIENCE, read).await else {
            return;
        };
        for (hash, count) in hashes.iter().zip(counts) {
            let (seeders, leechers) = elsewhere.get(hash).copied().unwrap_or_default();
            count.0 += seeders;
            count.1 += leechers;
        }
    }

    /// Whether a peer that is not here is online elsewhere, by when it was heard of last (Unix milliseconds).
    pub(crate) fn is_online(&self, online: bool, last_seen: u64) -> bool {
        let lease = self.lease.as_millis() as u64;
        self.store.is_shared() && online && self.clock.now() < last_seen.saturating_add(lease)
    }

    fn entry(&self, hash: FileHash) -> Known {
        // A map of handles is as good after a panic as before.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= SWARMS && !known.contains_key(&hash) {
            let limit = self.clock.now().saturating_sub(FRESH);
            let is_fresh = |entry: &Known| match entry.try_lock() {
                Ok(kept) => kept.asked > limit,
                // Somebody is asking.
                Err(_) => true,
            };
            known.retain(|_, entry| is_fresh(entry));
        }
        Arc::clone(known.entry(hash).or_default())
    }
}

/// Who asks for a hand-out, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Viewpoint {
    /// Its id, if it showed a registration.
    pub(crate) peer: Option<PeerId>,
    /// Where it is seen from.
    pub(crate) address: IpAddr,
}

/// A hand-out of peers here, with those elsewhere that the asker can reach. Of either at most their share of `limit`.
pub(crate) fn join(mut here: HandOut, elsewhere: &Elsewhere, asker: Viewpoint, limit: usize) -> HandOut {
    let known: HashSet<PeerId> = here.peers.iter().map(|peer| peer.peer_id).collect();
    let wanted = |other: &&PeerElsewhere| {
        let id = other.peer.peer_id();
        // A seeder needs nobody else's chunks.
        let is_of_use = here.asker != Some(Role::Seeder) || !other.is_seeder;
        is_of_use && asker.peer != Some(id) && !known.contains(&id)
    };
    let mut others: Vec<PeerRecord> = elsewhere
        .peers
        .iter()
        .filter(wanted)
        .filter_map(|other| record(other, asker.address))
        .collect();
    let all = here.peers.len() + others.len();
    if all > limit {
        let share = (limit * others.len()).div_ceil(all);
        others.truncate(share.max(limit.saturating_sub(here.peers.len())));
        here.peers.truncate(limit - others.len());
    }
    here.peers.append(&mut others);
    here.seeders += elsewhere.seeders;
    here.leechers += elsewhere.leechers;
    here
}

/// The peer as somebody at `viewer` may know it; none if they cannot reach it.
fn record(other: &PeerElsewhere, viewer: IpAddr) -> Option<PeerRecord> {
    let addresses = address::visible_to(&other.peer.contact, viewer);
    (other.relay_url.is_some() || !addresses.is_empty()).then(|| PeerRecord {
        peer_id: other.peer.peer_id(),
        public_key: other.peer.public_key,
        addresses,
        status: PeerStatus::Online,
        files: other.files,
        last_seen: other.peer.last_seen / 1000,
        bandwidth: other.peer.bandwidth,
        relay_url: other.relay_url.clone(),
        seeder: Some(other.is_seeder),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::live;
    use p2p_shared::id::PublicKey;

    fn other(seed: u8, is_seeder: bool) -> PeerElsewhere {
        PeerElsewhere {
            peer: live::peer(PublicKey([seed; 32]), 5),
            files: 1,
            is_seeder,
            relay_url: Some("ws://there/relay".to_owned()),
        }
    }

    fn elsewhere(count: u8) -> Elsewhere {
        Elsewhere {
            peers: (0..count).map(|seed| other(seed, seed % 2 == 0)).collect(),
            seeders: u32::from(count).div_ceil(2),
            leechers: u32::from(count / 2),
        }
    }

    fn here(seeds: std::ops::Range<u8>, asker: Option<Role>) -> HandOut {
        let all = seeds.clone().map(|seed| other(seed, true));
        HandOut {
            peers: all
                .filter_map(|other| record(&other, [127, 0, 0, 1].into()))
                .collect(),
            seeders: seeds.len() as u32,
            leechers: 0,
            asker,
        }
    }

    fn viewpoint(peer: Option<PeerId>) -> Viewpoint {
        Viewpoint {
            peer,
            address: [198, 51, 100, 9].into(),
        }
    }

    #[test]
    fn who_is_here_and_there_is_handed_out_once_and_the_asker_never() {
        let asker = PeerId::of(&PublicKey([3; 32]));
        let joined = join(here(0..2, None), &elsewhere(6), viewpoint(Some(asker)), 50);
        let mut ids: Vec<_> = joined.peers.iter().map(|peer| peer.peer_id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((ids.len(), joined.peers.len()), (5, 5));
        assert!(!ids.contains(&asker));
        assert_eq!((joined.seeders, joined.leechers), (5, 3));
    }

    #[test]
    fn a_seeder_is_told_leechers_only() {
        let joined = join(here(0..0, Some(Role::Seeder)), &elsewhere(6), viewpoint(None), 50);
        assert_eq!(joined.peers.len(), 3);
        assert!(joined.peers.iter().all(|peer| peer.seeder == Some(false)));
    }

    #[test]
    fn either_side_has_its_share_of_a_hand_out_that_is_too_small_for_all() {
        let joined = join(here(100..110, None), &elsewhere(30), viewpoint(None), 8);
        let there = joined.peers.iter().filter(|peer| peer.seeder == Some(false));
        assert_eq!(joined.peers.len(), 8);
        assert!(there.count() >= 1);
        assert_eq!(
            join(here(100..110, None), &elsewhere(0), viewpoint(None), 8)
                .peers
                .len(),
            8
        );
        assert_eq!(
            join(here(0..0, None), &elsewhere(30), viewpoint(None), 8)
                .peers
                .len(),
            8
        );
    }

    #[test]
    fn whom_the_asker_cannot_reach_is_not_handed_out() {
        let mut swarm = elsewhere(1);
        swarm.peers[0].relay_url = None;
        // It is on loopback of its own machine.
        assert!(
            join(here(0..0, None), &swarm, viewpoint(None), 8)
                .peers
                .is_empty()
        );
    }
}
