//! Downloads of single files.

use super::*;
use crate::storage::error::{FinishError, ReadError};
use p2p_shared::{id::FileHash, merkle::merkle_root};
use std::os::unix::fs::{MetadataExt as _, symlink};

fn example() -> Download {
    Download::of_file(
        HashAlgorithm::Sha256,
        "film.mkv",
        testing::content(1, 10 * CHUNK + 77),
    )
}

#[test]
fn files_of_every_size_arrive_whole_in_any_order_with_both_algorithms() {
    for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Blake3] {
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 70 * CHUNK + 5] {
            let download = Download::of_file(algorithm, "file", testing::content(1, size));
            let job = download.open();
            download.commit_all(&job, download.shuffled(size as u64));
            assert!(!download.target().exists(), "nothing appears before it is whole");
            assert_eq!(job.standing(), (size as u64, size as u64));
            assert_eq!(whole(&job).source.root(), download.target());
            assert_eq!(
                fs::read(download.target()).unwrap(),
                download.stream,
                "{algorithm} {size}"
            );
        }
    }
}

#[test]
fn a_finished_file_has_its_mode_and_time_and_nothing_is_left_beside_it() {
    let mut download = example();
    download.manifest.mode = 0o751;
    let job = download.open();
    download.commit_all(&job, 0..download.chunks());
    job.complete().unwrap();
    let metadata = fs::metadata(download.target()).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o751);
    let modified = download.manifest.modified;
    assert_eq!(
        (metadata.mtime(), metadata.mtime_nsec()),
        (modified.seconds, i64::from(modified.nanos))
    );
    assert_eq!(download.names(), ["film.mkv"]);
}

#[test]
fn the_finished_file_is_ready_to_be_shared() {
    let download = example();
    let job = download.open();
    download.commit_all(&job, 0..download.chunks());
    let finished = whole(&job);
    let shared = import(&download.target());
    assert_eq!(finished.manifest.hash, shared.manifest.hash);
    assert_eq!(
        finished.source, shared.source,
        "with the identity that it has now"
    );
}

#[test]
fn a_chunk_is_stored_once() {
    let download = example();
    let job = download.open();
    assert_eq!(download.commit(&job, 3).unwrap(), Committed::Stored);
    assert_eq!(download.commit(&job, 3).unwrap(), Committed::AlreadyHeld);
    assert_eq!(download.held(&job), [3]);
    assert!(matches!(
        job.read_chunk(ChunkIndex(4), &mut Vec::new()),
        Err(ReadError::NotHeld(ChunkIndex(4)))
    ));
}

#[test]
fn many_may_store_and_read_at_once_in_whatever_order() {
    for in_order in [true, false] {
        let download = Download::of_file(HashAlgorithm::Sha256, "file", testing::content(1, 64 * CHUNK));
        let job = download.open();
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let (job, download) = (&job, &download);
                scope.spawn(move || {
                    let mut chunks = download.shuffled(seed);
                    if in_order {
                        chunks.sort_unstable();
                    }
                    for chunk in chunks {
                        download.store(job, chunk).unwrap();
                        let mut bytes = Vec::new();
                        job.read_chunk(ChunkIndex(chunk), &mut bytes).unwrap();
                        assert_eq!(bytes, download.bytes(chunk));
                    }
                });
            }
        });
        job.complete().unwrap();
        assert_eq!(fs::read(download.target()).unwrap(), download.stream);
    }
}

#[test]
fn a_job_that_lacks_chunks_cannot_be_completed() {
    let download = example();
    let job = download.open();
    download.commit_all(&job, 2..download.chunks());
    assert!(matches!(job.complete(), Err(FinishError::Missing(2))));
    download.commit_all(&job, 0..2);
    assert!(job.complete().is_ok());
}

#[test]
fn completing_twice_says_the_same() {
    let download = example();
    let job = download.open();
    download.commit_all(&job, 0..download.chunks());
    let first = whole(&job);
    assert_eq!(whole(&job).source, first.source);
    assert!(matches!(download.commit(&job, 0), Err(CommitError::Closed)));
    assert_eq!(
        download.held(&job).len(),
        download.chunks() as usize,
        "who is reading goes on reading"
    );
}

#[test]
fn a_chunk_of_another_file_is_refused() {
    let download = example();
    let other = Download::of_file(HashAlgorithm::Sha256, "film.mkv", testing::content(2, 10 * CHUNK));
    let job = download.open();
    assert!(
        matches!(job.commit(other.verified(0)), Err(CommitError::OtherFile(hash)) if hash == other.manifest.hash)
    );
}

#[test]
fn hashes_that_do_not_belong_to_the_manifest_are_refused() {
    let mut download = example();
    let right = download.hashes.to_vec();
    let mut altered = right.clone();
    altered[4].0[0] ^= 1;
    for wrong in [altered, right[1..].to_vec(), [right.clone(), right].concat()] {
        download.hashes = wrong.into();
        let refused = download.open_in(Boot::numbered(1));
        assert!(matches!(refused, Err(StoreError::WrongHashes(hash)) if hash == download.manifest.hash));
    }
    assert_eq!(download.names(), Vec::<String>::new());
}

