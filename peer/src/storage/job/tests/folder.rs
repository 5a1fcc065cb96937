//! Downloads of folders.

use super::*;
use p2p_shared::{
    hash::FileHasher,
    manifest::{FolderIndex, ShareKind},
    merkle::merkle_root,
};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

/// What a tree looks like: path, kind and content, mode, time.
pub(super) type Listing = Vec<(PathBuf, Option<Vec<u8>>, u32, (i64, i64))>;

pub(super) fn list(root: &Path) -> Listing {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let metadata = fs::symlink_metadata(&folder).unwrap();
        let (mode, time) = (metadata.mode(), (metadata.mtime(), metadata.mtime_nsec()));
        let path = folder.strip_prefix(root).unwrap().to_owned();
        let content = metadata.is_file().then(|| fs::read(&folder).unwrap());
        found.push((path, content, mode, time));
        if metadata.is_dir() {
            folders.extend(fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found.sort();
    found
}

/// A folder with all that is odd and allowed: `small` small files among larger ones.
fn odd_folder(root: &Path, small: u32) {
    fs::create_dir_all(root.join("a/b/empty folder")).unwrap();
    fs::create_dir(root.join("Ünïcödé 🦀")).unwrap();
    fs::write(root.join("a/empty"), b"").unwrap();
    fs::write(root.join("a/b/large"), testing::content(2, 3 * CHUNK + 100)).unwrap();
    fs::write(root.join("a.b"), testing::content(3, 10)).unwrap();
    fs::write(
        root.join("Ünïcödé 🦀/ leading and trailing "),
        testing::content(4, 20),
    )
    .unwrap();
    fs::write(root.join("n".repeat(255)), testing::content(5, 30)).unwrap();
    fs::write(root.join("z exactly a chunk"), testing::content(6, CHUNK)).unwrap();
    // Deep in folders with long names, so that a few hundred files have an index of two chunks.
    let deep = root.join(vec!["long name ".repeat(24); 3].join("/"));
    fs::create_dir_all(&deep).unwrap();
    for number in 0..small {
        fs::write(
            deep.join(number.to_string()),
            testing::content(u64::from(number), 5000),
        )
        .unwrap();
    }
    fs::set_permissions(root.join("a.b"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(root.join("a/empty"), fs::Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(root.join("a/b"), fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(root, fs::Permissions::from_mode(0o750)).unwrap();
    for (path, seconds) in [
        ("a.b", 1),
        ("a/b/large", 1_000_000_000),
        ("a/b/empty folder", 5),
        ("a", 7),
        ("", 9),
    ] {
        let time = std::time::UNIX_EPOCH + Duration::new(seconds, 123_456_789);
        fs::File::open(root.join(path))
            .unwrap()
            .set_modified(time)
            .unwrap();
    }
}

/// A folder's stream.
fn stream(source: &Import) -> Vec<u8> {
    let index = source.source.index().unwrap();
    let mut stream = index.encode();
    for (entry, extent) in index.extents().filter(|(_, extent)| !extent.is_empty()) {
        assert_eq!(stream.len() as u64, extent.start);
        stream.extend(fs::read(source.source.root().join(entry.path.as_str())).unwrap());
    }
    stream
}

pub(super) fn download_of(root: &Path) -> Download {
    let source = import(root);
    let stream = stream(&source);
    Download::new(source.manifest, source.hashes, stream)
}

/// A download of an odd folder, and the folder.
fn example(small: u32) -> (tempfile::TempDir, Download) {
    let source = tempfile::tempdir().unwrap();
    let root = source.path().join("shared folder");
    odd_folder(&root, small);
    (source, download_of(&root))
}

#[test]
fn a_folder_arrives_identical_in_any_order() {
    // With the second one the index takes two chunks.
    for (seed, small) in [(1, 0), (2, 400)] {
        let (source, download) = example(small);
        let job = download.open();
        download.commit_all(&job, download.shuffled(seed));
        assert_eq!(download.names().len(), 1, "nothing appears before it is whole");
        assert_eq!(whole(&job).source.root(), download.target());
        assert_eq!(
            list(&download.target()),
            list(&source.path().join("shared folder"))
        );
        assert_eq!(download.names(), ["shared folder"]);
    }
}

#[test]
fn files_that_forbid_writing_arrive_also_for_who_is_not_root() {
    let source = tempfile::tempdir().unwrap();
    let root = source.path().join("objects");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("a large"), testing::content(1, 2 * CHUNK)).unwrap();
    for number in 0..6 {
        let path = root.join(format!("z{number}"));
        fs::write(&path, testing::content(number, 100)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    }
    let download = download_of(&root);
    let job_of_nobody = || {
        let job = download.open();
        download.commit_all(&job, [0]);
        job.flush().unwrap();
        download.commit_all(&job, 1..download.chunks());
        // Few files since the last one: they are made durable one by one.
        job.flush().unwrap();
        job.complete().map(drop)
    };
    not_as_root(&download, job_of_nobody).unwrap();
    assert_eq!(list(&download.target()), list(&root));
}

/// Does `work` as somebody for whom modes count, and who owns the output folder.
fn not_as_root<T: Send>(download: &Download, work: impl FnOnce() -> T + Send) -> T {
    let nobody = rustix::process::Uid::from_raw(65534);
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        std::os::unix::fs::chown(download.output.path(), Some(65534), None).unwrap();
    }
    // Users belong to threads, and a job's threads are begun by this one.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if is_root {
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            work()
        });
        thread.join().unwrap()
    })
}

#[test]
fn a_download_with_folders_that_forbid_writing_can_be_given_up_by_who_is_not_root() {
    let (_source, download) = example(10);
    let ended = not_as_root(&download, || {
        let job = download.open();
        download.commit_all(&job, 0..download.chunks());
        fs::write(download.target(), "something else").unwrap();
        let taken = job.complete().map(drop);
        (taken, job.discard())
    });
    assert!(
        matches!(ended.0, Err(FinishError::TargetTaken(_))),
        "{:?}",
        ended.0
    );
    ended.1.unwrap();
    assert_eq!(download.names(), ["shared folder"], "nothing is left of it");
}

#[test]
fn files_that_somebody_touched_without_changing_them_are_no_obstacle() {
    let (source, download) = example(10);
    let job = download.open();
    download.commit_all(&job, 0..download.chunks());
    let tree = download.hidden().join("tree");
    for touched in ["a.b", "a/empty", "z exactly a chunk"] {
        fs::set_permissions(tree.join(touched), fs::Permissions::from_mode(0o640)).unwrap();
    }
    job.complete().unwrap();
    assert_eq!(
        list(&download.target()),
        list(&source.path().join("shared folder"))
    );
}

#[test]
fn the_finished_folder_is_ready_to_be_shared() {
    let (_source, download) = example(10);
    let job = download.open();
    download.commit_all(&job, 0..download.chunks());
    let finished = whole(&job);
    let shared = import(&download.target());
    assert_eq!(finished.manifest, shared.manifest);
    assert_eq!(
        finished.source, shared.source,
        "with the identities that they have now"
    );
}

#[test]
fn the_index_is_wanted_first() {
    let (_source, download) = example(400);
    let job = download.open();
    assert_eq!(job.wanted_first(), 0..1);
    download.commit_all(&job, [3]);
    assert_eq!(job.wanted_first(), 0..1);
    download.commit_all(&job, [0]);
    assert_eq!(job.wanted_first(), 0..2);
    download.commit_all(&job, [1]);
    assert_eq!(job.wanted_first(), 0..0);
    assert_eq!(
        download.held(&job),
        [0, 1, 3],
        "what came before the index can still be read"
    );
}

#[test]
fn a_folder_that_was_cut_short_anywhere_is_gone_on_with() {
    let (source, download) = example(400);
    let order = download.shuffled(5);
    for cut in 0..order.len() {
        let (before, after) = order.split_at(cut);
        let job = download.open();
        download.commit_all(&job, before.iter().copied());
        drop(job);
        let job = download.open_in(Boot::numbered(1 + (cut % 2) as u8)).unwrap();
        let mut expected = before.to_vec();
        expected.sort_unstable();
        assert_eq!(download.held(&job), expected);
        if cut % 7 == 0 {
            download.commit_all(&job, after.iter().copied());
            job.complete().unwrap();
            assert_eq!(
                list(&download.target()),
                list(&source.path().join("shared folder"))
            );
            fs::remove_dir_all(download.target()).unwrap();
        } else {
            job.discard().unwrap();
        }
    }
}

#[test]
fn an_empty_folder_arrives() {
    let source = tempfile::tempdir().unwrap();
    let root = source.path().join("empty");
    fs::create_dir(&root).unwrap();
    let download = download_of(&root);
    let job = download.open();
    download.commit_all(&job, 0..download.chunks());
    job.complete().unwrap();
    assert_eq!(list(&download.target()), list(&root));
}

#[test]
fn a_folder_that_is_there_already_needs_not_be_fetched() {
    let (_source, download) = example(0);
    let job = download.open();
    download.commit_all(&job, 0..download.chunks());
    job.complete().unwrap();
    drop(job);
    let job = download.open();
    assert!(job.held().is_full());
    assert_eq!(whole(&job).source.root(), download.target());
    drop(job);
    fs::write(download.target().join("a.b"), b"edited now").unwrap();
    let refused = download.open_in(Boot::numbered(1));
    assert!(matches!(refused, Err(StoreError::FolderTaken(path)) if path == download.target()));
}

/// A stream with this index at its head, as a malicious peer may make one: all hashes are right.
fn forged(head: &[u8], size: usize) -> Download {
    let mut stream = head.to_vec();
    stream.resize(size, 7);
    let mut download = Download::of_file(HashAlgorithm::Sha256, "forged", stream);
    download.manifest.kind = ShareKind::Folder;
    download
}

#[test]
fn an_index_that_makes_no_sense_is_refused_and_nothing_appears() {
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("x"), b"content").unwrap();
    let index = import(source.path()).source.index().unwrap().encode();
    let mut escaping = index.clone();
    let at = escaping.iter().rposition(|byte| *byte == b'x').unwrap();
    escaping[at] = b'/';
    let cases = [
        (b"no index at all".to_vec(), 400_000),
        (index.clone(), index.len() + 8),
        (index[..index.len() - 1].to_vec(), index.len() - 1),
        (escaping, index.len() + 7),
    ];
    for (number, (head, size)) in cases.into_iter().enumerate() {
        let download = forged(&head, size);
        let job = download.open();
        let result = (0..download.chunks()).try_for_each(|chunk| download.commit(&job, chunk).map(drop));
        assert!(
            matches!(result, Err(CommitError::BadIndex(_))),
            "case {number}: {result:?}"
        );
        assert!(matches!(
            job.complete(),
            Err(FinishError::BadIndex(_) | FinishError::Missing(_))
        ));
        assert!(!download.target().exists());
        job.discard().unwrap();
        assert_eq!(download.names(), Vec::<String>::new());
    }
}

