//! A store whose every operation is timed and counted.
//!
//! Stands before any store and changes nothing: what goes in and comes out is that store's own.

use super::{Metrics, names};
use crate::storage::{
    AuditEntry, Ban, Elsewhere, Page, PoolStatus, Search, Snapshot, Store, StoreError, StoreFuture,
    StoredFile, StoredKey, StoredPeer, Unfinished, Write, Written,
};
use metrics::Label;
use p2p_shared::id::{ChunkHash, FileHash, PeerId, PublicKey};
use std::{
    collections::HashMap,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

/// A store, measured.
pub(crate) struct Measured {
    store: Arc<dyn Store>,
    metrics: Metrics,
}

impl Measured {
    /// The same store, as far as anybody can tell.
    pub(crate) fn new(store: Arc<dyn Store>, metrics: Metrics) -> Self {
        Self { store, metrics }
    }

    fn time<'a, T: 'a>(&'a self, operation: &'static str, work: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        Box::pin(async move {
            let begun = Instant::now();
            let done = work.await;
            self.metrics.stored(operation, begun, &done);
            done
        })
    }
}

impl Metrics {
    fn stored<T>(&self, operation: &'static str, begun: Instant, done: &Result<T, StoreError>) {
        let label = || vec![Label::from_static_parts("operation", operation)];
        self.histogram(names::STORE_SECONDS, label())
            .record(begun.elapsed());
        if done.is_err() {
            self.counter(names::STORE_ERRORS, label()).increment(1);
        }
    }
}

impl Store for Measured {
    fn commit(&self, writes: Vec<Write>) -> StoreFuture<'_, Vec<Written>> {
        self.metrics
            .histogram(names::BATCH, Vec::new())
            .record(writes.len() as f64);
        self.time("commit", self.store.commit(writes))
    }

    fn snapshot(&self, heard_since: u64) -> StoreFuture<'_, Snapshot> {
        self.time("snapshot", self.store.snapshot(heard_since))
    }

    fn file(&self, hash: FileHash) -> StoreFuture<'_, Option<StoredFile>> {
        self.time("file", self.store.file(hash))
    }

    fn files(&self, search: Search) -> StoreFuture<'_, Page<StoredFile, i64>> {
        self.time("files", self.store.files(search))
    }

    fn digests(&self, hash: FileHash, chunks: Range<u32>) -> StoreFuture<'_, Option<Vec<ChunkHash>>> {
        self.time("digests", self.store.digests(hash, chunks))
    }

    fn unfinished(&self, hash: FileHash, peer: PublicKey) -> StoreFuture<'_, Option<Unfinished>> {
        self.time("unfinished", self.store.unfinished(hash, peer))
    }

    fn unfinished_digests(
        &self,
        hash: FileHash,
        peer: PublicKey,
        chunks: Range<u32>,
    ) -> StoreFuture<'_, Option<Vec<ChunkHash>>> {
        self.time(
            "unfinished_digests",
            self.store.unfinished_digests(hash, peer, chunks),
        )
    }

    fn peer(&self, id: PeerId) -> StoreFuture<'_, Option<(StoredPeer, u32)>> {
        self.time("peer", self.store.peer(id))
    }

    fn peers(&self, after: Option<PeerId>, limit: u32) -> StoreFuture<'_, Page<(StoredPeer, u32), PeerId>> {
        self.time("peers", self.store.peers(after, limit))
    }

    fn known_peers(&self) -> StoreFuture<'_, u64> {
        self.time("known_peers", self.store.known_peers())
    }

    fn keys(&self) -> StoreFuture<'_, Vec<StoredKey>> {
        self.time("keys", self.store.keys())
    }

    fn bans(&self) -> StoreFuture<'_, Vec<Ban>> {
        self.time("bans", self.store.bans())
    }

    fn audit(&self, before: Option<i64>, limit: u32) -> StoreFuture<'_, Page<AuditEntry, i64>> {
        self.time("audit", self.store.audit(before, limit))
    }

    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    fn elsewhere(&self, hash: FileHash, lease: Duration) -> StoreFuture<'_, Elsewhere> {
        self.time("elsewhere", self.store.elsewhere(hash, lease))
    }

    fn counts_elsewhere(
        &self,
        hashes: Vec<FileHash>,
        lease: Duration,
    ) -> StoreFuture<'_, HashMap<FileHash, (u32, u32)>> {
        self.time("counts_elsewhere", self.store.counts_elsewhere(hashes, lease))
    }

    fn beat(&self) -> StoreFuture<'_, Option<u64>> {
        self.time("beat", self.store.beat())
    }

    fn farewell(&self) -> StoreFuture<'_, ()> {
        self.time("farewell", self.store.farewell())
    }

    fn pool(&self) -> Option<PoolStatus> {
        self.store.pool()
    }
}
