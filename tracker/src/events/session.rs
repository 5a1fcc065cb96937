//! One WebSocket of somebody who watches.
//!
//! Sends a snapshot, then what its client wants to hear, never more than the client's credit. A client that reads slowly falls behind the
//! ring, one that stops reading freezes this actor (the server does not poll it while the socket takes nothing); either way nothing is kept
//! for it. What the client says is read by the framing of the relay, which refuses a message for its announced length: that of
//! `actix-web-actors` collects any length first (docs/adr/0004-relay-websocket.md). Every life ends in `end`.

use super::{credit::Credit, event::Published, subscription::Subscription};
use crate::{
    api::Api,
    relay::{Incoming, Share, ShareLimits},
};
use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, ContextFutureSpawner as _,
    StreamHandler, WrapFuture as _,
};
use actix_web::{
    error::PayloadError,
    web::{self, Bytes},
};
use actix_web_actors::ws::{self, CloseCode, CloseReason, ProtocolError, WebsocketContext};
use bytestring::ByteString;
use fail::fail_point;
use futures_util::{Stream, StreamExt as _, stream};
use p2p_shared::websocket::{FrameError, Message, Opcode};
use serde_json::json;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::broadcast::{
    Receiver,
    error::{RecvError, TryRecvError},
};

/// How often a client is asked whether it is there.
const PING: Duration = Duration::from_secs(15);

/// A client of which nothing was heard for so long is gone.
const SILENCE: Duration = Duration::from_secs(45);

/// Bytes a second that a client may send: it says little.
const RATE: u64 = 64 * 1024;

/// Why a session ends, as its client is told (RFC 6455 section 7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EndReason {
    /// The client wants it, or is gone.
    Closed,
    /// Nothing was heard of the client.
    Silent,
    /// The client broke the protocol.
    Malformed,
    /// The client said something that is no subscription.
    Refused,
    /// Its key has expired or was revoked.
    KeyOver,
    /// The tracker stops.
    GoingAway,
    /// The tracker's numbers cannot be had.
    Fault,
}

impl EndReason {
    fn told(self) -> Option<CloseReason> {
        let (code, text) = match self {
            Self::Closed => (CloseCode::Normal, "goodbye"),
            Self::Silent => return None,
            Self::Malformed => (CloseCode::Protocol, "this is not the protocol"),
            Self::Refused => (CloseCode::Policy, "this is no subscription"),
            Self::KeyOver => (CloseCode::Policy, "the API key is not valid any more"),
            Self::GoingAway => (CloseCode::Away, "the tracker stops"),
            Self::Fault => (CloseCode::Again, "ask again in a second"),
        };
        Some((code, text).into())
    }
}

/// Begins a session: reads from `payload`, and gives back what is to be sent. `over` comes back when the client's key is not valid any more.
pub(crate) fn start<P>(
    api: web::Data<Api>,
    subscription: Subscription,
    over: impl Future<Output = ()> + 'static,
    payload: P,
) -> impl Stream<Item = Result<Bytes, actix_web::Error>>
where
    P: Stream<Item = Result<Bytes, PayloadError>> + Unpin + 'static,
{
    // Its key's share is of what is relayed; this is not.
    let share = Arc::new(Share::new(ShareLimits::default()));
    let incoming = Incoming::new(payload, (RATE, share), api.clock).map(translated);
    // What the client says comes by `incoming`; this stream only satisfies the context.
    let nothing = stream::pending::<Result<Bytes, PayloadError>>();
    WebsocketContext::with_factory(nothing, move |ctx| {
        MonitorSession::add_stream(incoming, ctx);
        MonitorSession {
            receiver: Some(api.events.watch()),
            api,
            subscription,
            over: Some(Box::pin(over)),
            credit: Credit::default(),
            heard: Instant::now(),
            is_ending: false,
        }
    })
}

type Ctx = WebsocketContext<MonitorSession>;

