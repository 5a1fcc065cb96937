//! What is left of a download after its process, or its machine, stopped in the middle.

use super::*;
use crate::storage::error::FinishError;
use std::{io::Write as _, os::unix::fs::FileExt as _};

fn example() -> Download {
    Download::of_file(
        HashAlgorithm::Sha256,
        "film.mkv",
        testing::content(1, 20 * CHUNK + 77),
    )
}

fn journal(download: &Download) -> PathBuf {
    download.hidden().join("journal")
}

/// As if these chunks had never reached the disk.
fn lose(download: &Download, chunks: impl IntoIterator<Item = u32>) {
    let data = fs::File::options()
        .write(true)
        .open(download.hidden().join("data"))
        .unwrap();
    for chunk in chunks {
        data.write_all_at(
            &vec![0; download.bytes(chunk).len()],
            u64::from(chunk) * CHUNK as u64,
        )
        .unwrap();
    }
}

const SAME: Boot = Boot::UNKNOWN;

#[test]
fn a_killed_process_loses_nothing_that_was_committed() {
    let download = example();
    let order = download.shuffled(1);
    for (number, chunk) in (1..).zip(&order) {
        let job = download.open();
        download.commit_all(&job, [*chunk]);
        drop(job);
        assert_eq!(download.held(&download.open()).len(), number);
    }
    download.open().complete().unwrap();
    assert_eq!(fs::read(download.target()).unwrap(), download.stream);
}

#[test]
fn within_one_boot_the_journal_is_believed_and_nothing_is_read() {
    let download = example();
    let job = download.open();
    download.commit_all(&job, 0..5);
    drop(job);
    lose(&download, [2]);
    assert_eq!(
        download.open().held().count(),
        5,
        "what was written is in the page cache"
    );
}

#[test]
fn after_another_boot_what_is_newer_than_the_last_checkpoint_is_hashed_again() {
    let download = example();
    let job = download.open();
    download.commit_all(&job, [1, 5, 9]);
    job.flush().unwrap();
    download.commit_all(&job, [2, 6, 10, 11]);
    drop(job);
    lose(&download, [6, 11]);
    for boot in [Boot::numbered(2), SAME, Boot::numbered(2)] {
        let job = download.open_in(boot).unwrap();
        assert_eq!(download.held(&job), [1, 2, 5, 9, 10]);
    }
}

#[test]
fn a_power_cut_at_any_time_leaves_no_chunk_falsely_had() {
    for seed in 0..30 {
        let download = example();
        let order = download.shuffled(seed);
        let (checkpoint, cut) = (seed as usize % 7, 7 + seed as usize % 13);
        let job = download.open();
        download.commit_all(&job, order[..checkpoint].iter().copied());
        job.flush().unwrap();
        let durable_journal = fs::metadata(journal(&download)).unwrap().len();
        download.commit_all(&job, order[checkpoint..cut].iter().copied());
        drop(job);
        // Of what was written since the checkpoint, any part may have reached the disk: of the data and of the journal.
        let coin = testing::content(seed, 64);
        lose(
            &download,
            order[checkpoint..cut]
                .iter()
                .copied()
                .filter(|chunk| coin[*chunk as usize] < 128),
        );
        let file = fs::File::options().write(true).open(journal(&download)).unwrap();
        let kept = file.metadata().unwrap().len() - durable_journal;
        file.set_len(durable_journal + kept * u64::from(coin[60]) / 255)
            .unwrap();

        let job = download.open_in(Boot::numbered(2)).unwrap();
        let held = download.held(&job);
        assert!(
            order[..checkpoint].iter().all(|chunk| held.contains(chunk)),
            "what was durable is there"
        );
        let missing: Vec<u32> = job.held().missing().map(|chunk| chunk.0).collect();
        download.commit_all(&job, missing);
        job.complete().unwrap();
        assert_eq!(fs::read(download.target()).unwrap(), download.stream);
    }
}

#[test]
fn a_journal_cut_or_altered_at_any_byte_leaves_no_chunk_falsely_had() {
    let download = example();
    let job = download.open();
    download.commit_all(&job, [1, 5, 9]);
    job.flush().unwrap();
    download.commit_all(&job, [2, 6, 10, 11]);
    drop(job);
    let whole = fs::read(journal(&download)).unwrap();
    for at in (0..whole.len()).step_by(3) {
        let mut altered = whole.clone();
        altered[at] ^= 0x10;
        for damaged in [&whole[..at], &altered] {
            fs::write(journal(&download), damaged).unwrap();
            let job = download.open();
            let held = download.held(&job);
            assert!(
                held.iter().all(|chunk| [1, 2, 5, 6, 9, 10, 11].contains(chunk)),
                "byte {at}: {held:?}"
            );
        }
    }
}

