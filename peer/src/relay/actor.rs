//! The RelaySession actor: one relay in use. Carries out what [`SessionState`] decides, and publishes how the relay stands.
//!
//! Owns the connection: when this ends or crashes, so do the tunnels on it. Whoever opens one does so past the actor, over the
//! [`Link`](super::link::Link) that it publishes.

use super::{
    RelayAddress,
    dial::{Dialler, Stream},
    handshake::Credentials,
    link::{Connection, Heard, LinkEnd},
    messages::{DialEnded, Incoming, LinkHeard, Look, RelayNews, RelayState, Standing, Wish},
    places::Places,
    state::{Action, SessionState, Setback, Wanted},
};
use crate::client::{ClientStatus, TrackerClientHandle, TrackerUrl};
use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, ContextFutureSpawner as _,
    Handler, SpawnHandle, StreamHandler, WrapFuture as _,
};
use futures_util::{StreamExt as _, stream};
use p2p_shared::{
    id::PublicKey,
    protocol::relay::{RefuseReason, RelayFrame, TunnelId},
};
use std::{sync::Arc, time::Instant};
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

/// What a connection has heard and the actor has not looked at: a few, since the connection reads on when there is room.
const HEARD: usize = 64;

/// What a session works with; kept by its factory to build the next one.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) url: super::RelayUrl,
    pub(super) wish: watch::Receiver<Wish>,
    pub(super) standing: watch::Sender<Standing>,
    pub(super) client: TrackerClientHandle,
    pub(super) dialler: Arc<Dialler>,
    pub(super) news: mpsc::Sender<RelayNews>,
    /// Places for those that have not proved who they are.
    pub(super) strangers: Places,
    /// Connections that are saying goodbye.
    pub(super) goodbyes: TaskTracker,
}

/// One relay in use.
pub(super) struct RelaySession {
    parts: Parts,
    registrations: watch::Receiver<ClientStatus>,
    state: SessionState,
    connection: Option<Connection>,
    /// Counts connections: what an earlier one heard is not for this one.
    connections: u64,
    /// Whose token the connection has shown.
    shown_by: Option<TrackerUrl>,
    timer: Option<SpawnHandle>,
}

