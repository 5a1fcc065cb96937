//! The chunk store as the rest of the peer sees it.

use super::{fixture::Download, *};
use crate::storage::{
    fixture::{CHUNK, import},
    import::SourceLayout,
};
use p2p_shared::{
    hash::HashAlgorithm,
    id::{ChunkIndex, FileHash},
    manifest::Manifest,
    supervision::Supervisor,
    testing,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// A store with its data directory, which outlives it.
struct Bench {
    store: ChunkStoreHandle,
    supervisor: Supervisor,
}

fn begin(data: &Path) -> Bench {
    let mut supervisor = Supervisor::new();
    let store = start(&mut supervisor, data).unwrap();
    Bench { store, supervisor }
}

impl Bench {
    async fn stop(self) {
        self.supervisor.stop(Duration::from_secs(60)).await;
    }
}

fn shared_file(folder: &Path, name: &str, seed: u64) -> (PathBuf, Import) {
    let path = folder.join(name);
    fs::write(&path, testing::content(seed, 3 * CHUNK + 5)).unwrap();
    let import = import(&path);
    (path, import)
}

fn download() -> Download {
    Download::of_file(
        HashAlgorithm::Sha256,
        "film.mkv",
        testing::content(1, 5 * CHUNK + 1),
    )
}

fn read(served: &Served, chunk: u32) -> Result<Vec<u8>, ReadError> {
    let mut out = Vec::new();
    served.read_chunk(ChunkIndex(chunk), &mut out).map(|()| out)
}

#[actix_rt::test]
async fn a_share_is_served_and_is_there_again_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let (path, import) = shared_file(data.path(), "file", 1);
    let file = import.manifest.hash;
    let listed = ShareInfo {
        manifest: import.manifest.clone(),
        path: path.clone(),
        changed: None,
    };
    let bench = begin(data.path());
    bench.store.add_share(import).await.unwrap();
    for _ in 0..2 {
        assert_eq!(bench.store.shares().await.unwrap(), std::slice::from_ref(&listed));
        let served = bench.store.open(file).await.unwrap().unwrap();
        assert_eq!(read(&served, 3).unwrap(), fs::read(&path).unwrap()[3 * CHUNK..]);
    }
    bench.stop().await;
    let bench = begin(data.path());
    assert_eq!(bench.store.shares().await.unwrap(), [listed]);
    let served = bench.store.open(file).await.unwrap().unwrap();
    assert!(!served.is_partial());
    assert_eq!(read(&served, 0).unwrap(), fs::read(&path).unwrap()[..CHUNK]);
}

#[actix_rt::test]
async fn everybody_gets_the_same_share_and_the_same_job() {
    let data = tempfile::tempdir().unwrap();
    let (_, import) = shared_file(data.path(), "file", 1);
    let bench = begin(data.path());
    let file = import.manifest.hash;
    let added = bench.store.add_share(import).await.unwrap();
    assert!(Arc::ptr_eq(
        &added,
        &bench.store.open(file).await.unwrap().unwrap()
    ));
    let download = download();
    let (one, other) = tokio::join!(
        bench.store.open_job(download.spec()),
        bench.store.open_job(download.spec())
    );
    assert!(Arc::ptr_eq(&one.unwrap(), &other.unwrap()));
}

#[actix_rt::test]
async fn what_nobody_knows_is_not_there() {
    let data = tempfile::tempdir().unwrap();
    let bench = begin(data.path());
    let unknown = FileHash([9; 32]);
    assert!(bench.store.open(unknown).await.unwrap().is_none());
    assert!(
        matches!(bench.store.resume_job(unknown).await, Err(StoreError::Unknown(file)) if file == unknown)
    );
    assert!(matches!(
        bench.store.verify(unknown, |_| {}).await,
        Err(StoreError::Unknown(_))
    ));
    assert_eq!(bench.store.remove(unknown).await.unwrap(), Removed::default());
    assert!(bench.store.shares().await.unwrap().is_empty() && bench.store.jobs().await.unwrap().is_empty());
}

