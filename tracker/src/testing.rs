//! Content for the tests, ([`live`]) the parts of a tracker at work, and ([`cluster`]) a PostgreSQL.

#[path = "../../tests/src/cluster.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the whole-system tests use the rest, from their own crate"
)]
pub(crate) mod cluster;
pub(crate) mod live;

use p2p_shared::{
    chunker::{CHUNK_SIZE, Layout},
    hash::{FileHasher, HashAlgorithm},
    id::{ChunkHash, ChunkIndex},
    manifest::{Manifest, Modified, ShareKind},
    merkle::merkle_root,
};

/// `size` bytes that differ from one seed to another.
pub(crate) fn content(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..size).map(|_| next()).collect()
}

/// The record of a file with this content, and its chunk hashes.
pub(crate) fn file_of(algorithm: HashAlgorithm, content: &[u8]) -> (Manifest, Vec<ChunkHash>) {
    let layout = Layout::new(content.len() as u64).unwrap();
    let mut whole = FileHasher::new(algorithm, layout);
    let mut hashes = Vec::new();
    for (index, chunk) in (0..).map(ChunkIndex).zip(content.chunks(CHUNK_SIZE as usize)) {
        let hash = algorithm.hash_chunk(layout, index, chunk);
        whole.update(chunk, &hash);
        hashes.push(hash);
    }
    let manifest = Manifest {
        hash: whole.finish().unwrap(),
        algorithm,
        size: layout.size(),
        merkle_root: merkle_root(layout, &hashes),
        name: "a file.bin".parse().unwrap(),
        kind: ShareKind::File,
        mode: 0o644,
        modified: Modified {
            seconds: 1_700_000_000,
            nanos: 5,
        },
    };
    (manifest.checked().unwrap(), hashes)
}
