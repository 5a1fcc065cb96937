//! Makes a file or folder shareable: finds out what is there, reads it once on all cores, and ends with its manifest
//! and chunk hashes.
//!
//! [`share_scan`] looks, [`hash`] reads (or finds in the [`HashCache`] what was read before). Nothing is copied; the
//! share is served from where it lies. Both are blocking.

mod cache;
mod hasher;
mod pipeline;
pub(super) mod reader;
mod resume;
mod scan;
pub(super) mod source;

pub use cache::HashCache;
pub(super) use hasher::settle;
pub use hasher::{HashOptions, hash};
pub use scan::{FolderId, Plan, ScanOptions, SkipReason, Skipped, share_scan};
pub use source::SourceLayout;

#[cfg(test)]
mod tests;

use cache::{Hashes, Source};
use p2p_shared::{id::ChunkHash, manifest::Manifest};
use std::sync::Arc;

/// A file or folder that is ready to be shared.
#[derive(Debug, Clone)]
pub struct Import {
    /// What it is.
    pub manifest: Manifest,
    /// The hashes of its chunks, in order.
    pub hashes: Arc<[ChunkHash]>,
    /// Where its bytes are.
    pub source: SourceLayout,
}

impl Import {
    /// Keeps its hashes for whoever shares or fetches the same files again.
    pub(super) fn remember(&self, cache: &HashCache) {
        let source = Source {
            fingerprint: self.source.fingerprint(),
            algorithm: self.manifest.algorithm,
            layout: self.manifest.layout(),
        };
        let hashes = Hashes {
            file: self.manifest.hash,
            merkle_root: self.manifest.merkle_root,
            chunks: Arc::clone(&self.hashes),
        };
        cache.keep(&source, &hashes);
    }
}
