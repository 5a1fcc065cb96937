//! The actor around [`Registry`]: gives it the time, and its changes to the store.
//!
//! Rebuilt from the store after a crash: it loads before it answers, and calls made meanwhile wait. Every handler is one
//! call of the registry.

use super::{
    challenge::Challenges,
    messages::{
        AddFile, CheckAnnounce, ChoosePeers, CountTotals, Expel, ExpiryTick, Heartbeat, KeepChallenge,
        KeyOfSession, Leave, LivePeers, Register, RemoveFile, SetRelayed, SetRole, SwarmCounts,
        TakeChallenge,
    },
    state::{Changes, Registry},
};
use crate::{
    clock::Clock,
    events::EventsHandle,
    storage::{Store, Write, writer::StoreWriterHandle},
};
use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, ContextFutureSpawner as _,
    Handler, MessageResult, WrapFuture as _,
};
use fail::fail_point;
use p2p_shared::id::PeerId;
use std::{sync::Arc, time::Duration};

/// How often the store hears who was heard of, at most: what a restart may forget of a lease. Where other trackers read it, they are
/// to know soon who came to the relay.
const FLUSH: Duration = Duration::from_secs(5);
const FLUSH_SHARED: Duration = Duration::from_secs(1);

/// Touches in one write: a few milliseconds of the store's time, so that announcements are not kept waiting.
const TOUCHES_A_WRITE: usize = 1000;

/// What the registry is made of.
#[derive(Clone)]
pub(crate) struct RegistryParts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) writer: StoreWriterHandle,
    pub(crate) clock: Clock,
    /// How long a silent peer counts as online.
    pub(crate) lease: Duration,
    /// Where the relay is, as peers are told.
    pub(crate) relay_url: Arc<str>,
    /// Who is told what happens.
    pub(crate) events: EventsHandle,
}

/// The live swarms.
pub(crate) struct TrackerRegistry {
    parts: RegistryParts,
    registry: Registry,
    challenges: Challenges,
}

impl TrackerRegistry {
    pub(crate) fn new(parts: RegistryParts) -> Self {
        Self {
            registry: Registry::new(millis(parts.lease)).with_relay(&parts.relay_url),
            challenges: Challenges::default(),
            parts,
        }
    }

    fn load(&self, ctx: &mut Context<Self>) {
        let (parts, lease) = (self.parts.clone(), millis(self.parts.lease));
        let heard_since = parts.clock.now().saturating_sub(lease);
        async move { parts.store.snapshot(heard_since).await }
            .into_actor(self)
            .map(move |snapshot, actor, ctx| match snapshot {
                Ok(snapshot) => {
                    let registry = Registry::restore(lease, snapshot, actor.parts.clock.now());
                    actor.registry = registry.with_relay(&actor.parts.relay_url);
                    // What it had not told before it was rebuilt went with it.
                    actor.parts.events.lost(1);
                    let totals = actor.registry.totals(actor.parts.clock.now());
                    tracing::info!(
                        peers = totals.peers_online,
                        files = totals.files,
                        "registry loaded"
                    );
                }
                Err(error) => {
                    tracing::error!(%error, "registry could not be loaded");
                    ctx.stop();
                }
            })
            .wait(ctx);
    }

    /// Tells what happened to who watches.
    fn tell_news(&mut self) {
        let events = &self.parts.events;
        let (news, lost) = self.registry.take_news(events.is_heard());
        events.publish(news);
        if lost > 0 {
            events.lost(lost);
        }
    }

    fn save(&mut self) {
        let Changes { touched, ended } = self.registry.take_changes();
        let touches = touched
            .chunks(TOUCHES_A_WRITE)
            .map(|touches| Write::TouchPeers(touches.to_vec()));
        let ends = (!ended.is_empty()).then_some(Write::EndPeers(ended));
        // Who is touched is here, perhaps again.
        for write in ends.into_iter().chain(touches) {
            if let Err(error) = self.parts.writer.tell(write) {
                // They are heard of again within a lease.
                tracing::warn!(%error, "signs of life were not saved");
            }
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Actor for TrackerRegistry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.load(ctx);
        let flush = if self.parts.store.is_shared() {
            FLUSH_SHARED
        } else {
            FLUSH
        };
        let tick = flush.min(self.parts.lease / 4);
        ctx.run_interval(tick, |_, ctx| ctx.notify(ExpiryTick));
    }
}

/// One handler: the fail point under its name, then one call of the registry at the present time.
macro_rules! handle {
    ($message:ident, |$actor:ident, $this:pat_param, $now:ident| $answer:expr) => {
        impl Handler<$message> for TrackerRegistry {
            type Result = MessageResult<$message>;

            fn handle(&mut self, message: $message, _: &mut Self::Context) -> Self::Result {
                fail_point!(concat!("TrackerRegistry::", stringify!($message)));
                let $now = self.parts.clock.now();
                let ($actor, $this) = (&mut *self, message);
                let answer = $answer;
                self.tell_news();
                MessageResult(answer)
            }
        }
    };
}

handle!(KeepChallenge, |actor, KeepChallenge { key, challenger }, now| {
    actor.challenges.keep(key, challenger, now);
});
handle!(TakeChallenge, |actor, TakeChallenge { nonce, key }, now| {
    actor
        .registry
        .check_room(&PeerId::of(&key), now)
        .map(|()| actor.challenges.take(&nonce, &key, now))
});
handle!(Register, |actor, Register(peer), now| actor
    .registry
    .on_registered(peer, now));
handle!(Heartbeat, |actor, Heartbeat { session, sign }, now| {
    actor.registry.on_heartbeat(session, sign, now)
});
handle!(Leave, |actor, Leave(session), now| actor
    .registry
    .on_leave(session, now));
handle!(Expel, |actor, Expel(peer), now| actor
    .registry
    .on_expelled(&peer, now));
handle!(KeyOfSession, |actor, KeyOfSession(session), now| {
    actor.registry.key_of(session, now)
});
handle!(SetRelayed, |actor, SetRelayed { session, is_relayed }, now| {
    actor.registry.on_relayed(session, is_relayed, now)
});
handle!(CheckAnnounce, |actor,
                        CheckAnnounce { session, hash, role },
                        now| {
    actor.registry.check_announce(session, &hash, role, now)
});
handle!(SetRole, |actor, SetRole { session, hash, role }, now| {
    actor.registry.on_announced(session, &hash, role, now)
});
handle!(AddFile, |actor, AddFile { hash, size }, _now| {
    actor.registry.on_file_added(hash, size);
});
handle!(RemoveFile, |actor, RemoveFile(hash), _now| {
    actor.registry.on_file_removed(&hash);
});
handle!(ChoosePeers, |actor,
                      ChoosePeers {
                          hash,
                          asker,
                          limit,
                          random,
                      },
                      now| {
    actor.registry.hand_out(&hash, asker, limit, random, now)
});
handle!(SwarmCounts, |actor, SwarmCounts(files), now| actor
    .registry
    .counts(&files, now));
handle!(LivePeers, |actor, LivePeers(peers), now| actor
    .registry
    .live(&peers, now));
handle!(CountTotals, |actor, CountTotals, now| actor.registry.totals(now));
handle!(ExpiryTick, |actor, ExpiryTick, now| {
    actor.registry.expire(now);
    actor.save();
});
