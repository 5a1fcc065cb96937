//! One connection to a relay, while it lasts: who has a tunnel on it sends and grants through this.
//!
//! Promises that bytes go from the socket to the tunnel that they are for, and from a tunnel to the socket, without passing an actor; the
//! actor hears what it has to decide ([`Heard`]). When it is over, for whatever reason, every tunnel on it has ended, and the
//! last thing that the actor hears is [`Heard::Over`].

use super::{
    inlet::{Inlet, InletError, Message},
    legs::{Leg, Legs, NoLeg},
    outbox::{self, Outbox},
    tunnel::{Pipe, Tunnel, TunnelEnd},
};
use bytes::{Buf as _, Bytes};
use p2p_shared::{
    id::PublicKey,
    protocol::{
        relay::{CloseReason, EndReason, RelayFrame, TunnelId},
        relay_codec::{DATA_PREFIX, IncomingFrame, decode_frame},
    },
    websocket::{Opcode, close_code},
};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Notify, mpsc},
    task::AbortHandle,
    time::{MissedTickBehavior, interval},
};
use tokio_util::task::TaskTracker;

/// How often the way to the relay and back is measured.
const MEASURE: Duration = Duration::from_secs(15);

/// How long a relay may take to say anything when our address has changed: far longer than a way there and back, and no longer than a transfer may stand still.
const ANSWER: Duration = Duration::from_secs(3);

/// How long a goodbye may take to be written.
const GOODBYE: Duration = Duration::from_secs(2);

/// What a connection tells its actor.
#[derive(Debug)]
pub(super) enum Heard {
    /// The relay is ready.
    Welcome,
    /// Somebody wants to talk to this peer.
    Offer {
        tunnel: TunnelId,
        peer: PublicKey,
        credit: u32,
    },
    /// Somebody has something to say.
    Signal { peer: PublicKey, bytes: Vec<u8> },
    /// What was to be said to somebody was not.
    Undelivered(PublicKey),
    /// The relay stops.
    GoingAway(Option<String>),
    /// The connection is over. Nothing comes after this.
    Over(LinkEnd),
}

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LinkEnd {
    /// The relay ended it.
    #[error("the relay ended the connection: {}", .0.name())]
    Ended(EndReason),
    /// It broke.
    #[error("{0}")]
    Broken(String),
    /// Its task ended without a word.
    #[error("what reads from the relay crashed")]
    Crashed,
    /// The relay takes nothing any more.
    #[error("the relay does not take what is sent to it")]
    Stuck,
}

