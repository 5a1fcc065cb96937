//! Who may call, how often, and what of the relay a key may use.
//!
//! [`Access`] is what everybody asks. Inside: [`key`] (what a key looks like, and what is kept of it), [`order`] (which keys may be
//! made), [`ring`] (the keys that are valid), [`limiter`] (requests a second, per address and per key), [`client`] (from where a request
//! really came), [`keeper`] (the actor that reads the store again and again, so that what any replica or command line changed counts here
//! within [`keeper::POLL`], and that writes down in groups what keys were used for).
//!
//! Never knows HTTP statuses: those are in `api`.

pub(crate) mod client;
pub(crate) mod keeper;
pub(crate) mod key;
pub(crate) mod limiter;
pub(crate) mod order;
pub(crate) mod ring;

use crate::{
    clock::Clock,
    relay::{Share, ShareLimits},
    storage::{Ban, KeyUse, StoredKey},
};
use limiter::AddressLimiter;
use p2p_shared::id::PeerId;
use ring::{HeldKey, Ring};
use std::{
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::sleep};

/// What is told to a tracker about access.
#[derive(Debug, Clone, Default)]
pub(crate) struct AccessLimits {
    /// Requests a second from one address, with a burst of two seconds; `None`: any number.
    pub(crate) requests: Option<NonZeroU32>,
    /// What the peers of a key share, if the key says nothing else.
    pub(crate) share: ShareLimits,
}

/// Who may call. Clones share it.
#[derive(Clone)]
pub(crate) struct Access {
    ring: Arc<watch::Sender<Arc<Ring>>>,
    addresses: Option<Arc<AddressLimiter>>,
    /// What callers without a key share, where none is needed.
    unnamed: Arc<Share>,
    limits: Arc<AccessLimits>,
    /// What was used under keys that are not valid any more and is not in the store yet.
    leftover: Arc<Mutex<Vec<KeyUse>>>,
    clock: Clock,
}

impl Access {
    /// With these keys and nobody banned; `is_open`: calls need no key as long as there is none.
    pub(crate) fn new(keys: Vec<StoredKey>, is_open: bool, limits: AccessLimits, clock: Clock) -> Self {
        let ring = Ring::default().next(keys, Vec::new(), !is_open, limits.share);
        Self {
            ring: Arc::new(watch::Sender::new(Arc::new(ring))),
            addresses: limits.requests.map(|rate| Arc::new(AddressLimiter::new(rate))),
            unnamed: Arc::new(Share::new(limits.share)),
            limits: Arc::new(limits),
            leftover: Arc::default(),
            clock,
        }
    }

    /// The keys and bans as they are now.
    pub(crate) fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.borrow())
    }

    /// Counts a request of this address. An error says how long to wait with the next one.
    pub(crate) fn check_address(&self, address: IpAddr) -> Result<(), Duration> {
        self.addresses
            .as_ref()
            .map_or(Ok(()), |limiter| limiter.check(address))
    }

    /// What a caller holds, until it is over: nothing, where no key is needed.
    pub(crate) fn grant(&self, key: Option<&HeldKey>) -> Grant {
        Grant {
            key: key.map(|key| key.stored.id.clone()),
            share: key.map_or_else(|| Arc::clone(&self.unnamed), |key| Arc::clone(&key.share)),
            ring: self.ring.subscribe(),
            clock: self.clock,
        }
    }

    /// These are the keys and bans from now on. Answers with the peers that are newly banned.
    fn replace(&self, keys: Vec<StoredKey>, bans: Vec<Ban>) -> Vec<PeerId> {
        let before = self.ring();
        let next = before.next(keys, bans, before.is_required(), self.limits.share);
        let leftover = before.uses_without(&next);
        self.give_back(leftover);
        let banned = next.banned_since(&before);
        if next.differs_from(&before) {
            tracing::debug!(keys = next.len(), "keys or bans changed");
        }
        // Always: what a key has relayed is in it too. Who waits looks again, which is cheap.
        self.ring.send_replace(Arc::new(next));
        banned
    }

    /// What the store does not know yet of how keys were used.
    fn take_uses(&self) -> Vec<KeyUse> {
        let mut uses = std::mem::take(&mut *self.leftover());
        uses.extend(self.ring().take_uses());
        uses
    }

    /// The store could not be told this: it will be told later.
    fn give_back(&self, uses: Vec<KeyUse>) {
        let mut leftover = self.leftover();
        for used in uses {
            // One entry for a key and a month, so that this stays as small as the number of keys.
            let same = leftover
                .iter_mut()
                .find(|there| there.id == used.id && there.relayed.month == used.relayed.month);
            match same {
                Some(there) => {
                    there.last_used = there.last_used.max(used.last_used);
                    there.relayed.bytes += used.relayed.bytes;
                }
                None => leftover.push(used),
            }
        }
    }

    fn leftover(&self) -> std::sync::MutexGuard<'_, Vec<KeyUse>> {
        self.leftover.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That a caller was let in, by which key, and what it shares with the others of that key.
#[derive(Clone)]
pub(crate) struct Grant {
    key: Option<String>,
    /// What the holders of the key use together.
    pub(crate) share: Arc<Share>,
    ring: watch::Receiver<Arc<Ring>>,
    clock: Clock,
}

impl Grant {
    /// Comes back when the key has expired or was revoked, or when there are keys now and the caller was let in without one.
    pub(crate) async fn over(mut self) {
        loop {
            let now = self.clock.now();
            let ring = Arc::clone(&self.ring.borrow_and_update());
            let Some(left) = ring.left(self.key.as_deref(), now) else {
                return;
            };
            tokio::select! {
                changed = self.ring.changed() => if changed.is_err() {
                    // The tracker ends, and says so itself.
                    std::future::pending::<()>().await;
                },
                () = sleep(left) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
