//! Whether chunk hashes and a record belong together. Pure.
//!
//! A tracker sees no content, but some lies show without it: chunk hashes that do not lead to the Merkle root; with BLAKE3,
//! whose file hash is the root of the tree that the chunk hashes are nodes of, any hash that is not the file's; with
//! SHA-256, a wrong hash of a file of one chunk.

use p2p_shared::{
    hash::{FileHasher, HashAlgorithm},
    id::{ChunkHash, FileHash},
    manifest::Manifest,
    merkle::RootBuilder,
};

/// Why chunk hashes are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// They begin or end beyond the last chunk.
    #[error("the chunk hashes from {first} on are {count}, but the file has {chunks} chunks")]
    TooMany {
        /// Where they begin.
        first: u32,
        /// How many they are.
        count: usize,
        /// How many chunks there are.
        chunks: u32,
    },
    /// They lead to another root.
    #[error("the chunk hashes do not lead to Merkle root {0}; hash the file again")]
    Root(p2p_shared::id::MerkleRoot),
    /// They are those of another file.
    #[error("the chunk hashes are not those of file {0}; hash the file again")]
    File(FileHash),
}

/// Checks that a run of hashes lies within the file.
pub(crate) fn check_run(file: &Manifest, first: u32, count: usize) -> Result<(), RecordError> {
    let chunks = file.layout().chunks();
    let end = u64::from(first) + count as u64;
    if end > u64::from(chunks) {
        return Err(RecordError::TooMany { first, count, chunks });
    }
    Ok(())
}

/// Follows all chunk hashes of a record in order, keeping a few nodes and no list.
pub(crate) struct WholeCheck {
    root: RootBuilder,
    /// With BLAKE3: the file hash as the chunk hashes make it.
    tree: Option<FileHasher>,
    last: Option<ChunkHash>,
}

impl WholeCheck {
    /// No hash yet.
    pub(crate) fn new(file: &Manifest) -> Self {
        let tree = match file.algorithm {
            HashAlgorithm::Blake3 => Some(FileHasher::new(file.algorithm, file.layout())),
            HashAlgorithm::Sha256 => None,
        };
        Self {
            root: RootBuilder::new(file.layout()),
            tree,
            last: None,
        }
    }

    /// The next hashes.
    pub(crate) fn push(&mut self, hashes: &[ChunkHash]) {
        for hash in hashes {
            self.root.push(hash);
            if let Some(tree) = &mut self.tree {
                tree.update(&[], hash);
            }
        }
        self.last = hashes.last().copied().or(self.last);
    }

    /// Whether they were the record's.
    pub(crate) fn finish(self, file: &Manifest) -> Result<(), RecordError> {
        let count = self.root.count();
        let chunks = file.layout().chunks();
        if count != chunks || self.root.finish() != file.merkle_root {
            return Err(RecordError::Root(file.merkle_root));
        }
        let whole = match (self.tree, self.last) {
            (Some(tree), _) => tree.finish() == Ok(file.hash),
            // A file of one chunk has the hash of that chunk.
            (None, Some(only)) if chunks == 1 => only.0 == file.hash.0,
            (None, _) => true,
        };
        whole.then_some(()).ok_or(RecordError::File(file.hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{content, file_of};

    fn check(file: &Manifest, hashes: &[ChunkHash]) -> Result<(), RecordError> {
        let mut check = WholeCheck::new(file);
        for run in hashes.chunks(2) {
            check.push(run);
        }
        check.finish(file)
    }

    #[test]
    fn the_hashes_of_a_file_are_accepted() {
        for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Blake3] {
            for size in [0, 1, 262_144, 262_145, 5 * 262_144 + 1] {
                let (file, hashes) = file_of(algorithm, &content(1, size));
                assert_eq!(check(&file, &hashes), Ok(()), "{algorithm} {size}");
            }
        }
    }

    #[test]
    fn hashes_that_do_not_lead_to_the_root_are_refused() {
        let (file, mut hashes) = file_of(HashAlgorithm::Sha256, &content(1, 600_000));
        hashes.swap(0, 1);
        assert_eq!(check(&file, &hashes), Err(RecordError::Root(file.merkle_root)));
        hashes.swap(0, 1);
        assert_eq!(
            check(&file, &hashes[..2]),
            Err(RecordError::Root(file.merkle_root))
        );
    }

    #[test]
    fn a_record_that_claims_the_hash_of_another_file_is_refused_where_it_shows() {
        for (algorithm, size) in [(HashAlgorithm::Sha256, 1000), (HashAlgorithm::Blake3, 600_000)] {
            let (mut file, hashes) = file_of(algorithm, &content(1, size));
            file.hash = FileHash([7; 32]);
            assert_eq!(
                check(&file, &hashes),
                Err(RecordError::File(file.hash)),
                "{algorithm}"
            );
        }
    }

    #[test]
    fn a_run_has_to_lie_within_the_file() {
        let (file, _) = file_of(HashAlgorithm::Sha256, &content(1, 600_000));
        assert_eq!(check_run(&file, 1, 2), Ok(()));
        assert!(check_run(&file, 2, 2).is_err());
        assert!(check_run(&file, u32::MAX, 1).is_err());
    }
}
