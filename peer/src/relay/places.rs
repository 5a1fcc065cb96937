//! Places for those who came through a relay and have not proved who they are.
//!
//! Promises that there are at most [`ALL`] at a time, that one peer (as the relay says) has at most [`EACH`] of them, and that a
//! place is given back when it is dropped.

use p2p_shared::id::PublicKey;
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Tunnels whose other end has not proved who it is, over all relays. Each may cost a handshake and what a tunnel may keep.
const ALL: usize = 256;

/// Of these from one peer: an honest one opens one at a time, and perhaps another one while an old one is not known to be dead.
const EACH: usize = 4;

/// The places. Clones are the same ones.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<Mutex<HashMap<PublicKey, usize>>>);

/// One of them, until it is dropped.
pub struct Place {
    places: Places,
    peer: PublicKey,
}

impl Places {
    /// A place for `peer`, if there is one.
    pub(super) fn take(&self, peer: PublicKey) -> Option<Place> {
        let mut taken = self.lock();
        let (all, its) = (taken.values().sum::<usize>(), taken.get(&peer).copied());
        if all >= ALL || its.unwrap_or_default() >= EACH {
            return None;
        }
        *taken.entry(peer).or_default() += 1;
        let places = self.clone();
        Some(Place { places, peer })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PublicKey, usize>> {
        // Nothing in here panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(its) = taken.get_mut(&self.peer) {
            *its = its.saturating_sub(1);
        }
        taken.retain(|_, its| *its > 0);
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({})", self.peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u16) -> PublicKey {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&n.to_be_bytes());
        PublicKey(key)
    }

    #[test]
    fn one_peer_takes_few_places_and_gives_them_back() {
        let places = Places::default();
        let mut its: Vec<_> = std::iter::from_fn(|| places.take(peer(1))).take(100).collect();
        assert_eq!(its.len(), EACH);
        assert!(places.take(peer(2)).is_some(), "another one has its own");
        its.pop();
        assert!(places.take(peer(1)).is_some());
        drop(its);
        assert!(places.lock().is_empty(), "nothing is kept of who is gone");
    }

    #[test]
    fn all_together_take_no_more_than_there_are() {
        let places = Places::default();
        let taken: Vec<_> = (0..1000).filter_map(|n| places.take(peer(n))).collect();
        assert_eq!(taken.len(), ALL);
        drop(taken);
        assert!(places.take(peer(0)).is_some());
    }
}
