//! A file as its sharer knows it, made with the project's own hashing: for peers that are played by a test.
//!
//! Holds the whole file in memory; the manifest is the one that the product would make of it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use p2p_shared::chunker::Layout;
use p2p_shared::hash::{FileHasher, HashAlgorithm};
use p2p_shared::id::{ChunkHash, ChunkIndex};
use p2p_shared::manifest::{Manifest, Modified, ShareKind};
use p2p_shared::merkle::{MerkleProof, MerkleTree};
use p2p_shared::name::FileName;
use p2p_shared::ticket::{Seeder, Ticket};

/// A file as its sharer knows it.
#[derive(Debug)]
pub struct Content {
    /// Its record.
    pub manifest: Manifest,
    bytes: Vec<u8>,
    hashes: Vec<ChunkHash>,
}

impl Content {
    /// Reads and hashes a file.
    pub fn of(path: &Path, algorithm: HashAlgorithm) -> Self {
        let bytes = std::fs::read(path).expect("the file");
        let meta = std::fs::metadata(path).expect("the file");
        let layout = Layout::new(bytes.len() as u64).expect("a size that can be shared");
        let mut whole = FileHasher::new(algorithm, layout);
        let mut hashes = Vec::new();
        for chunk in layout.indices() {
            let piece = piece(&bytes, layout, chunk);
            let hash = algorithm.hash_chunk(layout, chunk, piece);
            whole.update(piece, &hash);
            hashes.push(hash);
        }
        let name = path.file_name().expect("a name").to_str().expect("UTF-8");
        let manifest = Manifest {
            hash: whole.finish().expect("all chunks"),
            algorithm,
            size: layout.size(),
            merkle_root: MerkleTree::new(layout, &hashes).expect("a hash a chunk").root(),
            name: name.parse::<FileName>().expect("a name that can be shared"),
            kind: ShareKind::File,
            mode: meta.mode() & 0o777,
            modified: Modified::clamped(
                meta.mtime(),
                u32::try_from(meta.mtime_nsec()).expect("nanoseconds"),
            ),
        };
        Self {
            manifest,
            bytes,
            hashes,
        }
    }

    /// A ticket for it that names these peers and no tracker.
    pub fn ticket(&self, seeders: Vec<Seeder>) -> String {
        Ticket {
            manifest: self.manifest.clone(),
            trackers: Vec::new(),
            seeders,
            secret: None,
        }
        .to_string()
    }

    /// How it is cut.
    pub fn layout(&self) -> Layout {
        self.manifest.layout()
    }

    /// The bytes of a chunk.
    pub fn piece(&self, chunk: ChunkIndex) -> &[u8] {
        piece(&self.bytes, self.layout(), chunk)
    }

    /// So many chunk hashes from this one on, as many as there are, with what ties them to the root.
    pub fn hashes(&self, first: u32, count: u32) -> (u32, Vec<ChunkHash>, MerkleProof) {
        let end = first.saturating_add(count).min(self.layout().chunks());
        let range = first.min(end)..end;
        let tree = MerkleTree::new(self.layout(), &self.hashes).expect("a hash a chunk");
        let hashes = self.hashes[range.start as usize..range.end as usize].to_vec();
        (range.start, hashes, tree.proof(range))
    }
}

fn piece(bytes: &[u8], layout: Layout, chunk: ChunkIndex) -> &[u8] {
    let extent = layout.extent(chunk);
    let at = |offset: u64| usize::try_from(offset).expect("it is in memory");
    &bytes[at(extent.start)..at(extent.end)]
}
