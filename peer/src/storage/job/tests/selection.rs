//! Downloads of some files of a folder.

use super::folder::{Listing, download_of, list};
use super::*;
use crate::selection::Selection;
use std::os::unix::fs::{PermissionsExt as _, symlink};

/// A folder of large and small files, and its download of what these globs name.
fn example(include: &[&str], exclude: &[&str]) -> (tempfile::TempDir, Download) {
    let source = tempfile::tempdir().unwrap();
    let root = source.path().join("shared folder");
    for folder in ["big", "docs/deep", "docs/empty", "void"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for (number, (path, size)) in (0..).zip([
        ("big/one", 3 * CHUNK + 100),
        ("big/two", 2 * CHUNK),
        ("docs/a.txt", 1000),
        ("docs/deep/b.txt", 2000),
        ("docs/nothing", 0),
        ("docs/large", 2 * CHUNK + 5),
        ("z last", CHUNK),
    ]) {
        fs::write(root.join(path), testing::content(number, size)).unwrap();
    }
    fs::set_permissions(root.join("docs/deep"), fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(root.join("docs/a.txt"), fs::Permissions::from_mode(0o400)).unwrap();
    for (path, seconds) in [("docs/a.txt", 1), ("docs/deep", 7), ("docs", 9), ("", 11)] {
        let time = std::time::UNIX_EPOCH + Duration::new(seconds, 123_456_789);
        let file = fs::File::open(root.join(path)).unwrap();
        file.set_modified(time).unwrap();
    }
    let mut download = download_of(&root);
    download.select(include, exclude);
    (source, download)
}

impl Download {
    fn select(&mut self, include: &[&str], exclude: &[&str]) {
        self.selection = Selection::new(include, exclude).unwrap();
    }

    fn wanted(job: &Job) -> Vec<u32> {
        let wanted = job.wanted().and_not(&job.held());
        wanted.ones().map(|chunk| chunk.0).collect()
    }

    /// Commits what is wanted until nothing is; which chunks those were.
    fn fetch(&self, job: &Job) -> Vec<u32> {
        let mut fetched = Vec::new();
        while let [first, ..] = Self::wanted(job)[..] {
            self.commit_all(job, [first]);
            fetched.push(first);
        }
        fetched
    }
}

/// What of the source belongs there: what is below these paths, and the folders above.
fn part(source: &tempfile::TempDir, paths: &[&str]) -> Listing {
    let mut entries = list(&source.path().join("shared folder"));
    entries.retain(|(path, ..)| {
        let below = paths.iter().any(|wanted| path.starts_with(wanted));
        below || paths.iter().any(|wanted| Path::new(wanted).starts_with(path))
    });
    entries
}

#[test]
fn only_the_chunks_of_the_index_and_of_what_is_selected_are_wanted_and_only_that_appears() {
    let (source, download) = example(&["big/two", "docs/deep"], &[]);
    let job = download.open();
    assert_eq!(Download::wanted(&job), [0], "until the index is known");
    let fetched = download.fetch(&job);
    // big/one lies in chunks 0 to 3, of which the last one has the beginning of big/two.
    assert_eq!(fetched, [0, 3, 4, 5]);
    assert_eq!(job.index().unwrap().entries().len(), 12);
    assert!(!job.is_of_everything());
    assert_eq!(download.names().len(), 1, "nothing appears before it is there");
    let finished = job.complete().unwrap();
    assert!(matches!(finished, Finished::Part(path) if path == download.target()));
    assert_eq!(list(&download.target()), part(&source, &["big/two", "docs/deep"]));
    assert_eq!(download.names(), ["shared folder"], "nothing else is left");
}

#[test]
fn what_is_selected_and_excluded_is_not_there_and_empty_folders_are_what_was_said() {
    let (source, download) = example(&["docs", "void/"], &["large", "deep"]);
    let job = download.open();
    download.fetch(&job);
    job.complete().unwrap();
    let expected = part(&source, &["docs/a.txt", "docs/empty", "docs/nothing", "void"]);
    assert_eq!(list(&download.target()), expected);
}

#[test]
fn everything_may_be_what_was_selected_also_of_a_folder_of_one_chunk() {
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("small"), b"content").unwrap();
    let mut download = download_of(source.path());
    download.select(&["small"], &[]);
    let job = download.open();
    assert_eq!(download.fetch(&job), [0]);
    whole(&job);
    assert_eq!(list(&download.target()), list(source.path()));
}

#[test]
fn the_chunks_that_are_missing_are_named_and_those_that_are_not_wanted_do_not_count() {
    let (_source, download) = example(&["big/two"], &[]);
    let job = download.open();
    download.commit_all(&job, [0, 1, 2]);
    assert!(matches!(job.complete(), Err(FinishError::Missing(3))));
    assert!(!download.target().exists());
}

#[test]
fn a_selection_that_was_cut_short_anywhere_is_gone_on_with() {
    let (source, download) = example(&["big/two", "docs"], &["deep"]);
    let all = download.fetch(&download.open());
    for cut in 0..=all.len() {
        fs::remove_dir_all(download.hidden()).unwrap();
        let job = download.open();
        download.commit_all(&job, all[..cut].iter().copied());
        drop(job);
        let job = download.open_in(Boot::numbered(1 + (cut % 2) as u8)).unwrap();
        assert_eq!(download.held(&job), all[..cut], "cut {cut}");
        if cut > 0 {
            assert_eq!(Download::wanted(&job), all[cut..], "cut {cut}");
        }
    }
    let job = download.open();
    job.complete().unwrap();
    let expected = part(
        &source,
        &[
            "big/two",
            "docs/a.txt",
            "docs/empty",
            "docs/nothing",
            "docs/large",
        ],
    );
    assert_eq!(list(&download.target()), expected);
}

#[test]
fn another_selection_of_an_unfinished_download_keeps_what_is_there() {
    let (source, mut download) = example(&["big/one"], &[]);
    let job = download.open();
    download.commit_all(&job, [0, 1, 3]);
    drop(job);
    download.select(&["big"], &[]);
    let job = download.open();
    assert_eq!(download.fetch(&job), [2, 4, 5]);
    drop(job);
    download.select(&["big/two"], &[]);
    let job = download.open();
    assert_eq!(download.fetch(&job), Vec::<u32>::new());
    job.complete().unwrap();
    assert_eq!(list(&download.target()), part(&source, &["big/two"]));
}

#[test]
fn what_was_begun_as_a_whole_can_be_finished_in_part_and_the_other_way_round() {
    let (source, mut download) = example(&[], &[]);
    let job = download.open();
    download.commit_all(&job, [0, 2, 5, 7]);
    drop(job);
    download.select(&["z last"], &[]);
    let job = download.open();
    let fetched = download.fetch(&job);
    drop(job);
    download.select(&[], &[]);
    let job = download.open();
    assert!(!download.fetch(&job).iter().any(|chunk| fetched.contains(chunk)));
    assert!(matches!(job.complete().unwrap(), Finished::Whole(_)));
    assert_eq!(
        list(&download.target()),
        list(&source.path().join("shared folder"))
    );
}

#[test]
fn another_selection_adds_to_what_is_there_and_fetches_no_chunk_whose_bytes_are() {
    let (source, mut download) = example(&["big", "docs/deep"], &[]);
    let job = download.open();
    download.fetch(&job);
    job.complete().unwrap();
    drop(job);
    download.select(&["docs"], &[]);
    let job = download.open();
    assert_eq!(job.held().count(), 0);
    // The index, docs/a.txt and docs/large; what is before is big/two to its end.
    assert_eq!(download.fetch(&job), [0, 5, 6, 7]);
    job.complete().unwrap();
    drop(job);
    assert_eq!(list(&download.target()), part(&source, &["big", "docs"]));

    download.select(&["*"], &[]);
    let job = download.open();
    let last = download.chunks() - 1;
    assert_eq!(download.fetch(&job), [0, last - 1, last]);
    let import = whole(&job);
    assert_eq!(
        list(&download.target()),
        list(&source.path().join("shared folder"))
    );
    let shared = super::import(&download.target());
    assert_eq!(
        (import.manifest, import.source),
        (shared.manifest, shared.source),
        "ready to be shared"
    );
    assert_eq!(download.names(), ["shared folder"]);
}

#[test]
fn what_stands_there_and_is_something_else_is_left_alone_and_named() {
    let (_source, mut download) = example(&["docs/large", "docs/a.txt"], &[]);
    type Plant = fn(&Path);
    let in_the_way: [(&str, Plant); 5] = [
        ("docs/large", |path| fs::write(path, "short").unwrap()),
        ("docs/large", |path| {
            fs::write(path, vec![7; 2 * CHUNK + 5]).unwrap();
        }),
        ("docs/large", |path| fs::create_dir(path).unwrap()),
        ("docs/large", |path| symlink("/etc/passwd", path).unwrap()),
        ("docs", |path| {
            fs::remove_dir_all(path).unwrap();
            fs::write(path, "a file").unwrap();
        }),
    ];
    for (number, (name, plant)) in in_the_way.into_iter().enumerate() {
        let path = download.target().join(name);
        fs::create_dir_all(download.target().join("docs")).unwrap();
        plant(&path);
        let before = list(&download.target());
        let job = download.open();
        let stored = (0..download.chunks()).try_for_each(|chunk| download.commit(&job, chunk).map(drop));
        let error = stored.unwrap_err().to_string();
        assert!(
            error.contains(name) && error.contains("something else"),
            "{number}: {error}"
        );
        assert!(job.complete().is_err());
        assert_eq!(list(&download.target()), before, "{number}");
        job.discard().unwrap();
        drop(job);
        fs::remove_dir_all(download.target()).unwrap();
    }
    // A file in its place refuses whole and part alike; a folder in its place only the whole.
    fs::create_dir(download.target()).unwrap();
    download.select(&[], &[]);
    let refused = download.open_in(Boot::numbered(1));
    assert!(matches!(&refused, Err(StoreError::FolderTaken(_))), "{refused:?}");
    assert_eq!(download.names(), ["shared folder"]);
    fs::remove_dir(download.target()).unwrap();
    fs::write(download.target(), "a file").unwrap();
    download.select(&["docs"], &[]);
    let refused = download.open_in(Boot::numbered(1));
    assert!(matches!(&refused, Err(StoreError::Disk(_))), "{refused:?}");
}

#[test]
fn a_file_that_its_owner_changed_after_it_came_is_neither_held_nor_replaced() {
    let (_source, mut download) = example(&["big/two"], &[]);
    let job = download.open();
    download.fetch(&job);
    job.complete().unwrap();
    drop(job);
    let edited = download.target().join("big/two");
    fs::write(&edited, vec![1; 2 * CHUNK]).unwrap();
    // Not selected now: what a chunk has of it is none of our business.
    download.select(&["docs/a.txt"], &[]);
    let job = download.open();
    assert_eq!(download.fetch(&job), [0, 5]);
    assert_eq!(download.held(&job), [0, 5]);
    job.complete().unwrap();
    assert_eq!(fs::read(&edited).unwrap(), vec![1; 2 * CHUNK]);
    assert_eq!(
        fs::read(download.target().join("docs/a.txt")).unwrap().len(),
        1000
    );
}

#[test]
fn an_addition_that_was_cut_short_hashes_what_stands_there_again() {
    let (source, mut download) = example(&["big"], &[]);
    let job = download.open();
    download.fetch(&job);
    job.complete().unwrap();
    drop(job);
    download.select(&["big", "docs/large"], &[]);
    let job = download.open();
    download.commit_all(&job, [0]);
    assert!(job.held().has(ChunkIndex(4)), "taken from what stands there");
    drop(job);
    let one = download.target().join("big/one");
    let right = fs::read(&one).unwrap();
    fs::write(&one, vec![3; right.len()]).unwrap();
    let job = download.open();
    assert_eq!(download.held(&job), [4], "what was edited is not held");
    drop(job);
    fs::write(&one, right).unwrap();
    let job = download.open();
    assert_eq!(download.fetch(&job), [5, 6, 7]);
    job.complete().unwrap();
    // The edit gave it another time, which is its owner's.
    fs::File::open(&one)
        .unwrap()
        .set_modified(
            fs::metadata(source.path().join("shared folder/big/one"))
                .unwrap()
                .modified()
                .unwrap(),
        )
        .unwrap();
    assert_eq!(list(&download.target()), part(&source, &["big", "docs/large"]));
}

#[test]
fn publishing_that_was_cut_short_at_any_file_is_gone_on_with_also_with_another_selection() {
    let whole = ["big/one", "big/two", "docs/large"];
    for moved in 0..=whole.len() {
        for then in [&["big", "docs/large"][..], &["docs"], &["*"]] {
            let (source, mut download) = example(&["big", "docs/large"], &[]);
            // With a folder there files are moved one by one.
            fs::create_dir_all(download.target().join("docs")).unwrap();
            fs::create_dir(download.target().join("big")).unwrap();
            let job = download.open();
            download.fetch(&job);
            drop(job);
            let hidden = download.hidden();
            fs::File::create(hidden.join("journal")).unwrap();
            for path in &whole[..moved] {
                fs::rename(hidden.join("tree").join(path), download.target().join(path)).unwrap();
            }
            download.select(then, &[]);
            let job = download.open();
            download.held(&job);
            download.fetch(&job);
            job.complete().unwrap();
            let index = job.index().unwrap();
            let chosen = download.selection.choose(&index).unwrap();
            for (entry, _) in chosen.files(&index) {
                let (path, shared) = (entry.path.as_str(), source.path().join("shared folder"));
                let arrived = fs::read(download.target().join(path)).unwrap();
                assert!(
                    arrived == fs::read(shared.join(path)).unwrap(),
                    "{path} after {moved}"
                );
            }
            drop(job);
            assert_eq!(download.names(), ["shared folder"]);
        }
    }
}

#[test]
fn a_selection_of_nothing_is_an_error_as_soon_as_the_index_is_there() {
    let (_source, mut download) = example(&["*.iso"], &[]);
    let job = download.open();
    let committed = download.commit(&job, 0);
    let Err(CommitError::Selection(nothing)) = committed else {
        panic!("{committed:?}");
    };
    assert!(nothing.to_string().contains("\"*.iso\""), "{nothing}");
    job.discard().unwrap();
    drop(job);
    // What is there of an earlier selection stays.
    download.select(&["big/two"], &[]);
    let job = download.open();
    let fetched = download.fetch(&job);
    drop(job);
    download.select(&["*.iso"], &[]);
    let refused = download.open_in(Boot::numbered(1));
    assert!(matches!(refused, Err(StoreError::Selection(_))));
    download.select(&["big/two"], &[]);
    assert_eq!(download.held(&download.open()), fetched);
}

#[test]
fn a_link_in_the_folder_that_is_added_to_leads_nowhere_else() {
    let (_source, mut download) = example(&["big/two"], &[]);
    let job = download.open();
    download.fetch(&job);
    job.complete().unwrap();
    drop(job);
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), download.target().join("docs")).unwrap();
    download.select(&["docs/large"], &[]);
    let job = download.open();
    assert!(download.commit(&job, 0).is_err(), "a link is not a folder");
    drop(job);
    // Planted after it was looked at.
    fs::remove_file(download.target().join("docs")).unwrap();
    let job = download.open();
    download.fetch(&job);
    symlink(outside.path(), download.target().join("docs")).unwrap();
    assert!(job.complete().is_err());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_glance_knows_the_index_and_writes_nothing() {
    let (_source, download) = example(&[], &[]);
    let mut spec = download.spec();
    spec.output = download.output.path().join("nowhere");
    let job = Job::glance(spec).unwrap();
    assert_eq!(Download::wanted(&job), [0]);
    assert_eq!(download.commit(&job, 3).unwrap(), Committed::AlreadyHeld);
    assert!(job.held().is_empty() && job.index().is_none());
    assert_eq!(download.fetch(&job), [0]);
    assert_eq!(job.index().unwrap().entries().len(), 12);
    assert_eq!(download.names(), Vec::<String>::new());
}

