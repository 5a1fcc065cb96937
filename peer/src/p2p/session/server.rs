//! The task that answers a peer's requests: reads a chunk into a pooled buffer, ready to be sealed, and hands it to
//! the writer.
//!
//! Promises that each request is answered once, by its chunk or by a rejection, in the order of asking; that no more
//! than two chunks of a session are in memory (one being written, one being read); and that a chunk which cannot be read
//! is refused and named in the log. Owns the queue of requests. What waits for a disk, and Merkle proofs, run on
//! blocking threads.

use super::traffic::Traffic;
use crate::{
    p2p::shelf::{Shared, Shelf},
    storage::{BufferPool, ChunkBuffer, ReadError},
};
use p2p_shared::{
    crypto::record::RECORD_HEADER,
    id::{ChunkHash, ChunkIndex, FileHash},
    merkle::{MerkleProof, MerkleTree},
    protocol::{CHUNK_PREFIX, ChunkHeader, PeerMessage, RejectReason, chunk_prefix},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::{sync::mpsc, task::spawn_blocking};

/// What the server is told.
pub(super) enum Order {
    /// Answer a request, from this file.
    Serve(Arc<dyn Shared>, FileHash, ChunkIndex),
    /// Reject a request: nothing of this file can be read here.
    Refuse(FileHash, ChunkIndex),
    /// A request is withdrawn.
    Withdraw(FileHash, ChunkIndex),
    /// All requests for a file are.
    WithdrawAll(FileHash),
    /// Answer a question for hashes, from this file if we have it.
    Hashes(Option<Arc<dyn Shared>>, FileHash, u32, u32),
}

/// What the server works with.
pub(super) struct Server {
    pub orders: mpsc::Receiver<Order>,
    pub chunks: mpsc::Sender<ChunkBuffer>,
    pub messages: mpsc::Sender<PeerMessage>,
    pub pool: BufferPool,
    pub shelf: Arc<dyn Shelf>,
    pub traffic: Arc<Traffic>,
    /// Files that lie elsewhere than when they were ordered from.
    pub moved: HashMap<FileHash, Arc<dyn Shared>>,
}

type Request = (Arc<dyn Shared>, FileHash, ChunkIndex);
type HashQuestion = (Option<Arc<dyn Shared>>, FileHash, u32, u32);

#[derive(Default)]
struct Queue {
    requests: VecDeque<Request>,
    hashes: VecDeque<HashQuestion>,
    /// Requests that wait for their rejection.
    rejected: Vec<(FileHash, ChunkIndex, RejectReason)>,
}

impl Queue {
    fn take_in(&mut self, order: Order) {
        match order {
            Order::Serve(shared, file, chunk) => self.requests.push_back((shared, file, chunk)),
            Order::Refuse(file, chunk) => self.rejected.push((file, chunk, RejectReason::NotHeld)),
            Order::Withdraw(file, chunk) => self.withdraw(|asked| asked == (file, chunk)),
            Order::WithdrawAll(file) => self.withdraw(|(of, _)| of == file),
            Order::Hashes(shared, file, first, count) => self.hashes.push_back((shared, file, first, count)),
        }
    }

    fn withdraw(&mut self, which: impl Fn((FileHash, ChunkIndex)) -> bool) {
        let rejected = &mut self.rejected;
        self.requests.retain(|(_, file, chunk)| {
            let gone = which((*file, *chunk));
            if gone {
                rejected.push((*file, *chunk, RejectReason::Cancelled));
            }
            !gone
        });
    }

    fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.hashes.is_empty() && self.rejected.is_empty()
    }
}

/// The session is over: nobody takes messages or chunks any more.
struct Over;

impl Server {
    /// Serves until the session is over.
    pub(super) async fn run(mut self) {
        let mut queue = Queue::default();
        let mut trees = HashMap::new();
        // Ends with the first thing that nobody takes.
        while let Ok(()) = self.next(&mut queue, &mut trees).await {}
    }

    async fn next(&mut self, queue: &mut Queue, trees: &mut Trees) -> Result<(), Over> {
        if queue.is_empty() {
            queue.take_in(self.orders.recv().await.ok_or(Over)?);
        }
        while let Ok(order) = self.orders.try_recv() {
            queue.take_in(order);
        }
        for (file, chunk, reason) in std::mem::take(&mut queue.rejected) {
            self.reject(file, chunk, reason).await?;
        }
        if let Some(question) = queue.hashes.pop_front() {
            self.answer_hashes(question, trees).await?;
        }
        match queue.requests.pop_front() {
            Some(request) => self.answer(request).await,
            None => Ok(()),
        }
    }

    async fn reject(&self, file: FileHash, chunk: ChunkIndex, reason: RejectReason) -> Result<(), Over> {
        self.traffic.on_answered(0);
        self.say(PeerMessage::Reject { file, chunk, reason }).await
    }

