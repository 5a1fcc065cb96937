//! What tests of sessions need: content in memory, connections in memory, owners that write down what they hear, and a
//! peer that is played by hand.

use super::{
    greeting::{Greeted, answer, greet, hello},
    session::{
        SessionHandle, SessionParts, Started,
        attachment::Wanted,
        news::{ChunkEvent, ChunkNews},
        start,
    },
    shelf::{Shared, Shelf},
    wire::{Record, RecordReader, Sink, Wire},
};
use crate::{
    connection::state::{Dialler, SessionId},
    storage::{BUFFER_SIZE, BufferPool, ReadError},
};
use actix::{Actor as _, ActorContext as _, Addr, Context, Handler};
use futures_util::future::BoxFuture;
use p2p_shared::{
    bitfield::Bitfield,
    chunker::Layout,
    crypto::{
        handshake::Carrier,
        identity::Identity,
        record::{RECORD_HEADER, Sealer},
    },
    hash::HashAlgorithm,
    id::{ChunkHash, ChunkIndex, FileHash},
    merkle::merkle_root,
    protocol::{ChunkHeader, PeerMessage, chunk_prefix, encode},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use tokio::{io::AsyncWriteExt as _, sync::mpsc};

/// A file in memory.
pub(crate) struct MemoryFile {
    pub file: FileHash,
    pub layout: Layout,
    pub bytes: Vec<u8>,
    pub hashes: Arc<[ChunkHash]>,
    pub held: Mutex<Bitfield>,
    /// Chunks that cannot be read.
    pub unreadable: Vec<ChunkIndex>,
}

impl MemoryFile {
    /// Content of `size` bytes that `seed` decides.
    pub(crate) fn new(seed: u8, size: usize) -> Self {
        let layout = Layout::new(size as u64).unwrap();
        let bytes: Vec<u8> = (0..size)
            .map(|i| (i as u8).wrapping_mul(31) ^ (i >> 8) as u8 ^ seed)
            .collect();
        let chunk =
            |index: ChunkIndex| &bytes[layout.offset(index) as usize..][..layout.length(index) as usize];
        let hash = |index| HashAlgorithm::Sha256.hash_chunk(layout, index, chunk(index));
        let hashes = layout.indices().map(hash).collect();
        Self {
            file: FileHash([seed; 32]),
            layout,
            held: Mutex::new(Bitfield::full(layout.chunks())),
            unreadable: Vec::new(),
            bytes,
            hashes,
        }
    }

    pub(crate) fn wanted(&self) -> Wanted {
        Wanted {
            file: self.file,
            layout: self.layout,
            root: merkle_root(self.layout, &self.hashes),
        }
    }

    pub(crate) fn chunk(&self, index: u32) -> &[u8] {
        let index = ChunkIndex(index);
        &self.bytes[self.layout.offset(index) as usize..][..self.layout.length(index) as usize]
    }
}

impl Shared for MemoryFile {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn held(&self) -> Bitfield {
        self.held.lock().unwrap().clone()
    }

    fn hashes(&self) -> Arc<[ChunkHash]> {
        self.hashes.clone()
    }

    fn read_chunk(&self, chunk: ChunkIndex, out: &mut Vec<u8>) -> Result<(), ReadError> {
        if self.unreadable.contains(&chunk) {
            let path = "gone".into();
            return Err(ReadError::Changed { path });
        }
        if !self.held().has(chunk) {
            return Err(ReadError::NotHeld(chunk));
        }
        out.extend_from_slice(self.chunk(chunk.0));
        Ok(())
    }

    fn read_cached(&self, _: ChunkIndex, _: &mut [u8]) -> bool {
        false
    }
}

/// Files in memory.
#[derive(Clone, Default)]
pub(crate) struct MemoryShelf(Arc<Mutex<HashMap<FileHash, Arc<MemoryFile>>>>);

impl MemoryShelf {
    pub(crate) fn with(files: impl IntoIterator<Item = MemoryFile>) -> Self {
        let files = files.into_iter().map(|file| (file.file, Arc::new(file)));
        Self(Arc::new(Mutex::new(files.collect())))
    }
}

impl Shelf for MemoryShelf {
    fn open(&self, file: FileHash) -> BoxFuture<'static, Option<Arc<dyn Shared>>> {
        let found = self.0.lock().unwrap().get(&file).cloned();
        Box::pin(async move { found.map(|file| file as Arc<dyn Shared>) })
    }
}

pub(crate) fn identity(seed: u8) -> Arc<Identity> {
    Arc::new(Identity::from_secret([seed; 32]))
}

pub(crate) fn pool(buffers: usize) -> BufferPool {
    BufferPool::new(buffers * BUFFER_SIZE)
}

pub(crate) fn parts(shelf: MemoryShelf) -> SessionParts {
    SessionParts {
        shelf: Arc::new(shelf),
        serving: pool(8),
        goodbyes: tokio_util::task::TaskTracker::new(),
    }
}

