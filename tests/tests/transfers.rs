//! What was shared is what arrives: bytes, names, modes, times; for files of every odd size, with both hashes, and for folders.

use std::path::{Path, PathBuf};

use p2p_tests::fixtures;
use p2p_tests::lab::Lab;
use p2p_tests::measure;
use p2p_tests::programs::{Peer, Sharing, Tracker};
use p2p_tests::tree;
use serde_json::Value;

/// Around the ends of a chunk, and nothing at all.
const SIZES: [u64; 5] = [0, 1, 262_143, 262_144, 262_145];

/// Bytes of the large file, in MiB, unless `P2P_TEST_LARGE_MIB` says otherwise (`make test-large`: 4 GiB).
const LARGE_MIB: u64 = 256;

#[test]
fn files_around_the_ends_of_a_chunk_arrive_with_sha256() {
    files_around_the_ends_of_a_chunk_arrive("sha256", fixtures::sha256);
}

#[test]
fn files_around_the_ends_of_a_chunk_arrive_with_blake3() {
    files_around_the_ends_of_a_chunk_arrive("blake3", fixtures::blake3);
}

fn files_around_the_ends_of_a_chunk_arrive(algorithm: &str, hash_of: fn(&Path) -> String) {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let sharer = Peer::new(&lab, "sharer").tracker(&tracker);
    let fetcher = Peer::new(&lab, "fetcher").tracker(&tracker);
    let output = lab.folder("output");
    let files: Vec<PathBuf> = SIZES
        .iter()
        .map(|&size| file(&lab, &format!("{size} bytes.bin"), size))
        .collect();

    let sharing = sharer
        .share(&files[0])
        .args(&files[1..])
        .args(["--hash", algorithm])
        .start();
    let mut line = 0;
    for file in &files {
        let (ticket, next) = sharing.wait_event(line, "ticket");
        line = next;
        assert_eq!(
            text(&ticket, "hash"),
            hash_of(file),
            "the hash that other tools print for {}",
            file.display()
        );
        let ended = fetcher.get(text(&ticket, "ticket"), &output).run().expect_code(0);
        let done = ended
            .events()
            .into_iter()
            .find(|event| text(event, "event") == "done")
            .expect("it says that it is done");
        let arrived = output.join(file.file_name().unwrap());
        assert_eq!(text(&done, "path"), arrived.to_str().unwrap());
        assert_eq!(text(&done, "hash"), text(&ticket, "hash"));
        tree::assert_same(file, &arrived);
    }
    assert_only(&output, files.len());
}

#[test]
fn a_bare_sha256_and_a_tracker_are_enough() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let source = file(&lab, "published.iso", 3_000_000);
    let _sharing = Peer::new(&lab, "sharer").tracker(&tracker).start_sharing(&source);
    let output = lab.folder("output");
    let printed_by_sha256sum = fixtures::sha256(&source);
    let fetched = Peer::new(&lab, "fetcher")
        .tracker(&tracker)
        .get(&printed_by_sha256sum, &output)
        .run();
    fetched.expect_code(0);
    tree::assert_same(&source, &output.join("published.iso"));
}

#[test]
fn a_ticket_alone_is_enough_when_its_tracker_is_gone() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let source = file(&lab, "direct.bin", 1_000_000);
    let sharing = Peer::new(&lab, "sharer").tracker(&tracker).start_sharing(&source);
    drop(tracker.program.kill());
    let output = lab.folder("output");
    Peer::new(&lab, "fetcher")
        .get(&sharing.ticket, &output)
        .run()
        .expect_code(0);
    tree::assert_same(&source, &output.join("direct.bin"));
}

