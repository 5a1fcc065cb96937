//! Messages out of what a relay sends.
//!
//! Promises that a message's length is checked before memory is taken for it, that a message lies in memory of exactly its length (so
//! that what is counted for a tunnel is what is kept for it), and that most of a large one is read from the socket
//! straight to where it stays. A relay of which nothing comes for [`SILENCE`] is gone.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use p2p_shared::{
    protocol::relay_codec::MAX_FRAME,
    websocket::{Head, Opcode, read_head},
};
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::timeout,
};

/// The relay pings every 10 s, so it is not there any more.
pub(super) const SILENCE: Duration = Duration::from_secs(20);

/// Read ahead of a head, at most: enough for many small frames, little to copy when a large one follows.
const AHEAD: usize = 4096;

/// Why nothing more is read.
#[derive(Debug, thiserror::Error)]
pub(super) enum InletError {
    /// The connection is closed, or broken.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// Nothing came.
    #[error("nothing was heard of the relay for {} s", SILENCE.as_secs())]
    Silent,
    /// No relay of ours speaks so.
    #[error("the relay broke the protocol: {0}")]
    Violation(String),
}

/// A message, not masked.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) opcode: Opcode,
    pub(super) payload: Bytes,
}

/// The receiving end of a connection.
pub(super) struct Inlet<S> {
    source: S,
    ahead: BytesMut,
}

impl<S: AsyncRead + Unpin> Inlet<S> {
    /// Reads from `source`, after what was read of it already.
    pub(super) fn new(source: S, already: &[u8]) -> Self {
        let mut ahead = BytesMut::with_capacity(AHEAD.max(already.len()));
        ahead.extend_from_slice(already);
        Self { source, ahead }
    }

    /// The next message.
    pub(super) async fn next(&mut self) -> Result<Message, InletError> {
        let (head, len) = self.head().await?;
        let mut payload = BytesMut::with_capacity(len);
        payload.extend_from_slice(&self.ahead.split_to(len.min(self.ahead.len())));
        while payload.len() < len {
            let missing = len - payload.len();
            read(&mut self.source, &mut (&mut payload).limit(missing)).await?;
        }
        Ok(Message {
            opcode: head.opcode,
            payload: payload.freeze(),
        })
    }

    async fn head(&mut self) -> Result<(Head, usize), InletError> {
        let violation = |what: &str| InletError::Violation(what.to_owned());
        loop {
            let read_so_far = read_head(&self.ahead).map_err(|error| violation(&error.to_string()))?;
            if let Some((head, used)) = read_so_far {
                self.ahead.advance(used);
                if !head.fin || head.opcode == Opcode::Continuation || head.mask.is_some() {
                    return Err(violation("a message in parts, or masked"));
                }
                let len = usize::try_from(head.len).ok().filter(|len| *len <= MAX_FRAME);
                let len = len.ok_or_else(|| violation("a message that is too long"))?;
                return Ok((head, len));
            }
            self.ahead.reserve(AHEAD - self.ahead.len().min(AHEAD - 1));
            let room = AHEAD - self.ahead.len().min(AHEAD - 1);
            read(&mut self.source, &mut (&mut self.ahead).limit(room)).await?;
        }
    }
}

async fn read(
    source: &mut (impl AsyncRead + Unpin),
    into: &mut impl bytes::BufMut,
) -> Result<(), InletError> {
    match timeout(SILENCE, source.read_buf(into)).await {
        Ok(Ok(0)) => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(InletError::Silent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p2p_shared::websocket::{message, write_head};

    fn inlet(bytes: &[u8], already: usize) -> Inlet<&[u8]> {
        Inlet::new(&bytes[already..], &bytes[..already])
    }

    #[tokio::test]
    async fn messages_of_all_lengths_come_whole_however_much_was_read_already() {
        let lens = [0, 1, 125, 126, 4095, 4096, 5000, 65_535, MAX_FRAME, 3];
        let payloads: Vec<Vec<u8>> = lens
            .iter()
            .map(|len| (0..*len).map(|n| n as u8).collect())
            .collect();
        let stream: Vec<u8> = payloads
            .iter()
            .flat_map(|payload| message(Opcode::Binary, payload))
            .collect();
        for already in [0, 1, 3, 200, 10_000] {
            let mut inlet = inlet(&stream, already);
            for payload in &payloads {
                assert_eq!(&inlet.next().await.unwrap().payload[..], payload);
            }
            assert!(matches!(inlet.next().await, Err(InletError::Broken(_))));
        }
    }

    #[tokio::test]
    async fn what_no_relay_sends_is_refused_by_its_head() {
        let mut long = Vec::new();
        write_head(Opcode::Binary, MAX_FRAME + 1, None, &mut long);
        let mut masked = Vec::new();
        write_head(Opcode::Binary, 5, Some([1; 4]), &mut masked);
        let in_parts = [0x02, 0x01, 0x00];
        for bytes in [&long[..], &masked, &in_parts, &[0xf2, 0]] {
            let refused = inlet(bytes, 0).next().await;
            assert!(
                matches!(refused, Err(InletError::Violation(_))),
                "{bytes:?}: {refused:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_relay_that_says_nothing_is_gone_after_a_while() {
        let (near, _far) = tokio::io::duplex(64);
        let begin = tokio::time::Instant::now();
        let silent = Inlet::new(near, &[]).next().await;
        assert!(matches!(silent, Err(InletError::Silent)));
        assert_eq!(begin.elapsed(), SILENCE);
    }
}
