//! What is awkward and no fault of anybody's: the person is told what it is, and what to do.

use std::path::PathBuf;

use p2p_tests::fixtures;
use p2p_tests::lab::Lab;
use p2p_tests::programs::{Peer, Sharing, Tracker};
use serde_json::Value;

const SIZE: u64 = 24 << 20;

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