    async fn say(&self, message: PeerMessage) -> Result<(), Over> {
        self.messages.send(message).await.map_err(|_| Over)
    }

    async fn answer(&mut self, (shared, file, chunk): Request) -> Result<(), Over> {
        let shared = self.moved.get(&file).cloned().unwrap_or(shared);
        let buffer = self.pool.acquire_used().await;
        let (mut buffer, mut outcome) = read(shared, file, chunk, buffer).await;
        if let Err(ReadError::NotHeld(_)) = outcome {
            // A download that was finished meanwhile lies elsewhere now: look again, once.
            let shared = self.shelf.open(file).await;
            if let (Some(shared), Some(empty)) = (shared, buffer.take()) {
                self.moved.insert(file, Arc::clone(&shared));
                (buffer, outcome) = read(shared, file, chunk, empty).await;
            }
        }
        match (outcome, buffer) {
            (Ok(bytes), Some(buffer)) => {
                self.traffic.on_answered(bytes);
                self.chunks.send(buffer).await.map_err(|_| Over)
            }
            (outcome, _) => {
                let reason = refusal(file, chunk, outcome.err());
                self.reject(file, chunk, reason).await
            }
        }
    }

    async fn answer_hashes(
        &self,
        (shared, file, first, count): HashQuestion,
        trees: &mut Trees,
    ) -> Result<(), Over> {
        let tree = match shared {
            Some(shared) => tree_of(trees, file, shared).await,
            None => None,
        };
        let range = tree.and_then(|tree| tree.range(first, count));
        let (hashes, proof) = range.unwrap_or_else(|| (Vec::new(), MerkleProof { nodes: Vec::new() }));
        self.traffic.on_hashes_answered();
        self.say(PeerMessage::Hashes {
            file,
            first,
            hashes,
            proof,
        })
        .await
    }
}

fn refusal(file: FileHash, chunk: ChunkIndex, error: Option<ReadError>) -> RejectReason {
    match error {
        Some(ReadError::NotHeld(_)) => RejectReason::NotHeld,
        Some(error) => {
            tracing::warn!(%file, %chunk, %error, "a chunk that was asked for cannot be read");
            RejectReason::Unreadable
        }
        None => RejectReason::Unreadable,
    }
}

/// Reads a chunk behind the room for its record's header: here if it lies in the page cache, since going to another thread
/// and back would take longer than that, else on a blocking thread. The buffer comes back empty after an error, and not at all
/// after a panic.
async fn read(
    shared: Arc<dyn Shared>,
    file: FileHash,
    chunk: ChunkIndex,
    mut buffer: ChunkBuffer,
) -> (Option<ChunkBuffer>, Result<u64, ReadError>) {
    let before = RECORD_HEADER + CHUNK_PREFIX;
    let length = shared.layout().length(chunk);
    // Most often it is as long as that already.
    buffer.resize(before + length as usize, 0);
    let (head, body) = buffer.split_at_mut(before);
    let (record, prefix) = head.split_at_mut(RECORD_HEADER);
    record.fill(0);
    prefix.copy_from_slice(&chunk_prefix(&ChunkHeader { file, chunk }));
    if shared.read_cached(chunk, body) {
        return (Some(buffer), Ok(length.into()));
    }
    buffer.truncate(before);
    let done = spawn_blocking(move || {
        let read = shared.read_chunk(chunk, &mut buffer);
        let bytes = (buffer.len() - before) as u64;
        (Some(buffer), read.map(|()| bytes))
    });
    done.await.unwrap_or((None, Err(ReadError::NotHeld(chunk))))
}

/// The hashes of a file with the tree over them, which takes a while to grow: kept while the session lasts.
struct Tree {
    hashes: Arc<[ChunkHash]>,
    tree: MerkleTree,
}

type Trees = HashMap<FileHash, Arc<Tree>>;

/// Trees kept for one session: a peer asks for the hashes of one file after the other.
const TREES: usize = 2;

async fn tree_of(trees: &mut Trees, file: FileHash, shared: Arc<dyn Shared>) -> Option<Arc<Tree>> {
    if let Some(tree) = trees.get(&file) {
        return Some(Arc::clone(tree));
    }
    let grown = spawn_blocking(move || {
        let hashes = shared.hashes();
        let tree = MerkleTree::new(shared.layout(), &hashes).ok()?;
        Some(Arc::new(Tree { hashes, tree }))
    });
    let tree = grown.await.ok().flatten()?;
    if trees.len() >= TREES {
        trees.clear();
    }
    trees.insert(file, Arc::clone(&tree));
    Some(tree)
}

impl Tree {
    /// The hashes of a range with their proof; nothing if the file does not have that range.
    fn range(&self, first: u32, count: u32) -> Option<(Vec<ChunkHash>, MerkleProof)> {
        let end = first.checked_add(count)?;
        let hashes = self.hashes.get(first as usize..end as usize)?;
        Some((hashes.to_vec(), self.tree.proof(first..end)))
    }
}
