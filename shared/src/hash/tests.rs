use super::{follow::STATE_HEAD, *};
use crate::{chunker::CHUNK_SIZE, id::FileHash};

fn one_chunk(algorithm: HashAlgorithm, bytes: &[u8]) -> String {
    let layout = Layout::new(bytes.len() as u64).unwrap();
    algorithm.hash_chunk(layout, ChunkIndex(0), bytes).to_string()
}

#[test]
fn sha256_of_a_chunk_is_the_published_one() {
    // FIPS 180-4 examples (NIST, "SHA256.pdf") and the long one of a million 'a'.
    let sha256 =
        |bytes: &[u8]| HashAlgorithm::Sha256.hash_chunk(Layout::new(1).unwrap(), ChunkIndex(0), bytes);
    let vectors: [(&[u8], &str); 4] = [
        (
            b"",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            b"abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
        (
            &[b'a'; 1_000_000],
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
        ),
    ];
    for (bytes, hash) in vectors {
        assert_eq!(sha256(bytes).to_string(), hash);
    }
}

#[test]
fn blake3_of_a_file_of_one_chunk_is_its_root() {
    for len in [1, 1023, 1024, 1025, 262_143, 262_144] {
        let bytes = vec![7; len];
        assert_eq!(
            one_chunk(HashAlgorithm::Blake3, &bytes),
            blake3::hash(&bytes).to_string()
        );
    }
}

#[test]
fn a_blake3_chunk_of_several_depends_on_its_place() {
    let layout = Layout::new(3 * u64::from(CHUNK_SIZE)).unwrap();
    let bytes = vec![7; CHUNK_SIZE as usize];
    let at = |i| HashAlgorithm::Blake3.hash_chunk(layout, ChunkIndex(i), &bytes);
    assert_ne!(at(0), at(1));
    assert_ne!(at(1), at(2));
    assert_ne!(at(0).0, *blake3::hash(&bytes).as_bytes());
}

#[test]
fn bytes_of_a_wrong_length_get_some_hash_and_no_panic() {
    let layout = Layout::new(3 * u64::from(CHUNK_SIZE) + 1).unwrap();
    for len in [0, 1, 2, CHUNK_SIZE as usize + 1, 3 * CHUNK_SIZE as usize] {
        for chunk in [0, 1, 2, 3, 4, u32::MAX] {
            HashAlgorithm::Blake3.hash_chunk(layout, ChunkIndex(chunk), &vec![1; len]);
        }
    }
}

#[test]
fn names_read_back_and_others_are_refused() {
    for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Blake3] {
        assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        assert_eq!(
            serde_json::to_string(&algorithm).unwrap(),
            format!("\"{algorithm}\"")
        );
    }
    assert_eq!(
        "md5".parse::<HashAlgorithm>().unwrap_err().to_string(),
        "\"md5\" is no hash algorithm: it is sha256 or blake3"
    );
}

const C: usize = CHUNK_SIZE as usize;
const BOTH: [HashAlgorithm; 2] = [HashAlgorithm::Sha256, HashAlgorithm::Blake3];