#[actix_rt::test]
async fn a_download_is_served_while_it_lasts_and_is_a_share_afterwards() {
    let data = tempfile::tempdir().unwrap();
    let bench = begin(data.path());
    let download = download();
    let file = download.manifest.hash;
    let job = bench.store.open_job(download.spec()).await.unwrap();
    download.commit_all(&job, [1]);
    let partial = bench.store.open(file).await.unwrap().unwrap();
    assert!(partial.is_partial());
    assert_eq!(read(&partial, 1).unwrap(), download.bytes(1));
    assert!(matches!(read(&partial, 2), Err(ReadError::NotHeld(_))));
    let listed = bench.store.jobs().await.unwrap();
    assert_eq!((listed[0].held_bytes, listed[0].open), (CHUNK as u64, true));
    assert_eq!(listed[0].wanted_bytes, Some(download.manifest.size));

    download.commit_all(&job, (0..6).filter(|chunk| *chunk != 1));
    assert_eq!(bench.store.finish(job).await.unwrap(), download.target());
    assert!(bench.store.jobs().await.unwrap().is_empty());
    assert_eq!(bench.store.shares().await.unwrap()[0].path, download.target());
    let whole = bench.store.open(file).await.unwrap().unwrap();
    assert!(!whole.is_partial());
    assert_eq!(read(&whole, 5).unwrap(), download.bytes(5));
    assert_eq!(
        read(&partial, 5).unwrap(),
        download.bytes(5),
        "whoever has it open goes on with it"
    );
}

#[actix_rt::test]
async fn a_download_is_gone_on_with_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let download = download();
    let bench = begin(data.path());
    let job = bench.store.open_job(download.spec()).await.unwrap();
    download.commit_all(&job, [0, 2, 4]);
    drop(job);
    bench.stop().await;

    let bench = begin(data.path());
    let listed = bench.store.jobs().await.unwrap();
    assert_eq!(listed[0].manifest, download.manifest);
    assert_eq!(
        (listed[0].held_bytes, listed[0].open),
        (3 * CHUNK as u64, false),
        "also while it is closed"
    );
    assert_eq!(listed[0].wanted_bytes, Some(download.manifest.size));
    let job = bench.store.resume_job(download.manifest.hash).await.unwrap();
    assert_eq!(download.held(&job), [0, 2, 4]);
    download.commit_all(&job, [1, 3, 5]);
    bench.store.finish(job).await.unwrap();
    assert_eq!(fs::read(download.target()).unwrap(), download.stream);
}

#[actix_rt::test]
async fn stopping_makes_durable_what_is_stored() {
    let data = tempfile::tempdir().unwrap();
    let download = download();
    let bench = begin(data.path());
    let job = bench.store.open_job(download.spec()).await.unwrap();
    download.commit_all(&job, [0, 2]);
    bench.stop().await;
    drop(job);
    // As if the machine had been switched off: what is not known to be durable is hashed, and found altered.
    fs::write(download.hidden().join("data"), vec![0; download.stream.len()]).unwrap();
    let job = download.open_in(disk::Boot::numbered(9)).unwrap();
    assert_eq!(
        job.held().ones().collect::<Vec<_>>(),
        [ChunkIndex(0), ChunkIndex(2)]
    );
}

#[actix_rt::test]
async fn removing_a_share_leaves_its_files_and_removing_a_download_leaves_nothing() {
    let data = tempfile::tempdir().unwrap();
    let (path, import) = shared_file(data.path(), "file", 1);
    let file = import.manifest.hash;
    let bench = begin(data.path());
    bench.store.add_share(import).await.unwrap();
    assert_eq!(
        bench.store.remove(file).await.unwrap(),
        Removed {
            share: true,
            job: false
        }
    );
    assert!(bench.store.open(file).await.unwrap().is_none() && path.exists());

    for is_open in [true, false] {
        let download = download();
        let file = download.manifest.hash;
        let job = bench.store.open_job(download.spec()).await.unwrap();
        download.commit_all(&job, [0]);
        let kept = is_open.then_some(job);
        assert_eq!(
            bench.store.remove(file).await.unwrap(),
            Removed {
                share: false,
                job: true
            }
        );
        assert_eq!(download.names(), Vec::<String>::new());
        assert!(bench.store.jobs().await.unwrap().is_empty());
        assert!(kept.is_none_or(|job| matches!(download.commit(&job, 1), Err(CommitError::Closed))));
    }
}

