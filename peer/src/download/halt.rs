//! Whether a download may ask for anything, and why not.
//!
//! Promises that what the owner said holds until the owner says otherwise, whatever the disk does meanwhile; and that a
//! full disk is tried again by itself. Pure: no clock, no disk.

use super::status::Pause;
use crate::error::Failure;
use std::time::{Duration, Instant};

/// How long a download waits for room on a full disk before it tries again.
const ROOM_AGAIN: Duration = Duration::from_secs(5);

/// What keeps a download from going on.
#[derive(Debug, Default)]
pub(super) struct Halt {
    by_owner: bool,
    /// The disk was full: what it said, and when it is tried again.
    no_room: Option<(Failure, Instant)>,
}

impl Halt {
    /// The owner says: stand still, or go on. Going on tries a full disk again at once.
    pub(super) fn on_owner(&mut self, paused: bool) {
        self.by_owner = paused;
        if !paused {
            self.no_room = None;
        }
    }

    /// The disk is full.
    pub(super) fn on_no_room(&mut self, failure: Failure, now: Instant) {
        self.no_room = Some((failure, now + ROOM_AGAIN));
    }

    /// Time passed; true if the disk is to be tried again and nothing else is in the way.
    pub(super) fn on_tick(&mut self, now: Instant) -> bool {
        let due = self.no_room.take_if(|(_, again)| *again <= now).is_some();
        due && !self.by_owner
    }

    /// Whether this is what the owner said.
    pub(super) fn agrees_with(&self, paused: bool) -> bool {
        self.by_owner == paused
    }

    /// Why it stands still, if it does. What the owner said comes first: it lasts longer.
    pub(super) fn reason(&self) -> Option<Pause> {
        let no_room = self.no_room.as_ref();
        match self.by_owner {
            true => Some(Pause::Owner),
            false => no_room.map(|(failure, _)| Pause::NoSpace(failure.clone())),
        }
    }

    /// Whether it stands still.
    pub(super) fn is_on(&self) -> bool {
        self.by_owner || self.no_room.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Failure {
        Failure::disk("no room")
    }

    #[test]
    fn a_full_disk_is_tried_again_by_itself() {
        let (mut halt, now) = (Halt::default(), Instant::now());
        assert!(!halt.is_on() && !halt.on_tick(now));
        halt.on_no_room(full(), now);
        assert_eq!(halt.reason(), Some(Pause::NoSpace(full())));
        assert!(!halt.on_tick(now + ROOM_AGAIN - Duration::from_millis(1)) && halt.is_on());
        assert!(halt.on_tick(now + ROOM_AGAIN) && !halt.is_on());
    }

    #[test]
    fn what_the_owner_said_holds_whatever_the_disk_does() {
        let (mut halt, now) = (Halt::default(), Instant::now());
        halt.on_owner(true);
        // A chunk that was under way found no room.
        halt.on_no_room(full(), now);
        assert_eq!(halt.reason(), Some(Pause::Owner));
        assert!(!halt.on_tick(now + ROOM_AGAIN));
        assert_eq!(halt.reason(), Some(Pause::Owner));
        halt.on_owner(false);
        assert!(!halt.is_on());
    }

    #[test]
    fn an_owner_who_says_go_on_has_a_full_disk_tried_at_once() {
        let (mut halt, now) = (Halt::default(), Instant::now());
        halt.on_no_room(full(), now);
        halt.on_owner(false);
        assert_eq!(halt.reason(), None);
    }
}