/// A connection.
pub(super) struct Link {
    outbox: Outbox,
    legs: Legs,
    failed: Notify,
    doubted: Notify,
    /// Messages of any kind.
    heard: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    pinged: Mutex<Option<Instant>>,
    /// Microseconds to the relay and back; 0: not known.
    rtt: AtomicU64,
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            outbox: Outbox::new(),
            legs: Legs::new(),
            failed: Notify::new(),
            doubted: Notify::new(),
            heard: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            pinged: Mutex::default(),
            rtt: AtomicU64::new(0),
        }
    }

    /// Asks for a tunnel to `peer`. Nothing is to be sent before it has [opened](Tunnel::opened).
    pub(super) fn ask(self: &Arc<Self>, peer: PublicKey) -> Result<Tunnel, NoLeg> {
        let tunnel = self.tunnel(self.legs.ask()?);
        let (id, credit) = (tunnel.id(), tunnel.window());
        self.tell(&RelayFrame::Open {
            tunnel: id,
            peer,
            credit,
        });
        Ok(tunnel)
    }

    /// Says yes to a tunnel that somebody wants.
    pub(super) fn accept(self: &Arc<Self>, id: TunnelId, credit: u32) -> Result<Tunnel, NoLeg> {
        let tunnel = self.tunnel(self.legs.offer(id)?);
        let credit_to_us = self.legs.find(id).map(|pipe| pipe.open(credit));
        if let Some(Err(_)) = credit_to_us {
            // The relay lets no such offer through.
            self.fail();
        }
        self.tell(&RelayFrame::Opened {
            tunnel: id,
            credit: tunnel.window(),
        });
        Ok(tunnel)
    }

    fn tunnel(self: &Arc<Self>, leg: Leg) -> Tunnel {
        Tunnel::new(leg.id, leg.pipe, Arc::clone(self))
    }

    /// Sends a frame before all data. One that cannot be sent ends the connection: grants and answers must not get lost.
    pub(super) fn tell(&self, frame: &RelayFrame) {
        if self.outbox.frame(frame).is_err() {
            self.fail();
        }
    }

    /// Sends what may get lost. `false`: too much waits.
    pub(super) fn try_tell(&self, frame: &RelayFrame) -> bool {
        self.outbox.frame(frame).is_ok()
    }

    /// Sends bytes on a tunnel.
    pub(super) fn send(&self, tunnel: TunnelId, bytes: &[u8], of: &Arc<Pipe>) {
        self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.outbox.data(tunnel, bytes, Arc::clone(of));
    }

    /// So many bytes of a tunnel were read.
    pub(super) fn on_read(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Closes a tunnel, if it is not over.
    pub(super) fn close(&self, tunnel: TunnelId, reason: CloseReason) {
        if self.legs.remove(tunnel).is_some() {
            self.outbox.frame_in_order(&RelayFrame::Close { tunnel, reason });
        }
    }

    /// The window of a tunnel is worth `more`: what there is room for.
    pub(super) fn widen(&self, more: u32) -> Option<u32> {
        self.legs.widen(more)
    }

    /// A tunnel is dropped.
    pub(super) fn give_back(&self, window: u32) {
        self.legs.give_back(window);
    }

    /// Whether it is over, which its actor may not have heard yet.
    pub(super) fn is_over(&self) -> bool {
        self.legs.is_closed()
    }

    /// How many tunnels there are.
    pub(super) fn tunnels(&self) -> usize {
        self.legs.len()
    }

    /// Bytes of tunnels that came, and that went.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (
            self.received.load(Ordering::Relaxed),
            self.sent.load(Ordering::Relaxed),
        )
    }

    /// How long it takes to the relay and back, once that was measured.
    pub(super) fn rtt(&self) -> Option<Duration> {
        let micros = self.rtt.load(Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros))
    }

    fn fail(&self) {
        self.failed.notify_one();
    }

    /// Asks the relay whether it is there; if nothing comes soon, the connection is over.
    pub(super) fn doubt(&self) {
        self.doubted.notify_one();
    }

    /// Comes back when the relay was doubted, and said nothing.
    async fn proved_dead(&self) {
        loop {
            self.doubted.notified().await;
            let heard = self.heard.load(Ordering::Relaxed);
            self.ping();
            tokio::time::sleep(ANSWER).await;
            if self.heard.load(Ordering::Relaxed) == heard {
                return;
            }
        }
    }

    fn ping(&self) {
        *self.pinged.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        // Too much waits: then the measure would be of that.
        self.outbox.control(Opcode::Ping, b"").ok();
    }

    fn on_pong(&self) {
        let pinged = self.pinged.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(pinged) = pinged {
            let micros = pinged.elapsed().as_micros() as u64;
            self.rtt.store(micros.max(1), Ordering::Relaxed);
        }
    }

    /// Does what a message asks for. What the actor has to decide comes back.
    fn on_message(&self, message: Message) -> Result<Option<Heard>, LinkEnd> {
        match message.opcode {
            Opcode::Binary => self.on_binary(message.payload),
            Opcode::Ping => {
                if self.outbox.control(Opcode::Pong, &message.payload).is_err() {
                    return Err(LinkEnd::Stuck);
                }
                Ok(None)
            }
            Opcode::Pong => {
                self.on_pong();
                Ok(None)
            }
            Opcode::Close => Err(end_of(&message.payload)),
            Opcode::Text | Opcode::Continuation => Err(broken("it sent a text")),
        }
    }

    fn on_binary(&self, mut payload: Bytes) -> Result<Option<Heard>, LinkEnd> {
        match decode_frame(&payload) {
            Ok(IncomingFrame::Data { tunnel, .. }) => {
                payload.advance(DATA_PREFIX);
                // Over: what crossed the close is for nobody.
                if let Some(pipe) = self.legs.find(tunnel) {
                    let kept = pipe.on_data(payload);
                    kept.map_err(|_| broken("it sent more than was granted"))?;
                }
                Ok(None)
            }
            Ok(IncomingFrame::Frame(frame)) => self.on_frame(frame),
            Err(error) => Err(broken(&error.to_string())),
        }
    }

    fn on_frame(&self, frame: RelayFrame) -> Result<Option<Heard>, LinkEnd> {
        let too_much = |_| broken("it granted more than may be granted");
        match frame {
            RelayFrame::Open { tunnel, peer, credit } => {
                if tunnel.is_of_peer() {
                    return Err(broken(
                        "it gave a tunnel a number that is not the relay's to give",
                    ));
                }
                Ok(Some(Heard::Offer { tunnel, peer, credit }))
            }
            RelayFrame::Opened { tunnel, credit } => {
                // None: closed here before the answer came.
                if let Some(pipe) = self.legs.find(tunnel) {
                    if !pipe.is_asked() {
                        return Err(broken("it opened a tunnel twice"));
                    }
                    pipe.open(credit).map_err(too_much)?;
                }
                Ok(None)
            }
            RelayFrame::Refused { tunnel, reason } => {
                self.end(tunnel, TunnelEnd::Refused(reason));
                Ok(None)
            }
            RelayFrame::Credit { tunnel, bytes } => {
                let pipe = self.legs.find(tunnel);
                pipe.map_or(Ok(()), |pipe| pipe.on_credit(bytes))
                    .map_err(too_much)?;
                Ok(None)
            }
            RelayFrame::Close { tunnel, reason } => {
                self.end(tunnel, TunnelEnd::Closed(reason));
                Ok(None)
            }
            RelayFrame::Signal { peer, bytes } => Ok(Some(Heard::Signal { peer, bytes })),
            RelayFrame::Undelivered { peer } => Ok(Some(Heard::Undelivered(peer))),
            RelayFrame::GoingAway { elsewhere } => Ok(Some(Heard::GoingAway(elsewhere))),
            RelayFrame::Welcome { tunnels, waiting } => {
                if !self.legs.welcome(tunnels, waiting) {
                    return Err(broken("it welcomed this peer twice"));
                }
                Ok(Some(Heard::Welcome))
            }
        }
    }

    fn end(&self, tunnel: TunnelId, end: TunnelEnd) {
        if let Some(pipe) = self.legs.remove(tunnel) {
            pipe.end(end);
        }
    }
}