#[test]
fn two_sharers_of_a_file_are_both_asked() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let source = file(&lab, "shared twice.bin", 64 << 20);
    let copy = lab.folder("elsewhere").join("shared twice.bin");
    std::fs::copy(&source, &copy).unwrap();
    let first = Peer::new(&lab, "one").tracker(&tracker).start_sharing(&source);
    let second = Peer::new(&lab, "two").tracker(&tracker).start_sharing(&copy);
    assert_eq!(first.hash, second.hash);
    let output = lab.folder("output");
    let fetched = Peer::new(&lab, "fetcher")
        .tracker(&tracker)
        .get(&first.hash, &output)
        .run()
        .expect_code(0);
    let peers: std::collections::BTreeSet<String> = fetched
        .events()
        .iter()
        .filter(|event| text(event, "event") == "path")
        .map(|event| text(event, "peer").to_owned())
        .collect();
    assert_eq!(peers.len(), 2, "{peers:?}");
    assert_eq!(fixtures::sha256(&output.join("shared twice.bin")), first.hash);
}

#[test]
fn a_folder_of_thousands_of_files_with_odd_names_arrives_in_everything() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let source = lab.at("a folder");
    fixtures::write_folder(&source, 4, 5_000, 10 << 10);
    let sharing = Peer::new(&lab, "sharer").tracker(&tracker).start_sharing(&source);
    let output = lab.folder("output");
    Peer::new(&lab, "fetcher")
        .tracker(&tracker)
        .get(&sharing.ticket, &output)
        .run()
        .expect_code(0);
    tree::assert_same(&source, &output.join("a folder"));
    assert_only(&output, 1);
}

#[test]
fn an_empty_folder_arrives() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let source = lab.folder("nothing in it");
    let sharing = Peer::new(&lab, "sharer").tracker(&tracker).start_sharing(&source);
    let output = lab.folder("output");
    Peer::new(&lab, "fetcher")
        .tracker(&tracker)
        .get(&sharing.ticket, &output)
        .run()
        .expect_code(0);
    tree::assert_same(&source, &output.join("nothing in it"));
}

#[test]
fn a_large_file_arrives() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let mib =
        std::env::var("P2P_TEST_LARGE_MIB").map_or(LARGE_MIB, |mib| mib.parse().expect("a number of MiB"));
    let source = file(&lab, "large.bin", mib << 20);
    let sharing = Peer::new(&lab, "sharer").tracker(&tracker).start_sharing(&source);
    assert_eq!(sharing.size, mib << 20);
    let output = lab.folder("output");
    Peer::new(&lab, "fetcher")
        .tracker(&tracker)
        .get(&sharing.ticket, &output)
        .run()
        .expect_code(0);
    tree::assert_same(&source, &output.join("large.bin"));
}

#[test]
fn what_was_hashed_once_is_not_read_again() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let source = file(&lab, "known.bin", 32 << 20);
    let sharer = Peer::new(&lab, "sharer").tracker(&tracker);
    let first = sharer.start_sharing(&source);
    assert!(read_so_far(&first) >= 32 << 20, "the first time it is read");
    first.program.interrupt();
    let _ended = first.program.end();
    let second = sharer.start_sharing(&source);
    assert!(
        read_so_far(&second) < 8 << 20,
        "{} bytes read for a file that is known",
        read_so_far(&second)
    );
    assert_eq!(first.hash, second.hash);
}

fn read_so_far(sharing: &Sharing) -> u64 {
    measure::bytes_read(sharing.program.pid()).unwrap()
}

/// A file of the lab's with a mode and a time that no copy would have by itself.
fn file(lab: &Lab, name: &str, size: u64) -> PathBuf {
    let path = lab.folder("source").join(name);
    fixtures::write_file(&path, size + 1, size);
    fixtures::set_mode(&path, 0o750);
    fixtures::set_modified(&path, 1_234_567_890, 987_654_321);
    path
}

/// Nothing is left beside what was asked for.
#[track_caller]
fn assert_only(folder: &Path, entries: usize) {
    let names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), entries, "{names:?}");
}

fn text<'a>(event: &'a Value, key: &str) -> &'a str {
    event.get(key).and_then(Value::as_str).unwrap_or_default()
}
