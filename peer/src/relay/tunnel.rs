//! A duplex of bytes between two peers, through a relay.
//!
//! Promises that no more is kept for a reader that does not read than its window, and that such a reader holds up nobody else; that a
//! writer waits for the credit of the other side and for the socket (no more than [`QUEUED`] frames of a tunnel wait for it, so that
//! tunnels take turns); that everything that came before the end is read before the end. A tunnel that is dropped or
//! shut down is closed, both ways at once: the relay knows no half-closed one.

use super::{
    credit::{Exceeded, Receiving, Sending},
    link::Link,
};
use bytes::{Buf as _, Bytes};
use p2p_shared::protocol::relay::{CloseReason, RefuseReason, RelayFrame, TunnelId};
use std::{
    collections::VecDeque,
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Instant,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Frames of one tunnel that wait for the socket: a sealed chunk, which is then written with one call and for one wake-up.
const QUEUED: usize = 4;

/// Why a tunnel is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TunnelEnd {
    /// It was never opened.
    #[error("refused: {}", .0.name())]
    Refused(RefuseReason),
    /// The other end, or the relay, closed it.
    #[error("closed through the relay: {0:?}")]
    Closed(CloseReason),
    /// The connection to the relay is over.
    #[error("the connection to the relay is lost")]
    Lost,
    /// Closed here.
    #[error("closed")]
    Ours,
}

/// What the tasks of the connection know of a tunnel.
pub(super) struct Pipe {
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    receiving: Receiving,
    unread: VecDeque<Bytes>,
    sending: Sending,
    /// Frames in the outbox.
    queued: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Asked for; there is no answer.
    Asked,
    Open,
    Over(TunnelEnd),
}

impl Pipe {
    /// One that was asked for, with so much granted to the other side.
    pub(super) fn asked(window: u32) -> Self {
        Self {
            state: Mutex::new(State {
                stage: Stage::Asked,
                receiving: Receiving::new(window),
                unread: VecDeque::new(),
                sending: Sending::default(),
                queued: 0,
                reader: None,
                writer: None,
            }),
        }
    }

    /// The other side says yes, and grants its first credit; or this side does, and was granted it.
    pub(super) fn open(&self, credit: u32) -> Result<(), Exceeded> {
        let mut state = self.lock();
        if let Stage::Asked = state.stage {
            state.stage = Stage::Open;
        }
        let granted = state.sending.grant(credit);
        state.wake_both();
        granted
    }

    /// Whether there is no answer yet.
    pub(super) fn is_asked(&self) -> bool {
        matches!(self.lock().stage, Stage::Asked)
    }

    /// The other side grants more.
    pub(super) fn on_credit(&self, bytes: u32) -> Result<(), Exceeded> {
        let mut state = self.lock();
        let granted = state.sending.grant(bytes);
        wake(&mut state.writer);
        granted
    }

    /// Bytes came.
    pub(super) fn on_data(&self, bytes: Bytes) -> Result<(), Exceeded> {
        let mut state = self.lock();
        state.receiving.on_data(bytes.len())?;
        state.unread.push_back(bytes);
        wake(&mut state.reader);
        Ok(())
    }

    /// A frame has left the outbox.
    pub(super) fn on_taken(&self) {
        let mut state = self.lock();
        state.queued = state.queued.saturating_sub(1);
        wake(&mut state.writer);
    }

    /// It is over. The first reason holds.
    pub(super) fn end(&self, end: TunnelEnd) {
        let mut state = self.lock();
        if !matches!(state.stage, Stage::Over(_)) {
            state.stage = Stage::Over(end);
        }
        state.wake_both();
    }

