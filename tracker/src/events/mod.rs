//! What goes on, told to whoever watches.
//!
//! Reading order: [`event`] (what can happen), `state` (what is told when), [`hub`] (the actor that tells), [`session`] (one WebSocket) with
//! `subscription` (what its client wants to hear) and `credit` (how much of it may be on the way). The door is in [`crate::api`].
//!
//! Events are kept for nobody: the last [`KEPT`] are in one ring that all sessions read from, so a client that is slow costs no memory of its
//! own. One that falls behind the ring is told with `resync` how many events it missed, and gets a new snapshot. Whoever has something to
//! tell never waits here, and costs nothing while nobody listens.

mod credit;
pub(crate) mod event;
pub(crate) mod hub;
pub(crate) mod session;
mod state;
pub(crate) mod subscription;
#[cfg(test)]
mod tests;

use event::{Event, Published};
use hub::{EventHub, Publish};
use p2p_shared::supervision::{CallError, Handle};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use tokio::sync::{broadcast, watch};

/// Events that a session may be behind: some seconds of a busy tracker, at some 200 bytes each.
pub(crate) const KEPT: usize = 4096;

/// What outlives the hub: who listens, and how far the counting has come.
#[derive(Debug)]
pub(crate) struct Feed {
    /// To the sessions of this tracker.
    watchers: broadcast::Sender<Arc<Published>>,
    /// To the other replicas: what happened here.
    outlet: broadcast::Sender<Arc<Event>>,
    /// The number of the last event.
    last: AtomicU64,
    /// Events that could not be taken since the hub looked last.
    missed: AtomicU64,
    closing: watch::Sender<bool>,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            watchers: broadcast::Sender::new(KEPT),
            outlet: broadcast::Sender::new(KEPT),
            last: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            closing: watch::Sender::new(false),
        }
    }
}

/// Tells what happens, and lets others listen. Clones share it.
#[derive(Clone)]
pub(crate) struct EventsHandle {
    hub: Handle<EventHub>,
    feed: Arc<Feed>,
}

impl EventsHandle {
    pub(crate) fn new(hub: Handle<EventHub>, feed: Arc<Feed>) -> Self {
        Self { hub, feed }
    }

    /// Something happened at this tracker.
    pub(crate) fn publish(&self, events: Vec<Event>) {
        if events.is_empty() || !self.is_heard() {
            return;
        }
        let count = events.len();
        if self.tell(None, events).is_err() {
            self.lost(count as u64);
        }
    }

    /// Something happened at another tracker of the same database, under its name.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the way in for events of other replicas")
    )]
    pub(crate) fn publish_foreign(&self, replica: String, events: Vec<Event>) {
        let count = events.len();
        if self.watchers() > 0 && self.tell(Some(replica), events).is_err() {
            self.lost(count as u64);
        }
    }

    fn tell(&self, replica: Option<String>, events: Vec<Event>) -> Result<(), CallError> {
        self.hub.tell(Publish { replica, events })
    }

    /// What happens at this tracker from now on, for its other replicas. Who is too slow hears `Lagged`, and should tell the others to
    /// [start anew](Self::lost).
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the way out for events to other replicas")
    )]
    pub(crate) fn outlet(&self) -> broadcast::Receiver<Arc<Event>> {
        self.feed.outlet.subscribe()
    }

    /// Some events were not told: everybody who watches begins anew.
    pub(crate) fn lost(&self, events: u64) {
        self.feed.missed.fetch_add(events, Relaxed);
    }

    /// Whether anybody listens.
    pub(crate) fn is_heard(&self) -> bool {
        self.watchers() > 0 || self.feed.outlet.receiver_count() > 0
    }

    /// How many sessions there are.
    pub(crate) fn watchers(&self) -> usize {
        self.feed.watchers.receiver_count()
    }

    /// The number of the last event.
    pub(crate) fn last(&self) -> u64 {
        self.feed.last.load(Relaxed)
    }

    /// Ends every session.
    pub(crate) fn close(&self) {
        self.feed.closing.send_replace(true);
    }

    fn watch(&self) -> broadcast::Receiver<Arc<Published>> {
        self.feed.watchers.subscribe()
    }

    fn closing(&self) -> watch::Receiver<bool> {
        self.feed.closing.subscribe()
    }
}
