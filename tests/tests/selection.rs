//! A part of a folder: only what holds it is asked for, only what was chosen arrives, and what is there is not fetched again.
//!
//! What is asked for is counted by the peer that is asked, not by what the program says of itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use p2p_shared::hash::HashAlgorithm;
use p2p_shared::id::ChunkIndex;
use p2p_shared::manifest::EntryKind;
use p2p_tests::content::Content;
use p2p_tests::fake_peer::{Answer, FakePeer};
use p2p_tests::fixtures;
use p2p_tests::lab::Lab;
use p2p_tests::process::{Ended, Launch};
use p2p_tests::programs::Peer;
use p2p_tests::tree;
use serde_json::Value;

/// A folder of 400 small files, a few larger ones and all odd names, its sharer's view of it, and somebody who wants it.
struct Scene {
    lab: Lab,
    source: PathBuf,
    content: Arc<Content>,
    fetcher: Peer,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        let source = lab.at("shared folder");
        fixtures::write_folder(&source, 7, 400, 9_000);
        for (name, chunks) in [("large a.bin", 9), ("large b.bin", 5)] {
            fixtures::write_file(&source.join(name), chunks, chunks * 262_144 + 77);
        }
        let content = Arc::new(Content::of_folder(&source, HashAlgorithm::Sha256));
        let fetcher = Peer::new(&lab, "fetcher");
        Self {
            lab,
            source,
            content,
            fetcher,
        }
    }

    fn get(&self, peer: &FakePeer, more: &[&str]) -> Launch {
        let ticket = self.content.ticket(vec![peer.seeder()]);
        self.fetcher.get(&ticket, &self.output()).args(more)
    }

    fn output(&self) -> PathBuf {
        self.lab.at("output")
    }

    fn arrived(&self) -> PathBuf {
        self.output().join("shared folder")
    }

    fn files(&self) -> impl Iterator<Item = (&str, std::ops::Range<u64>)> {
        let index = self.content.index.as_ref().expect("a folder");
        index
            .extents()
            .filter(|(entry, _)| entry.kind != EntryKind::Directory)
            .map(|(entry, extent)| (entry.path.as_str(), extent))
    }

    /// The chunks that hold the index and these files.
    fn chunks(&self, wanted: impl Fn(&str) -> bool) -> BTreeSet<ChunkIndex> {
        let index = self.content.index.as_ref().expect("a folder").index_size();
        let files = self
            .files()
            .filter(|(path, _)| wanted(path))
            .map(|(_, extent)| extent);
        std::iter::once(0..index)
            .chain(files)
            .filter(|bytes| !bytes.is_empty())
            .flat_map(|bytes| bytes.start / 262_144..=(bytes.end - 1) / 262_144)
            .map(|chunk| ChunkIndex(u32::try_from(chunk).expect("a small folder")))
            .collect()
    }

    fn bytes(&self, chunks: &BTreeSet<ChunkIndex>) -> u64 {
        let lengths = chunks.iter().map(|chunk| self.content.layout().length(*chunk));
        lengths.map(u64::from).sum()
    }

    /// These files are there as they are at the source, and nothing else is.
    #[track_caller]
    fn assert_arrived(&self, wanted: impl Fn(&str) -> bool) {
        for (path, _) in self.files() {
            let arrived = self.arrived().join(path);
            match wanted(path) {
                true => tree::assert_same(&self.source.join(path), &arrived),
                false => assert!(!arrived.exists(), "{path} was not selected"),
            }
        }
        assert_eq!(names(&self.output()), ["shared folder"], "nothing else is left");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// What was asked for, each chunk once.
#[track_caller]
fn asked(peer: &FakePeer) -> BTreeSet<ChunkIndex> {
    let told = peer.told();
    let asked: BTreeSet<ChunkIndex> = told.requests.iter().copied().collect();
    assert_eq!(
        asked.len(),
        told.requests.len(),
        "a chunk was asked for twice: {told:?}"
    );
    asked
}

fn event(ended: &Ended, name: &str) -> Value {
    let found = ended.events().into_iter().rfind(|event| event["event"] == name);
    found.unwrap_or_else(|| panic!("no {name}: {}", ended.out))
}

fn is_chosen(path: &str) -> bool {
    let below = path.starts_with("part 07/") || path.starts_with("odd names/");
    (below || path == "large b.bin") && !path.contains('🦀') && !path.ends_with("file-00057.dat")
}

const CHOSEN: [&str; 10] = [
    "--include",
    "part 07/",
    "--include",
    "odd names",
    "--include",
    "/large b*",
    "--exclude",
    "*🦀*",
    "--exclude",
    "file-00057.dat",
];

#[test]
fn only_what_holds_the_index_and_the_selected_files_is_asked_for_and_only_they_arrive() {
    let scene = Scene::new();
    let peer = FakePeer::honest(1, &scene.content);
    let ended = scene.get(&peer, &CHOSEN).run().expect_code(0);
    let expected = scene.chunks(is_chosen);
    assert!(
        expected.len() * 2 < scene.content.layout().chunks() as usize,
        "a part"
    );
    assert_eq!(asked(&peer), expected);
    scene.assert_arrived(is_chosen);
    let done = event(&ended, "done");
    let bytes = scene.bytes(&expected);
    assert_eq!(done["bytes"], bytes, "{done}");
    assert_eq!(done["bytes_by_path"]["direct"], bytes, "{done}");
    assert_eq!(done["path"].as_str().unwrap(), scene.arrived().to_str().unwrap());
    let progress = ended
        .events()
        .into_iter()
        .filter(|event| event["event"] == "progress");
    for progress in progress {
        assert!(progress["total"].as_u64().unwrap() <= bytes, "{progress}");
    }
}

#[test]
fn a_list_says_what_is_in_the_folder_asks_for_its_index_alone_and_writes_nothing() {
    let scene = Scene::new();
    let peer = FakePeer::honest(1, &scene.content);
    let ended = scene.get(&peer, &["--list"]).run().expect_code(0);
    assert_eq!(asked(&peer), scene.chunks(|_| false));
    let events = ended.events();
    let listed = events.iter().filter(|event| event["event"] == "file");
    let listed: Vec<(&str, u64, u64)> = listed
        .map(|file| {
            let number = |key: &str| file[key].as_u64().unwrap();
            (file["path"].as_str().unwrap(), number("size"), number("mode"))
        })
        .collect();
    let index = scene.content.index.as_ref().unwrap();
    let files = index
        .entries()
        .iter()
        .filter(|entry| entry.kind != EntryKind::Directory);
    let files: Vec<_> = files
        .map(|entry| (entry.path.as_str(), entry.size(), u64::from(entry.mode)))
        .collect();
    assert_eq!(listed, files);
    assert!(!scene.output().exists());

    // With a selection: what that would fetch; without --json a line each.
    let ticket = scene.content.ticket(vec![peer.seeder()]);
    let plain = Launch::new("p2p-peer", scene.fetcher.folder())
        .args(["get", "--list", "--include", "/large*", &ticket, "--data"])
        .arg(scene.fetcher.data())
        .env("P2P_LISTEN", "127.0.0.1:0")
        .run()
        .expect_code(0);
    let lines: Vec<Vec<&str>> = plain
        .out
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0][1..], ["2359373", "large", "a.bin"], "{}", plain.out);
    assert_eq!(lines[1][1..], ["1310797", "large", "b.bin"], "{}", plain.out);
    assert_eq!(lines.len(), 2, "{}", plain.out);
}

