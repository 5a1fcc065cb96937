//! A duplex of bytes, whatever carries it, cut into records.
//!
//! Promises that a record's length is checked before memory is taken for it, that a chunk is read from the socket into
//! the pooled buffer that it stays in until it is on disk, opened in place and not copied, and that while no buffer is
//! free nothing is read, so that the sender slows down. Small records cost one read for many.

use super::session::close::{CloseReason, Violation};
use crate::storage::{BufferPool, ChunkBuffer, ChunkBytes};
use bytes::BufMut as _;
use p2p_shared::{
    crypto::record::{Opener, RECORD_HEADER, RecordError, body_length},
    protocol::{CHUNK_PREFIX, ChunkHeader, Incoming, PeerMessage, decode},
};
use std::{
    io,
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

/// The half of a connection that is read.
pub type Source = Box<dyn AsyncRead + Send + Unpin>;
/// The half of a connection that is written.
pub type Sink = Box<dyn AsyncWrite + Send + Unpin>;

/// Read ahead of a header, at most: enough for some forty requests, little to copy when a chunk follows.
const AHEAD: usize = 4096;

/// A connection to somebody, before anything is said.
pub struct Wire {
    /// What is read.
    pub source: Source,
    /// What is written.
    pub sink: Sink,
    /// The other end, if it has an address.
    pub address: Option<SocketAddr>,
}

impl Wire {
    /// Over TCP.
    pub fn tcp(stream: TcpStream) -> io::Result<Self> {
        // Requests are small and must not wait for each other.
        stream.set_nodelay(true)?;
        let address = stream.peer_addr().ok();
        let (source, sink) = stream.into_split();
        Ok(Self {
            source: Box::new(source),
            sink: Box::new(sink),
            address,
        })
    }

    /// Over any duplex; `address` is the other end's, if there is one.
    pub fn new(
        duplex: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        address: Option<SocketAddr>,
    ) -> Self {
        let (source, sink) = tokio::io::split(duplex);
        Self {
            source: Box::new(source),
            sink: Box::new(sink),
            address,
        }
    }
}

/// What a record held.
#[derive(Debug)]
pub enum Record {
    /// A control message.
    Message(PeerMessage),
    /// A chunk, in its pooled buffer. Not verified.
    Chunk(ChunkHeader, ChunkBytes),
}

/// How long a large record may take that nobody waits for: a bitfield of the largest file at half a Mbit/s.
const UNASKED: Duration = Duration::from_secs(5);

/// Whether the other side owes us an answer: then what it begins is likely to be one.
#[derive(Debug, Clone, Default)]
pub struct Owing(Arc<AtomicBool>);

impl Owing {
    /// It does from now on, or does not.
    pub fn set(&self, owing: bool) {
        self.0.store(owing, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts what is read, to the byte: also a record that is still coming is a sign of life.
#[derive(Debug, Clone, Default)]
pub struct Heard(Arc<AtomicU64>);

impl Heard {
    fn note(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Says that a reader waits for a free buffer: the silence is our own.
#[derive(Debug, Clone, Default)]
pub struct Stalled(Arc<AtomicBool>);

impl Stalled {
    /// Whether it waits now.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    async fn acquire(&self, pool: &BufferPool) -> ChunkBuffer {
        if let Some(buffer) = pool.try_acquire() {
            return buffer;
        }
        self.0.store(true, Ordering::Relaxed);
        let buffer = pool.acquire().await;
        self.0.store(false, Ordering::Relaxed);
        buffer
    }
}

/// Reads and opens the records of one direction.
pub struct RecordReader {
    source: Source,
    opener: Opener,
    /// What was read and not used yet lies in `fresh`.
    ahead: Box<[u8; AHEAD]>,
    fresh: Range<usize>,
    pool: BufferPool,
    stalled: Stalled,
    owing: Owing,
    heard: Heard,
}

impl RecordReader {
    /// Reads records from `source`, chunks into buffers of `pool`.
    pub fn new(source: Source, opener: Opener, pool: BufferPool) -> Self {
        Self {
            source,
            opener,
            ahead: Box::new([0; AHEAD]),
            fresh: 0..0,
            pool,
            stalled: Stalled::default(),
            owing: Owing::default(),
            heard: Heard::default(),
        }
    }

    /// To tell this reader whether something is asked of the other side.
    pub fn owing(&self) -> Owing {
        self.owing.clone()
    }

    /// How much this reader has read, for whoever wants to know.
    pub fn heard(&self) -> Heard {
        self.heard.clone()
    }

    /// Whether this reader waits for a buffer, for whoever wants to know.
    pub fn stalled(&self) -> Stalled {
        self.stalled.clone()
    }

    /// The next record. After an error there is none. Not cancel safe.
    pub async fn next(&mut self) -> Result<Record, CloseReason> {
        self.fill(RECORD_HEADER).await?;
        let mut header = [0; RECORD_HEADER];
        header.copy_from_slice(&self.ahead[self.fresh.start..][..RECORD_HEADER]);
        self.fresh.start += RECORD_HEADER;
        let length = body_length(header).map_err(reason)?;
        if length <= AHEAD {
            self.small(header, length).await
        } else {
            self.large(header, length).await
        }
    }

    /// Reads on and throws away until the other side ends. A connection that is closed with something unread is reset, and
    /// what was said last is lost with it.
    pub async fn discard(mut self) {
        while let Ok(1..) = self.source.read(&mut self.ahead[..]).await {}
    }

    /// Reads until `wanted` bytes lie ready.
    async fn fill(&mut self, wanted: usize) -> Result<(), CloseReason> {
        if self.fresh.start + wanted > AHEAD {
            self.ahead.copy_within(self.fresh.clone(), 0);
            self.fresh = 0..self.fresh.len();
        }
        while self.fresh.len() < wanted {
            match self.source.read(&mut self.ahead[self.fresh.end..]).await {
                Ok(0) => return Err(CloseReason::Truncated),
                Ok(count) => {
                    self.heard.note(count);
                    self.fresh.end += count;
                }
                Err(error) => return Err(CloseReason::Io(error.kind())),
            }
        }
        Ok(())
    }

    async fn small(&mut self, header: [u8; RECORD_HEADER], length: usize) -> Result<Record, CloseReason> {
        self.fill(length).await?;
        let body = &mut self.ahead[self.fresh.start..][..length];
        self.fresh.start += length;
        let (header, bytes) = match read(&mut self.opener, header, body)? {
            Incoming::Message(message) => return Ok(Record::Message(message)),
            Incoming::Chunk { header, bytes } => (header, bytes),
        };
        // The short last chunk of a file: it needs a buffer like all others.
        let pool = pool_for(&self.pool, self.owing.is_set());
        let mut buffer = self.stalled.acquire(pool).await;
        buffer.extend_from_slice(bytes);
        let whole = 0..buffer.len();
        Ok(Record::Chunk(header, buffer.into_chunk(whole)))
    }

    async fn large(&mut self, header: [u8; RECORD_HEADER], length: usize) -> Result<Record, CloseReason> {
        let owing = self.owing.is_set();
        let mut buffer = self.stalled.acquire(pool_for(&self.pool, owing)).await;
        if owing {
            self.body(&mut buffer, length).await?;
        } else {
            let body = timeout(UNASKED, self.body(&mut buffer, length)).await;
            body.map_err(|_| CloseReason::Silent)??;
        }
        let (header, length) = match read(&mut self.opener, header, &mut buffer)? {
            Incoming::Message(message) => return Ok(Record::Message(message)),
            Incoming::Chunk { header, bytes } => (header, bytes.len()),
        };
        Ok(Record::Chunk(
            header,
            buffer.into_chunk(CHUNK_PREFIX..CHUNK_PREFIX + length),
        ))
    }

    /// The body of a record, straight into its buffer.
    async fn body(&mut self, buffer: &mut ChunkBuffer, length: usize) -> Result<(), CloseReason> {
        let ready = self.fresh.len().min(length);
        buffer.extend_from_slice(&self.ahead[self.fresh.start..][..ready]);
        self.fresh.start += ready;
        while buffer.len() < length {
            let room = length - buffer.len();
            match self.source.read_buf(&mut (&mut **buffer).limit(room)).await {
                Ok(0) => return Err(CloseReason::Truncated),
                Ok(count) => self.heard.note(count),
                Err(error) => return Err(CloseReason::Io(error.kind())),
            }
        }
        Ok(())
    }
}

/// The buffers for what the other side begins to say. Who owes nothing has to do with a few that are kept aside, so that
/// many who begin to talk and stop do not hold up those who deliver.
fn pool_for(pool: &BufferPool, owing: bool) -> &BufferPool {
    pool.aside().filter(|_| !owing).unwrap_or(pool)
}

fn read<'a>(
    opener: &mut Opener,
    header: [u8; RECORD_HEADER],
    body: &'a mut [u8],
) -> Result<Incoming<'a>, CloseReason> {
    let plaintext = opener.open(header, body).map_err(reason)?;
    decode(plaintext).map_err(|error| CloseReason::Violation(Violation::Undecodable(error.to_string())))
}

/// What a record that does not open means. Whatever is wrong with it, nothing shows that the peer made it: also a header with an
/// impossible length may have become one on the way.
pub(super) fn reason(_: RecordError) -> CloseReason {
    CloseReason::Forged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::redial::Redial;
    use p2p_shared::crypto::{
        handshake::{Carrier, Initiator, Responder, SessionKeys},
        identity::Identity,
        record::Sealer,
    };
    use tokio::io::AsyncWriteExt as _;

    /// What one side seals with, and the reader of the other side's connection.
    fn ends() -> (Sealer, RecordReader, tokio::io::DuplexStream) {
        let (us, them) = (Identity::from_secret([1; 32]), Identity::from_secret([2; 32]));
        let mut initiator = Initiator::new(&us, &them.public_key(), Carrier::Tcp).unwrap();
        let mut responder = Responder::new(&them, Carrier::Tcp).unwrap();
        responder.read_first(&initiator.first_message().unwrap()).unwrap();
        let (answer, theirs) = responder.finish().unwrap();
        let SessionKeys { opener, .. } = initiator.finish(&answer).unwrap();
        let (near, far) = tokio::io::duplex(1 << 20);
        let reader = RecordReader::new(Box::new(near), opener, BufferPool::new(1 << 20));
        (theirs.sealer, reader, far)
    }

    /// Every bit of a record, the header's too: whoever can flip one could as well cut the connection, which must cost no more.
    #[tokio::test]
    async fn a_record_that_was_changed_on_the_way_is_not_blamed_on_the_peer() {
        let mut record = vec![0; RECORD_HEADER];
        p2p_shared::protocol::encode(&PeerMessage::Choke, &mut record).unwrap();
        let bits = (record.len() + p2p_shared::crypto::record::RECORD_TAG) * 8;
        for bit in 0..bits {
            let (mut sealer, mut reader, mut far) = ends();
            let mut sent = record.clone();
            sealer.seal(&mut sent).unwrap();
            sent[bit / 8] ^= 1 << (bit % 8);
            far.write_all(&sent).await.unwrap();
            drop(far);
            let reason = reader.next().await.unwrap_err();
            assert!(
                matches!(reason, CloseReason::Forged | CloseReason::Truncated),
                "{reason}"
            );
            assert_eq!(reason.redial(), Redial::Soon, "bit {bit}: {reason}");
            assert_eq!(reason.goodbye(), None, "bit {bit}: {reason}");
        }
    }
}