#[test]
fn a_torn_tail_is_cut_and_written_over() {
    let download = example();
    let job = download.open();
    download.commit_all(&job, 0..4);
    drop(job);
    fs::File::options()
        .append(true)
        .open(journal(&download))
        .unwrap()
        .write_all(b"\x01\x00\x08torn")
        .unwrap();
    let job = download.open();
    download.commit_all(&job, 4..8);
    drop(job);
    assert_eq!(download.held(&download.open()), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn without_a_journal_that_can_be_used_everything_is_hashed_again() {
    let download = example();
    let job = download.open();
    download.commit_all(&job, [0, 3, 20]);
    drop(job);
    fs::write(journal(&download), b"").unwrap();
    assert_eq!(download.held(&download.open()), [0, 3, 20]);
}

#[test]
fn data_that_were_replaced_or_cut_are_hashed_again() {
    let download = example();
    let job = download.open();
    download.commit_all(&job, 0..6);
    drop(job);
    let data = download.hidden().join("data");
    fs::File::options()
        .write(true)
        .open(&data)
        .unwrap()
        .set_len(2 * CHUNK as u64)
        .unwrap();
    assert_eq!(download.held(&download.open()), [0, 1]);
    let copy = data.with_extension("copy");
    fs::copy(&data, &copy).unwrap();
    fs::rename(&copy, &data).unwrap();
    lose(&download, [1]);
    assert_eq!(download.held(&download.open()), [0]);
    fs::remove_file(&data).unwrap();
    assert_eq!(download.held(&download.open()), Vec::<u32>::new());
}

#[test]
fn what_turns_out_damaged_in_the_end_is_fetched_again() {
    let download = example();
    let job = download.open();
    download.commit_all(&job, 0..download.chunks());
    drop(job);
    lose(&download, [7, 8]);
    let job = download.open();
    assert!(job.held().is_full());
    assert!(matches!(job.complete(), Err(FinishError::Damaged(2))));
    assert!(!download.target().exists());
    download.commit_all(&job, [7, 8]);
    job.complete().unwrap();
    assert_eq!(fs::read(download.target()).unwrap(), download.stream);
}

#[test]
fn a_whole_that_is_only_damaged_in_its_hash_state_is_hashed_once_more() {
    let download = example();
    let job = download.open();
    download.commit_all(&job, 0..10);
    job.flush().unwrap();
    drop(job);
    // Of another stream of the same size: it restores, and is wrong.
    let other = Download::of_file(
        HashAlgorithm::Sha256,
        "film.mkv",
        testing::content(2, 20 * CHUNK + 77),
    );
    let other_job = other.open();
    other.commit_all(&other_job, 0..10);
    other_job.flush().unwrap();
    let state = other_job.saved_front();
    let job = download.open();
    job.replace_front(&state);
    download.commit_all(&job, 10..download.chunks());
    job.complete().unwrap();
    assert_eq!(fs::read(download.target()).unwrap(), download.stream);
}

#[test]
fn the_whole_file_hash_goes_on_where_the_last_checkpoint_was() {
    let download = example();
    let job = download.open();
    download.commit_all(&job, 0..12);
    // The hash follows; it has come to chunk 12 when a checkpoint says so.
    while job.front_index() < 12 {
        std::thread::yield_now();
    }
    job.flush().unwrap();
    drop(job);
    // Were they read again, the whole would be wrong.
    lose(&download, 0..12);
    let job = download.open();
    download.commit_all(&job, 12..download.chunks());
    job.complete().unwrap();
}

#[test]
fn a_crash_between_renaming_and_removing_is_not_noticed() {
    let download = example();
    let job = download.open();
    download.commit_all(&job, 0..download.chunks());
    drop(job);
    fs::rename(download.hidden().join("data"), download.target()).unwrap();
    let job = download.open();
    assert!(job.held().is_full());
    job.complete().unwrap();
    assert_eq!(download.names(), ["film.mkv"]);
}

impl Job {
    fn live(&self) -> &super::super::Live {
        match &self.body {
            super::super::Body::Live(live) => live,
            super::super::Body::There(..) | super::super::Body::Glance(_) => panic!("it is there already"),
        }
    }

    fn saved_front(&self) -> Vec<u8> {
        self.live().front.save()
    }

    /// The whole-file hash as it was followed, once every chunk is stored.
    pub(super) fn followed_hash(&self) -> Option<p2p_shared::id::FileHash> {
        self.live().front.finish().unwrap()
    }

    pub(super) fn front_index(&self) -> u32 {
        self.live().front.next()
    }

    fn replace_front(&self, saved: &[u8]) {
        self.live().front.replace(saved);
    }
}