/// The input of the official BLAKE3 test vectors: 0, 1, …, 250, 0, 1, …
fn painted(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

fn whole(algorithm: HashAlgorithm, bytes: &[u8]) -> FileHash {
    FileHash(match algorithm {
        HashAlgorithm::Sha256 => Sha256::digest(bytes).into(),
        HashAlgorithm::Blake3 => blake3::hash(bytes).into(),
    })
}

/// Follows chunks `from..` of `bytes`, the way an import or a download does.
fn follow(hasher: &mut FileHasher, algorithm: HashAlgorithm, bytes: &[u8], to: u32) {
    let layout = Layout::new(bytes.len() as u64).unwrap();
    while hasher.next_index().0 < to {
        let chunk = hasher.next_index();
        let extent = layout.extent(chunk);
        let bytes = &bytes[extent.start as usize..extent.end as usize];
        let hash = algorithm.hash_chunk(layout, chunk, bytes);
        hasher.update(if hasher.needs_bytes() { bytes } else { &[] }, &hash);
    }
}

fn file_hash(algorithm: HashAlgorithm, bytes: &[u8]) -> FileHash {
    let layout = Layout::new(bytes.len() as u64).unwrap();
    let mut hasher = FileHasher::new(algorithm, layout);
    follow(&mut hasher, algorithm, bytes, layout.chunks());
    hasher.finish().unwrap()
}

#[test]
fn the_file_hash_is_the_one_of_the_whole_stream_at_every_size() {
    let around = |n: usize| [n - 1, n, n + 1];
    let mut sizes = vec![0, 1, 63, 64, 65];
    sizes.extend(around(1024));
    sizes.extend(around(2048));
    for chunks in [1, 2, 3, 4, 5, 6, 7, 8, 13, 16, 17] {
        sizes.extend(around(chunks * C));
    }
    sizes.extend([C + 1023, 2 * C + 1025, 3 * C + C / 2, 11 * C + 77_777]);
    let bytes = painted(17 * C + 1);
    for size in sizes {
        for algorithm in BOTH {
            let bytes = &bytes[..size];
            assert_eq!(
                file_hash(algorithm, bytes),
                whole(algorithm, bytes),
                "{algorithm} of {size} bytes"
            );
        }
    }
}

#[test]
fn blake3_of_a_stream_is_the_published_one() {
    // BLAKE3 repository, test_vectors/test_vectors.json, "hash" cut to 32 bytes.
    let vectors = [
        (
            0,
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
        ),
        (
            1,
            "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
        ),
        (
            1023,
            "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11",
        ),
        (
            1024,
            "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
        ),
        (
            1025,
            "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
        ),
        (
            102_400,
            "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085",
        ),
    ];
    for (len, hash) in vectors {
        assert_eq!(
            file_hash(HashAlgorithm::Blake3, &painted(len)).to_string(),
            hash,
            "{len} bytes"
        );
    }
}

#[test]
fn an_interrupted_stream_goes_on_from_every_chunk() {
    let bytes = painted(9 * C + 5);
    let layout = Layout::new(bytes.len() as u64).unwrap();
    for algorithm in BOTH {
        for stop in 0..=layout.chunks() {
            let mut before = FileHasher::new(algorithm, layout);
            follow(&mut before, algorithm, &bytes, stop);
            let saved = before.save();
            assert!(saved.len() <= 1024);
            let mut after = FileHasher::restore(algorithm, layout, &saved).unwrap();
            assert_eq!(after.next_index(), ChunkIndex(stop));
            follow(&mut after, algorithm, &bytes, layout.chunks());
            assert_eq!(
                after.finish(),
                Ok(whole(algorithm, &bytes)),
                "{algorithm} from {stop}"
            );
        }
    }
}

#[test]
fn following_and_hashing_at_once_gives_both_hashes() {
    let bytes = painted(4 * C + 5);
    let layout = Layout::new(bytes.len() as u64).unwrap();
    for algorithm in BOTH {
        let mut hasher = FileHasher::new(algorithm, layout);
        for index in layout.indices() {
            let extent = layout.extent(index);
            let chunk = &bytes[extent.start as usize..extent.end as usize];
            assert_eq!(hasher.next_index(), index);
            assert_eq!(
                hasher.update_and_hash(chunk),
                algorithm.hash_chunk(layout, index, chunk)
            );
        }
        assert_eq!(hasher.finish(), Ok(whole(algorithm, &bytes)));
    }
}

#[test]
fn a_state_of_something_else_is_not_gone_on_from() {
    let bytes = painted(5 * C);
    let layout = Layout::new(bytes.len() as u64).unwrap();
    for algorithm in BOTH {
        let mut hasher = FileHasher::new(algorithm, layout);
        follow(&mut hasher, algorithm, &bytes, 3);
        let saved = hasher.save();
        let refused = |layout, saved: &[u8]| FileHasher::restore(algorithm, layout, saved).is_none();
        assert!(!refused(layout, &saved));
        assert!(
            refused(Layout::new(5 * C as u64 - 1).unwrap(), &saved),
            "another size"
        );
        assert!(
            BOTH.iter()
                .any(|&other| FileHasher::restore(other, layout, &saved).is_none())
        );
        for cut in 0..saved.len() {
            assert!(refused(layout, &saved[..cut]), "cut to {cut} bytes");
        }
        assert!(
            refused(layout, &[saved.as_slice(), &[0]].concat()),
            "a byte too many"
        );
        let mut other = saved.clone();
        other[0] += 1;
        assert!(refused(layout, &other), "another version");
        let mut other = saved.clone();
        other[STATE_HEAD - 4..STATE_HEAD].copy_from_slice(&6u32.to_le_bytes());
        assert!(refused(layout, &other), "more chunks than there are");
    }
}

#[test]
fn a_file_hash_needs_every_chunk_once() {
    let layout = Layout::new(2).unwrap();
    for algorithm in BOTH {
        let mut hasher = FileHasher::new(algorithm, layout);
        let none = hasher.clone().finish();
        assert_eq!(
            none,
            Err(Incomplete {
                followed: 0,
                chunks: 1
            })
        );
        hasher.update(b"ab", &ChunkHash([1; 32]));
        hasher.update(b"ab", &ChunkHash([1; 32]));
        assert_eq!(
            hasher.finish(),
            Err(Incomplete {
                followed: 2,
                chunks: 1
            })
        );
    }
}