impl RelaySession {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            registrations: parts.client.status(),
            state: SessionState::new(Instant::now()),
            connection: None,
            connections: 0,
            shown_by: None,
            timer: None,
            parts,
        }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let wanted = self.wanted();
        let action = self.state.poll(now, &wanted);
        if action.is_none() && self.connection.is_none() && wanted.token.is_none() {
            self.publish(|standing| standing.state = RelayState::Unregistered);
        }
        let is_home = wanted.is_home;
        if let Some(action) = action {
            self.carry_out(action, ctx);
        }
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let next = self.state.next_wake(now, is_home);
        self.timer = next.map(|at| ctx.notify_later(Look, at.saturating_duration_since(now)));
    }

    fn wanted(&self) -> Wanted {
        let wish = self.parts.wish.borrow();
        let tunnels = self
            .connection
            .as_ref()
            .map_or(0, |connection| connection.link.tunnels());
        Wanted {
            is_home: wish.is_home,
            is_used: wish.waiting > 0 || tunnels > 0,
            token: registration(&wish, &self.registrations.borrow()).map(|(_, token)| token),
        }
    }

    fn carry_out(&mut self, action: Action, ctx: &mut Context<Self>) {
        match action {
            Action::Dial(token) => self.dial(token, ctx),
            Action::Renew(token) => {
                if let Some(tracker) = &self.shown_by {
                    tracing::debug!(relay = %self.parts.url, %tracker, "the relay does not know our registration");
                    self.parts.client.renew(tracker, token);
                }
            }
            Action::Finish => {
                tracing::debug!(relay = %self.parts.url, "nobody uses this relay any more");
                self.disconnect();
                ctx.stop();
            }
        }
    }

    fn dial(&mut self, token: Arc<str>, ctx: &mut Context<Self>) {
        let found = registration(&self.parts.wish.borrow(), &self.registrations.borrow());
        let tracker = found.map(|(tracker, _)| tracker);
        let api_key = tracker
            .as_ref()
            .and_then(|tracker| self.parts.client.api_key(tracker));
        self.shown_by = tracker;
        self.publish(|standing| standing.state = RelayState::Connecting);
        let dialler = Arc::clone(&self.parts.dialler);
        dialler
            .dial(self.parts.url.clone(), Credentials { token, api_key })
            .into_actor(self)
            .map(|result, _, ctx| ctx.notify(DialEnded { result }))
            .spawn(ctx);
    }

    /// It is reached; it is ready when it says so.
    fn on_connected(&mut self, stream: Stream, already: &[u8], ctx: &mut Context<Self>) {
        self.connections += 1;
        let (tell, heard) = mpsc::channel(HEARD);
        let goodbyes = &self.parts.goodbyes;
        let connection = match stream {
            Stream::Plain(stream) => {
                let (source, sink) = stream.into_split();
                Connection::start(source, already, sink, tell, goodbyes)
            }
            Stream::Wrapped(stream) => {
                let (source, sink) = tokio::io::split(stream);
                Connection::start(source, already, sink, tell, goodbyes)
            }
        };
        self.connection = Some(connection);
        ctx.add_stream(events(self.connections, heard));
    }

    fn on_heard(&mut self, heard: Heard, ctx: &mut Context<Self>) {
        match heard {
            Heard::Welcome => {
                self.state.on_connected(Instant::now());
                tracing::debug!(relay = %self.parts.url, "connected");
                let link = self
                    .connection
                    .as_ref()
                    .map(|connection| Arc::clone(&connection.link));
                self.publish(|standing| {
                    standing.state = RelayState::Connected;
                    standing.link = link;
                });
            }
            Heard::Offer { tunnel, peer, credit } => self.on_offer(tunnel, peer, credit),
            Heard::Signal { peer, bytes } => self.pass_on(|at| RelayNews::Signal {
                from: peer,
                at,
                sealed: bytes,
            }),
            Heard::Undelivered(peer) => self.pass_on(|at| RelayNews::Undelivered { peer, at }),
            Heard::GoingAway(elsewhere) => {
                tracing::debug!(relay = %self.parts.url, ?elsewhere, "the relay stops");
                self.publish(|standing| standing.state = RelayState::GoingAway);
            }
            Heard::Over(end) => {
                let setback = match &end {
                    LinkEnd::Ended(reason) => (*reason).into(),
                    LinkEnd::Broken(_) | LinkEnd::Stuck | LinkEnd::Crashed => Setback::Away,
                };
                self.connection = None;
                self.on_setback(setback, &end.to_string(), ctx);
            }
        }
    }

    fn on_offer(&self, tunnel: TunnelId, peer: PublicKey, credit: u32) {
        let (Some(connection), Some(at)) = (&self.connection, self.address()) else {
            return;
        };
        let link = &connection.link;
        // Either way the one that asks hears it, and may ask again.
        let place = self.parts.strangers.take(peer);
        if let (Some(place), Ok(room)) = (place, self.parts.news.try_reserve())
            && let Ok(tunnel) = link.accept(tunnel, credit)
        {
            room.send(RelayNews::Incoming(Incoming {
                peer,
                at,
                tunnel,
                place,
            }));
            return;
        }
        tracing::debug!(relay = %self.parts.url, %peer, "no place for another tunnel");
        let reason = RefuseReason::Busy;
        link.tell(&RelayFrame::Refused { tunnel, reason });
    }

    /// What may get lost, when too much waits.
    fn pass_on(&self, news: impl FnOnce(RelayAddress) -> RelayNews) {
        if let Some(at) = self.address()
            && let Err(error) = self.parts.news.try_send(news(at))
        {
            tracing::debug!(relay = %self.parts.url, %error, "a signal is dropped");
        }
    }

    fn address(&self) -> Option<RelayAddress> {
        let url = self.parts.url.clone();
        let tracker = self.shown_by.clone()?;
        Some(RelayAddress { url, tracker })
    }

    fn on_setback(&mut self, setback: Setback, why: &str, ctx: &mut Context<Self>) {
        let url = &self.parts.url;
        match setback {
            Setback::Replaced => tracing::warn!(
                relay = %url,
                "another program with this peer's identity took its place at the relay"
            ),
            Setback::Refused => tracing::warn!(relay = %url, why, "the relay refuses"),
            _ => tracing::debug!(relay = %url, why, "not connected"),
        }
        // Without randomness from the system peers come back together, which is no harm to this one.
        let chance = getrandom::u32().unwrap_or_default();
        let now = Instant::now();
        let action = self.state.on_setback(now, setback, chance);
        let paused = self.state.next_wake(now, true);
        self.publish(|standing| {
            standing.state = RelayState::BackingOff { why: why.to_owned() };
            standing.paused = paused;
            // Who waits for a relay that was connected until now waits for it to be so again.
            if standing.link.take().is_none() {
                standing.failures += 1;
            }
        });
        if let Some(action) = action {
            self.carry_out(action, ctx);
        }
        self.look(ctx);
    }

    fn disconnect(&mut self) {
        self.connection = None;
        self.publish(|standing| standing.link = None);
    }

    fn publish(&self, change: impl FnOnce(&mut Standing)) {
        self.parts.standing.send_modify(change);
    }
}

