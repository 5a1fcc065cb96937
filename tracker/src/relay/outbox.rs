//! What waits to be sent to one peer.
//!
//! Two queues: frames about tunnels go first, bytes of tunnels and their ends keep their order behind them. The first is bounded
//! in frames, the second by the credit that the peer itself granted, and in all by [`WAITING`]. A peer that lets more wait does not
//! read what it asked for: the queue breaks, and its session ends it. Nobody ever waits here for a slow reader, and what waits for
//! one goes with its session, however long its socket stays open.

use super::counters::Counters;
use actix_web::web::Bytes;
use futures_util::Stream;
use p2p_shared::{
    protocol::{
        relay::{EndReason, FRAME_COST, RelayFrame},
        relay_codec::encode_frame,
    },
    websocket::{self, Opcode, close_payload},
};
use std::{
    convert::Infallible,
    future::Future as _,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    runtime,
    sync::{Notify, mpsc, oneshot},
    time::sleep,
};

/// Bytes that may wait for a peer: sixteen tunnels that are granted as much as one may be.
pub(super) const WAITING: usize = 16 * 1024 * 1024;

/// Frames about tunnels that may wait for a peer.
const FRAMES: usize = 1024;

/// What it costs to keep a message beside its bytes. A data message has up to 15 bytes before those of its tunnel, so what its
/// sender spent of the reader's credit is never less than what it counts for here.
const KEEPING: usize = FRAME_COST as usize - 16;

/// How long what waits is kept after the end of a session, for a peer that goes on reading.
const FLUSH: Duration = Duration::from_secs(2);

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
        let queues = SharedQueues(Arc::new(Mutex::new(Queues {
            frames: frames_out,
            bytes: bytes_out,
            state: Arc::clone(&state),
        })));
        let outgoing = Outgoing {
            queues: queues.clone(),
            end: ended,
            last: None,
        };
        let outbox = Self { frames, bytes, state };
        let hangup = Hangup {
            end: Some(end),
            queues,
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
        let cost = cost(&message);
        let before = self.state.waiting.fetch_add(cost, Ordering::AcqRel);
        if before + cost > WAITING {
            self.state.waiting.fetch_sub(cost, Ordering::AcqRel);
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

fn cost(message: &Bytes) -> usize {
    message.len() + KEEPING
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
    queues: SharedQueues,
    counters: Arc<Counters>,
}

impl Hangup {
    /// Ends the connection. What waits is sent before, unless the peer broke the rules or takes too long to read it.
    pub(super) fn end(&mut self, reason: EndReason) {
        let flush = matches!(reason, EndReason::Closed | EndReason::GoingAway);
        let Some(end) = self.end.take() else { return };
        self.counters.ended(reason);
        // An error means that the connection is gone already.
        end.send(Ending { reason, flush }).ok();
        self.queues.look().close();
        match runtime::Handle::try_current() {
            Ok(runtime) if flush => {
                let queues = self.queues.clone();
                runtime.spawn(async move {
                    sleep(FLUSH).await;
                    queues.look().clear();
                });
            }
            // Nobody polls for a socket that is not written to, so they would be kept as long as that is open.
            _ => self.queues.look().clear(),
        }
    }
}

impl Drop for Hangup {
    fn drop(&mut self) {
        self.end(EndReason::Fault);
    }
}

/// What waits. The stream that sends it and whoever ends the session share it.
struct Queues {
    frames: mpsc::Receiver<Bytes>,
    bytes: mpsc::UnboundedReceiver<Bytes>,
    state: Arc<State>,
}

#[derive(Clone)]
struct SharedQueues(Arc<Mutex<Queues>>);

impl SharedQueues {
    fn look(&self) -> MutexGuard<'_, Queues> {
        // Messages are taken out one by one, each in one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        if let Poll::Ready(Some(frame)) = self.frames.poll_recv(cx) {
            return Poll::Ready(frame);
        }
        if let Poll::Ready(Some(message)) = self.bytes.poll_recv(cx) {
            self.state.waiting.fetch_sub(cost(&message), Ordering::AcqRel);
            return Poll::Ready(message);
        }
        Poll::Pending
    }

    /// Nothing more comes in.
    fn close(&mut self) {
        self.frames.close();
        self.bytes.close();
    }

    /// Throws away what waits.
    fn clear(&mut self) {
        while self.frames.try_recv().is_ok() {}
        while self.bytes.try_recv().is_ok() {}
    }
}

/// What goes out to one peer, as a stream of whole messages.
pub(crate) struct Outgoing {
    queues: SharedQueues,
    end: oneshot::Receiver<Ending>,
    last: Option<Last>,
}

/// The end was called for.
struct Last {
    message: Option<Bytes>,
    flush: bool,
}

impl Outgoing {
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
        if !skips && let Poll::Ready(message) = self.queues.look().poll(cx) {
            return Poll::Ready(Some(Ok(message)));
        }
        match &mut self.last {
            Some(last) => Poll::Ready(last.message.take().map(Ok)),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt as _, StreamExt as _};

    /// Bytes of which somebody else knows whether they are kept.
    fn watched() -> (Arc<Vec<u8>>, Bytes) {
        struct Owner(Arc<Vec<u8>>);
        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        let bytes = Arc::new(vec![7; 1000]);
        (Arc::clone(&bytes), Bytes::from_owner(Owner(bytes)))
    }

    fn is_kept(bytes: &Arc<Vec<u8>>) -> bool {
        Arc::strong_count(bytes) > 1
    }

    #[test]
    fn what_waits_for_a_peer_goes_with_its_session_though_its_socket_is_not_written_to() {
        let (outbox, mut hangup, outgoing) = Outbox::new(&Arc::default());
        let (bytes, message) = watched();
        outbox.message(message);
        assert!(is_kept(&bytes));
        hangup.end(EndReason::Stalled);
        assert!(!is_kept(&bytes));
        let (late, message) = watched();
        outbox.message(message);
        assert!(!is_kept(&late), "nothing comes behind the end");
        drop(outgoing);
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_at_an_orderly_end_is_sent_unless_the_peer_takes_too_long() {
        let (outbox, mut hangup, mut outgoing) = Outbox::new(&Arc::default());
        let (one, message) = watched();
        outbox.message(message);
        let (two, message) = watched();
        outbox.message(message);
        hangup.end(EndReason::GoingAway);
        assert_eq!(outgoing.next().await, Some(Ok(Bytes::from(one.to_vec()))));
        assert!(is_kept(&two));
        sleep(FLUSH * 2).await;
        assert!(!is_kept(&two));
        let close = outgoing.next().await.unwrap().unwrap();
        assert_eq!(close.first(), Some(&0x88), "the close frame");
        assert_eq!(outgoing.next().await, None);
    }

    #[test]
    fn many_small_messages_count_for_what_it_costs_to_keep_them() {
        let (outbox, _hangup, _outgoing) = Outbox::new(&Arc::default());
        let mut kept = 0;
        while outbox.broken().now_or_never().is_none() {
            outbox.message(Bytes::from_static(&[0; 8]));
            kept += 1;
        }
        // A place in the queue alone takes as much as a `Bytes`, and its buffer no less.
        assert!(kept * 2 * size_of::<Bytes>() < WAITING * 3 / 2, "{kept}");
    }
}
