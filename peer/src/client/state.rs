//! What one tracker has to be told next: registration, heartbeats, announcements. Pure: the time and `chance` (any
//! random number) are arguments, actions come back in a list, outcomes of actions come in through `on_*`.
//!
//! The tracker is driven towards a wanted state ([`Announcement`]s by hash). Whatever it forgets (a lease that ran
//! out, a restart, a lost database) shows in an answer and is told again.

mod pause;
mod share;

use super::CallError;
use p2p_shared::{
    id::{ChunkHash, FileHash},
    manifest::Manifest,
    tracker_api::{AnnounceResponse, Have},
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use pause::{RETRIES, pause_after, spread};
use share::Share;

/// Heartbeats in a lease: two may get lost.
const HEARTBEATS_A_LEASE: u32 = 3;

/// However short a lease or an interval the tracker names, it is not asked more often than this.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// Announcements under way at once; a daemon with a thousand shares must not open a thousand connections.
const ANNOUNCEMENTS_AT_ONCE: usize = 4;

/// What a tracker shall know about one file.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// What the file is.
    pub manifest: Arc<Manifest>,
    /// The hashes of all its chunks, for a tracker that does not have them; none before they are known.
    pub hashes: Option<Arc<[ChunkHash]>>,
    /// How much of it is here.
    pub have: Have,
    /// Whether it was made just now, so that the tracker cannot know it yet (saves one call).
    pub fresh: bool,
}

/// A call to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Ask for a challenge, answer it.
    Register { epoch: u64 },
    /// Say that this peer is still there.
    Heartbeat { epoch: u64, token: Arc<str> },
    /// Say what is held of a file.
    Announce(AnnounceCall),
}

/// One announcement call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnnounceCall {
    pub(crate) epoch: u64,
    pub(crate) token: Arc<str>,
    pub(crate) hash: FileHash,
    pub(crate) have: Have,
    /// With metadata and the chunk hashes from this chunk on; none: only hash and `have`.
    pub(crate) full_from: Option<u32>,
}

/// What an accepted registration gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) token: Arc<str>,
    pub(crate) length: Duration,
}

/// Everything known about one tracker.
#[derive(Debug)]
pub(crate) struct TrackerState {
    registration: Registration,
    /// Counts registrations: what was sent under an earlier one says nothing about this one.
    epoch: u64,
    /// Failed calls in a row, of registration and heartbeat.
    failures: u32,
    shares: HashMap<FileHash, Share>,
}

#[derive(Debug)]
enum Registration {
    Absent { retry: Instant },
    UnderWay,
    Held { lease: Lease, heartbeat: Instant },
    HeldBeating { lease: Lease },
}

