//! The actor of one relay connection.
//!
//! Lives on the thread that serves its socket, so bytes cross threads once, to the socket that they leave by. Gives every message to
//! [`SessionState`], which decides, and does what that cannot: ask the hub, watch whether the peer is there and still registered. Every
//! life ends in `end`, or by a crash, which [`Hangup`] and the ends of its tunnels notice.

use super::{
    RelayHandle,
    outbox::{Hangup, Outbox, WAITING},
    routes::ConnectionNumber,
    share::Taken,
    state::{Sent, SessionState, Wish},
    tunnel::{TunnelEnd, tunnel},
};
use crate::{
    access::Grant,
    registry::{Refused, RegistryError, token::Session},
};
use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, ContextFutureSpawner as _,
    Handler, Message, StreamHandler, WrapFuture as _,
};
use fail::fail_point;
use p2p_shared::{
    id::PublicKey,
    protocol::{
        relay::{EndReason, RefuseReason, RelayFrame, TunnelId},
        relay_codec::{DATA_PREFIX, IncomingFrame, decode_frame},
    },
    supervision::{Handle, Incarnation},
    websocket::{self, FrameError, Opcode},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// How often the peer is asked whether it is there, and its registration is looked at.
const PING: u64 = 10_000;

/// A peer of which nothing whole was heard for so long is gone, which is noticed at the next [`LOOK`]: within 20 s. The system does not notice it for us
/// (see [`crate::accepted`]).
const SILENCE: u64 = 17_500;

/// How often to look.
const LOOK: Duration = Duration::from_millis(2500);

/// How often to look whether the last tunnel is over, when the relay stops.
const LOOK_IDLE: Duration = Duration::from_millis(100);

/// How long tunnels last when the relay stops: less than the server waits for its connections.
const LAST_WORDS: Duration = Duration::from_secs(8);

/// Somebody wants to talk to the peer.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Offer {
    from: PublicKey,
    end: TunnelEnd,
    credit: u32,
}

/// The connection is to end.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct HangUp(EndReason);

/// The way to a session.
#[derive(Clone)]
pub(super) struct Link {
    session: Handle<RelaySession>,
    outbox: Outbox,
    /// The next number of a tunnel that is announced to the peer.
    next_tunnel: Arc<AtomicU32>,
}

impl Link {
    pub(super) fn new(session: Handle<RelaySession>, outbox: Outbox) -> Self {
        Self {
            session,
            outbox,
            next_tunnel: Arc::new(AtomicU32::new(1)),
        }
    }

    /// Whether the session has ended.
    pub(super) fn is_over(&self) -> bool {
        self.session.is_over()
    }

    /// Comes back when the session has ended.
    pub(super) async fn over(&self) {
        // There is no second life of a session, so the answer is that it is gone.
        self.session.rebuilt_since(Incarnation(u64::MAX)).await.ok();
    }

    /// Sends a signal of another peer. `false`: this one has too much waiting.
    pub(super) fn signal(&self, signal: &RelayFrame) -> bool {
        self.outbox.frame_of_other(signal)
    }

    /// Ends the session.
    pub(super) fn hang_up(&self, reason: EndReason) {
        if let Err(error) = self.session.tell(HangUp(reason)) {
            // It is ending, or so busy that it will be found silent.
            tracing::debug!(%error, ?reason, "a relay session was not told to end");
        }
    }
}

/// What a session is made of.
pub(super) struct SessionParts {
    pub(super) relay: RelayHandle,
    pub(super) peer: PublicKey,
    pub(super) number: ConnectionNumber,
    pub(super) registration: Session,
    /// What let it in, and what it shares with the other peers of its key.
    pub(super) grant: Grant,
    /// That it counts among their connections.
    #[expect(dead_code, reason = "held, and given back with the session")]
    pub(super) taken: Taken,
    pub(super) outbox: Outbox,
    pub(super) hangup: Hangup,
}

/// One connection.
pub(super) struct RelaySession {
    parts: SessionParts,
    state: SessionState,
    /// Unix milliseconds.
    heard: u64,
    pinged: u64,
    is_ending: bool,
}

impl RelaySession {
    pub(super) fn new(parts: SessionParts) -> Self {
        let now = parts.relay.clock.now();
        Self {
            state: SessionState::new(parts.peer, parts.relay.limits),
            parts,
            heard: now,
            pinged: now,
            is_ending: false,
        }
    }

    fn now(&self) -> u64 {
        self.parts.relay.clock.now()
    }

