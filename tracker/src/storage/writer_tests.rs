use super::*;
use crate::{
    storage::{
        Announcer, AuditEntry, Ban, Page, Search, Snapshot, StoreFuture, StoredFile, StoredKey, StoredPeer,
        Unfinished, sqlite::Sqlite,
    },
    testing::{content, file_of},
};
use futures_util::{FutureExt as _, future::join_all};
use p2p_shared::{
    hash::HashAlgorithm,
    id::{ChunkHash, FileHash, PeerId, PublicKey},
    supervision::{ChildSpec, Life, supervise},
};
use std::{
    ops::Range,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};
use tempfile::TempDir;

/// SQLite, with its commits counted, and with a disk that is full when we say so.
struct Watched {
    sqlite: Sqlite,
    commits: AtomicUsize,
    full: AtomicBool,
}

impl Store for Watched {
    fn commit(&self, writes: Vec<Write>) -> StoreFuture<'_, Vec<Written>> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        if self.full.load(Ordering::SeqCst) {
            return Box::pin(async { Err(StoreError::Database("disk full".to_owned())) });
        }
        self.sqlite.commit(writes)
    }

    fn snapshot(&self, heard_since: u64) -> StoreFuture<'_, Snapshot> {
        self.sqlite.snapshot(heard_since)
    }

    fn file(&self, hash: FileHash) -> StoreFuture<'_, Option<StoredFile>> {
        self.sqlite.file(hash)
    }

    fn files(&self, search: Search) -> StoreFuture<'_, Page<StoredFile, i64>> {
        self.sqlite.files(search)
    }

    fn digests(&self, hash: FileHash, chunks: Range<u32>) -> StoreFuture<'_, Option<Vec<ChunkHash>>> {
        self.sqlite.digests(hash, chunks)
    }

    fn unfinished(&self, hash: FileHash, peer: PublicKey) -> StoreFuture<'_, Option<Unfinished>> {
        self.sqlite.unfinished(hash, peer)
    }

    fn unfinished_digests(
        &self,
        hash: FileHash,
        peer: PublicKey,
        chunks: Range<u32>,
    ) -> StoreFuture<'_, Option<Vec<ChunkHash>>> {
        self.sqlite.unfinished_digests(hash, peer, chunks)
    }

    fn peer(&self, id: PeerId) -> StoreFuture<'_, Option<(StoredPeer, u32)>> {
        self.sqlite.peer(id)
    }

    fn peers(&self, after: Option<PeerId>, limit: u32) -> StoreFuture<'_, Page<(StoredPeer, u32), PeerId>> {
        self.sqlite.peers(after, limit)
    }

    fn known_peers(&self) -> StoreFuture<'_, u64> {
        self.sqlite.known_peers()
    }

    fn keys(&self) -> StoreFuture<'_, Vec<StoredKey>> {
        self.sqlite.keys()
    }

    fn bans(&self) -> StoreFuture<'_, Vec<Ban>> {
        self.sqlite.bans()
    }

    fn audit(&self, before: Option<i64>, limit: u32) -> StoreFuture<'_, Page<AuditEntry, i64>> {
        self.sqlite.audit(before, limit)
    }
}

fn writer() -> (StoreWriterHandle, Arc<Watched>, Life, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Watched {
        sqlite: Sqlite::open(&folder.path().join("tracker.db")).unwrap(),
        commits: AtomicUsize::new(0),
        full: AtomicBool::new(false),
    });
    let watched = Arc::clone(&store);
    let make = move |_: &mut Context<StoreWriter>| StoreWriter::new(watched.clone(), Clock::start());
    let (handle, life) = supervise(ChildSpec::new("StoreWriter", make).permits(1000));
    (StoreWriterHandle::new(handle), store, life, folder)
}

fn add(seed: u64) -> (FileHash, Write) {
    let (file, digests) = file_of(HashAlgorithm::Sha256, &content(seed, 100));
    let by = Announcer {
        peer: PublicKey([1; 32]),
        at: 5,
    };
    let file = Box::new(file);
    (file.hash, Write::AddFile { file, digests, by })
}

#[actix_rt::test]
async fn what_is_asked_for_together_becomes_durable_together() {
    let (writer, store, _life, _folder) = writer();
    let (hashes, writes): (Vec<_>, Vec<_>) = (0..200).map(add).unzip();
    let answers = join_all(writes.into_iter().map(|write| writer.commit(write))).await;
    assert!(
        answers
            .into_iter()
            .all(|answer| answer.unwrap() == Written::Added)
    );
    for hash in hashes {
        assert!(store.file(hash).await.unwrap().is_some());
    }
    let commits = store.commits.load(Ordering::SeqCst);
    assert!(commits < 50, "{commits} commits for 200 writes");
}

#[actix_rt::test]
async fn everybody_in_a_group_hears_that_it_failed_and_the_next_one_succeeds() {
    let (writer, store, _life, _folder) = writer();
    store.full.store(true, Ordering::SeqCst);
    let writes = (0..20).map(|seed| writer.commit(add(seed).1));
    for answer in join_all(writes).await {
        let error = answer.unwrap_err();
        assert!(
            matches!(error, CommitError::Store(StoreError::Database(_))),
            "{error}"
        );
    }
    store.full.store(false, Ordering::SeqCst);
    assert_eq!(writer.commit(add(1).1).await.unwrap(), Written::Added);
}

#[actix_rt::test]
async fn a_flush_comes_back_when_everything_before_it_is_durable() {
    let (writer, store, _life, _folder) = writer();
    let (hash, write) = add(1);
    writer.tell(write).unwrap();
    writer.flush().await;
    assert!(store.file(hash).await.unwrap().is_some());
}

#[actix_rt::test]
async fn a_write_goes_on_when_who_asked_for_it_has_gone() {
    let (writer, store, _life, _folder) = writer();
    let (hash, write) = add(1);
    let mut commit = Box::pin(writer.commit(write));
    assert!(commit.as_mut().now_or_never().is_none());
    drop(commit);
    writer.flush().await;
    assert!(store.file(hash).await.unwrap().is_some());
}
