//! `pause` and `resume`: a download stands still until its owner says otherwise, also over a restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use p2p_shared::hash::HashAlgorithm;
use p2p_tests::content::Content;
use p2p_tests::fake_peer::{Answer, FakePeer};
use p2p_tests::fixtures;
use p2p_tests::lab::Lab;
use p2p_tests::process::{Ended, Program};
use p2p_tests::programs::Peer;
use p2p_tests::tree;
use serde_json::Value;

/// Chunks that are sent at once; those after them, when the source is generous.
const FIRST: u32 = 4;

/// A daemon, and a download that has come half its way and has no tracker.
struct Scene {
    lab: Lab,
    peer: Peer,
    source: FakePeer,
    generous: Arc<AtomicBool>,
    ticket: String,
    hash: String,
    output: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        let path = lab.at("half.bin");
        fixtures::write_file(&path, 1, 3 << 20);
        let content = Arc::new(Content::of(&path, HashAlgorithm::Sha256));
        let generous = Arc::new(AtomicBool::new(false));
        let is_generous = Arc::clone(&generous);
        let source = FakePeer::with_all(1, &content, move |asked| {
            if asked.chunk.0 < FIRST || is_generous.load(Ordering::SeqCst) {
                Answer::Send
            } else {
                Answer::Stall
            }
        });
        Self {
            ticket: content.ticket(vec![source.seeder()]),
            hash: content.manifest.hash.to_string(),
            output: lab.folder("output"),
            peer: Peer::new(&lab, "peer"),
            source,
            generous,
            lab,
        }
    }

    /// Fetches as far as it comes, then pauses; the `get` that waits for it, and what `pause` said.
    fn pause(&self) -> (Program, Vec<Value>) {
        let get = self.peer.get(&self.ticket, &self.output).start();
        self.source.wait("ask for what it is not sent", |told| {
            told.requests.iter().any(|chunk| chunk.0 >= FIRST)
        });
        let paused = self.tell("pause").expect_code(0).events();
        (get, paused)
    }

    fn tell(&self, command: &str) -> Ended {
        self.peer.command(command).arg(&self.hash).run()
    }

    fn state(&self) -> String {
        let shares = self.tell("status").expect_code(0).events();
        shares[0]["state"].as_str().expect("a state").to_owned()
    }

    /// Another file, from another peer, from its beginning to its end: time for whatever was going to happen.
    fn fetch_another(&self, seed: u8) {
        let name = format!("other {seed}.bin");
        let path = self.lab.at(&name);
        fixtures::write_file(&path, u64::from(seed), 5 << 20);
        let content = Arc::new(Content::of(&path, HashAlgorithm::Sha256));
        let source = FakePeer::honest(seed, &content);
        let ticket = content.ticket(vec![source.seeder()]);
        let _done = self.peer.get(&ticket, &self.output).run().expect_code(0);
        tree::assert_same(&path, &self.output.join(name));
    }

    /// Fetches it, now that the source sends everything.
    fn get_the_rest(&self) {
        let _done = self.peer.get(&self.ticket, &self.output).run().expect_code(0);
        tree::assert_same(&self.lab.at("half.bin"), &self.output.join("half.bin"));
    }
}

