//! Disks that fail: whatever fails, and whenever, no chunk is falsely had and the download goes on once the disk does.
//!
//! `cargo test -p p2p-peer --features failpoints --test disk_faults`. Fail points belong to the whole process, so these
//! tests run one after the other ([`fail::FailScenario`] sees to it).
#![allow(clippy::unwrap_used, reason = "tests and their helpers may")]

use fail::FailScenario;
use p2p_peer::selection::Selection;
use p2p_peer::storage::{
    BufferPool, ChunkStoreHandle, CommitError, Committed, FinishError, HashOptions, Job, JobSpec,
    ReceivedChunk, ScanOptions, Served, hash, share_scan, start, verify,
};
use p2p_shared::{
    chunker::CHUNK_SIZE,
    hash::HashAlgorithm,
    id::{ChunkHash, ChunkIndex, PublicKey},
    manifest::Manifest,
    supervision::Supervisor,
    testing,
};
use std::{fs, path::PathBuf, sync::Arc};
use tokio_util::sync::CancellationToken;

const CHUNK: usize = CHUNK_SIZE as usize;

/// No space left on device.
const FULL: &str = "return(28)";
/// Input/output error.
const BROKEN: &str = "return(5)";
/// Permission denied.
const FORBIDDEN: &str = "return(13)";

/// A store, a stream of 8 chunks and a bit, and somewhere to put it.
struct Bench {
    folder: tempfile::TempDir,
    manifest: Manifest,
    hashes: Arc<[ChunkHash]>,
    stream: Vec<u8>,
    store: ChunkStoreHandle,
    _supervisor: Supervisor,
    /// Dropped last: until then no other test runs.
    _scenario: FailScenario<'static>,
}

fn bench() -> Bench {
    let scenario = FailScenario::setup();
    let folder = tempfile::tempdir().unwrap();
    let stream = testing::content(1, 8 * CHUNK + 9);
    let (manifest, hashes) = testing::file(HashAlgorithm::Sha256, "film.mkv", &stream);
    let mut supervisor = Supervisor::new();
    let store = start(&mut supervisor, &folder.path().join("data")).unwrap();
    Bench {
        folder,
        manifest,
        hashes: hashes.into(),
        stream,
        store,
        _supervisor: supervisor,
        _scenario: scenario,
    }
}