#[test]
fn a_selection_goes_on_after_a_kill_and_fetches_nothing_again() {
    let scene = Scene::new();
    // Enough for the index and some of the files, then nothing.
    let stingy = FakePeer::with_all(1, &scene.content, |asked| match asked.before < 5 {
        true => Answer::Send,
        false => Answer::Stall,
    });
    let expected = scene.chunks(|path| path.starts_with("large"));
    let running = scene.get(&stingy, &["--include", "/large*"]).start();
    let five = 5 * 262_144;
    running.wait_out(0, "that five chunks are there", |line| {
        let event: Value = serde_json::from_str(line).ok()?;
        (event["event"] == "progress" && event["bytes"].as_u64()? == five).then_some(())
    });
    running.wait_out(0, "how far away the peer is", |line| {
        let event: Value = serde_json::from_str(line).ok()?;
        (event["event"] == "path" && event["rtt_ms"].as_f64()? > 0.0).then_some(())
    });
    drop(running.kill());
    assert!(!scene.arrived().exists(), "nothing before it is there");
    let sent: BTreeSet<ChunkIndex> = stingy.told().requests.into_iter().take(5).collect();

    let generous = FakePeer::honest(2, &scene.content);
    let ended = scene
        .get(&generous, &["--include", "/large*"])
        .run()
        .expect_code(0);
    let left: BTreeSet<ChunkIndex> = expected.difference(&sent).copied().collect();
    assert_eq!(asked(&generous), left);
    let done = event(&ended, "done");
    assert_eq!(done["bytes"], scene.bytes(&expected), "{done}");
    assert_eq!(done["bytes_by_path"]["direct"], scene.bytes(&left), "{done}");
    scene.assert_arrived(|path| path.starts_with("large"));
}