#[test]
fn a_paused_download_asks_for_nothing_also_after_a_restart_until_it_is_resumed() {
    let scene = Scene::new();
    let daemon = scene.peer.start_daemon();
    let (get, paused) = scene.pause();
    assert_eq!(
        (&paused[0]["event"], &paused[0]["state"], &paused[0]["hash"]),
        (&"paused".into(), &"paused".into(), &scene.hash.as_str().into()),
        "{paused:?}"
    );
    let (warning, _) = get.wait_event(0, "warning");
    assert_eq!(warning["code"], "paused", "{warning}");
    scene
        .source
        .wait("withdraw what it asked for", |told| !told.cancelled.is_empty());
    let asked = scene.source.told().requests.len();
    scene.fetch_another(2);
    assert_eq!(scene.source.told().requests.len(), asked, "it went on");
    assert_eq!(scene.tell("pause").code, Some(0), "twice is once");

    daemon.terminate();
    let _ended = daemon.end().expect_code(0);
    let sessions = scene.source.told().sessions;
    let _daemon = scene.peer.start_daemon();
    scene
        .source
        .wait("connect again", |told| told.sessions > sessions);
    scene.fetch_another(3);
    assert_eq!(scene.state(), "paused");
    assert_eq!(scene.source.told().requests.len(), asked, "it went on");

    scene.generous.store(true, Ordering::SeqCst);
    // It has no tracker: whom the ticket named is known still.
    let resumed = scene.tell("resume").expect_code(0).events();
    assert_eq!(resumed[0]["event"], "resumed", "{resumed:?}");
    assert_ne!(resumed[0]["state"], "paused", "{resumed:?}");
    scene.get_the_rest();
    assert_eq!(scene.state(), "seeding");
    assert_eq!(scene.tell("pause").code, Some(2), "it is whole");
}

#[test]
fn without_a_daemon_a_download_is_paused_for_the_next_one_and_a_get_of_it_goes_on() {
    let scene = Scene::new();
    let daemon = scene.peer.start_daemon();
    let (get, _) = scene.pause();
    drop(get);
    assert_eq!(scene.tell("resume").code, Some(0));
    drop(daemon.kill());
    assert_eq!(scene.state(), "waiting");
    let _paused = scene.tell("pause").expect_code(0);
    assert_eq!(scene.state(), "paused");

    let _daemon = scene.peer.start_daemon();
    assert_eq!(scene.state(), "paused");
    scene.generous.store(true, Ordering::SeqCst);
    scene.get_the_rest();
}

#[test]
fn what_cannot_be_paused_says_why() {
    let lab = Lab::new();
    let peer = Peer::new(&lab, "peer");
    for command in ["pause", "resume"] {
        let unknown = peer.command(command).arg("ab".repeat(32)).run();
        assert_eq!(unknown.code, Some(3), "{}", unknown.err);
        let slip = peer.command(command).arg("film.mkv").run();
        assert_eq!(slip.code, Some(2), "{}", slip.err);
    }
    let _daemon = peer.start_daemon();
    let path = lab.at("whole.bin");
    fixtures::write_file(&path, 1, 300_000);
    let _shared = peer.share(&path).run().expect_code(0);
    let whole = peer.command("pause").arg(fixtures::sha256(&path)).run();
    assert_eq!(whole.code, Some(2), "{}", whole.err);
    assert!(
        whole.err.contains("here as a whole") || whole.out.contains("here as a whole"),
        "{whole:?}"
    );
}

#[test]
fn a_look_at_a_folder_whose_download_was_paused_before_its_index_came_says_so() {
    let lab = Lab::new();
    let root = lab.at("folder");
    fixtures::write_folder(&root, 1, 3, 300_000);
    let content = Arc::new(Content::of_folder(&root, HashAlgorithm::Sha256));
    let source = FakePeer::with_all(1, &content, |_| Answer::Stall);
    let (ticket, hash) = (
        content.ticket(vec![source.seeder()]),
        content.manifest.hash.to_string(),
    );
    let peer = Peer::new(&lab, "peer");
    let _daemon = peer.start_daemon();
    let get = peer.get(&ticket, &lab.folder("output")).start();
    source.wait("ask for the index", |told| !told.requests.is_empty());
    let list = peer.command("get").arg(&ticket).arg("--list").start();
    let _paused = peer.command("pause").arg(&hash).run().expect_code(0);
    let again = peer.command("get").arg(&ticket).arg("--list").run();
    for look in [list.end(), again] {
        assert_eq!(look.code, Some(4), "{look:?}");
        assert!(
            (look.err.clone() + &look.out).contains(&format!("p2p-peer resume {hash}")),
            "{look:?}"
        );
    }
    drop(get);
}
