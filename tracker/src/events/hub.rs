//! The actor that numbers what happens and tells it.
//!
//! Soft state: after a crash the next one goes on counting, and everybody who watches begins anew.

use super::{
    Feed,
    event::{Event, Published},
    state::{Counted, EventState},
};
use crate::{clock::Clock, metrics::Metrics, relay::Counters};
use actix::{Actor, AsyncContext as _, Context, Handler, Message};
use fail::fail_point;
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

/// How often swarms and the relay are told of.
const TICK: Duration = Duration::from_secs(1);

/// Something happened.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Publish {
    /// The other tracker of the same database where it did; `None`: here.
    pub(crate) replica: Option<String>,
    /// What, in order.
    pub(crate) events: Vec<Event>,
}

/// Time passed.
#[derive(Message)]
#[rtype(result = "()")]
struct Tick;

/// What the hub is made of.
#[derive(Clone)]
pub(crate) struct HubParts {
    pub(crate) feed: Arc<Feed>,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) relay: Arc<Counters>,
}

/// Numbers events and tells them.
pub(crate) struct EventHub {
    parts: HubParts,
    state: EventState,
}

impl EventHub {
    pub(crate) fn new(parts: HubParts) -> Self {
        if parts.feed.last.load(Relaxed) > 0 {
            // What the one before had not told yet went with it.
            parts.feed.missed.fetch_add(1, Relaxed);
        }
        Self {
            parts,
            state: EventState::default(),
        }
    }

    fn tell(&self, event: Event, replica: Option<&str>) {
        let feed = &self.parts.feed;
        if replica.is_none() {
            // An error means that there are no other replicas.
            feed.outlet.send(Arc::new(event.clone())).ok();
        }
        let seq = feed.last.fetch_add(1, Relaxed) + 1;
        match Published::new(event, seq, self.parts.clock.now(), replica) {
            // An error means that nobody watches.
            Ok(published) => drop(feed.watchers.send(Arc::new(published))),
            Err(error) => tracing::error!(%error, "an event could not be written down"),
        }
    }

    fn counted(&self) -> Counted {
        let relay = self.parts.relay.stats();
        let (requests, announces) = self.parts.metrics.totals();
        Counted {
            requests,
            announces,
            relay_bytes: relay.bytes,
            relay_connections: relay.connections,
            relay_tunnels: relay.tunnels,
        }
    }
}

impl Actor for EventHub {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(TICK, |_, ctx| ctx.notify(Tick));
    }
}

impl Handler<Publish> for EventHub {
    type Result = ();

    fn handle(&mut self, Publish { replica, events }: Publish, _: &mut Self::Context) {
        fail_point!("EventHub::Publish");
        for event in events {
            if let Some(replica) = &replica {
                // What is to be told once a second was put together there.
                self.tell(event, Some(replica));
                continue;
            }
            match self.state.on_event(event) {
                Ok(Some(event)) => self.tell(event, None),
                Ok(None) => {}
                Err(()) => drop(self.parts.feed.missed.fetch_add(1, Relaxed)),
            }
        }
    }
}

impl Handler<Tick> for EventHub {
    type Result = ();

    fn handle(&mut self, Tick: Tick, _: &mut Self::Context) {
        fail_point!("EventHub::Tick");
        let counted = self.counted();
        for event in self.state.on_tick(counted) {
            self.tell(event, None);
        }
        let missed = self.parts.feed.missed.swap(0, Relaxed);
        if missed > 0 && self.parts.feed.watchers.receiver_count() > 0 {
            tracing::warn!(missed, "events were lost; who watches begins anew");
            // An error means that nobody watches.
            drop(
                self.parts
                    .feed
                    .watchers
                    .send(Arc::new(Published::Resync { missed })),
            );
        }
    }
}