#[test]
fn an_index_of_more_than_there_is_allocates_nothing() {
    let mut head = FolderIndex::new(Vec::new()).unwrap().encode();
    // Entries u32 and length u64 of the whole index follow magic and version.
    head[9..13].copy_from_slice(&1_000_000u32.to_be_bytes());
    head[13..21].copy_from_slice(&(200u64 << 20).to_be_bytes());
    let download = forged(&head, 1000);
    let job = download.open();
    assert!(matches!(download.commit(&job, 0), Err(CommitError::BadIndex(_))));
}

#[test]
fn a_link_that_was_planted_in_the_tree_leads_nowhere_else() {
    let outside = tempfile::tempdir().unwrap();
    let (_source, download) = example(3);
    let plant: [(&str, &Path); 3] = [
        ("a", outside.path()),
        ("a.b", &outside.path().join("file")),
        ("a/b/large", &outside.path().join("other")),
    ];
    for (name, leads_to) in plant {
        let job = download.open();
        download.commit_all(&job, [0]);
        let planted = download.hidden().join("tree").join(name);
        if planted.is_dir() {
            fs::remove_dir_all(&planted).unwrap();
        } else if planted.exists() {
            fs::remove_file(&planted).unwrap();
        }
        symlink(leads_to, &planted).unwrap();
        let results: Vec<_> = (1..download.chunks())
            .map(|chunk| download.commit(&job, chunk))
            .collect();
        let finished = job.complete();
        assert!(results.iter().any(Result::is_err) || finished.is_err(), "{name}");
        assert!(!download.target().exists());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "{name}");
        job.discard().unwrap();
        assert_eq!(
            fs::read_dir(outside.path()).unwrap().count(),
            0,
            "removing does not follow it either"
        );
    }
}