#[actix_rt::test]
async fn the_same_download_into_another_folder_waits_for_the_first() {
    let data = tempfile::tempdir().unwrap();
    let bench = begin(data.path());
    let (download, elsewhere) = (download(), tempfile::tempdir().unwrap());
    let job = bench.store.open_job(download.spec()).await.unwrap();
    let other = JobSpec {
        output: elsewhere.path().to_owned(),
        ..download.spec()
    };
    let refused = bench.store.open_job(other.clone()).await;
    assert!(matches!(refused, Err(StoreError::InUse(path)) if path == download.target()));
    drop(job);
    let job = bench.store.open_job(other).await.unwrap();
    assert_eq!(
        job.target(),
        elsewhere.path().canonicalize().unwrap().join("film.mkv")
    );
}

#[actix_rt::test]
async fn a_download_whose_manifest_lies_is_gone_when_it_is_found_out() {
    let data = tempfile::tempdir().unwrap();
    let bench = begin(data.path());
    let mut download = download();
    download.manifest.hash = FileHash([7; 32]);
    let job = bench.store.open_job(download.spec()).await.unwrap();
    download.commit_all(&job, 0..6);
    assert!(matches!(
        bench.store.finish(job).await,
        Err(FinishError::Integrity(_))
    ));
    assert!(bench.store.jobs().await.unwrap().is_empty() && bench.store.shares().await.unwrap().is_empty());
    assert_eq!(download.names(), Vec::<String>::new());
}

#[actix_rt::test]
async fn what_is_there_already_is_recognised_and_becomes_a_share() {
    let data = tempfile::tempdir().unwrap();
    let bench = begin(data.path());
    let download = download();
    fs::write(download.target(), &download.stream).unwrap();
    let job = bench.store.open_job(download.spec()).await.unwrap();
    assert!(job.held().is_full());
    assert_eq!(bench.store.finish(job).await.unwrap(), download.target());
    assert_eq!(bench.store.shares().await.unwrap()[0].path, download.target());
}

#[actix_rt::test]
async fn a_share_that_was_edited_is_told_by_reading_and_by_verifying() {
    let data = tempfile::tempdir().unwrap();
    let bench = begin(data.path());
    let (path, edited) = shared_file(data.path(), "edited", 1);
    let (_, other) = shared_file(data.path(), "other", 2);
    let file = edited.manifest.hash;
    let served = bench.store.add_share(edited).await.unwrap();
    bench.store.add_share(other.clone()).await.unwrap();
    let right = bench.store.verify(file, |_| {}).await.unwrap();
    assert_eq!(
        right,
        VerifyReport {
            checked: 4,
            ..VerifyReport::default()
        }
    );

    let mut bytes = fs::read(&path).unwrap();
    bytes[2 * CHUNK] ^= 1;
    fs::write(&path, bytes).unwrap();
    let done = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&done);
    let report = bench.store.verify(file, move |bytes| {
        seen.fetch_max(bytes, Ordering::Relaxed);
    });
    let wrong = VerifyReport {
        checked: 4,
        wrong: vec![ChunkIndex(2)],
        files: vec![path.clone()],
    };
    assert_eq!(report.await.unwrap(), wrong);
    assert_eq!(done.load(Ordering::Relaxed), 3 * CHUNK as u64 + 5);
    assert!(matches!(read(&served, 2), Err(ReadError::Changed { path: named }) if named == path));
    let listed = bench.store.shares().await.unwrap();
    assert_eq!((&listed[0].changed, &listed[1].changed), (&Some(path), &None));
    let other = bench.store.open(other.manifest.hash).await.unwrap().unwrap();
    assert!(read(&other, 2).is_ok(), "the other shares go on");
}

