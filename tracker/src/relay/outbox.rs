//! What waits to be sent to one peer.
//!
//! Two queues: frames about tunnels go first, bytes of tunnels and their ends keep their order behind them. The first is bounded
//! in frames, the second by the credit that the peer itself granted, and in all by [`WAITING`]. A peer that lets more wait does not
//! read what it asked for: the queue breaks, and its session ends it. Nobody ever waits here for a slow reader.

use super::counters::Counters;
use actix_web::web::Bytes;
use futures_util::Stream;
use p2p_shared::{
    protocol::{
        relay::{EndReason, RelayFrame},
        relay_codec::encode_frame,
    },
    websocket::{self, Opcode, close_payload},
};
use std::{
    convert::Infallible,
    future::Future as _,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};
use tokio::sync::{Notify, mpsc, oneshot};

/// Bytes that may wait for a peer: sixteen tunnels that are granted as much as one may be.
pub(super) const WAITING: usize = 16 * 1024 * 1024;

/// Frames about tunnels that may wait for a peer.
const FRAMES: usize = 1024;

/// The way to a peer. Clones lead to the same one.
#[derive(Clone)]
pub(super) struct Outbox {
    frames: mpsc::Sender<Bytes>,
    bytes: mpsc::UnboundedSender<Bytes>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    waiting: AtomicUsize,
    is_broken: AtomicBool,
    broke: Notify,
}

/// How a connection is ended.
pub(super) struct Ending {
    reason: EndReason,
    /// Whether what waits is sent before.
    flush: bool,
}

impl Outbox {
    /// A new one; what goes out of it is the body of the connection's response.
    pub(super) fn new(counters: &Arc<Counters>) -> (Self, Hangup, Outgoing) {
        let (frames, frames_out) = mpsc::channel(FRAMES);
        let (bytes, bytes_out) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let state = Arc::new(State::default());
        let outgoing = Outgoing {
            frames: frames_out,
            bytes: bytes_out,
            state: Arc::clone(&state),
            end: ended,
            last: None,
        };
        let outbox = Self { frames, bytes, state };
        let hangup = Hangup {
            end: Some(end),
            counters: Arc::clone(counters),
        };
        (outbox, hangup, outgoing)
    }

    /// Sends a frame, before all bytes of tunnels.
    pub(super) fn frame(&self, frame: &RelayFrame) {
        if let Some(message) = message_of(frame) {
            self.push_frame(message);
        }
    }

    /// Sends a frame that somebody else wants sent; `false`: the peer has too much waiting already. So no flood of others breaks
    /// the queue, only the peer itself does.
    pub(super) fn frame_of_other(&self, frame: &RelayFrame) -> bool {
        let has_room = self.frames.capacity() > FRAMES / 2;
        if has_room {
            self.frame(frame);
        }
        has_room
    }

    /// Sends a message of WebSocket itself.
    pub(super) fn control(&self, opcode: Opcode, payload: &[u8]) {
        self.push_frame(websocket::message(opcode, payload).into());
    }

    /// Sends a frame behind all bytes that were sent before.
    pub(super) fn frame_in_order(&self, frame: &RelayFrame) {
        if let Some(message) = message_of(frame) {
            self.message(message);
        }
    }

    /// Sends a whole message, in order.
    pub(super) fn message(&self, message: Bytes) {
        let len = message.len();
        let before = self.state.waiting.fetch_add(len, Ordering::AcqRel);
        if before + len > WAITING {
            self.state.waiting.fetch_sub(len, Ordering::AcqRel);
            return self.state.give_up();
        }
        // An error means that the connection is gone: its session will close the tunnels.
        self.bytes.send(message).ok();
    }

    /// Comes back when the peer is found not to read.
    pub(super) async fn broken(&self) {
        while !self.state.is_broken.load(Ordering::Acquire) {
            self.state.broke.notified().await;
        }
    }

    fn push_frame(&self, message: Bytes) {
        match self.frames.try_send(message) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(_)) => self.state.give_up(),
        }
    }
}

impl State {
    fn give_up(&self) {
        self.is_broken.store(true, Ordering::Release);
        // Remembered if nobody waits yet.
        self.broke.notify_one();
    }
}

fn message_of(frame: &RelayFrame) -> Option<Bytes> {
    match encode_frame(frame) {
        Ok(bytes) => Some(websocket::message(Opcode::Binary, &bytes).into()),
        Err(error) => {
            tracing::error!(%error, "a frame was not sent");
            None
        }
    }
}

/// Ends a connection, once. Dropped before, as a crash does, it ends it as a fault of the relay.
pub(super) struct Hangup {
    end: Option<oneshot::Sender<Ending>>,
    counters: Arc<Counters>,
}

impl Hangup {
    /// Ends the connection. What waits is sent before, unless the peer broke the rules.
    pub(super) fn end(&mut self, reason: EndReason) {
        let flush = matches!(reason, EndReason::Closed | EndReason::GoingAway);
        if let Some(end) = self.end.take() {
            self.counters.ended(reason);
            // An error means that the connection is gone already.
            end.send(Ending { reason, flush }).ok();
        }
    }
}

impl Drop for Hangup {
    fn drop(&mut self) {
        self.end(EndReason::Fault);
    }
}

/// What goes out to one peer, as a stream of whole messages.
pub(crate) struct Outgoing {
    frames: mpsc::Receiver<Bytes>,
    bytes: mpsc::UnboundedReceiver<Bytes>,
    state: Arc<State>,
    end: oneshot::Receiver<Ending>,
    last: Option<Last>,
}

/// The end was called for.
struct Last {
    message: Option<Bytes>,
    flush: bool,
}

impl Outgoing {
    fn poll_queues(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        if let Poll::Ready(Some(frame)) = self.frames.poll_recv(cx) {
            return Poll::Ready(frame);
        }
        if let Poll::Ready(Some(message)) = self.bytes.poll_recv(cx) {
            self.state.waiting.fetch_sub(message.len(), Ordering::AcqRel);
            return Poll::Ready(message);
        }
        Poll::Pending
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) {
        if self.last.is_some() {
            return;
        }
        if let Poll::Ready(ending) = Pin::new(&mut self.end).poll(cx) {
            // An error cannot be: its sender sends when it is dropped.
            let Ending { reason, flush } = ending.unwrap_or(Ending {
                reason: EndReason::Fault,
                flush: false,
            });
            let payload = close_payload(reason.code(), reason.name());
            let message = Some(websocket::message(Opcode::Close, &payload).into());
            self.last = Some(Last { message, flush });
        }
    }
}

impl Stream for Outgoing {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_end(cx);
        let skips = self.last.as_ref().is_some_and(|last| !last.flush);
        if !skips && let Poll::Ready(message) = self.poll_queues(cx) {
            return Poll::Ready(Some(Ok(message)));
        }
        match &mut self.last {
            Some(last) => Poll::Ready(last.message.take().map(Ok)),
            None => Poll::Pending,
        }
    }
}
