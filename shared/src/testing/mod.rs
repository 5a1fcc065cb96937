//! Fixtures for tests: content, hashes and identities from seeds, and strategies for property tests.
//!
//! The same seed gives the same bytes on every machine and in every version, so that a failure can be made again.
//! Nothing here reads a clock, a file or the system's randomness.

mod strategies;

pub use strategies::{
    bitfield, file_name, folder_entries, folder_index, layout, manifest, modified, relative_path, seeder,
    socket_address, ticket, tracker_url,
};

use crate::{
    chunker::Layout,
    crypto::identity::Identity,
    hash::{FileHasher, HashAlgorithm},
    id::ChunkHash,
    manifest::{FileName, Manifest, Modified, ShareKind},
    merkle::merkle_root,
};

/// The content of `seed`: `len` pseudo-random bytes that do not compress.
pub fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fill(seed, 0, &mut bytes);
    bytes
}

/// The content of `seed` from `offset` on, of which there is no end: for files too large for memory.
pub fn fill(seed: u64, offset: u64, bytes: &mut [u8]) {
    let mut stream = stream("content", seed);
    stream.set_position(offset);
    stream.fill(bytes);
}

/// The identity of `seed`.
pub fn identity(seed: u64) -> Identity {
    Identity::from_secret(bytes("identity", seed))
}

/// `count` chunk hashes of no content at all: for tests of trees and lists.
pub fn chunk_hashes(seed: u64, count: u32) -> Vec<ChunkHash> {
    let mut stream = stream("chunk hashes", seed);
    let mut hashes = vec![ChunkHash([0; 32]); count as usize];
    for hash in &mut hashes {
        stream.fill(&mut hash.0);
    }
    hashes
}

/// The manifest and the chunk hashes of a file of these bytes.
///
/// # Panics
/// If `name` is no file name.
pub fn file(algorithm: HashAlgorithm, name: &str, bytes: &[u8]) -> (Manifest, Vec<ChunkHash>) {
    let name: FileName = name.parse().expect("a test gives a good name");
    let layout = Layout::new(bytes.len() as u64).expect("what is in memory is no larger than a share may be");
    let mut hasher = FileHasher::new(algorithm, layout);
    let mut hashes = Vec::new();
    for chunk in layout.indices() {
        let extent = layout.extent(chunk);
        let bytes = &bytes[extent.start as usize..extent.end as usize];
        let hash = algorithm.hash_chunk(layout, chunk, bytes);
        hasher.update(bytes, &hash);
        hashes.push(hash);
    }
    let manifest = Manifest {
        hash: hasher.finish().expect("every chunk was followed"),
        algorithm,
        size: layout.size(),
        merkle_root: merkle_root(layout, &hashes),
        name,
        kind: ShareKind::File,
        mode: 0o644,
        modified: Modified {
            seconds: 1_700_000_000,
            nanos: 123_456_789,
        },
    };
    (manifest, hashes)
}

/// 32 bytes of `seed` for one purpose.
fn bytes(purpose: &str, seed: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    stream(purpose, seed).fill(&mut bytes);
    bytes
}

/// An endless stream of bytes of `seed` for one purpose.
fn stream(purpose: &str, seed: u64) -> blake3::OutputReader {
    blake3::Hasher::new_derive_key("p2p-shared testing")
        .update(&seed.to_le_bytes())
        .update(purpose.as_bytes())
        .finalize_xof()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_on_every_machine() {
        assert_eq!(hex::encode(content(7, 8)), "9fb7e28ab762c854");
        assert_eq!(
            identity(7).public_key().to_string(),
            "fa0827958630bb0e9ba72a1aa2710016a7f06b7bd8445a1d28e72cf0bc016646"
        );
    }

    #[test]
    fn content_can_be_made_from_any_offset() {
        let whole = content(7, 1000);
        let mut part = [0; 300];
        fill(7, 333, &mut part);
        assert_eq!(part, whole[333..633]);
        assert_ne!(content(8, 1000), whole);
    }

    #[test]
    fn a_made_file_has_a_manifest_that_others_accept() {
        let (manifest, hashes) = file(HashAlgorithm::Blake3, "a b", &content(1, 600_000));
        manifest.check().unwrap();
        assert_eq!(hashes.len(), 3);
        assert_eq!(manifest.hash.0, *blake3::hash(&content(1, 600_000)).as_bytes());
    }
}
