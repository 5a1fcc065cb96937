//! What is awkward and no fault of anybody's: the person is told what it is, and what to do.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use p2p_shared::hash::HashAlgorithm;
use p2p_tests::content::Content;
use p2p_tests::fake_peer::{Answer, FakePeer};
use p2p_tests::fixtures;
use p2p_tests::lab::Lab;
use p2p_tests::programs::{Peer, Sharing, Tracker};
use p2p_tests::tree;
use serde_json::Value;

const SIZE: u64 = 24 << 20;

/// Chunks that a stingy peer sends.
const FIRST: u32 = 4;

/// A tracker, and a file that one peer shares.
struct Scene {
    lab: Lab,
    tracker: Tracker,
    source: PathBuf,
    sharing: Sharing,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        let tracker = Tracker::start(&lab);
        let source = lab.folder("source").join("shared.bin");
        fixtures::write_file(&source, 3, SIZE);
        let sharing = Peer::new(&lab, "sharer").tracker(&tracker).start_sharing(&source);
        Self {
            lab,
            tracker,
            source,
            sharing,
        }
    }

    fn fetcher(&self) -> Peer {
        Peer::new(&self.lab, "fetcher").tracker(&self.tracker)
    }
}

fn warnings<'a>(events: &'a [Value], code: &str) -> Vec<&'a str> {
    let wanted = |event: &&Value| event["event"] == "warning" && event["code"] == code;
    let messages = events.iter().filter(wanted);
    messages.map(|event| event["message"].as_str().unwrap()).collect()
}

#[test]
fn a_source_that_changed_is_told_of_at_once_and_waited_for_no_longer_than_asked() {
    let scene = Scene::new();
    std::fs::File::options()
        .write(true)
        .open(&scene.source)
        .unwrap()
        .set_len(SIZE / 3)
        .unwrap();
    let get = scene
        .fetcher()
        .get(&scene.sharing.ticket, &scene.lab.folder("output"));
    let ended = get.args(["--timeout", "2"]).run().expect_code(4);
    let told = ended.events();
    assert!(!warnings(&told, "changed").is_empty(), "{}", ended.out);
    assert!(ended.err.contains("has changed"), "{}", ended.err);
}

#[test]
fn a_tracker_with_a_wrong_path_is_no_tracker() {
    let scene = Scene::new();
    let wrong = format!("{}/wrong/place", scene.tracker.url());
    let hash = &scene.sharing.hash;
    let get = Peer::new(&scene.lab, "fetcher").tracker_at(&wrong);
    let ended = get
        .get(hash, &scene.lab.folder("output"))
        .args(["--timeout", "1"]);
    let ended = ended.run().expect_code(4);
    assert!(
        ended.err.contains(&wrong) && ended.err.contains("path"),
        "{}",
        ended.err
    );
}

#[test]
fn a_daemon_is_found_again_after_its_api_file_was_deleted() {
    let lab = Lab::new();
    let peer = Peer::new(&lab, "peer");
    let daemon = peer.start_daemon();
    std::fs::remove_file(peer.data().join("api.json")).unwrap();
    let status = peer.command("status").run().expect_code(0).events();
    assert_eq!(status[0]["pid"], daemon.pid(), "{status:?}");
}

#[test]
fn a_partial_download_that_is_left_behind_is_named() {
    let lab = Lab::new();
    let path = lab.at("half.bin");
    fixtures::write_file(&path, 1, 3 << 20);
    let content = Arc::new(Content::of(&path, HashAlgorithm::Sha256));
    let generous = Arc::new(AtomicBool::new(false));
    let is_generous = Arc::clone(&generous);
    let source = FakePeer::with_all(1, &content, move |asked| {
        match asked.chunk.0 < FIRST || is_generous.load(Ordering::SeqCst) {
            true => Answer::Send,
            false => Answer::Stall,
        }
    });
    let ticket = content.ticket(vec![source.seeder()]);
    let fetcher = Peer::new(&lab, "fetcher");
    let (first, second) = (lab.folder("first"), lab.folder("second"));
    let running = fetcher.get(&ticket, &first).start();
    running.wait_out(0, "some of it has come", |line| {
        let event: Value = serde_json::from_str(line).ok()?;
        (event["event"] == "progress" && event["bytes"].as_u64()? > 0).then_some(())
    });
    drop(running.kill());
    generous.store(true, Ordering::SeqCst);

    let ended = fetcher.get(&ticket, &second).run().expect_code(0);
    let told = ended.events();
    let left = warnings(&told, "left-behind");
    let mut entries = std::fs::read_dir(&first).unwrap();
    let folder = entries.next().unwrap().unwrap().path();
    assert_eq!(left.len(), 1, "{}", ended.out);
    for said in [folder.to_str().unwrap(), "--output"] {
        assert!(left[0].contains(said), "{said}: {}", left[0]);
    }
}

#[test]
fn a_share_of_ones_own_is_copied_from_where_it_is_and_stays_there() {
    let lab = Lab::new();
    let source = lab.folder("source").join("own");
    std::fs::create_dir_all(source.join("a")).unwrap();
    fixtures::write_file(&source.join("a/one.bin"), 1, 3 << 20);
    fixtures::write_file(&source.join("two.bin"), 2, 700_000);
    let peer = Peer::new(&lab, "peer");
    let _daemon = peer.start_daemon();
    let shared = peer.share(&source).run().expect_code(0).events();
    let ticket = shared.iter().find(|event| event["event"] == "ticket").unwrap();
    let ticket = ticket["ticket"].as_str().unwrap();

    let output = lab.folder("output");
    peer.get(ticket, &output)
        .args(["--timeout", "5"])
        .run()
        .expect_code(0);
    tree::assert_same(&source, &output.join("own"));
    let part = lab.folder("part");
    let some = peer
        .get(ticket, &part)
        .args(["--timeout", "5", "--include", "two.bin"]);
    some.run().expect_code(0);
    assert!(part.join("own/two.bin").exists() && !part.join("own/a").exists());

    let listed = peer.command("list").run().expect_code(0).events();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["path"].as_str().unwrap(), source.to_str().unwrap());
    assert_eq!(listed[0]["state"], "seeding");
}

/// What the process may have open: soft and hard limit.
fn open_files(pid: u32) -> (String, String) {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let mut words = line.split_whitespace().skip(3).map(str::to_owned);
    (words.next().unwrap(), words.next().unwrap())
}

#[test]
fn a_daemon_may_have_as_many_files_open_as_the_system_lets_it() {
    let lab = Lab::new();
    let peer = Peer::new(&lab, "peer");
    let daemon = peer.start_daemon_with(|launch| launch.under(["prlimit", "--nofile=256:2048", "--"]));
    assert_eq!(open_files(daemon.pid()), ("2048".to_owned(), "2048".to_owned()));
}