/// What a connection hears, and that it is over: also when nobody said so, because its task crashed.
fn events(connection: u64, heard: mpsc::Receiver<Heard>) -> impl stream::Stream<Item = LinkHeard> {
    let said = stream::unfold(heard, async |mut heard| Some((heard.recv().await?, heard)));
    let over = stream::once(async { Heard::Over(LinkEnd::Crashed) });
    said.chain(over).map(move |heard| LinkHeard { connection, heard })
}

/// The first tracker of those whose registration opens the relay that there is a registration with, and its token.
fn registration(wish: &Wish, status: &ClientStatus) -> Option<(TrackerUrl, Arc<str>)> {
    wish.trackers.iter().find_map(|tracker| {
        let token = status.trackers.get(tracker)?.token.as_ref()?;
        Some((tracker.clone(), Arc::clone(token)))
    })
}

impl Actor for RelaySession {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // What an earlier life published may be of a connection that it took with it.
        self.disconnect();
        let mut wish = self.parts.wish.clone();
        let mut registrations = self.registrations.clone();
        wish.mark_changed();
        let address = ctx.address().downgrade();
        // Ends with the actor, or when nobody is left who could want something.
        let watcher = async move {
            loop {
                let changed = tokio::select! {
                    changed = wish.changed() => changed,
                    changed = registrations.changed() => changed,
                };
                let (Ok(()), Some(address)) = (changed, address.upgrade()) else {
                    return;
                };
                if address.send(Look).await.is_err() {
                    return;
                }
            }
        };
        ctx.spawn(watcher.into_actor(self));
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.disconnect();
    }
}

impl Handler<Look> for RelaySession {
    type Result = ();

    fn handle(&mut self, _: Look, ctx: &mut Context<Self>) {
        fail::fail_point!("RelaySession::Look");
        self.look(ctx);
    }
}

impl Handler<DialEnded> for RelaySession {
    type Result = ();

    fn handle(&mut self, DialEnded { result }: DialEnded, ctx: &mut Context<Self>) {
        fail::fail_point!("RelaySession::DialEnded");
        match result {
            Ok(dialled) => self.on_connected(dialled.stream, &dialled.already, ctx),
            Err(error) => self.on_setback(error.setback(), &error.to_string(), ctx),
        }
    }
}

impl StreamHandler<LinkHeard> for RelaySession {
    fn handle(&mut self, event: LinkHeard, ctx: &mut Context<Self>) {
        fail::fail_point!("RelaySession::LinkHeard");
        if event.connection == self.connections && self.connection.is_some() {
            self.on_heard(event.heard, ctx);
        }
    }

    /// The connection is over, which was the last thing that it said; the session goes on.
    fn finished(&mut self, _: &mut Context<Self>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_that_ends_without_a_word_is_over_too() {
        let (tell, heard) = mpsc::channel(1);
        tell.try_send(Heard::Welcome).unwrap();
        drop(tell);
        let all: Vec<_> = events(3, heard).collect().await;
        assert!(matches!(all[0].heard, Heard::Welcome), "{all:?}");
        assert!(matches!(all[1].heard, Heard::Over(LinkEnd::Crashed)), "{all:?}");
        assert!(all.len() == 2 && all.iter().all(|event| event.connection == 3));
    }
}
