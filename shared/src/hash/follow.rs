//! Follows a stream chunk by chunk and ends with the hash of the whole file.
//!
//! Owns the middle of the computation and can write it down and read it back, so that an interrupted import or
//! download goes on where it was. Wants every chunk once and in order; with BLAKE3 it needs no bytes, only the chunk
//! hashes, which are nodes of the tree whose root the file hash is.

use super::{HashAlgorithm, stream::Stream};
use crate::{
    chunker::Layout,
    id::{ChunkHash, ChunkIndex, FileHash},
};
use blake3::hazmat::{Mode, merge_subtrees_non_root, merge_subtrees_root};

/// First byte of a saved state; another layout of the bytes behind it gets another number.
const STATE_VERSION: u8 = 2;
/// Version, algorithm, size of the file (u64 LE), next chunk (u32 LE).
pub(super) const STATE_HEAD: usize = 1 + 1 + 8 + 4;

/// The file hash was asked for before the last chunk, or after more chunks than there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{followed} chunks were hashed of a file of {chunks}")]
pub struct Incomplete {
    /// How often [`FileHasher::update`] was called.
    pub followed: u32,
    /// Chunks of the file.
    pub chunks: u32,
}

/// Follows a stream in chunk order and ends with the file hash.
#[derive(Clone)]
pub struct FileHasher {
    layout: Layout,
    /// The chunk that [`FileHasher::update`] takes next.
    next: u32,
    state: State,
}

#[derive(Clone)]
enum State {
    Sha256(Stream),
    /// Chaining values of the whole subtrees so far, largest first: one for each bit that is set in their number of
    /// chunks. Two are joined only when another chunk follows, because the last join of all is made differently.
    Blake3(Vec<[u8; 32]>),
}

impl FileHasher {
    /// Nothing followed yet of a file with this layout.
    pub fn new(algorithm: HashAlgorithm, layout: Layout) -> Self {
        let state = match algorithm {
            HashAlgorithm::Sha256 => State::Sha256(Stream::new()),
            HashAlgorithm::Blake3 => State::Blake3(Vec::new()),
        };
        Self {
            layout,
            next: 0,
            state,
        }
    }

    /// The chunk to be given next.
    pub fn next_index(&self) -> ChunkIndex {
        ChunkIndex(self.next)
    }

    /// Whether [`FileHasher::update`] looks at the bytes: yes for SHA-256; for BLAKE3 they may be empty.
    pub fn needs_bytes(&self) -> bool {
        matches!(self.state, State::Sha256(_))
    }

    /// The next chunk: all its bytes, and its hash as of [`HashAlgorithm::hash_chunk`]. SHA-256 uses only `bytes`,
    /// BLAKE3 only `hash`.
    pub fn update(&mut self, bytes: &[u8], hash: &ChunkHash) {
        match &mut self.state {
            State::Sha256(stream) => stream.update(bytes),
            State::Blake3(subtrees) => {
                join_until(subtrees, self.next.count_ones() as usize);
                subtrees.push(hash.0);
            }
        }
        self.next = self.next.saturating_add(1);
    }

    /// The next chunk: follows it and gives its hash, for the time of one. Whether the bytes are the right ones shows
    /// in that hash only: whoever has them from outside clones the hasher before, and keeps the clone if they are not.
    pub fn update_and_hash(&mut self, bytes: &[u8]) -> ChunkHash {
        if let State::Sha256(stream) = &mut self.state {
            self.next = self.next.saturating_add(1);
            return ChunkHash(stream.update_with_digest(bytes));
        }
        let hash = self.algorithm().hash_chunk(self.layout, self.next_index(), bytes);
        self.update(bytes, &hash);
        hash
    }

    /// The file hash, after the last chunk.
    pub fn finish(self) -> Result<FileHash, Incomplete> {
        if self.next != self.layout.chunks() {
            return Err(Incomplete {
                followed: self.next,
                chunks: self.layout.chunks(),
            });
        }
        Ok(FileHash(match self.state {
            State::Sha256(stream) => stream.finish(),
            State::Blake3(subtrees) => root(subtrees),
        }))
    }

    /// The middle state as bytes (at most 1 KiB), to go on from with [`FileHasher::restore`]. They carry no
    /// checksum; whoever stores them does that.
    pub fn save(&self) -> Vec<u8> {
        let mut bytes = vec![STATE_VERSION, tag(self.algorithm())];
        bytes.extend(self.layout.size().to_le_bytes());
        bytes.extend(self.next.to_le_bytes());
        match &self.state {
            State::Sha256(stream) => bytes.extend(stream.save()),
            State::Blake3(subtrees) => bytes.extend(subtrees.as_flattened()),
        }
        bytes
    }

    /// Goes on from what [`FileHasher::save`] wrote; `None` if it was written for another algorithm or file size, by
    /// another version of this program, or is no such state at all. Then the stream is followed from its beginning.
    pub fn restore(algorithm: HashAlgorithm, layout: Layout, saved: &[u8]) -> Option<Self> {
        let (head, state) = saved.split_first_chunk::<STATE_HEAD>()?;
        let mut expected = vec![STATE_VERSION, tag(algorithm)];
        expected.extend(layout.size().to_le_bytes());
        let next = u32::from_le_bytes(head.strip_prefix(expected.as_slice())?.try_into().ok()?);
        if next > layout.chunks() {
            return None;
        }
        let state = match algorithm {
            HashAlgorithm::Sha256 => {
                let length = layout.offset(ChunkIndex(next)).min(layout.size());
                State::Sha256(Stream::restore(state, length)?)
            }
            HashAlgorithm::Blake3 => State::Blake3(restore_subtrees(next, state)?),
        };
        Some(Self { layout, next, state })
    }

    fn algorithm(&self) -> HashAlgorithm {
        match self.state {
            State::Sha256(_) => HashAlgorithm::Sha256,
            State::Blake3(_) => HashAlgorithm::Blake3,
        }
    }
}

impl std::fmt::Debug for FileHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileHasher")
            .field("algorithm", &self.algorithm())
            .field("layout", &self.layout)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// Joins the smallest subtrees until this many are left.
fn join_until(subtrees: &mut Vec<[u8; 32]>, count: usize) {
    while subtrees.len() > count
        && let Some([left, right]) = subtrees.last_chunk()
    {
        let joined = merge_subtrees_non_root(left, right, Mode::Hash);
        subtrees.truncate(subtrees.len() - 2);
        subtrees.push(joined);
    }
}

/// The hash of the whole stream from its subtrees: the last join makes the root.
fn root(mut subtrees: Vec<[u8; 32]>) -> [u8; 32] {
    join_until(&mut subtrees, 2);
    match subtrees.as_slice() {
        [] => blake3::hash(&[]).into(),
        // The only chunk's hash is the root already.
        [only] => *only,
        [left, right, ..] => merge_subtrees_root(left, right, Mode::Hash).into(),
    }
}

fn tag(algorithm: HashAlgorithm) -> u8 {
    match algorithm {
        HashAlgorithm::Sha256 => 1,
        HashAlgorithm::Blake3 => 2,
    }
}

/// The subtrees after `next` chunks: as many as the last `update` leaves, before the joins that wait for another one.
fn restore_subtrees(next: u32, saved: &[u8]) -> Option<Vec<[u8; 32]>> {
    let (subtrees, rest) = saved.as_chunks::<32>();
    let count = next.checked_sub(1).map_or(0, |before| before.count_ones() + 1);
    (rest.is_empty() && subtrees.len() == count as usize).then(|| subtrees.to_vec())
}