    /// The one way out.
    fn end(&mut self, reason: EndReason, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.is_ending, true) {
            tracing::debug!(peer = %self.parts.peer, reason = reason.name(), "relay connection ends");
            self.state.on_end(reason);
            self.parts.hangup.end(reason);
            ctx.stop();
        }
    }

    fn on_message(&mut self, message: websocket::Message, ctx: &mut Context<Self>) -> Result<(), EndReason> {
        self.heard = self.now();
        match message.opcode {
            Opcode::Binary => self.on_binary(message, ctx),
            Opcode::Text => Err(EndReason::Text),
            Opcode::Close => Err(EndReason::Closed),
            Opcode::Ping => {
                self.parts.outbox.control(Opcode::Pong, message.payload());
                Ok(())
            }
            Opcode::Pong => Ok(()),
            Opcode::Continuation => Err(EndReason::Malformed),
        }
    }

    fn on_binary(&mut self, message: websocket::Message, ctx: &mut Context<Self>) -> Result<(), EndReason> {
        match decode_frame(message.payload()) {
            Ok(IncomingFrame::Data { tunnel, bytes }) => {
                let bytes = bytes.len();
                debug_assert_eq!(message.payload().len(), bytes + DATA_PREFIX);
                self.on_data(tunnel, bytes, message)
            }
            Ok(IncomingFrame::Frame(frame)) => {
                let wish = self.state.on_frame(frame, self.now())?;
                wish.into_iter().for_each(|wish| self.fulfil(wish, ctx));
                Ok(())
            }
            Err(error) => {
                tracing::debug!(peer = %self.parts.peer, %error, "malformed relay frame");
                Err(EndReason::Malformed)
            }
        }
    }

    fn on_data(
        &mut self,
        tunnel: TunnelId,
        bytes: usize,
        message: websocket::Message,
    ) -> Result<(), EndReason> {
        if self.state.on_data(tunnel, bytes, message)? == Sent::Forwarded(bytes) {
            let (relay, now) = (&self.parts.relay, self.heard);
            relay.counters.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            if !self.parts.grant.share.add(bytes as u64, now) {
                self.state.on_used_up(tunnel);
            }
        }
        Ok(())
    }

    fn fulfil(&mut self, wish: Wish, ctx: &mut Context<Self>) {
        match wish {
            Wish::Answer(frame) => self.answer(&frame),
            Wish::Open { tunnel, peer, credit } => self.open(tunnel, peer, credit, ctx),
            Wish::Signal { peer, bytes } => {
                let (relay, from) = (self.parts.relay.clone(), self.parts.peer);
                async move { relay.signal(from, peer, bytes).await }
                    .into_actor(self)
                    .map(move |delivered, session, _| {
                        if !delivered {
                            session.answer(&RelayFrame::Undelivered { peer });
                        }
                    })
                    .spawn(ctx);
            }
        }
    }

    fn answer(&self, frame: &RelayFrame) {
        if let RelayFrame::Refused { reason, .. } = frame {
            self.parts.relay.counters.refused(*reason);
        }
        self.parts.outbox.frame(frame);
    }

    fn open(&mut self, id: TunnelId, peer: PublicKey, credit: u32, ctx: &mut Context<Self>) {
        let relay = self.parts.relay.clone();
        async move { relay.find(peer).await }
            .into_actor(self)
            .map(move |found, session, _| {
                if !session.state.on_looked_up(id) {
                    return;
                }
                let introduced = found.and_then(|link| session.introduce(id, &link, credit));
                if let Err(reason) = introduced {
                    session.answer(&RelayFrame::Refused { tunnel: id, reason });
                }
            })
            .spawn(ctx);
    }

    /// Makes the tunnel and asks the other peer. Its session answers straight to this peer.
    fn introduce(&mut self, id: TunnelId, link: &Link, credit: u32) -> Result<(), RefuseReason> {
        let SessionParts {
            relay, peer, grant, ..
        } = &self.parts;
        if grant.share.is_used_up(relay.clock.now()) {
            return Err(RefuseReason::Quota);
        }
        let taken = grant.share.tunnel().ok_or(RefuseReason::Quota)?;
        let asked = TunnelId(link.next_tunnel.fetch_add(2, Ordering::Relaxed));
        let near = (id, self.parts.outbox.clone());
        let far = (asked, link.outbox.clone());
        let made = tunnel(&relay.counters, near, far, credit);
        let (near, end) = made.map_err(|_| RefuseReason::Busy)?;
        self.state.on_introduced(near, Some(taken));
        let from = *peer;
        if let Err(error) = link.session.tell(Offer { from, end, credit }) {
            // The end was dropped with the offer, which the opener is told as the tunnel's close.
            tracing::debug!(%error, "a tunnel was not offered");
        }
        Ok(())
    }

    /// Looks whether the peer is there.
    fn look(&mut self, ctx: &mut Context<Self>) {
        let now = self.now();
        if now >= self.heard + SILENCE {
            return self.end(EndReason::Silent, ctx);
        }
        self.state.forget_what_is_over();
        if now >= self.pinged + PING.min(self.parts.relay.lease / 4) {
            self.pinged = now;
            self.parts.outbox.control(Opcode::Ping, b"");
            self.check_registration(ctx);
        }
    }

    /// Looks whether the peer is registered; the registry hears that it is connected.
    fn check_registration(&self, ctx: &mut Context<Self>) {
        let registry = self.parts.relay.registry.clone();
        let registration = self.parts.registration;
        async move { registry.set_relayed(registration, true).await }
            .into_actor(self)
            .map(|answer, session, ctx| match answer {
                Err(RegistryError::Refused(Refused::SessionOver)) => session.end(EndReason::LeaseOver, ctx),
                // It will be asked again.
                Err(error) => tracing::debug!(%error, "a registration was not looked at"),
                Ok(()) => {}
            })
            .spawn(ctx);
    }

    /// The relay stops: says so, and ends when nothing is lost by it.
    fn go_away(&mut self, ctx: &mut Context<Self>) {
        self.state.on_going_away();
        self.parts
            .outbox
            .frame(&RelayFrame::GoingAway { elsewhere: None });
        self.end_if_idle(ctx);
        ctx.run_interval(LOOK_IDLE, Self::end_if_idle);
        ctx.run_later(LAST_WORDS, |session, ctx| session.end(EndReason::GoingAway, ctx));
    }

    fn end_if_idle(&mut self, ctx: &mut Context<Self>) {
        if self.state.is_idle() {
            self.end(EndReason::GoingAway, ctx);
        }
    }
}