#[test]
fn a_folder_that_stands_there_is_opened_to_nobody_by_what_is_added_to_it() {
    let (_source, download) = example(&["docs/a.txt", "docs/deep"], &[]);
    let mode = |path: &str| {
        let folder = download.target().join(path);
        fs::metadata(folder).unwrap().permissions().mode() & 0o777
    };
    fs::create_dir_all(download.target().join("docs")).unwrap();
    for (path, mode) in [("", 0o700), ("docs", 0o500)] {
        fs::set_permissions(download.target().join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    let job = download.open();
    download.fetch(&job);
    job.complete().unwrap();
    // The share has 0o755 for both.
    assert_eq!([mode(""), mode("docs"), mode("docs/deep")], [0o700, 0o500, 0o555]);
}

#[test]
fn a_glob_that_names_nothing_is_an_error_also_where_the_whole_is_there() {
    let (_source, mut download) = example(&["*"], &[]);
    let job = download.open();
    download.fetch(&job);
    job.complete().unwrap();
    drop(job);
    download.select(&["*.iso"], &[]);
    let refused = download.open_in(Boot::numbered(1));
    assert!(matches!(refused, Err(StoreError::Selection(_))));
    download.select(&["docs"], &[]);
    assert!(download.open().is_of_everything());
    assert_eq!(download.names(), ["shared folder"], "nothing else is left");
}