/// While it lasts, the fail point does what it is told.
struct Failing(&'static str);

fn failing(point: &'static str, action: &str) -> Failing {
    fail::cfg(point, action).unwrap();
    Failing(point)
}

impl Drop for Failing {
    fn drop(&mut self) {
        fail::remove(self.0);
    }
}

impl Bench {
    fn output(&self) -> PathBuf {
        self.folder.path().join("output")
    }

    fn spec(&self) -> JobSpec {
        JobSpec {
            manifest: self.manifest.clone(),
            hashes: Arc::clone(&self.hashes),
            output: self.output(),
            selection: Selection::default(),
        }
    }

    async fn open(&self) -> Arc<Job> {
        self.store.open_job(self.spec()).await.unwrap()
    }

    /// As after the death of the process.
    async fn reopen(&self, job: Arc<Job>) -> Arc<Job> {
        drop(job);
        self.open().await
    }

    fn bytes(&self, chunk: u32) -> &[u8] {
        let extent = self.manifest.layout().extent(ChunkIndex(chunk));
        &self.stream[extent.start as usize..extent.end as usize]
    }

    fn commit(&self, job: &Job, chunk: u32) -> Result<Committed, CommitError> {
        let mut buffer = BufferPool::new(0).try_acquire().unwrap();
        buffer.extend_from_slice(self.bytes(chunk));
        let length = buffer.len();
        let received = ReceivedChunk {
            peer: PublicKey([1; 32]),
            file: self.manifest.hash,
            chunk: ChunkIndex(chunk),
            bytes: buffer.into_chunk(0..length),
        };
        let hash = &self.hashes[chunk as usize];
        job.commit(verify(received, hash, self.manifest.algorithm, self.manifest.layout()).unwrap())
    }

    fn commit_missing(&self, job: &Job) {
        for chunk in job.held().missing() {
            self.commit(job, chunk.0).unwrap();
        }
    }

    /// The chunks held, each of them right.
    fn held(&self, job: &Job) -> Vec<u32> {
        let held: Vec<u32> = job.held().ones().map(|chunk| chunk.0).collect();
        for chunk in &held {
            let mut bytes = Vec::new();
            job.read_chunk(ChunkIndex(*chunk), &mut bytes).unwrap();
            assert_eq!(bytes, self.bytes(*chunk));
        }
        held
    }

    async fn finish_and_compare(&self, job: Arc<Job>) {
        self.commit_missing(&job);
        let path = self.store.finish(job).await.unwrap();
        assert_eq!(fs::read(path).unwrap(), self.stream);
    }
}

#[actix_rt::test]
async fn a_chunk_that_cannot_be_written_is_not_held_and_can_be_committed_once_there_is_room() {
    let bench = bench();
    let job = bench.open().await;
    bench.commit(&job, 0).unwrap();
    for point in ["disk::write", "disk::journal"] {
        {
            let _failing = failing(point, FULL);
            assert!(
                matches!(bench.commit(&job, 1), Err(CommitError::NoSpace(_))),
                "{point}"
            );
        }
        let _failing = failing(point, FORBIDDEN);
        assert!(
            matches!(bench.commit(&job, 1), Err(CommitError::Permission(_))),
            "{point}"
        );
        assert_eq!(bench.held(&job), [0]);
    }
    assert_eq!(bench.commit(&job, 1).unwrap(), Committed::Stored);
    let job = bench.reopen(job).await;
    assert_eq!(bench.held(&job), [0, 1]);
    bench.finish_and_compare(job).await;
}

#[actix_rt::test]
async fn after_a_failed_sync_only_what_was_durable_before_counts() {
    let bench = bench();
    let job = bench.open().await;
    bench.commit(&job, 0).unwrap();
    bench.commit(&job, 3).unwrap();
    job.flush().unwrap();
    bench.commit(&job, 1).unwrap();
    {
        let _failing = failing("disk::sync", BROKEN);
        assert!(matches!(job.flush(), Err(CommitError::Io(_))));
    }
    assert_eq!(bench.held(&job), [0, 3]);
    let job = bench.reopen(job).await;
    assert_eq!(bench.held(&job), [0, 3]);
    bench.finish_and_compare(job).await;
}

#[actix_rt::test]
async fn a_sync_that_fails_and_cannot_be_journaled_leaves_nothing_to_be_believed() {
    let bench = bench();
    let job = bench.open().await;
    bench.commit(&job, 0).unwrap();
    bench.commit(&job, 1).unwrap();
    {
        // The mark is written, the disk fails, and then the journal as well.
        let _failing = failing("disk::sync", BROKEN);
        let _journal = failing("disk::journal", "1*off->return(5)");
        assert!(job.flush().is_err());
    }
    assert_eq!(bench.held(&job), Vec::<u32>::new());
    assert!(
        bench.commit(&job, 2).is_err(),
        "nothing can be written down any more"
    );
    // With no journal left, what is there is hashed.
    let job = bench.reopen(job).await;
    assert!(bench.held(&job).iter().all(|chunk| [0, 1, 2].contains(chunk)));
    bench.finish_and_compare(job).await;
}

#[actix_rt::test]
async fn finishing_can_be_tried_again_after_any_failure() {
    for (point, action) in [
        ("disk::sync", FULL),
        ("disk::sync", BROKEN),
        ("disk::sync", "1*off->return(5)"),
        ("disk::rename", FORBIDDEN),
        ("disk::rename", FULL),
    ] {
        let bench = bench();
        let job = bench.open().await;
        bench.commit_missing(&job);
        {
            let _failing = failing(point, action);
            let failed = bench.store.finish(Arc::clone(&job)).await;
            let expected = match action {
                FULL => matches!(failed, Err(FinishError::NoSpace(_))),
                FORBIDDEN => matches!(failed, Err(FinishError::Permission(_))),
                _ => matches!(failed, Err(FinishError::Io(_))),
            };
            assert!(expected, "{point} {action}: {failed:?}");
        }
        let job = bench.reopen(job).await;
        bench.finish_and_compare(job).await;
    }
}

#[actix_rt::test]
async fn a_folder_that_cannot_be_unpacked_yet_is_unpacked_when_there_is_room() {
    let mut bench = bench();
    let source = bench.folder.path().join("shared");
    fs::create_dir_all(source.join("d")).unwrap();
    fs::write(source.join("d/large"), testing::content(2, 2 * CHUNK)).unwrap();
    fs::write(source.join("small"), b"small").unwrap();
    let options = HashOptions {
        algorithm: HashAlgorithm::Sha256,
        cache: None,
        progress: &|_| {},
        cancel: &CancellationToken::new(),
    };
    let import = hash(share_scan(&source, ScanOptions::default()).unwrap(), options).unwrap();
    let served: Arc<Served> = bench.store.add_share(import.clone()).await.unwrap();
    bench.stream.clear();
    for chunk in import.manifest.layout().indices() {
        served.read_chunk(chunk, &mut bench.stream).unwrap();
    }
    (bench.manifest, bench.hashes) = (import.manifest, import.hashes);

    let job = bench.open().await;
    bench.commit(&job, 1).unwrap();
    {
        // The chunk itself goes in, and then there is no room for the files.
        let _failing = failing("disk::write", "1*off->return(28)");
        assert!(matches!(bench.commit(&job, 0), Err(CommitError::NoSpace(_))));
    }
    assert_eq!(bench.commit(&job, 0).unwrap(), Committed::AlreadyHeld);
    bench.commit_missing(&job);
    let path = bench.store.finish(job).await.unwrap();
    assert_eq!(
        fs::read(path.join("d/large")).unwrap(),
        testing::content(2, 2 * CHUNK)
    );
}

#[actix_rt::test]
async fn a_panic_in_any_handler_is_not_noticed_by_who_asked() {
    let bench = bench();
    let file = bench.manifest.hash;
    let once = |message: &str| fail::cfg(format!("ChunkStore::{message}"), "1*panic").unwrap();
    once("OpenJob");
    let job = bench.open().await;
    bench.commit(&job, 4).unwrap();
    once("ListJobs");
    assert!(
        bench.store.jobs().await.unwrap()[0].open,
        "what was open is still known to be"
    );
    once("OpenFile");
    let partial = bench.store.open(file).await.unwrap().unwrap();
    assert!(partial.held().has(ChunkIndex(4)));
    once("ResumeJob");
    assert!(Arc::ptr_eq(&job, &bench.store.resume_job(file).await.unwrap()));
    // Five crashes a minute are the most that the store is allowed: the others get a store of their own.
}

#[actix_rt::test]
async fn a_panic_in_the_other_handlers_is_not_noticed_either() {
    let bench = bench();
    let file = bench.manifest.hash;
    let once = |message: &str| fail::cfg(format!("ChunkStore::{message}"), "1*panic").unwrap();
    let job = bench.open().await;
    bench.commit_missing(&job);
    once("VerifyFile");
    assert_eq!(bench.store.verify(file, |_| {}).await.unwrap().checked, 9);
    once("FinishJob");
    bench.store.finish(job).await.unwrap();
    once("ListShares");
    assert_eq!(bench.store.shares().await.unwrap()[0].manifest, bench.manifest);
    once("RemoveFile");
    assert!(bench.store.remove(file).await.unwrap().share);
}