impl Actor for RelaySession {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let relay = &self.parts.relay;
        let welcome = RelayFrame::Welcome {
            tunnels: relay.limits.tunnels,
            waiting: WAITING as u32,
        };
        self.parts.outbox.frame(&welcome);
        let look = LOOK.min(Duration::from_millis(relay.lease / 4));
        ctx.run_interval(look, Self::look);
        let outbox = self.parts.outbox.clone();
        async move { outbox.broken().await }
            .into_actor(self)
            .map(|(), session, ctx| session.end(EndReason::Stalled, ctx))
            .spawn(ctx);
        let grant = self.parts.grant.clone();
        async move { grant.over().await }
            .into_actor(self)
            .map(|(), session, ctx| session.end(EndReason::KeyOver, ctx))
            .spawn(ctx);
        let mut draining = relay.draining.clone();
        async move { draining.wait_for(|draining| *draining).await.is_ok() }
            .into_actor(self)
            .map(|is_draining, session, ctx| {
                if is_draining {
                    session.go_away(ctx);
                }
            })
            .spawn(ctx);
    }
}

impl StreamHandler<Result<websocket::Message, FrameError>> for RelaySession {
    fn handle(&mut self, read: Result<websocket::Message, FrameError>, ctx: &mut Self::Context) {
        fail_point!("RelaySession::Message");
        if self.is_ending {
            return;
        }
        let done = match read {
            Ok(message) => self.on_message(message, ctx),
            Err(FrameError::TooLong(_)) => Err(EndReason::TooLong),
            Err(FrameError::Malformed(_)) => Err(EndReason::Malformed),
        };
        if let Err(reason) = done {
            self.end(reason, ctx);
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        self.end(EndReason::Closed, ctx);
    }
}

impl Handler<Offer> for RelaySession {
    type Result = ();

    fn handle(&mut self, Offer { from, end, credit }: Offer, _: &mut Self::Context) {
        fail_point!("RelaySession::Offer");
        if end.is_over() {
            // Closed before it could be announced: the peer would say yes to nobody.
            return;
        }
        match self.state.on_offer(end) {
            Ok(tunnel) => {
                let peer = from;
                let open = RelayFrame::Open { tunnel, peer, credit };
                if !self.parts.outbox.frame_of_other(&open) {
                    self.state.on_not_asked(tunnel);
                }
            }
            Err((end, reason)) => {
                self.parts.relay.counters.refused(reason);
                end.refuse(reason);
            }
        }
    }
}

impl Handler<HangUp> for RelaySession {
    type Result = ();

    fn handle(&mut self, HangUp(reason): HangUp, ctx: &mut Self::Context) {
        fail_point!("RelaySession::HangUp");
        self.end(reason, ctx);
    }
}