#[test]
fn another_selection_adds_to_what_is_there_until_it_is_the_whole() {
    let scene = Scene::new();
    let peer = FakePeer::honest(1, &scene.content);
    let _first = scene.get(&peer, &["--include", "/large*"]).run().expect_code(0);
    let peer = FakePeer::honest(2, &scene.content);
    let _second = scene
        .get(&peer, &["--include", "odd names", "--include", "/large*"])
        .run()
        .expect_code(0);
    let is_there = |path: &str| path.starts_with("large") || path.starts_with("odd names/");
    scene.assert_arrived(is_there);
    // Not what lies in the files that were there.
    let large: Vec<_> = scene
        .files()
        .filter(|(path, _)| path.starts_with("large"))
        .map(|(_, extent)| extent)
        .collect();
    let inside = |chunk: &ChunkIndex| {
        let extent = scene.content.layout().extent(*chunk);
        large
            .iter()
            .any(|file| file.start <= extent.start && extent.end <= file.end)
    };
    assert_eq!(asked(&peer).into_iter().find(inside), None);

    // Without a selection it is all or nothing, and the message says what to do.
    let peer = FakePeer::honest(3, &scene.content);
    let refused = scene.get(&peer, &[]).run().expect_code(7);
    assert!(refused.err.contains("--include '*'"), "{}", refused.err);
    let _rest = scene.get(&peer, &["--include", "*"]).run().expect_code(0);
    tree::assert_same(&scene.source, &scene.arrived());
}

#[test]
fn what_stands_there_and_is_something_else_is_neither_replaced_nor_touched() {
    let scene = Scene::new();
    fs::create_dir_all(scene.arrived()).unwrap();
    let mine = scene.arrived().join("large b.bin");
    fs::write(&mine, "my own notes").unwrap();
    let peer = FakePeer::honest(1, &scene.content);
    let ended = scene.get(&peer, &["--include", "/large*"]).run().expect_code(7);
    assert!(
        ended.err.contains("large b.bin") && ended.err.contains("something else"),
        "{}",
        ended.err
    );
    assert_eq!(fs::read(&mine).unwrap(), b"my own notes");
    assert_eq!(names(&scene.arrived()), ["large b.bin"]);
}

#[test]
fn a_glob_that_is_none_or_names_nothing_is_named_and_nothing_is_left() {
    let scene = Scene::new();
    let peer = FakePeer::honest(1, &scene.content);
    for list in [&[][..], &["--list"]] {
        let failed = |globs: &[&str], code: i32, said: &str| {
            let ended = scene.get(&peer, globs).args(list).run().expect_code(code);
            assert!(ended.err.contains(said), "{globs:?}: {}", ended.err);
            assert_eq!(names(&scene.output()), Vec::<String>::new(), "{globs:?}");
        };
        failed(&["--include", "[a"], 2, "\"[a\"");
        failed(&["--exclude", "a{b"], 2, "\"a{b\"");
        failed(&["--include", "/large*", "--include", "*.iso"], 3, "\"*.iso\"");
        failed(&["--include", "/large*", "--exclude", "*.bin"], 3, "--exclude");
    }
    let asked: BTreeSet<ChunkIndex> = peer.told().requests.into_iter().collect();
    assert_eq!(asked, scene.chunks(|_| false), "the index alone");
}

#[test]
fn an_excluding_glob_that_names_nothing_is_a_warning() {
    let scene = Scene::new();
    let peer = FakePeer::honest(1, &scene.content);
    let selection = ["--include", "large b.bin", "--exclude", "*.iso"];
    let ended = scene.get(&peer, &selection).run().expect_code(0);
    let warning = event(&ended, "warning");
    assert_eq!(warning["code"], "unmatched", "{warning}");
    assert!(
        warning["message"].as_str().unwrap().contains("*.iso"),
        "{warning}"
    );
}