#[actix_rt::test]
async fn a_share_that_was_only_touched_is_as_good_as_new_once_it_is_verified() {
    let data = tempfile::tempdir().unwrap();
    let bench = begin(data.path());
    let (path, shared) = shared_file(data.path(), "file", 1);
    let file = shared.manifest.hash;
    bench.store.add_share(shared.clone()).await.unwrap();
    fs::File::open(&path)
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH)
        .unwrap();
    assert_eq!(bench.store.verify(file, |_| {}).await.unwrap().wrong, []);
    bench.stop().await;
    let bench = begin(data.path());
    let kept = kept_source(data.path(), &shared.manifest);
    assert_ne!(kept, shared.source);
    assert_eq!(kept, import(&path).source);
    assert!(bench.store.open(file).await.unwrap().is_some());
}

fn kept_source(data: &Path, manifest: &Manifest) -> SourceLayout {
    let catalogue = super::catalogue::Catalogue::open(data.join("catalogue")).unwrap();
    catalogue.share(manifest.hash).unwrap().unwrap().source
}

#[actix_rt::test]
async fn verifying_a_download_gives_up_what_is_damaged() {
    let data = tempfile::tempdir().unwrap();
    let bench = begin(data.path());
    let download = download();
    let job = bench.store.open_job(download.spec()).await.unwrap();
    download.commit_all(&job, [0, 1, 2]);
    let hidden = fs::File::options()
        .write(true)
        .open(download.hidden().join("data"))
        .unwrap();
    rustix::io::pwrite(&hidden, b"????", CHUNK as u64).unwrap();
    let report = bench.store.verify(download.manifest.hash, |_| {}).await.unwrap();
    assert_eq!((report.checked, report.wrong), (3, vec![ChunkIndex(1)]));
    assert_eq!(download.held(&job), [0, 2]);
}

#[actix_rt::test]
async fn a_finished_download_is_shared_and_fetched_again_without_being_read() {
    let data = tempfile::tempdir().unwrap();
    let bench = begin(data.path());
    let download = download();
    let job = bench.store.open_job(download.spec()).await.unwrap();
    download.commit_all(&job, 0..6);
    bench.store.finish(Arc::clone(&job)).await.unwrap();
    drop(job);
    let plan = share_scan(&download.target(), ScanOptions::default()).unwrap();
    // With nothing left to read, only the cache can answer.
    fs::remove_file(download.target()).unwrap();
    let options = HashOptions {
        algorithm: HashAlgorithm::Sha256,
        cache: Some(bench.store.cache()),
        progress: &|_| {},
        cancel: &tokio_util::sync::CancellationToken::new(),
    };
    assert_eq!(hash(plan, options).unwrap().manifest.hash, download.manifest.hash);
}

#[actix_rt::test]
async fn a_download_whose_output_folder_is_gone_is_not_begun_anew_elsewhere() {
    let data = tempfile::tempdir().unwrap();
    let bench = begin(data.path());
    let download = download();
    let file = download.manifest.hash;
    let job = bench.store.open_job(download.spec()).await.unwrap();
    download.commit_all(&job, [0]);
    drop(job);
    let (output, away) = (download.output.path(), data.path().join("unmounted"));
    fs::rename(output, &away).unwrap();
    let refused = bench.store.resume_job(file).await;
    assert!(matches!(refused, Err(StoreError::Disk(error)) if error.path == output));
    assert!(!output.exists(), "it was made anew");
    fs::rename(&away, output).unwrap();
    let job = bench.store.resume_job(file).await.unwrap();
    assert_eq!(download.held(&job), [0]);
}