fn resize(path: &Path, size: u64) {
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(size)
        .unwrap();
}

#[test]
fn a_file_that_was_tampered_with_is_noticed_in_the_end_and_put_right() {
    let (source, download) = example(3);
    let tampering: [fn(&Path); 3] = [
        |tree| fs::remove_file(tree.join("a/b/large")).unwrap(),
        |tree| resize(&tree.join("a/b/large"), 9),
        |tree| resize(&tree.join("a/b/large"), 9_999_999),
    ];
    for tamper in tampering {
        let job = download.open();
        download.commit_all(&job, 0..download.chunks());
        drop(job);
        tamper(&download.hidden().join("tree"));
        let job = download.open();
        while job.complete().is_err() {
            let missing: Vec<u32> = job.held().missing().map(|chunk| chunk.0).collect();
            assert!(!missing.is_empty());
            download.commit_all(&job, missing);
        }
        assert_eq!(
            list(&download.target()),
            list(&source.path().join("shared folder"))
        );
        fs::remove_dir_all(download.target()).unwrap();
    }
}

#[test]
fn hashing_follows_a_folder_with_both_algorithms() {
    let (_source, sha256) = example(0);
    let layout = sha256.manifest.layout();
    let algorithm = HashAlgorithm::Blake3;
    let mut hasher = FileHasher::new(algorithm, layout);
    let chunks = layout
        .indices()
        .map(|chunk| algorithm.hash_chunk(layout, chunk, sha256.bytes(chunk.0)));
    let hashes: Vec<_> = chunks.inspect(|hash| hasher.update(&[], hash)).collect();
    let manifest = Manifest {
        algorithm,
        hash: hasher.finish().unwrap(),
        merkle_root: merkle_root(layout, &hashes),
        ..sha256.manifest.clone()
    };
    let download = Download::new(manifest, hashes.into(), sha256.stream.clone());
    let job = download.open();
    download.commit_all(&job, download.shuffled(3));
    job.complete().unwrap();
    assert_eq!(stream(&import(&download.target())), download.stream);
}
