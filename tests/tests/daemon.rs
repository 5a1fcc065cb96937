//! A daemon does for the commands what they would do alone: share, get, list, status, remove, verify, all of it as JSON lines.

use std::path::{Path, PathBuf};
use std::time::Duration;

use p2p_tests::fixtures;
use p2p_tests::lab::Lab;
use p2p_tests::process::Program;
use p2p_tests::programs::{Peer, Tracker};
use p2p_tests::tree;
use serde_json::Value;

/// A tracker, a daemon that shares and a daemon that fetches.
struct Scene {
    lab: Lab,
    tracker: Tracker,
    sharer: Peer,
    fetcher: Peer,
    daemons: Vec<Program>,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        let tracker = Tracker::start(&lab);
        let sharer = Peer::new(&lab, "sharer").tracker(&tracker);
        let fetcher = Peer::new(&lab, "fetcher").tracker(&tracker);
        let daemons = vec![sharer.start_daemon(), fetcher.start_daemon()];
        Self {
            lab,
            tracker,
            sharer,
            fetcher,
            daemons,
        }
    }

    fn source(&self, name: &str, size: u64) -> PathBuf {
        let path = self.lab.folder("source").join(name);
        fixtures::write_file(&path, size, size);
        path
    }

    /// Through the daemon: ends by itself, with the ticket.
    fn share(&self, path: &Path) -> Value {
        let events = events(&self.sharer, "share", &[path.to_str().unwrap()]);
        events
            .into_iter()
            .find(|event| event["event"] == "ticket")
            .expect("a ticket")
    }

    fn get(&self, ticket: &Value) -> Vec<Value> {
        let output = self.lab.folder("output");
        events(
            &self.fetcher,
            "get",
            &[
                ticket["ticket"].as_str().unwrap(),
                "--output",
                output.to_str().unwrap(),
            ],
        )
    }
}

/// What a command says, when it succeeds; every line of its stdout is an object.
#[track_caller]
fn events(peer: &Peer, command: &str, arguments: &[&str]) -> Vec<Value> {
    let ended = peer.command(command).args(arguments).run().expect_code(0);
    let events = ended.events();
    assert_eq!(
        events.len(),
        ended.out.lines().count(),
        "a line that is no object: {}",
        ended.out
    );
    events
}

/// The entries of `list` by this hash.
fn listed(peer: &Peer, hash: &Value) -> Vec<Value> {
    events(peer, "list", &[])
        .into_iter()
        .filter(|entry| &entry["hash"] == hash)
        .collect()
}

#[test]
fn a_share_is_made_listed_fetched_verified_and_removed_through_daemons() {
    let scene = Scene::new();
    let source = scene.source("through daemons.bin", 5_000_000);
    let ticket = scene.share(&source);
    let hash = ticket["hash"].clone();
    let entry = &listed(&scene.sharer, &hash)[0];
    assert_eq!(
        (&entry["state"], &entry["bytes"]),
        (&Value::from("seeding"), &Value::from(5_000_000)),
        "{entry}"
    );

    let said = scene.get(&ticket);
    let done = said.last().unwrap();
    assert_eq!(done["event"], "done", "{said:?}");
    let copy = scene.lab.folder("output").join("through daemons.bin");
    assert_eq!(done["path"].as_str().unwrap(), copy.to_str().unwrap());
    tree::assert_same(&source, &copy);
    assert_eq!(
        listed(&scene.fetcher, &hash)[0]["state"],
        "seeding",
        "what was fetched is shared on"
    );

    let verified = events(&scene.fetcher, "verify", &[hash.as_str().unwrap()]);
    let verdict = verified.last().unwrap();
    assert_eq!(
        (&verdict["bad"], &verdict["good"]),
        (&Value::from(0), &Value::from(20)),
        "{verdict}"
    );

    events(&scene.fetcher, "remove", &[hash.as_str().unwrap()]);
    assert_eq!(listed(&scene.fetcher, &hash), Vec::<Value>::new());
    assert!(copy.exists(), "removing a share leaves the file alone");
}

#[test]
fn verify_finds_the_chunk_that_rotted() {
    use std::os::unix::fs::FileExt;
    let scene = Scene::new();
    let source = scene.source("rots.bin", 3_000_000);
    let ticket = scene.share(&source);
    let hash = ticket["hash"].as_str().unwrap();
    let file = std::fs::File::options().write(true).open(&source).unwrap();
    file.write_all_at(b"rot", 1_000_000).unwrap();
    let ended = scene.sharer.command("verify").arg(hash).run().expect_code(5);
    assert!(ended.err.contains("rots.bin"), "{}", ended.err);
    let verdict = ended
        .events()
        .into_iter()
        .find(|event| event.get("bad").is_some())
        .expect("a verdict");
    assert_eq!(verdict["bad"], 1, "{verdict}");
}