#[test]
fn chunks_that_do_not_add_up_to_the_file_never_get_its_name() {
    for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Blake3] {
        let mut download = Download::of_file(algorithm, "film.mkv", testing::content(1, 5 * CHUNK));
        download.manifest.hash = FileHash([7; 32]);
        let job = download.open();
        download.commit_all(&job, 0..download.chunks());
        assert!(
            matches!(job.complete(), Err(FinishError::Integrity(hash)) if hash == download.manifest.hash)
        );
        assert_eq!(download.names(), Vec::<String>::new(), "its state is gone");
        assert!(matches!(job.complete(), Err(FinishError::Closed)));
    }
}

#[test]
fn what_stands_under_the_final_name_is_never_replaced() {
    let download = example();
    fs::write(download.target(), b"something else").unwrap();
    let refused = download.open_in(Boot::numbered(1));
    assert!(matches!(refused, Err(StoreError::TargetTaken(path)) if path == download.target()));
    assert_eq!(download.names(), ["film.mkv"]);
    fs::remove_file(download.target()).unwrap();
    symlink("/nowhere", download.target()).unwrap();
    assert!(matches!(
        download.open_in(Boot::numbered(1)),
        Err(StoreError::TargetTaken(_))
    ));
}

#[test]
fn what_comes_to_stand_there_meanwhile_is_not_replaced_either_and_the_job_waits() {
    let download = example();
    let job = download.open();
    download.commit_all(&job, 0..download.chunks());
    fs::write(download.target(), b"something else").unwrap();
    assert!(matches!(job.complete(), Err(FinishError::TargetTaken(path)) if path == download.target()));
    assert_eq!(fs::read(download.target()).unwrap(), b"something else");
    fs::remove_file(download.target()).unwrap();
    job.complete().unwrap();
    assert_eq!(fs::read(download.target()).unwrap(), download.stream);
}

#[test]
fn what_is_there_already_needs_not_be_fetched() {
    let download = example();
    fs::write(download.target(), &download.stream).unwrap();
    let job = download.open();
    assert!(job.held().is_full());
    assert_eq!(download.held(&job).len(), 11);
    assert_eq!(whole(&job).source.root(), download.target());
    assert_eq!(download.names(), ["film.mkv"]);
}

#[test]
fn a_job_that_is_discarded_leaves_nothing() {
    let download = example();
    let job = download.open();
    download.commit_all(&job, 0..5);
    job.discard().unwrap();
    assert_eq!(download.names(), Vec::<String>::new());
    assert!(matches!(download.commit(&job, 6), Err(CommitError::Closed)));
    assert!(matches!(job.complete(), Err(FinishError::Closed)));
}

#[test]
fn discarding_what_is_finished_leaves_the_file() {
    let download = example();
    let job = download.open();
    download.commit_all(&job, 0..download.chunks());
    job.complete().unwrap();
    job.discard().unwrap();
    assert!(download.target().exists());
}

#[test]
fn the_output_folder_is_made_if_need_be() {
    let mut download = example();
    let spec = JobSpec {
        output: download.output.path().join("new/folder"),
        ..download.spec()
    };
    download.output = tempfile::Builder::new()
        .tempdir_in(download.output.path())
        .unwrap();
    fs::create_dir_all(&spec.output).unwrap();
    let around = Surroundings {
        files: OpenFiles::new(8),
        cache: None,
        boot: Boot::numbered(1),
        patience: Duration::ZERO,
    };
    assert!(Job::open(spec, &around).is_ok());
}

#[test]
fn a_chunk_that_was_altered_on_the_disk_is_not_served_and_is_fetched_again() {
    let download = example();
    let job = download.open();
    download.commit_all(&job, 0..download.chunks());
    let data = fs::File::options()
        .write(true)
        .open(download.hidden().join("data"))
        .unwrap();
    rustix::io::pwrite(&data, b"????", 3 * CHUNK as u64).unwrap();
    let mut out = b"before".to_vec();
    assert!(matches!(
        job.read_chunk(ChunkIndex(3), &mut out),
        Err(ReadError::Changed { .. })
    ));
    assert_eq!(out, b"before");
    assert!(!job.held().has(ChunkIndex(3)));
    assert!(matches!(job.complete(), Err(FinishError::Missing(1))));
    download.commit_all(&job, [3]);
    job.complete().unwrap();
    assert_eq!(fs::read(download.target()).unwrap(), download.stream);
}

#[test]
fn the_roots_agree() {
    let download = example();
    assert_eq!(
        merkle_root(download.manifest.layout(), &download.hashes),
        download.manifest.merkle_root
    );
}