    fn poll_opened(&self, cx: &mut Context<'_>) -> Poll<Result<(), TunnelEnd>> {
        let mut state = self.lock();
        match state.stage {
            Stage::Open => Poll::Ready(Ok(())),
            Stage::Over(end) => Poll::Ready(Err(end)),
            Stage::Asked => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Reads what there is. With it, what is to be granted for it.
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<Option<Grant>>> {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.unread.is_empty() {
            return match state.stage {
                Stage::Over(TunnelEnd::Closed(CloseReason::Done) | TunnelEnd::Ours) => Poll::Ready(Ok(None)),
                Stage::Over(end) => Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, end))),
                Stage::Asked | Stage::Open => {
                    state.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        }
        while let Some(front) = state.unread.front_mut().filter(|_| buf.remaining() > 0) {
            let now = front.len().min(buf.remaining());
            buf.put_slice(&front[..now]);
            front.advance(now);
            let whole = front.is_empty();
            state.receiving.on_read(now, whole);
            if whole {
                state.unread.pop_front();
            }
        }
        let is_open = matches!(state.stage, Stage::Open);
        let grant = is_open.then(|| state.receiving.grant()).flatten();
        let waits = state.unread.is_empty();
        Poll::Ready(Ok(grant.map(|bytes| Grant {
            bytes,
            more: state.receiving.on_granted(bytes, waits, Instant::now()),
        })))
    }

    /// There is room for a window that is so much larger.
    fn widen(&self, more: u32) {
        self.lock().receiving.widen(more);
    }

    /// How much was granted to the other side, and not given back.
    fn window(&self) -> u32 {
        self.lock().receiving.window()
    }

    /// How many of `wanted` bytes are to be sent now, in one frame.
    fn poll_room(&self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        if let Stage::Over(end) = state.stage {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, end)));
        }
        let room = if state.queued < QUEUED {
            state.sending.take(wanted)
        } else {
            0
        };
        if room == 0 {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.queued += 1;
        Poll::Ready(Ok(room))
    }

    fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        match state.stage {
            Stage::Over(TunnelEnd::Ours) => Poll::Ready(Ok(())),
            Stage::Over(end) => Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, end))),
            _ if state.queued == 0 => Poll::Ready(Ok(())),
            _ => {
                state.writer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Nobody reads it any more.
    fn forget(&self) {
        let unread = std::mem::take(&mut self.lock().unread);
        drop(unread);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way; if it did, a tunnel that is over is the worst that is read.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake_both(&mut self) {
        wake(&mut self.reader);
        wake(&mut self.writer);
    }
}

fn wake(waiting: &mut Option<Waker>) {
    if let Some(waker) = waiting.take() {
        waker.wake();
    }
}

/// What is to be granted to the other side.
struct Grant {
    bytes: u32,
    /// What is worth granting on top, if there is room for it.
    more: Option<u32>,
}

/// One end of a tunnel. Dropping it closes the tunnel.
pub struct Tunnel {
    id: TunnelId,
    pipe: Arc<Pipe>,
    link: Arc<Link>,
}

impl Tunnel {
    pub(super) fn new(id: TunnelId, pipe: Arc<Pipe>, link: Arc<Link>) -> Self {
        Self { id, pipe, link }
    }

    /// The leg's number.
    pub(super) fn id(&self) -> TunnelId {
        self.id
    }

    /// How much was granted to the other side.
    pub(super) fn window(&self) -> u32 {
        self.pipe.window()
    }

    /// Waits for the answer of the other side.
    pub(super) async fn opened(&self) -> Result<(), TunnelEnd> {
        std::future::poll_fn(|cx| self.pipe.poll_opened(cx)).await
    }

    /// Closes it, unless it is over: told to the other side after all that was written.
    fn close(&self) {
        self.pipe.end(TunnelEnd::Ours);
        self.link.close(self.id, CloseReason::Done);
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let grant = ready!(self.pipe.poll_read(cx, buf))?;
        self.link.on_read((buf.filled().len() - before) as u64);
        if let Some(Grant { bytes, more }) = grant {
            let tunnel = self.id;
            let more = more.and_then(|more| self.link.widen(more)).unwrap_or_default();
            self.pipe.widen(more);
            let bytes = bytes + more;
            self.link.tell(&RelayFrame::Credit { tunnel, bytes });
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = ready!(self.pipe.poll_room(cx, buf.len()))?;
        self.link.send(self.id, &buf[..room], &self.pipe);
        Poll::Ready(Ok(room))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe.poll_flushed(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.close();
        self.pipe.forget();
        self.link.give_back(self.pipe.window());
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tunnel({})", self.id.0)
    }
}
