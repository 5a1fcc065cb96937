//! The task that owns a session's outgoing half: seals in place and writes.
//!
//! Promises that control messages go before chunks, that whatever was said before the goodbye is written before it, and
//! that a peer which does not read is given up after [`STUCK`]. The one place that uses the sealer.

use super::{close::CloseReason, traffic::Traffic};
use crate::{p2p::wire::Sink, storage::ChunkBuffer};
use p2p_shared::{
    crypto::record::{RECORD_HEADER, RECORD_TAG, RecordError, Sealer},
    protocol::{PeerMessage, encode},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::AsyncWriteExt as _,
    sync::mpsc,
    time::{Instant, timeout},
};

/// Nothing could be written for this long: the peer does not read any more.
const STUCK: Duration = Duration::from_secs(20);
/// Messages that wait are sealed into one write up to about this size.
const TOGETHER: usize = 16 * 1024;

/// What the writer is given.
pub(super) struct Writer {
    pub sink: Sink,
    pub sealer: Sealer,
    pub messages: mpsc::Receiver<PeerMessage>,
    /// Plaintexts of chunks, behind room for the record's header.
    pub chunks: mpsc::Receiver<ChunkBuffer>,
    pub traffic: Arc<Traffic>,
}

impl Writer {
    /// Writes until the goodbye is written, or its owner is gone, or the connection fails.
    pub(super) async fn run(mut self) -> Result<(), CloseReason> {
        let began = Instant::now();
        let mut together = Vec::with_capacity(TOGETHER);
        let mut chunks_end = false;
        loop {
            tokio::select! {
                biased;
                message = self.messages.recv() => {
                    let Some(message) = message else { return Ok(()) };
                    self.sealer.on_clock(began.elapsed());
                    if self.write_messages(message, &mut together).await? {
                        return Ok(());
                    }
                }
                chunk = self.chunks.recv(), if !chunks_end => match chunk {
                    Some(mut chunk) => {
                        self.sealer.on_clock(began.elapsed());
                        self.sealer.seal(&mut chunk).map_err(reason)?;
                        self.write(&chunk).await?;
                        self.traffic.on_chunk_sent();
                    }
                    None => chunks_end = true,
                },
            }
        }
    }

    /// Seals `first` and what else waits, and writes it at once; true after the goodbye.
    async fn write_messages(
        &mut self,
        first: PeerMessage,
        together: &mut Vec<u8>,
    ) -> Result<bool, CloseReason> {
        together.clear();
        let mut next = Some(first);
        let mut last = false;
        while let Some(message) = next.take() {
            last = matches!(message, PeerMessage::Goodbye { .. });
            self.seal(&message, together)?;
            if !last && together.len() < TOGETHER {
                next = self.messages.try_recv().ok();
            }
        }
        self.write(together).await?;
        if last {
            // The other side may be gone already, which is what we are about to be.
            self.sink.shutdown().await.ok();
        }
        Ok(last)
    }

    fn seal(&mut self, message: &PeerMessage, out: &mut Vec<u8>) -> Result<(), CloseReason> {
        let start = out.len();
        out.resize(start + RECORD_HEADER, 0);
        if let Err(error) = encode(message, out) {
            // A mistake of ours: the message is not sent, the session goes on.
            tracing::error!(%error, ?message, "a message cannot be sent");
            out.truncate(start);
            return Ok(());
        }
        out.resize(out.len() + RECORD_TAG, 0);
        self.sealer.seal_slice(&mut out[start..]).map_err(reason)
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), CloseReason> {
        fail::fail_point!("session::write", |_| Err(CloseReason::Io(
            std::io::ErrorKind::BrokenPipe
        )));
        while !bytes.is_empty() {
            let written = timeout(STUCK, self.sink.write(bytes)).await;
            let written = written.map_err(|_| CloseReason::Silent)?;
            match written {
                Ok(0) => return Err(CloseReason::Truncated),
                Ok(count) => bytes = &bytes[count..],
                Err(error) => return Err(CloseReason::Io(error.kind())),
            }
        }
        Ok(())
    }
}

/// A record that cannot be sealed is a mistake of ours, or the keys are used up.
fn reason(error: RecordError) -> CloseReason {
    tracing::error!(%error, "a record cannot be sealed");
    CloseReason::Crashed
}