/// Two ends of a connection in memory, greeted: the dialler (identity 1) and the listener (identity 2). `kernel` bytes
/// fit between them, chunks that come to the dialler go into `receiving`.
pub(crate) async fn connection(kernel: usize, receiving: BufferPool) -> (Greeted, Greeted) {
    let (near, far) = tokio::io::duplex(kernel);
    let (dialler, listener) = (identity(1), identity(2));
    let key = listener.public_key();
    let (near, far) = (Wire::new(near, None), Wire::new(far, None));
    let greeting = greet(near, &dialler, &key, Carrier::Tcp, hello(Vec::new()), receiving);
    let answering = answer(far, &listener, Carrier::Tcp, hello(Vec::new()), pool(8));
    let (near, far) = tokio::join!(greeting, answering);
    (near.unwrap(), far.unwrap())
}

/// A session at the end of `greeted`.
pub(crate) fn session(greeted: Greeted, shelf: MemoryShelf) -> Started {
    start(greeted, SessionId(7), Dialler::Us, &parts(shelf))
}

/// An owner that hands on what it hears.
pub(crate) struct Owner(mpsc::UnboundedSender<ChunkEvent>);

impl actix::Actor for Owner {
    type Context = Context<Self>;
}

impl Handler<ChunkEvent> for Owner {
    type Result = ();
    fn handle(&mut self, event: ChunkEvent, ctx: &mut Self::Context) {
        // Nobody listens any more: as gone as an owner that crashed.
        if self.0.send(event).is_err() {
            ctx.stop();
        }
    }
}

/// What an owner hears.
pub(crate) struct Heard {
    events: mpsc::UnboundedReceiver<ChunkEvent>,
    /// An owner without an address would end.
    _owner: Addr<Owner>,
}

impl Heard {
    /// An owner that fetches `wanted` over `session`.
    pub(crate) fn of(session: &SessionHandle, wanted: Wanted) -> Self {
        Self::holding(session, wanted, None)
    }

    /// An owner that fetches `wanted` over `session`, and holds `shared` of it.
    pub(crate) fn holding(session: &SessionHandle, wanted: Wanted, shared: Option<Arc<dyn Shared>>) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let owner = Owner(sender).start();
        session.attach(wanted, shared, owner.clone().recipient());
        Self {
            events,
            _owner: owner,
        }
    }

    pub(crate) async fn next(&mut self) -> ChunkNews {
        self.events.recv().await.expect("the owner is held here").news
    }

    /// The first that `pick` picks; others are passed over.
    pub(crate) async fn find<T>(&mut self, mut pick: impl FnMut(ChunkNews) -> Option<T>) -> T {
        loop {
            if let Some(found) = pick(self.next().await) {
                return found;
            }
        }
    }

    /// Waits until chunks may be asked for.
    pub(crate) async fn unchoked(&mut self) {
        self.find(|news| {
            matches!(news, ChunkNews::Choked { choked: false, room } if room.free > 0).then_some(())
        })
        .await;
    }

    /// The next chunk: its number and bytes.
    pub(crate) async fn chunk(&mut self) -> (u32, Vec<u8>) {
        self.find(|news| match news {
            ChunkNews::Received { chunk, .. } => Some((chunk.chunk.0, chunk.bytes.to_vec())),
            _ => None,
        })
        .await
    }
}

/// The other end, played by hand.
pub(crate) struct Puppet {
    pub reader: RecordReader,
    pub sink: Sink,
    pub sealer: Sealer,
}

impl Puppet {
    pub(crate) fn new(greeted: Greeted) -> Self {
        Self {
            reader: greeted.reader,
            sink: greeted.sink,
            sealer: greeted.sealer,
        }
    }

    pub(crate) async fn say(&mut self, message: &PeerMessage) {
        let mut record = vec![0; RECORD_HEADER];
        encode(message, &mut record).unwrap();
        self.sealer.seal(&mut record).unwrap();
        self.sink.write_all(&record).await.unwrap();
    }

    pub(crate) async fn send_chunk(&mut self, file: FileHash, chunk: u32, bytes: &[u8]) {
        let mut record = vec![0; RECORD_HEADER];
        let chunk = ChunkIndex(chunk);
        record.extend_from_slice(&chunk_prefix(&ChunkHeader { file, chunk }));
        record.extend_from_slice(bytes);
        self.sealer.seal(&mut record).unwrap();
        self.sink.write_all(&record).await.unwrap();
    }

    /// The first message that `pick` picks; pings are answered.
    pub(crate) async fn find<T>(&mut self, mut pick: impl FnMut(&PeerMessage) -> Option<T>) -> T {
        loop {
            let Record::Message(message) = self.reader.next().await.unwrap() else {
                continue;
            };
            if let PeerMessage::Ping { nonce } = message {
                self.say(&PeerMessage::Pong { nonce }).await;
            }
            if let Some(found) = pick(&message) {
                return found;
            }
        }
    }

    /// Attaches `file`, holding all `chunks` of it, and unchokes.
    pub(crate) async fn offer(&mut self, file: FileHash, chunks: u32) {
        self.say(&PeerMessage::Attach { file }).await;
        let (first_byte, bits) = (0, Bitfield::full(chunks).to_bytes());
        self.say(&PeerMessage::Bitfield {
            file,
            first_byte,
            bits,
        })
        .await;
        self.say(&PeerMessage::Unchoke).await;
    }
}
