//! Sharing as its callers see it: scan, hash, what is left out, what is noticed.

use super::*;
use crate::storage::error::ImportError;
use p2p_shared::{
    chunker::CHUNK_SIZE,
    hash::HashAlgorithm,
    id::FileHash,
    manifest::{EntryKind, FolderIndex, ShareKind},
    merkle::merkle_root,
};
use sha2::{Digest as _, Sha256};
use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _, fs::symlink},
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};
use tokio_util::sync::CancellationToken;

const CHUNK: usize = CHUNK_SIZE as usize;

fn noise(length: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new()
        .update(&[seed])
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

fn scan(path: &Path) -> Plan {
    share_scan(path, ScanOptions::default()).unwrap()
}

fn hash_with(
    plan: Plan,
    algorithm: HashAlgorithm,
    cache: Option<&HashCache>,
    progress: &(dyn Fn(u64) + Sync),
    cancel: &CancellationToken,
) -> Result<Import, ImportError> {
    let options = HashOptions {
        algorithm,
        cache,
        progress,
        cancel,
    };
    hash(plan, options)
}

fn hash_simply(
    plan: Plan,
    algorithm: HashAlgorithm,
    cache: Option<&HashCache>,
) -> Result<Import, ImportError> {
    hash_with(plan, algorithm, cache, &|_| {}, &CancellationToken::new())
}

fn sha256(bytes: &[u8]) -> FileHash {
    FileHash(Sha256::digest(bytes).into())
}

#[test]
fn a_file_has_the_hash_that_other_programs_print() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some file");
    for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 9 * CHUNK + 7] {
        let bytes = noise(size, 1);
        fs::write(&path, &bytes).unwrap();
        let import = hash_simply(scan(&path), HashAlgorithm::Sha256, None).unwrap();
        assert_eq!(import.manifest.hash, sha256(&bytes), "{size}");
        assert_eq!(import.hashes.len(), size.div_ceil(CHUNK));
        let chunks: Vec<_> = bytes.chunks(CHUNK).map(|chunk| sha256(chunk).0).collect();
        assert!(import.hashes.iter().map(|hash| hash.0).eq(chunks));
        assert_eq!(
            import.manifest.merkle_root,
            merkle_root(import.manifest.layout(), &import.hashes)
        );

        let import = hash_simply(scan(&path), HashAlgorithm::Blake3, None).unwrap();
        assert_eq!(
            import.manifest.hash,
            FileHash(blake3::hash(&bytes).into()),
            "{size}"
        );
        import.manifest.check().unwrap();
    }
}

#[test]
fn a_file_is_described_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tool");
    fs::write(&path, b"#!/bin/sh\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4750)).unwrap();
    let manifest = hash_simply(scan(&path), HashAlgorithm::Sha256, None)
        .unwrap()
        .manifest;
    assert_eq!(
        (manifest.name.as_str(), manifest.kind, manifest.size),
        ("tool", ShareKind::File, 10)
    );
    assert_eq!(manifest.mode, 0o750, "permission bits and no others");
    let mtime = fs::metadata(&path).unwrap().modified().unwrap();
    let since = mtime.duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(manifest.modified.seconds as u64, since.as_secs());
    assert_eq!(manifest.modified.nanos, since.subsec_nanos());
}

/// A folder with all that is odd and allowed.
fn odd_folder(root: &Path) {
    fs::create_dir_all(root.join("a/b/empty folder")).unwrap();
    fs::create_dir(root.join("Ünïcödé 🦀")).unwrap();
    fs::write(root.join("a/empty"), b"").unwrap();
    fs::write(root.join("a/b/large"), noise(CHUNK + 100, 2)).unwrap();
    fs::write(root.join("a.b"), noise(10, 3)).unwrap();
    fs::write(root.join("Ünïcödé 🦀/ leading and trailing "), noise(20, 4)).unwrap();
    fs::write(root.join("n".repeat(255)), noise(30, 5)).unwrap();
    fs::set_permissions(root.join("a.b"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_folder_is_one_stream_of_its_index_and_its_files_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    odd_folder(&root);
    let import = hash_simply(scan(&root), HashAlgorithm::Sha256, None).unwrap();
    let index = import.source.index().unwrap();
    assert_eq!(index.entries().len(), 9);
    let mut stream = index.encode();
    for entry in index.entries() {
        if matches!(entry.kind, EntryKind::File { .. }) {
            stream.extend(fs::read(root.join(entry.path.as_str())).unwrap());
        }
    }
    assert_eq!(import.manifest.hash, sha256(&stream));
    assert_eq!(
        (import.manifest.kind, import.manifest.size),
        (ShareKind::Folder, stream.len() as u64)
    );
    assert_eq!(
        FolderIndex::decode(&stream[..index.index_size() as usize]).unwrap(),
        *index
    );
    let mode = |path: &str| {
        index
            .entries()
            .iter()
            .find(|entry| entry.path.as_str() == path)
            .unwrap()
            .mode
    };
    assert_eq!(mode("a.b"), 0o700);
}

#[test]
fn links_and_special_files_are_left_out_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("file"), b"x").unwrap();
    symlink("/etc/passwd", root.join("link")).unwrap();
    symlink("/etc", root.join("link to a folder")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("pipe"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    let plan = scan(&root);
    let skipped: Vec<_> = plan
        .skipped()
        .iter()
        .map(|skipped| (skipped.path.clone(), &skipped.reason))
        .collect();
    assert_eq!(
        skipped,
        [
            (root.join("link"), &SkipReason::Symlink),
            (root.join("link to a folder"), &SkipReason::Symlink),
            (root.join("pipe"), &SkipReason::Special),
        ]
    );
    assert_eq!(plan.source.index().unwrap().entries().len(), 1);
}

#[test]
fn names_that_no_share_can_carry_are_named_and_skipped_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("good"), b"x").unwrap();
    let bad = [
        OsStr::from_bytes(b"not utf8 \xff"),
        OsStr::new("new\nline"),
        OsStr::new("aux"),
    ];
    for name in bad {
        fs::create_dir(root.join(name)).unwrap();
        fs::write(root.join(name).join("inside"), b"x").unwrap();
    }
    let Err(ImportError::Unreadable(named)) = share_scan(&root, ScanOptions::default()) else {
        panic!("it must be refused");
    };
    assert_eq!(named.len(), 3);
    for name in bad {
        assert!(
            named.iter().any(|skipped| skipped.path == root.join(name)),
            "{name:?}"
        );
    }
    let plan = share_scan(
        &root,
        ScanOptions {
            skip_unreadable: true,
            ..ScanOptions::default()
        },
    )
    .unwrap();
    assert_eq!(
        (plan.skipped().len(), plan.source.index().unwrap().entries().len()),
        (3, 1)
    );
}