#[test]
fn status_says_who_the_peer_is_whom_it_talks_to_and_how_its_tracker_stands() {
    let scene = Scene::new();
    let ticket = scene.share(&scene.source("known.bin", 1_000_000));
    let _said = scene.get(&ticket);
    let status = &events(&scene.fetcher, "status", &[])[0];
    assert_eq!(status["pid"], scene.daemons[1].pid());
    assert_eq!(status["trackers"][0]["registered"], true, "{status}");
    assert!(
        status["trackers"][0]["url"]
            .as_str()
            .unwrap()
            .starts_with(&scene.tracker.url()),
        "{status}"
    );
    assert_eq!(status["shares"][0]["hash"], ticket["hash"], "{status}");
    let key = events(&scene.sharer, "id", &[])[0]["public_key"].clone();
    assert_eq!(status["sessions"][0]["peer"], key, "{status}");
}

#[test]
fn a_daemon_that_is_restarted_shares_what_it_shared() {
    let mut scene = Scene::new();
    let source = scene.source("kept.bin", 2_000_000);
    let ticket = scene.share(&source);
    let first = scene.daemons.remove(0);
    first.terminate();
    let _ended = first.end().expect_code(0);
    let _again = scene.sharer.start_daemon();
    let said = scene.get(&ticket);
    assert_eq!(said.last().unwrap()["event"], "done");
    tree::assert_same(&source, &scene.lab.folder("output").join("kept.bin"));
}

#[test]
fn daemons_come_back_to_a_tracker_that_was_killed_and_restarted() {
    let mut scene = Scene::new();
    let source = scene.source("announced.bin", 2_000_000);
    let ticket = scene.share(&source);
    scene.tracker = scene.tracker.restart();
    // By its hash alone: only the restarted tracker can say who has it.
    let output = scene.lab.folder("output");
    let newcomer = Peer::new(&scene.lab, "newcomer").tracker(&scene.tracker);
    let _ended = newcomer
        .get(ticket["hash"].as_str().unwrap(), &output)
        .run()
        .expect_code(0);
    tree::assert_same(&source, &output.join("announced.bin"));
}

#[test]
fn what_a_daemon_said_is_json_and_ends_well_on_sigterm() {
    let mut scene = Scene::new();
    for daemon in scene.daemons.drain(..) {
        daemon.terminate();
        let ended = daemon.end().expect_code(0);
        assert!(!ended.err.contains("panicked"), "{}", ended.err);
        assert_eq!(ended.events().len(), ended.out.lines().count(), "{}", ended.out);
    }
    scene.tracker.program.terminate();
    let _ended = scene.tracker.program.end().expect_code(0);
}

#[test]
fn the_local_api_wants_its_token_and_refuses_other_hosts_and_origins() {
    let scene = Scene::new();
    let api: Value =
        serde_json::from_slice(&std::fs::read(scene.sharer.data().join("api.json")).unwrap()).unwrap();
    let (address, token) = (api["address"].as_str().unwrap(), api["token"].as_str().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let status = |headers: &[(&str, String)]| {
        let mut request = reqwest::Client::new().get(format!("http://{address}/v1/status"));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        runtime.block_on(async { request.send().await.unwrap().status().as_u16() })
    };
    let bearer = || ("Authorization", format!("Bearer {token}"));
    assert_eq!(status(&[]), 401);
    assert_eq!(
        status(&[("Authorization", format!("Bearer {}", token.to_uppercase() + "x"))]),
        401
    );
    let host = status(&[bearer(), ("Host", "attacker.example".to_owned())]);
    assert!(host == 403 || host == 421, "a foreign Host: {host}");
    let origin = status(&[bearer(), ("Origin", "http://attacker.example".to_owned())]);
    assert_eq!(origin, 403, "a foreign Origin");
    let own = status(&[bearer()]);
    assert_eq!(own, 200, "with the token");
}

#[test]
fn a_command_that_waits_for_a_peer_to_answer_can_be_interrupted() {
    let lab = Lab::new();
    let peer = Peer::new(&lab, "peer");
    std::fs::create_dir_all(peer.data()).unwrap();
    // A peer that has the folder and does not answer: one that is starting, say.
    let lock = std::fs::File::create(peer.data().join("lock")).unwrap();
    lock.lock().unwrap();
    let peer = peer.tracker_at("http://127.0.0.1:1");
    let hash = "00".repeat(32);
    for command in [
        peer.share(lab.path()),
        peer.get(&hash, lab.path()),
        peer.command("verify"),
    ] {
        let running = command.start();
        running.wait_err(0, "that it waits", |line| {
            line.contains("does not answer yet").then_some(())
        });
        running.interrupt();
        running.end_within(Duration::from_secs(5)).expect_code(130);
    }
}
