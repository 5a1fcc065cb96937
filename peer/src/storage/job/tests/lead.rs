//! Chunks that are verified and followed in one pass.

use super::*;
use p2p_shared::id::FileHash;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

const BOTH: [HashAlgorithm; 2] = [HashAlgorithm::Sha256, HashAlgorithm::Blake3];

fn hash_of(download: &Download) -> FileHash {
    FileHash(match download.manifest.algorithm {
        HashAlgorithm::Sha256 => Sha256::digest(&download.stream).into(),
        HashAlgorithm::Blake3 => blake3::hash(&download.stream).into(),
    })
}

fn example(algorithm: HashAlgorithm, size: usize) -> Download {
    Download::of_file(algorithm, "film.mkv", testing::content(1, size))
}

#[test]
fn chunks_in_order_leave_the_thread_of_the_front_nothing_to_do() {
    let download = example(HashAlgorithm::Sha256, 9 * CHUNK + 77);
    let job = download.open();
    for chunk in 0..download.chunks() {
        assert_eq!(download.store(&job, chunk).unwrap(), Committed::Stored);
        assert_eq!(job.front_index(), chunk + 1, "by the time it is stored");
    }
    assert_eq!(job.followed_hash(), Some(hash_of(&download)));
}

#[test]
fn a_wrong_chunk_is_blamed_on_its_peer_and_leaves_the_whole_file_hash_as_it_was() {
    for algorithm in BOTH {
        let download = example(algorithm, 3 * CHUNK);
        let job = download.open();
        for chunk in 0..3 {
            for wrong in [vec![7; CHUNK], vec![7; CHUNK - 1]] {
                let refused = job.store(download.received(chunk, &wrong));
                assert!(matches!(refused, Err(NotStored::Bad(bad)) if bad.chunk == ChunkIndex(chunk)));
            }
            assert!(!job.held().has(ChunkIndex(chunk)));
            download.store(&job, chunk).unwrap();
        }
        let beyond = job.store(download.received(3, b""));
        assert!(matches!(beyond, Err(NotStored::Bad(_))));
        assert_eq!(job.followed_hash(), Some(hash_of(&download)));
    }
}

#[test]
fn a_chunk_that_could_not_be_stored_is_followed_once() {
    let download = example(HashAlgorithm::Sha256, 4 * CHUNK);
    let job = download.open();
    // Another file's chunk by what it says, this one's by its bytes: followed, not stored.
    let mut strange = download.received(0, download.bytes(0));
    strange.file = FileHash([9; 32]);
    let refused = job.store(strange);
    assert!(matches!(
        refused,
        Err(NotStored::Commit(CommitError::OtherFile(_)))
    ));
    assert_eq!((job.front_index(), job.held().count()), (1, 0));
    for chunk in 0..4 {
        download.store(&job, chunk).unwrap();
    }
    assert_eq!(job.followed_hash(), Some(hash_of(&download)));
}

#[test]
fn checkpoints_in_between_have_the_state_of_the_hash_to_write_down() {
    let download = example(HashAlgorithm::Sha256, 40 * CHUNK + 1);
    let job = download.open();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for chunk in 0..download.chunks() {
                download.store(&job, chunk).unwrap();
            }
        });
        for _ in 0..20 {
            job.flush().unwrap();
        }
    });
    job.flush().unwrap();
    drop(job);
    let job = download.open();
    assert_eq!(job.front_index(), download.chunks());
    assert_eq!(job.followed_hash(), Some(hash_of(&download)));
}

/// What a peer sends.
#[derive(Debug, Clone, Copy)]
struct Sent {
    chunk: u32,
    wrong: bool,
}

/// Every chunk at least once and right, some also twice or wrong, in any order but mostly near the right one.
fn deliveries(chunks: u32) -> impl Strategy<Value = Vec<Sent>> {
    let chunks: Vec<u32> = (0..chunks).collect();
    let once = chunks.iter().map(|chunk| (*chunk, false)).collect::<Vec<_>>();
    let more = prop::collection::vec((prop::sample::select(chunks), any::<bool>()), 0..12);
    (more, prop::sample::select(vec![1u64, 3, 20, 400]), any::<u64>()).prop_map(
        move |(more, spread, seed)| {
            let mut sent: Vec<_> = once.iter().copied().chain(more).collect();
            let mut at = seed | 1;
            sent.sort_by_cached_key(|(chunk, _)| {
                at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                u64::from(*chunk) * 4 + (at >> 33) % (spread * 4)
            });
            sent.into_iter()
                .map(|(chunk, wrong)| Sent { chunk, wrong })
                .collect()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_followed_hash_is_that_of_the_stream_in_whatever_order_its_chunks_come(
        sent in deliveries(25),
        threads in 1..4usize,
        algorithm in prop::sample::select(BOTH.to_vec()),
    ) {
        let download = example(algorithm, 24 * CHUNK + 5);
        let job = download.open();
        let next = std::sync::Mutex::new(sent.into_iter());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(sent) = { next.lock().unwrap().next() } {
                        let mut bytes = download.bytes(sent.chunk).to_vec();
                        bytes[0] ^= u8::from(sent.wrong);
                        let stored = job.store(download.received(sent.chunk, &bytes));
                        assert_eq!(stored.is_err(), sent.wrong);
                    }
                });
            }
        });
        prop_assert_eq!(job.followed_hash(), Some(hash_of(&download)));
        job.complete().unwrap();
        prop_assert!(fs::read(download.target()).unwrap() == download.stream);
    }
}