#[test]
fn what_may_not_be_read_is_named_and_skipped_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("closed")).unwrap();
    fs::write(root.join("open"), b"x").unwrap();
    fs::write(root.join("secret"), b"x").unwrap();
    for path in [folder.path(), &root] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for path in ["closed", "secret"] {
        fs::set_permissions(root.join(path), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let scans = as_ordinary_user(|| {
        let strict = share_scan(&root, ScanOptions::default());
        (
            strict,
            share_scan(
                &root,
                ScanOptions {
                    skip_unreadable: true,
                    ..ScanOptions::default()
                },
            )
            .unwrap(),
        )
    });
    let (Err(ImportError::Unreadable(named)), plan) = scans else {
        panic!("it must be refused");
    };
    let paths: Vec<_> = named.iter().map(|skipped| skipped.path.clone()).collect();
    assert_eq!(paths, [root.join("closed"), root.join("secret")]);
    assert_eq!(plan.source.index().unwrap().entries().len(), 1);
}

/// Runs as somebody who owns nothing, on a thread of its own: for root everything is readable. Somebody who is not root
/// to begin with stays who it is.
fn as_ordinary_user<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            if rustix::process::geteuid().is_root() {
                let nobody = rustix::process::Uid::from_raw(65534);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            work()
        });
        worker.join().unwrap()
    })
}

#[test]
fn what_is_neither_file_nor_folder_or_not_there_is_refused() {
    let missing = share_scan(Path::new("/nowhere/at all"), ScanOptions::default());
    assert!(matches!(missing, Err(ImportError::Disk(error)) if error.path == Path::new("/nowhere/at all")));
    assert!(matches!(
        share_scan(Path::new("/dev/null"), ScanOptions::default()),
        Err(ImportError::Special(_))
    ));
    assert!(matches!(
        share_scan(Path::new("/"), ScanOptions::default()),
        Err(ImportError::Name { .. })
    ));
}

#[test]
fn a_file_that_changes_before_or_while_it_is_read_is_refused_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let changes: [fn(&Path); 3] = [
        |path| {
            let mut file = fs::File::options().append(true).open(path).unwrap();
            file.write_all(b"more").unwrap();
        },
        |path| {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_len(3).unwrap();
        },
        |path| fs::remove_file(path).unwrap(),
    ];
    for change in changes {
        // More than are read ahead of the first one on many cores.
        fs::write(&path, noise(400 * CHUNK, 1)).unwrap();
        let plan = scan(&path);
        let once = AtomicBool::new(false);
        let progress = |_| {
            if !once.swap(true, Ordering::Relaxed) {
                change(&path);
            }
        };
        let result = hash_with(
            plan,
            HashAlgorithm::Sha256,
            None,
            &progress,
            &CancellationToken::new(),
        );
        assert!(matches!(result, Err(ImportError::Changed(named)) if named == path));

        fs::write(&path, b"short").unwrap();
        let plan = scan(&path);
        change(&path);
        let result = hash_simply(plan, HashAlgorithm::Sha256, None);
        assert!(matches!(result, Err(ImportError::Changed(named)) if named == path));
    }
}

