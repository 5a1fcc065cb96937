//! A file or folder as its sharer knows it, made with the project's own hashing: for peers that are played by a test.
//!
//! Holds the whole file in memory; the manifest is the one that the product would make of it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use p2p_shared::chunker::Layout;
use p2p_shared::hash::{FileHasher, HashAlgorithm};
use p2p_shared::id::{ChunkHash, ChunkIndex};
use p2p_shared::manifest::{EntryKind, FolderEntry, FolderIndex, Manifest, Modified, ShareKind};
use p2p_shared::merkle::{MerkleProof, MerkleTree};
use p2p_shared::name::FileName;
use p2p_shared::ticket::{Seeder, Ticket};

/// A file or folder as its sharer knows it.
#[derive(Debug)]
pub struct Content {
    /// Its record.
    pub manifest: Manifest,
    /// What is in it, if it is a folder.
    pub index: Option<FolderIndex>,
    bytes: Vec<u8>,
    hashes: Vec<ChunkHash>,
}

impl Content {
    /// Reads and hashes a file.
    pub fn of(path: &Path, algorithm: HashAlgorithm) -> Self {
        Self::made_of(
            path,
            algorithm,
            ShareKind::File,
            std::fs::read(path).expect("the file"),
        )
    }

    /// Reads and hashes a folder.
    pub fn of_folder(root: &Path, algorithm: HashAlgorithm) -> Self {
        let mut entries = Vec::new();
        let mut open = vec![root.to_owned()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(&folder).expect("the folder") {
                let path = entry.expect("a directory entry").path();
                entries.push(folder_entry(root, &path));
                open.extend(path.is_dir().then_some(path));
            }
        }
        let index = FolderIndex::new(entries).expect("a folder that can be shared");
        let mut bytes = index.encode();
        for (entry, _) in index.extents().filter(|(_, extent)| !extent.is_empty()) {
            bytes.extend(std::fs::read(root.join(entry.path.as_str())).expect("a file"));
        }
        let content = Self::made_of(root, algorithm, ShareKind::Folder, bytes);
        Self {
            index: Some(index),
            ..content
        }
    }

    fn made_of(path: &Path, algorithm: HashAlgorithm, kind: ShareKind, bytes: Vec<u8>) -> Self {
        let meta = std::fs::metadata(path).expect("what is shared");
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
            kind,
            mode: meta.mode() & 0o777,
            modified: modified(&meta),
        };
        Self {
            manifest,
            index: None,
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

fn folder_entry(root: &Path, path: &Path) -> FolderEntry {
    let meta = std::fs::metadata(path).expect("an entry");
    let below = path
        .strip_prefix(root)
        .expect("below the root")
        .to_str()
        .expect("UTF-8");
    FolderEntry {
        path: below.parse().expect("a path that can be shared"),
        kind: match meta.is_dir() {
            true => EntryKind::Directory,
            false => EntryKind::File { size: meta.len() },
        },
        mode: meta.mode() & 0o777,
        modified: modified(&meta),
    }
}

fn modified(meta: &std::fs::Metadata) -> Modified {
    Modified::clamped(
        meta.mtime(),
        u32::try_from(meta.mtime_nsec()).expect("nanoseconds"),
    )
}

fn piece(bytes: &[u8], layout: Layout, chunk: ChunkIndex) -> &[u8] {
    let extent = layout.extent(chunk);
    let at = |offset: u64| usize::try_from(offset).expect("it is in memory");
    &bytes[at(extent.start)..at(extent.end)]
}