/// One client that watches.
pub(crate) struct MonitorSession {
    api: web::Data<Api>,
    subscription: Subscription,
    /// Comes back when the client may not watch any more.
    over: Option<Pin<Box<dyn Future<Output = ()>>>>,
    credit: Credit,
    /// Where events come from; elsewhere while one is waited for, or a snapshot.
    receiver: Option<Receiver<Arc<Published>>>,
    heard: Instant,
    is_ending: bool,
}

impl MonitorSession {
    /// The one way out.
    fn end(&mut self, reason: EndReason, ctx: &mut Ctx) {
        if !std::mem::replace(&mut self.is_ending, true) {
            tracing::debug!(?reason, "event session ends");
            ctx.close(reason.told());
            ctx.stop();
        }
    }

    fn send(&mut self, text: impl Into<ByteString>, ctx: &mut Ctx) {
        let text = text.into();
        let ping = self.credit.on_sent(text.len());
        ctx.text(text);
        if let Some(ping) = ping {
            ctx.ping(&ping);
        }
    }

    /// Sends how everything is now; what happened before `receiver` was made is in it.
    fn begin_anew(&mut self, missed: Option<u64>, ctx: &mut Ctx) {
        let Some(receiver) = self.receiver.take() else {
            return;
        };
        let api = self.api.clone();
        let seq = api.events.last();
        async move { (receiver, snapshot(&api, seq).await) }
            .into_actor(self)
            .map(move |(receiver, snapshot), session, ctx| {
                session.receiver = Some(receiver);
                let Some(snapshot) = snapshot else {
                    return session.end(EndReason::Fault, ctx);
                };
                if let Some(missed) = missed {
                    let at = session.api.clock.now();
                    let mark = json!({"seq": seq, "at": at, "type": "resync", "missed": missed});
                    session.send(mark.to_string(), ctx);
                }
                session.send(snapshot, ctx);
                session.pump(ctx);
            })
            .spawn(ctx);
    }

    /// Passes on what there is, as far as the client's credit goes, and waits for more.
    fn pump(&mut self, ctx: &mut Ctx) {
        while self.credit.is_open() && !self.is_ending {
            let Some(receiver) = &mut self.receiver else {
                return;
            };
            match receiver.try_recv() {
                Ok(published) => self.pass_on(&published, ctx),
                Err(TryRecvError::Empty) => return self.wait(ctx),
                Err(TryRecvError::Lagged(missed)) => self.begin_anew(Some(missed), ctx),
                Err(TryRecvError::Closed) => self.end(EndReason::GoingAway, ctx),
            }
        }
    }

    fn wait(&mut self, ctx: &mut Ctx) {
        let Some(mut receiver) = self.receiver.take() else {
            return;
        };
        async move {
            let received = receiver.recv().await;
            (receiver, received)
        }
        .into_actor(self)
        .map(|(receiver, received), session, ctx| {
            session.receiver = Some(receiver);
            match received {
                Ok(published) => session.pass_on(&published, ctx),
                Err(RecvError::Lagged(missed)) => session.begin_anew(Some(missed), ctx),
                Err(RecvError::Closed) => session.end(EndReason::GoingAway, ctx),
            }
            session.pump(ctx);
        })
        .spawn(ctx);
    }

    fn pass_on(&mut self, published: &Published, ctx: &mut Ctx) {
        match published {
            Published::Event { event, text } if self.subscription.wants(event) => {
                self.send(text.clone(), ctx);
            }
            Published::Event { .. } => {}
            Published::Resync { missed } => self.begin_anew(Some(*missed), ctx),
        }
    }