#[test]
fn what_was_hashed_before_is_not_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = HashCache::open(&folder.path().join("cache")).unwrap();
    let root = folder.path().join("root");
    odd_folder(&root);
    let first = hash_simply(scan(&root), HashAlgorithm::Sha256, Some(&cache)).unwrap();
    let plan = scan(&root);
    // With nothing left to read, only the cache can answer.
    fs::remove_dir_all(&root).unwrap();
    let again = hash_simply(plan, HashAlgorithm::Sha256, Some(&cache)).unwrap();
    assert_eq!((again.manifest, again.hashes), (first.manifest, first.hashes));
}

#[test]
fn an_edited_file_is_hashed_again_even_if_size_and_time_look_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let cache = HashCache::open(&folder.path().join("cache")).unwrap();
    for (what, shared, file) in [("file", "single", "single"), ("folder", "root", "root/a/b/large")] {
        let (shared, file) = (folder.path().join(shared), folder.path().join(file));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, noise(CHUNK + 9, 1)).unwrap();
        let mtime = fs::metadata(&file).unwrap().modified().unwrap();
        let first = hash_simply(scan(&shared), HashAlgorithm::Sha256, Some(&cache)).unwrap();
        let edited = fs::File::options().write(true).open(&file).unwrap();
        rustix::io::pwrite(&edited, b"?", 5).unwrap();
        edited.set_modified(mtime).unwrap();
        let second = hash_simply(scan(&shared), HashAlgorithm::Sha256, Some(&cache)).unwrap();
        assert_ne!(first.manifest.hash, second.manifest.hash, "{what}");
        assert_eq!(first.manifest.size, second.manifest.size, "{what}");
    }
}

#[test]
fn an_interrupted_hashing_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let cache = HashCache::open(&folder.path().join("cache")).unwrap();
    let path = folder.path().join("file");
    let bytes = noise(40 * CHUNK + 1, 1);
    fs::write(&path, &bytes).unwrap();
    for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Blake3] {
        let cancel = CancellationToken::new();
        let stop_at = 10 * CHUNK as u64;
        // Another thread may be in the middle of one more chunk when it is stopped.
        let furthest = AtomicU64::new(0);
        let progress = |done| {
            furthest.fetch_max(done, Ordering::Relaxed);
            if done == stop_at {
                cancel.cancel();
            }
        };
        let interrupted = hash_with(scan(&path), algorithm, Some(&cache), &progress, &cancel);
        assert!(matches!(interrupted, Err(ImportError::Cancelled)));

        let least = AtomicU64::new(u64::MAX);
        let progress = |done| {
            least.fetch_min(done, Ordering::Relaxed);
        };
        let import = hash_with(
            scan(&path),
            algorithm,
            Some(&cache),
            &progress,
            &CancellationToken::new(),
        )
        .unwrap();
        assert_eq!(
            least.into_inner(),
            furthest.into_inner() + CHUNK as u64,
            "the next chunk is the first one that is read"
        );
        assert_eq!(
            import.manifest.hash,
            match algorithm {
                HashAlgorithm::Sha256 => sha256(&bytes),
                HashAlgorithm::Blake3 => FileHash(blake3::hash(&bytes).into()),
            }
        );
    }
    let left: Vec<_> = fs::read_dir(folder.path().join("cache"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(
        left.iter()
            .all(|path| path.extension() == Some(OsStr::new("hashes"))),
        "{left:?}"
    );
}

#[test]
fn what_was_interrupted_counts_for_nothing_once_the_file_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let cache = HashCache::open(&folder.path().join("cache")).unwrap();
    let path = folder.path().join("file");
    fs::write(&path, noise(20 * CHUNK, 1)).unwrap();
    let cancel = CancellationToken::new();
    let interrupted = hash_with(
        scan(&path),
        HashAlgorithm::Sha256,
        Some(&cache),
        &|_| cancel.cancel(),
        &cancel,
    );
    assert!(matches!(interrupted, Err(ImportError::Cancelled)));
    fs::write(&path, noise(20 * CHUNK, 2)).unwrap();
    let import = hash_simply(scan(&path), HashAlgorithm::Sha256, Some(&cache)).unwrap();
    assert_eq!(import.manifest.hash, sha256(&noise(20 * CHUNK, 2)));
}

#[test]
fn the_peers_own_data_is_left_out_of_a_folder_and_not_shared_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("home");
    let data = root.join("data");
    fs::create_dir_all(data.join("catalogue")).unwrap();
    fs::write(data.join("identity"), b"secret").unwrap();
    fs::write(root.join("letter"), b"dear").unwrap();
    let options = ScanOptions {
        own_data: Some(FolderId::of(&data).unwrap()),
        ..ScanOptions::default()
    };
    let plan = share_scan(&root, options).unwrap();
    let entries = plan.source.index().unwrap().entries();
    assert_eq!(entries.len(), 1, "{entries:?}");
    let own = Skipped {
        path: data.canonicalize().unwrap(),
        reason: SkipReason::OwnData,
    };
    assert_eq!(plan.skipped(), [own]);
    for secret in [data.clone(), data.join("identity"), data.join("catalogue")] {
        let refused = share_scan(&secret, options);
        assert!(matches!(refused, Err(ImportError::OwnData(_))), "{refused:?}");
    }
}
