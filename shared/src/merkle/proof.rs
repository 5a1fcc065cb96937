//! Proofs: that some chunk hashes of a file are its own, without the others.
//!
//! A proof of a range is what of the tree lies beside it: the largest subtrees without a chunk of the range, from left to
//! right. How many those are follows from the layout and the range alone, so a proof is measured before it is used.

use super::{Node, empty_top, join, leaf, seal};
use crate::{
    chunker::Layout,
    id::{ChunkHash, ChunkIndex, MerkleRoot},
};
use std::ops::Range;

/// Most nodes of a proof: of the tallest tree (2^26 leaves) two a level below the two halves, when the range lies on both
/// sides of the middle.
pub const MAX_PROOF_NODES: usize = 50;

/// Why hashes and their proof do not belong to a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadProof {
    /// No hashes, or some behind the last chunk.
    #[error("{count} chunk hashes from {first} are none of a file of {chunks} chunks")]
    Range {
        /// The first chunk.
        first: u32,
        /// How many hashes there were.
        count: usize,
        /// How many chunks the file has.
        chunks: u32,
    },
    /// Nodes missing or left over.
    #[error("the proof has {got} nodes where {expected} belong")]
    Nodes {
        /// Nodes in the proof.
        got: usize,
        /// Nodes that a proof of this range has.
        expected: usize,
    },
    /// They make another root: a hash, a node, the size or the position is wrong.
    #[error("the chunk hashes do not belong to this file: they make another Merkle root")]
    Root,
}

/// What a range of chunk hashes needs beside itself to make the root: the tops of the subtrees left and right of it, in
/// the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct MerkleProof {
    /// The nodes, at most [`MAX_PROOF_NODES`].
    pub nodes: Vec<[u8; 32]>,
}

/// Whether `hashes` are those of the chunks from `first` of the file with this root and layout.
///
/// The size in the layout is proved too: it is part of the root. Does as much work as there are hashes and levels.
pub fn verify_range(
    root: &MerkleRoot,
    layout: Layout,
    first: ChunkIndex,
    hashes: &[ChunkHash],
    proof: &MerkleProof,
) -> Result<(), BadProof> {
    let wanted = wanted_range(layout, first, hashes.len())?;
    let mut expected = 0;
    outside(0..layout.chunks(), &wanted, &mut |_| expected += 1);
    if proof.nodes.len() != expected {
        return Err(BadProof::Nodes {
            got: proof.nodes.len(),
            expected,
        });
    }
    let mut climb = Climb {
        layout,
        wanted,
        hashes,
        nodes: &proof.nodes,
    };
    let top = match layout.chunks() {
        0 => Some(empty_top()),
        chunks => climb.top(0..chunks),
    };
    match top {
        Some(top) if seal(layout, top) == *root => Ok(()),
        _ => Err(BadProof::Root),
    }
}

/// The chunks that the hashes belong to. Of an empty file no hashes are right: its whole list.
fn wanted_range(layout: Layout, first: ChunkIndex, count: usize) -> Result<Range<u32>, BadProof> {
    let chunks = layout.chunks();
    let end = u32::try_from(count)
        .ok()
        .and_then(|count| first.0.checked_add(count));
    match end {
        Some(end) if end <= chunks && (count > 0 || chunks == 0) => Ok(first.0..end),
        _ => Err(BadProof::Range {
            first: first.0,
            count,
            chunks,
        }),
    }
}

/// Calls `visit` for the largest subtrees under `span` that have nothing of `wanted`, from left to right.
pub(super) fn outside(span: Range<u32>, wanted: &Range<u32>, visit: &mut impl FnMut(Range<u32>)) {
    if span.end <= wanted.start || wanted.end <= span.start {
        if !span.is_empty() {
            visit(span);
        }
    } else if span.start < wanted.start || wanted.end < span.end {
        let (left, right) = halves(&span);
        outside(left, wanted, visit);
        outside(right, wanted, visit);
    }
}

/// Computes the top from the hashes wanted and the nodes of a proof.
struct Climb<'a> {
    layout: Layout,
    wanted: Range<u32>,
    hashes: &'a [ChunkHash],
    /// Nodes not yet used.
    nodes: &'a [Node],
}

impl Climb<'_> {
    /// The node over `span`, taking what lies outside the range from the proof; `None` if that is used up.
    fn top(&mut self, span: Range<u32>) -> Option<Node> {
        if span.end <= self.wanted.start || self.wanted.end <= span.start {
            let (node, rest) = self.nodes.split_first()?;
            self.nodes = rest;
            return Some(*node);
        }
        if span.len() == 1 {
            let hash = self.hashes.get((span.start - self.wanted.start) as usize)?;
            return Some(leaf(self.layout, ChunkIndex(span.start), hash));
        }
        let (left, right) = halves(&span);
        Some(join(&self.top(left)?, &self.top(right)?))
    }
}

/// The two subtrees under a span of at least two leaves: the left one the largest power of two below all.
fn halves(span: &Range<u32>) -> (Range<u32>, Range<u32>) {
    let middle = span.start + (span.len() as u32).div_ceil(2).next_power_of_two();
    (span.start..middle, middle..span.end)
}
