//! The keys that are valid, the peers that are banned, and what hangs on them. Pure.
//!
//! A ring does not change; the next one takes its place and keeps the counters of every key that is in both.

use super::{
    key,
    limiter::{self, KeyLimiter},
};
use crate::{
    relay::{Share, ShareLimits},
    storage::{Ban, KeyUse, StoredKey},
};
use p2p_shared::id::PeerId;
use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// A grant is looked at again after this long even if nothing changed: no timer has to be right about clocks that are set.
const LONGEST_LOOK: Duration = Duration::from_secs(60);

/// A key with what it has been used for.
pub(crate) struct HeldKey {
    /// As the store has it.
    pub(crate) stored: StoredKey,
    /// What its holders use of the relay together.
    pub(crate) share: Arc<Share>,
    /// How often they may call; `None`: as often as they like.
    limiter: Option<Arc<KeyLimiter>>,
    used: Arc<Used>,
}

#[derive(Default)]
struct Used {
    /// When it was used last, Unix milliseconds.
    last: AtomicU64,
    /// What the store was told of that.
    told: AtomicU64,
}

impl HeldKey {
    fn new(stored: StoredKey, share: ShareLimits) -> Self {
        let quota = stored.quota;
        let limits = ShareLimits {
            connections: quota.connections.unwrap_or(share.connections),
            tunnels: quota.tunnels.unwrap_or(share.tunnels),
            rate: quota.rate.unwrap_or(share.rate),
            month: quota.month.unwrap_or(share.month),
        };
        Self {
            share: Arc::new(Share::new(limits)),
            limiter: quota
                .requests
                .and_then(NonZeroU32::new)
                .map(|rate| Arc::new(limiter::for_key(rate))),
            used: Arc::default(),
            stored,
        }
    }

    /// Counts a request at `now` (Unix milliseconds). An error says how long to wait with the next one.
    pub(crate) fn check(&self, now: u64) -> Result<(), Duration> {
        self.used.last.fetch_max(now, Relaxed);
        self.limiter
            .as_ref()
            .map_or(Ok(()), |limiter| limiter::check_key(limiter))
    }

    /// When it was used last, Unix milliseconds.
    pub(crate) fn last_used(&self) -> Option<u64> {
        let here = Some(self.used.last.load(Relaxed)).filter(|time| *time > 0);
        here.max(self.stored.last_used)
    }

    fn take_use(&self) -> Option<KeyUse> {
        let last_used = self.used.last.load(Relaxed);
        let is_news = self.used.told.swap(last_used, Relaxed) != last_used;
        let relayed = self.share.take_unsaved();
        (is_news || relayed.bytes > 0).then(|| KeyUse {
            id: self.stored.id.clone(),
            last_used,
            relayed,
        })
    }
}

/// Who may call, and who may not take part.
#[derive(Default)]
pub(crate) struct Ring {
    keys: HashMap<String, Arc<HeldKey>>,
    bans: HashMap<PeerId, Ban>,
    is_required: bool,
}

impl Ring {
    /// What comes after this one. Keys are needed from the first one on, and for good: that the last one was revoked opens no door.
    pub(super) fn next(
        &self,
        keys: Vec<StoredKey>,
        bans: Vec<Ban>,
        is_required: bool,
        share: ShareLimits,
    ) -> Self {
        let is_required = is_required || !keys.is_empty();
        let hold = |stored: StoredKey| {
            let held = match self.keys.get(&stored.id) {
                // A quota never changes: who is to have another one gets another key.
                Some(before) => HeldKey {
                    share: Arc::clone(&before.share),
                    limiter: before.limiter.clone(),
                    used: Arc::clone(&before.used),
                    stored,
                },
                None => HeldKey::new(stored, share),
            };
            held.share.on_stored(held.stored.month);
            (held.stored.id.clone(), Arc::new(held))
        };
        Self {
            keys: keys.into_iter().map(hold).collect(),
            bans: bans.into_iter().map(|ban| (ban.peer, ban)).collect(),
            is_required,
        }
    }

    /// Whether calls need a key.
    pub(crate) fn is_required(&self) -> bool {
        self.is_required
    }

    /// How many keys there are, expired ones included.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The key of this text at `now` (Unix milliseconds); `None` if it is not one of ours, or expired.
    pub(crate) fn find(&self, text: &str, now: u64) -> Option<&Arc<HeldKey>> {
        let key = self.keys.get(key::id_of(text)?)?;
        let right = key::is_right(text, &key.stored);
        (right && key::is_valid(&key.stored, now)).then_some(key)
    }

    /// The key of this id, expired or not.
    pub(crate) fn get(&self, id: &str) -> Option<&Arc<HeldKey>> {
        self.keys.get(id)
    }

    /// All keys, in the order of their ids.
    pub(crate) fn keys(&self) -> Vec<&Arc<HeldKey>> {
        let mut keys: Vec<_> = self.keys.values().collect();
        keys.sort_unstable_by(|one, other| one.stored.id.cmp(&other.stored.id));
        keys
    }

    /// Why a peer is kept out, if it is.
    pub(crate) fn ban(&self, peer: &PeerId) -> Option<&Ban> {
        self.bans.get(peer)
    }

    /// All bans, in the order of the peers' ids.
    pub(crate) fn bans(&self) -> Vec<&Ban> {
        let mut bans: Vec<_> = self.bans.values().collect();
        bans.sort_unstable_by_key(|ban| ban.peer);
        bans
    }

    /// How long from `now` (Unix milliseconds) who was let in by this key may stay before somebody looks again; `None`: it has to go.
    pub(super) fn left(&self, key: Option<&str>, now: u64) -> Option<Duration> {
        let Some(id) = key else {
            return (!self.is_required).then_some(LONGEST_LOOK);
        };
        let key = self.keys.get(id).filter(|key| key::is_valid(&key.stored, now))?;
        let left = key.stored.expires_at.map(|end| Duration::from_millis(end - now));
        Some(left.map_or(LONGEST_LOOK, |left| left.min(LONGEST_LOOK)))
    }

    pub(super) fn take_uses(&self) -> Vec<KeyUse> {
        self.keys.values().filter_map(|key| key.take_use()).collect()
    }

    /// What was used under keys that are in this ring and not in the next one.
    pub(super) fn uses_without(&self, next: &Self) -> Vec<KeyUse> {
        let gone = self.keys.iter().filter(|(id, _)| !next.keys.contains_key(*id));
        gone.filter_map(|(_, key)| key.take_use()).collect()
    }

    pub(super) fn banned_since(&self, before: &Self) -> Vec<PeerId> {
        let new = self.bans.keys().filter(|peer| !before.bans.contains_key(peer));
        new.copied().collect()
    }

    pub(super) fn differs_from(&self, other: &Self) -> bool {
        let same_keys = self.keys.len() == other.keys.len()
            && self.keys.iter().all(|(id, key)| {
                let there = other.keys.get(id);
                there.is_some_and(|there| there.stored.expires_at == key.stored.expires_at)
            });
        !same_keys || self.bans != other.bans
    }
}