#[test]
fn a_single_file_goes_by_its_name() {
    let lab = Lab::new();
    let source = lab.at("film.mkv");
    fixtures::write_file(&source, 3, 600_000);
    let content = Arc::new(Content::of(&source, HashAlgorithm::Sha256));
    let peer = FakePeer::honest(1, &content);
    let (fetcher, output) = (Peer::new(&lab, "fetcher"), lab.folder("output"));
    let get = |more: &[&str]| {
        fetcher
            .get(&content.ticket(vec![peer.seeder()]), &output)
            .args(more)
    };
    let ended = get(&["--include", "*.iso"]).run().expect_code(3);
    assert!(ended.err.contains("\"*.iso\""), "{}", ended.err);
    let listed = get(&["--list"]).run().expect_code(0);
    assert_eq!(event(&listed, "file")["path"], "film.mkv");
    assert_eq!(event(&listed, "file")["size"], 600_000);
    assert_eq!(peer.told().requests.len(), 0);
    assert_eq!(names(&output), Vec::<String>::new());
    let _ended = get(&["--include", "*.mkv"]).run().expect_code(0);
    tree::assert_same(&source, &output.join("film.mkv"));
}

#[test]
fn a_daemon_lists_and_selects_and_another_selection_takes_the_place_of_one_that_is_under_way() {
    let scene = Scene::new();
    let _daemon = scene.fetcher.start_daemon();
    let stingy = FakePeer::with_all(1, &scene.content, |asked| match asked.before < 8 {
        true => Answer::Send,
        false => Answer::Stall,
    });
    let slow = scene.get(&stingy, &["--include", "/large*"]).start();
    stingy.wait("be asked for more than it gives", |told| told.requests.len() > 8);
    // A download that is under way knows the index: nothing more is asked for.
    let generous = FakePeer::honest(2, &scene.content);
    let listed = scene
        .get(&stingy, &["--list", "--include", "odd names"])
        .run()
        .expect_code(0);
    let files = scene
        .files()
        .filter(|(path, _)| path.starts_with("odd names/"))
        .count();
    assert_eq!(
        listed
            .events()
            .iter()
            .filter(|event| event["event"] == "file")
            .count(),
        files
    );
    let counted = scene.fetcher.command("list").run().expect_code(0).events();
    let wanted = scene.bytes(&scene.chunks(|path| path.starts_with("large")));
    assert_eq!(counted[0]["wanted"].as_u64(), Some(wanted), "{counted:?}");
    assert!(counted[0]["bytes"].as_u64() < Some(wanted), "{counted:?}");

    let selection = ["--include", "large b.bin", "--include", "odd names"];
    let ended = scene.get(&generous, &selection).run().expect_code(0);
    assert_eq!(event(&ended, "done")["event"], "done");
    let replaced = slow.end();
    assert_ne!(replaced.code, Some(0));
    assert!(replaced.err.contains("selects other files"), "{}", replaced.err);
    scene.assert_arrived(|path| path == "large b.bin" || path.starts_with("odd names/"));
    let list = scene.fetcher.command("list").run().expect_code(0);
    assert_eq!(list.events(), Vec::<Value>::new(), "a part is no share");

    // By itself, when nothing is under way.
    let listed = scene.get(&generous, &["--list"]).run().expect_code(0);
    assert_eq!(
        listed
            .events()
            .iter()
            .filter(|event| event["event"] == "file")
            .count(),
        scene.files().count()
    );
}

#[test]
fn a_daemon_that_was_killed_goes_on_with_the_selection_it_had() {
    let scene = Scene::new();
    let daemon = scene.fetcher.start_daemon();
    let stingy = FakePeer::with_all(1, &scene.content, |asked| match asked.before < 5 {
        true => Answer::Send,
        false => Answer::Stall,
    });
    let command = scene.get(&stingy, &["--include", "/large*"]).start();
    stingy.wait("be asked for more than it gives", |told| told.requests.len() > 5);
    drop(daemon.kill());
    drop(command.end());
    // How much was selected, its index says, which nobody reads just for a list.
    let counted = scene.fetcher.command("list").run().expect_code(0).events();
    assert_eq!(counted[0].get("wanted"), Some(&Value::Null), "{counted:?}");
    let _daemon = scene.fetcher.start_daemon();
    // The same command finds the download under way; who asks for it again tells it of another peer.
    let generous = FakePeer::honest(2, &scene.content);
    let _ended = scene
        .get(&generous, &["--include", "/large*"])
        .run()
        .expect_code(0);
    scene.assert_arrived(|path| path.starts_with("large"));
    let expected = scene.chunks(|path| path.starts_with("large"));
    assert!(asked(&generous).is_subset(&expected));
}