fn broken(why: &str) -> LinkEnd {
    LinkEnd::Broken(why.to_owned())
}

fn end_of(close: &[u8]) -> LinkEnd {
    let code = close_code(close);
    match code.and_then(EndReason::from_code) {
        Some(reason) => LinkEnd::Ended(reason),
        None => broken(&format!("the relay closed it with code {code:?}")),
    }
}

/// A connection at work. Dropping it says goodbye, and ends its tunnels.
pub(super) struct Connection {
    pub(super) link: Arc<Link>,
    reader: AbortHandle,
}

impl Connection {
    /// Starts the tasks of a connection on the current runtime; `already` was read of `source`. What is heard goes to `heard`. Until its
    /// goodbye is written it is one of `goodbyes`.
    pub(super) fn start(
        source: impl AsyncRead + Send + Unpin + 'static,
        already: &[u8],
        sink: impl AsyncWrite + Send + Unpin + 'static,
        heard: mpsc::Sender<Heard>,
        goodbyes: &TaskTracker,
    ) -> Self {
        let link = Arc::new(Link::new());
        let inlet = Inlet::new(source, already);
        // Not ended with the connection, so that its goodbye is written; whether it takes longer than that is seen to below.
        let writer = goodbyes.spawn(write(Arc::clone(&link), sink));
        let reading = Arc::clone(&link);
        let reader = tokio::spawn(async move {
            let _tunnels_end = Closing(Arc::clone(&reading));
            let end = tokio::select! {
                end = read(&reading, inlet, &heard) => end,
                written = writer => match written {
                    Ok(Err(error)) => broken(&format!("the connection broke: {error}")),
                    _ => broken("it is closed"),
                },
                () = reading.failed.notified() => LinkEnd::Stuck,
                () = reading.proved_dead() => broken("nothing was heard of the relay since this machine's address changed"),
            };
            reading.legs.close();
            // The actor is gone: then nobody wants to know.
            heard.send(Heard::Over(end)).await.ok();
        });
        Self {
            link,
            reader: reader.abort_handle(),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.link.legs.close();
        self.link.outbox.finish();
        self.reader.abort();
    }
}

/// Ends the tunnels of a connection whose reader ends, however that happens.
struct Closing(Arc<Link>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.legs.close();
        self.0.outbox.finish();
    }
}

async fn read(link: &Link, mut inlet: Inlet<impl AsyncRead + Unpin>, heard: &mpsc::Sender<Heard>) -> LinkEnd {
    loop {
        let message = match inlet.next().await {
            Ok(message) => message,
            Err(error @ (InletError::Broken(_) | InletError::Silent | InletError::Violation(_))) => {
                return broken(&error.to_string());
            }
        };
        link.heard.fetch_add(1, Ordering::Relaxed);
        match link.on_message(message) {
            Ok(None) => {}
            Ok(Some(news)) => {
                if heard.send(news).await.is_err() {
                    return broken("nobody wants it any more");
                }
            }
            Err(end) => return end,
        }
    }
}

async fn write(link: Arc<Link>, sink: impl AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut measure = interval(MEASURE);
    measure.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut writing = std::pin::pin!(outbox::write(&link.outbox, sink));
    let mut closed = std::pin::pin!(async {
        link.outbox.closed().await;
        tokio::time::sleep(GOODBYE).await;
    });
    let written = loop {
        tokio::select! {
            written = &mut writing => break written,
            () = &mut closed => break Err(std::io::ErrorKind::TimedOut.into()),
            _ = measure.tick() => link.ping(),
        }
    };
    link.outbox.discard();
    written
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
