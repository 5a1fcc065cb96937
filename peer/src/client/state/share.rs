//! What one tracker has been told about one file.

use super::Announcement;
use p2p_shared::tracker_api::Have;
use std::time::Instant;

/// What has been told about a file.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) told: Option<Have>,
    pub(super) sending: bool,
    /// When it is told (again).
    pub(super) next: Instant,
    /// The first chunk hash that the tracker is known to want; none while it is assumed to know the file.
    pub(super) wants_from: Option<u32>,
    pub(super) failures: u32,
}

impl Share {
    pub(super) fn new(now: Instant, fresh: bool) -> Self {
        Self {
            told: None,
            sending: false,
            next: now,
            wants_from: fresh.then_some(0),
            failures: 0,
        }
    }

    /// What to tell now, if anything: how much is held, and from which chunk on the hashes go with it.
    pub(super) fn due(&self, now: Instant, wanted: Option<&Announcement>) -> Option<(Have, Option<u32>)> {
        if self.sending {
            return None;
        }
        let Some(wanted) = wanted else {
            return Some((Have::Stopped, None));
        };
        let changed = self.told.is_some_and(|told| told != wanted.have) && self.failures == 0;
        if self.next > now && !changed {
            return None;
        }
        // Without the hashes the file cannot be announced in full; somebody who has them will.
        Some((wanted.have, self.wants_from.filter(|_| wanted.hashes.is_some())))
    }
}
