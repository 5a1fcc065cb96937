//! The Merkle tree over the chunk hashes of a file: a list of them, or a part of one, is checked against 32 bytes.
//!
//! Always SHA-256, whatever hashes the chunks:
//!
//! - leaf = H(0x00 ‖ index u32 ‖ length u32 ‖ chunk hash), node = H(0x01 ‖ left ‖ right),
//!   root = H(0x02 ‖ file size u64 ‖ chunk size u32 ‖ top), integers big-endian;
//! - shaped as in RFC 6962, 2.1: the left subtree holds the largest power of two of leaves that is less than all.
//!   Nothing is duplicated to fill up; the top of an empty tree is H() as there.
//!
//! An inner node never passes for a leaf (first byte), a leaf never for another's (index), and a list never for that of
//! another size (root). Trusts nobody's count: what is checked is bounded by the layout before anything is hashed.

mod proof;
#[cfg(test)]
mod tests;

pub use proof::{BadProof, MAX_PROOF_NODES, MerkleProof, verify_range};

use crate::{
    chunker::{CHUNK_SIZE, Layout},
    id::{ChunkHash, ChunkIndex, MerkleRoot},
};
use sha2::{Digest as _, Sha256};
use std::ops::Range;

type Node = [u8; 32];

/// As many chunk hashes were given as the file has no chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{got} chunk hashes for a file of {chunks} chunks")]
pub struct WrongCount {
    /// How many hashes there were.
    pub got: usize,
    /// How many chunks the file has.
    pub chunks: u32,
}

/// All nodes of the tree, to make proofs from: 64 bytes a chunk.
#[derive(Clone)]
pub struct MerkleTree {
    layout: Layout,
    /// The leaves, then each level above them up to the one top. A last node without a sibling stands on the next
    /// level as it is, which gives the shape of RFC 6962.
    levels: Vec<Vec<Node>>,
}

impl MerkleTree {
    /// The tree over all chunk hashes of a file.
    pub fn new(layout: Layout, hashes: &[ChunkHash]) -> Result<Self, WrongCount> {
        if hashes.len() != layout.chunks() as usize {
            return Err(WrongCount {
                got: hashes.len(),
                chunks: layout.chunks(),
            });
        }
        let mut level: Vec<Node> = layout
            .indices()
            .zip(hashes)
            .map(|(chunk, hash)| leaf(layout, chunk, hash))
            .collect();
        let mut levels = Vec::new();
        while level.len() > 1 {
            let above = level.chunks(2).map(join_pair).collect();
            levels.push(std::mem::replace(&mut level, above));
        }
        levels.push(level);
        Ok(Self { layout, levels })
    }

    /// The root, as of [`merkle_root`].
    pub fn root(&self) -> MerkleRoot {
        let top = self.levels.last().and_then(|level| level.first());
        seal(self.layout, top.copied().unwrap_or_else(empty_top))
    }

    /// The proof for the chunk hashes of these chunks, for [`verify_range`]. What lies behind the last chunk does
    /// not count; nothing can be proved of no chunks.
    pub fn proof(&self, chunks: Range<u32>) -> MerkleProof {
        let end = chunks.end.min(self.layout.chunks());
        let mut nodes = Vec::new();
        if chunks.start < end {
            proof::outside(0..self.layout.chunks(), &(chunks.start..end), &mut |span| {
                nodes.push(self.node(&span));
            });
        }
        MerkleProof { nodes }
    }

    /// The node over a span of leaves that is a subtree of the shape.
    fn node(&self, span: &Range<u32>) -> Node {
        let height = span.len().next_power_of_two().trailing_zeros();
        self.levels[height as usize][(span.start >> height) as usize]
    }
}

/// The root over all chunk hashes of a file; keeps a node a level and no tree. With more or fewer hashes than the file
/// has chunks the result is the root of nothing.
pub fn merkle_root(layout: Layout, hashes: &[ChunkHash]) -> MerkleRoot {
    let mut builder = RootBuilder::new(layout);
    for hash in hashes {
        builder.push(hash);
    }
    builder.finish()
}

/// Makes the root from chunk hashes as they come, in order.
#[derive(Debug, Clone)]
pub struct RootBuilder {
    layout: Layout,
    /// How many hashes there were.
    count: u32,
    /// Tops of whole subtrees, largest first: one for each bit set in `count`.
    tops: Vec<Node>,
}

impl RootBuilder {
    /// No hash yet of a file with this layout.
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            count: 0,
            tops: Vec::new(),
        }
    }

    /// How many hashes there were.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The hash of the next chunk.
    pub fn push(&mut self, hash: &ChunkHash) {
        let mut top = leaf(self.layout, ChunkIndex(self.count), hash);
        for _ in 0..self.count.trailing_ones() {
            if let Some(left) = self.tops.pop() {
                top = join(&left, &top);
            }
        }
        self.tops.push(top);
        self.count = self.count.wrapping_add(1);
    }

    /// The root over the hashes so far.
    pub fn finish(self) -> MerkleRoot {
        let top = self
            .tops
            .into_iter()
            .rev()
            .reduce(|right, left| join(&left, &right));
        seal(self.layout, top.unwrap_or_else(empty_top))
    }
}

fn leaf(layout: Layout, chunk: ChunkIndex, hash: &ChunkHash) -> Node {
    let mut bytes = [0; 41];
    bytes[1..5].copy_from_slice(&chunk.0.to_be_bytes());
    bytes[5..9].copy_from_slice(&layout.length(chunk).to_be_bytes());
    bytes[9..].copy_from_slice(&hash.0);
    Sha256::digest(bytes).into()
}

fn join(left: &Node, right: &Node) -> Node {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    Sha256::digest(bytes).into()
}

/// The node above a pair, or above a last node that has no sibling.
fn join_pair(pair: &[Node]) -> Node {
    match pair {
        [left, right] => join(left, right),
        alone => alone[0],
    }
}

fn empty_top() -> Node {
    Sha256::digest(b"").into()
}

fn seal(layout: Layout, top: Node) -> MerkleRoot {
    let digest = Sha256::new()
        .chain_update([2])
        .chain_update(layout.size().to_be_bytes())
        .chain_update(CHUNK_SIZE.to_be_bytes())
        .chain_update(top)
        .finalize();
    MerkleRoot(digest.into())
}