impl TrackerState {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            registration: Registration::Absent { retry: now },
            epoch: 0,
            failures: 0,
            shares: HashMap::new(),
        }
    }

    /// The token of the registration, while there is one.
    pub(crate) fn token(&self) -> Option<&Arc<str>> {
        match &self.registration {
            Registration::Held { lease, .. } | Registration::HeldBeating { lease } => Some(&lease.token),
            _ => None,
        }
    }

    /// Whether the tracker has acknowledged what is wanted of `hash` now, and has the whole record.
    pub(crate) fn is_announced(&self, hash: &FileHash, have: Have) -> bool {
        self.shares
            .get(hash)
            .is_some_and(|share| share.told == Some(have) && share.wants_from.is_none())
    }

    /// The calls to make now. `wanted` is what the tracker shall know.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        wanted: &HashMap<FileHash, Arc<Announcement>>,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        match &self.registration {
            Registration::Absent { retry } if *retry <= now => {
                self.epoch += 1;
                self.registration = Registration::UnderWay;
                actions.push(Action::Register { epoch: self.epoch });
            }
            Registration::Held { lease, heartbeat } if *heartbeat <= now => {
                let lease = lease.clone();
                let token = lease.token.clone();
                self.registration = Registration::HeldBeating { lease };
                actions.push(Action::Heartbeat {
                    epoch: self.epoch,
                    token,
                });
            }
            _ => {}
        }
        if let Some(token) = self.token().cloned() {
            self.poll_shares(now, &token, wanted, &mut actions);
        }
        actions
    }

    fn poll_shares(
        &mut self,
        now: Instant,
        token: &Arc<str>,
        wanted: &HashMap<FileHash, Arc<Announcement>>,
        actions: &mut Vec<Action>,
    ) {
        for (hash, announcement) in wanted {
            self.shares
                .entry(*hash)
                .or_insert_with(|| Share::new(now, announcement.fresh));
        }
        // What was never told needs no taking back.
        self.shares
            .retain(|hash, share| wanted.contains_key(hash) || share.sending || share.told.is_some());
        let mut room = self.room();
        for (hash, share) in &mut self.shares {
            if room == 0 {
                break;
            }
            let Some((have, full_from)) = share.due(now, wanted.get(hash).map(AsRef::as_ref)) else {
                continue;
            };
            share.sending = true;
            room -= 1;
            actions.push(Action::Announce(AnnounceCall {
                epoch: self.epoch,
                token: token.clone(),
                hash: *hash,
                have,
                full_from,
            }));
        }
    }

    /// How many more announcements may be under way.
    fn room(&self) -> usize {
        let sending = self.shares.values().filter(|share| share.sending).count();
        ANNOUNCEMENTS_AT_ONCE.saturating_sub(sending)
    }

    /// When [`Self::poll`] has something to do again, if nothing happens before.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        let own = match &self.registration {
            Registration::Absent { retry } => return Some(*retry),
            Registration::UnderWay => return None,
            Registration::Held { heartbeat, .. } => Some(*heartbeat),
            Registration::HeldBeating { .. } => None,
        };
        // With no room for another announcement the next answer is what there is to wait for.
        let shares = (self.room() > 0).then(|| self.shares.values().filter(|s| !s.sending).map(|s| s.next));
        own.into_iter().chain(shares.into_iter().flatten()).min()
    }

    /// The tracker registered this peer.
    pub(crate) fn on_registered(&mut self, now: Instant, epoch: u64, lease: Lease) {
        if epoch != self.epoch {
            return;
        }
        self.failures = 0;
        self.hold(now, lease);
        for share in self.shares.values_mut() {
            share.told = None;
            share.next = now;
        }
    }

    /// The tracker heard the heartbeat and grants `length` more.
    pub(crate) fn on_heartbeat(&mut self, now: Instant, epoch: u64, length: Duration) {
        if epoch != self.epoch {
            return;
        }
        if let Registration::HeldBeating { lease } = &self.registration {
            self.failures = 0;
            let token = lease.token.clone();
            self.hold(now, Lease { token, length });
        }
    }

    fn hold(&mut self, now: Instant, lease: Lease) {
        let heartbeat = now + (lease.length / HEARTBEATS_A_LEASE).max(SHORTEST_PAUSE);
        self.registration = Registration::Held { lease, heartbeat };
    }

    /// Registering failed, or a heartbeat.
    pub(crate) fn on_failed(&mut self, now: Instant, epoch: u64, error: &CallError, chance: u32) {
        if epoch != self.epoch {
            return;
        }
        if error.is_registration_lost() {
            return self.lose_registration(now);
        }
        let pause = pause_after(error, self.failures, chance);
        self.failures = self.failures.saturating_add(1);
        self.registration = match std::mem::replace(&mut self.registration, Registration::UnderWay) {
            Registration::HeldBeating { lease } => Registration::Held {
                lease,
                heartbeat: now + pause,
            },
            Registration::UnderWay => Registration::Absent { retry: now + pause },
            other => other,
        };
    }

    /// This token turned out to be worth nothing: if it is the one that is held, another is wanted.
    pub(crate) fn on_lost(&mut self, now: Instant, token: &str) {
        if self.token().is_some_and(|held| **held == *token) {
            self.lose_registration(now);
        }
    }

    fn lose_registration(&mut self, now: Instant) {
        self.registration = Registration::Absent { retry: now };
        for share in self.shares.values_mut() {
            share.told = None;
            share.next = now;
        }
    }

    /// The tracker acknowledged an announcement.
    pub(crate) fn on_announced(
        &mut self,
        now: Instant,
        call: &AnnounceCall,
        answer: AnnounceResponse,
        chance: u32,
    ) {
        let Some(share) = self.answered(call) else { return };
        if call.have == Have::Stopped {
            self.shares.remove(&call.hash);
            return;
        }
        let wants_from = (!answer.complete).then_some(answer.next_chunk);
        // Told the same as last time, for want of the hashes or because the tracker did not take them.
        let stuck = !answer.complete && wants_from == share.wants_from;
        share.told = Some(call.have);
        share.wants_from = wants_from;
        share.next = now
            + if answer.complete {
                share.failures = 0;
                spread(
                    Duration::from_secs(answer.interval.into()).max(SHORTEST_PAUSE),
                    chance,
                )
            } else if stuck {
                share.failures = share.failures.saturating_add(1);
                RETRIES.delay(share.failures, chance)
            } else {
                Duration::ZERO
            };
    }

    /// An announcement failed.
    pub(crate) fn on_announce_failed(
        &mut self,
        now: Instant,
        call: &AnnounceCall,
        error: &CallError,
        chance: u32,
    ) {
        let current = call.epoch == self.epoch;
        let Some(share) = self.answered(call) else { return };
        if call.have == Have::Stopped {
            // It is not handed out for longer than its interval anyway.
            self.shares.remove(&call.hash);
        } else if error.is_file_unknown() && share.wants_from.is_none() {
            share.wants_from = Some(0);
            share.next = now;
        } else {
            share.next = now + pause_after(error, share.failures, chance);
            share.failures = share.failures.saturating_add(1);
        }
        if current && error.is_registration_lost() {
            self.lose_registration(now);
        }
    }

    /// The share that `call` was about, no longer being sent; none if the answer is of an earlier registration.
    fn answered(&mut self, call: &AnnounceCall) -> Option<&mut Share> {
        let current = call.epoch == self.epoch;
        let share = self.shares.get_mut(&call.hash)?;
        share.sending = false;
        current.then_some(share)
    }
}

#[cfg(test)]
mod tests;