    fn on_message(&mut self, message: &ws::Message, ctx: &mut Ctx) {
        self.heard = Instant::now();
        match message {
            ws::Message::Text(text) => match Subscription::read(text.as_bytes()) {
                Ok(subscription) => {
                    self.subscription = subscription;
                    let (seq, at) = (self.api.events.last(), self.api.clock.now());
                    self.send(
                        json!({"seq": seq, "at": at, "type": "subscribed"}).to_string(),
                        ctx,
                    );
                }
                Err(error) => {
                    tracing::debug!(%error, "no subscription");
                    self.end(EndReason::Refused, ctx);
                }
            },
            ws::Message::Ping(said) => ctx.pong(said),
            ws::Message::Pong(said) => {
                self.credit.on_pong(said);
                self.pump(ctx);
            }
            ws::Message::Close(_) => self.end(EndReason::Closed, ctx),
            ws::Message::Binary(_) | ws::Message::Continuation(_) | ws::Message::Nop => {
                self.end(EndReason::Malformed, ctx);
            }
        }
    }

    fn look(&mut self, ctx: &mut Ctx) {
        if self.heard.elapsed() >= SILENCE {
            return self.end(EndReason::Silent, ctx);
        }
        let ping = self.credit.ping();
        ctx.ping(&ping);
    }
}

/// How everything is now; `None` if the registry does not say.
async fn snapshot(api: &Api, seq: u64) -> Option<String> {
    let totals = api.registry.totals().await;
    let totals = totals
        .inspect_err(|error| tracing::warn!(%error, "no snapshot"))
        .ok()?;
    let relay = api.relay.counters().stats();
    let snapshot = json!({
        "seq": seq,
        "at": api.clock.now(),
        "type": "snapshot",
        "peers_online": totals.peers_online,
        "files": totals.files,
        "swarms": totals.swarms,
        "seeders": totals.seeders,
        "leechers": totals.leechers,
        "bytes_shared": totals.bytes_shared,
        "relay": {"connections": relay.connections, "tunnels": relay.tunnels, "bytes": relay.bytes},
        "uptime_seconds": api.clock.uptime().as_secs(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    Some(snapshot.to_string())
}

impl Actor for MonitorSession {
    type Context = Ctx;

    fn started(&mut self, ctx: &mut Ctx) {
        self.begin_anew(None, ctx);
        ctx.run_interval(PING, Self::look);
        if let Some(over) = self.over.take() {
            over.into_actor(self)
                .map(|(), session, ctx| session.end(EndReason::KeyOver, ctx))
                .spawn(ctx);
        }
        let mut closing = self.api.events.closing();
        async move { closing.wait_for(|closing| *closing).await.is_ok() }
            .into_actor(self)
            .map(|_, session, ctx| session.end(EndReason::GoingAway, ctx))
            .spawn(ctx);
    }
}

/// A message of our framing in the words of `actix-web-actors`, whose context wants to handle those.
fn translated(read: Result<Message, FrameError>) -> Result<ws::Message, ProtocolError> {
    let message = read.map_err(|error| match error {
        FrameError::TooLong(_) => ProtocolError::Overflow,
        FrameError::Malformed(_) => ProtocolError::BadOpCode,
    })?;
    let payload = Bytes::copy_from_slice(message.payload());
    Ok(match message.opcode {
        Opcode::Text => {
            ws::Message::Text(ByteString::try_from(payload).map_err(|_| ProtocolError::BadOpCode)?)
        }
        Opcode::Binary => ws::Message::Binary(payload),
        Opcode::Ping => ws::Message::Ping(payload),
        Opcode::Pong => ws::Message::Pong(payload),
        Opcode::Close => ws::Message::Close(None),
        Opcode::Continuation => ws::Message::Nop,
    })
}

impl StreamHandler<Result<ws::Message, ProtocolError>> for MonitorSession {
    fn handle(&mut self, read: Result<ws::Message, ProtocolError>, ctx: &mut Ctx) {
        fail_point!("MonitorSession::Message");
        match read {
            _ if self.is_ending => {}
            Ok(message) => self.on_message(&message, ctx),
            Err(error) => {
                tracing::debug!(%error, "malformed frame");
                self.end(EndReason::Malformed, ctx);
            }
        }
    }

    fn finished(&mut self, ctx: &mut Ctx) {
        self.end(EndReason::Closed, ctx);
    }
}
