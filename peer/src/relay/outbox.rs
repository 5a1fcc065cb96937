//! What waits to be written to a relay, and the task that writes it.
//!
//! Promises that small frames (grants, answers, signals) go before data, that the data of all tunnels goes in the order in which it
//! came, so that with few frames of each (see [`super::tunnel`]) they take turns, and that a frame is copied once, from
//! whoever writes it, and masked where it lies. Bounded: [`URGENT`] bytes of small frames, and what the tunnels let wait.

use super::tunnel::Pipe;
use p2p_shared::{
    protocol::{
        relay::{RelayFrame, TunnelId},
        relay_codec::{data_header, encode_frame},
    },
    websocket::{MAX_HEAD, Opcode, apply_mask, close_payload, write_head},
};
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

/// Small frames that may wait: some hundred signals. A relay that takes none for so long is stuck.
const URGENT: usize = 512 * 1024;

/// Bytes handed to the system with one call, at most; a frame more or less.
const BATCH: usize = 256 * 1024;

/// The queue of one connection.
pub(super) struct Outbox {
    queues: Mutex<Queues>,
    filled: Notify,
    closed: CancellationToken,
    masks: AtomicU64,
}

#[derive(Default)]
struct Queues {
    urgent: VecDeque<Vec<u8>>,
    urgent_bytes: usize,
    in_order: VecDeque<InOrder>,
    /// Nothing is taken any more; what is there is written.
    is_closed: bool,
}

/// A frame that must not overtake another.
struct InOrder {
    frame: Vec<u8>,
    /// Whose data it is.
    of: Option<Arc<Pipe>>,
}

/// Too much waits already, or the connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            queues: Mutex::default(),
            filled: Notify::new(),
            closed: CancellationToken::new(),
            // The bytes that are masked are ciphertext already: no proxy on the way can be made to see what it should not, whatever
            // the mask (RFC 6455 section 10.3).
            masks: AtomicU64::new(getrandom::u64().unwrap_or_default()),
        }
    }

    /// Sends a frame before all data.
    pub(super) fn frame(&self, frame: &RelayFrame) -> Result<(), Full> {
        self.control(Opcode::Binary, &self.encode(frame)?)
    }

    /// Sends a message before all data.
    pub(super) fn control(&self, opcode: Opcode, payload: &[u8]) -> Result<(), Full> {
        let message = self.message(opcode, &[], payload);
        let mut queues = self.lock();
        if queues.is_closed || queues.urgent_bytes + message.len() > URGENT {
            return Err(Full);
        }
        queues.urgent_bytes += message.len();
        queues.urgent.push_back(message);
        drop(queues);
        self.filled.notify_one();
        Ok(())
    }

    /// Sends a frame after what was said before.
    pub(super) fn frame_in_order(&self, frame: &RelayFrame) {
        // The frames that are sent in this way are small and within all bounds.
        if let Ok(payload) = self.encode(frame) {
            self.push(self.message(Opcode::Binary, &[], &payload), None);
        }
    }

    /// Sends bytes of a tunnel; `of` hears when they have left the queue.
    pub(super) fn data(&self, tunnel: TunnelId, bytes: &[u8], of: Arc<Pipe>) {
        self.push(
            self.message(Opcode::Binary, &data_header(tunnel), bytes),
            Some(of),
        );
    }

    /// Says goodbye after what was said before; nothing is taken afterwards.
    pub(super) fn finish(&self) {
        self.push(self.message(Opcode::Close, &[], &close_payload(1000, "")), None);
        self.lock().is_closed = true;
        self.closed.cancel();
        self.filled.notify_one();
    }

    /// Waits until nothing is taken any more.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// The connection is over.
    pub(super) fn discard(&self) {
        let mut queues = self.lock();
        let waiting = std::mem::take(&mut *queues);
        queues.is_closed = true;
        drop(queues);
        drop(waiting);
        self.closed.cancel();
        self.filled.notify_one();
    }

    fn push(&self, frame: Vec<u8>, of: Option<Arc<Pipe>>) {
        let mut queues = self.lock();
        if !queues.is_closed {
            queues.in_order.push_back(InOrder { frame, of });
        }
        drop(queues);
        self.filled.notify_one();
    }

    fn encode(&self, frame: &RelayFrame) -> Result<Vec<u8>, Full> {
        encode_frame(frame).map_err(|error| {
            tracing::warn!(%error, "a relay frame cannot be sent");
            Full
        })
    }

    /// A masked message of `header` and `payload`.
    fn message(&self, opcode: Opcode, header: &[u8], payload: &[u8]) -> Vec<u8> {
        let mask = self.mask();
        let len = header.len() + payload.len();
        let mut out = Vec::with_capacity(MAX_HEAD + len);
        write_head(opcode, len, Some(mask), &mut out);
        let start = out.len();
        out.extend_from_slice(header);
        out.extend_from_slice(payload);
        apply_mask(mask, &mut out[start..]);
        out
    }

    /// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014), from a random start.
    fn mask(&self) -> [u8; 4] {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.masks.fetch_add(GAMMA, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let [a, b, c, d, ..] = (z ^ (z >> 31)).to_be_bytes();
        [a, b, c, d]
    }

    /// What is to be written next, when there is something. Empty: that was all.
    async fn next(&self) -> Vec<Vec<u8>> {
        loop {
            let filled = self.filled.notified();
            if let Some(batch) = self.take() {
                return batch;
            }
            filled.await;
        }
    }

    fn take(&self) -> Option<Vec<Vec<u8>>> {
        let mut queues = self.lock();
        let mut batch: Vec<_> = queues.urgent.drain(..).collect();
        queues.urgent_bytes = 0;
        let mut bytes: usize = batch.iter().map(Vec::len).sum();
        let mut pipes = Vec::new();
        while bytes < BATCH
            && let Some(InOrder { frame, of }) = queues.in_order.pop_front()
        {
            bytes += frame.len();
            batch.push(frame);
            pipes.extend(of);
        }
        let is_closed = queues.is_closed;
        drop(queues);
        pipes.iter().for_each(|pipe| pipe.on_taken());
        (is_closed || !batch.is_empty()).then_some(batch)
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        // A panic in between leaves queues that are still queues.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what is in the outbox until it is finished, then closes the sink.
pub(super) async fn write(outbox: &Outbox, mut sink: impl AsyncWrite + Unpin) -> io::Result<()> {
    loop {
        let batch = outbox.next().await;
        if batch.is_empty() {
            return sink.shutdown().await;
        }
        write_batch(&mut sink, &batch).await?;
        sink.flush().await?;
    }
}

async fn write_batch(sink: &mut (impl AsyncWrite + Unpin), batch: &[Vec<u8>]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = batch.iter().map(|frame| IoSlice::new(frame)).collect();
    let mut left = &mut slices[..];
    while !left.is_empty() {
        let written = sink.write_vectored(left).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut left, written);
    }
    Ok(())
}
