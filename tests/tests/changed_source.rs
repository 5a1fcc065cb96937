//! A source that changes while it is shared: noticed when it is read, named, never sent; the other shares go on.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use p2p_tests::fixtures;
use p2p_tests::lab::Lab;
use p2p_tests::process::Program;
use p2p_tests::programs::{Peer, Tracker};
use p2p_tests::tree;
use serde_json::Value;

const SIZE: u64 = 24 << 20;

/// Two files shared by one peer; one of them is about to change.
struct Scene {
    lab: Lab,
    tracker: Tracker,
    sharing: Program,
    tickets: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        let tracker = Tracker::start(&lab);
        let files = ["changes.bin", "stays.bin"].map(|name| lab.at(name));
        for (seed, file) in files.iter().enumerate() {
            fixtures::write_file(file, seed as u64, SIZE);
        }
        let sharing = Peer::new(&lab, "sharer")
            .tracker(&tracker)
            .share(&files[0])
            .arg(&files[1])
            .start();
        let (first, next) = sharing.wait_event(0, "ticket");
        let (second, _) = sharing.wait_event(next, "ticket");
        let ticket = |event: &Value| event["ticket"].as_str().unwrap().to_owned();
        Self {
            tickets: vec![ticket(&first), ticket(&second)],
            lab,
            tracker,
            sharing,
        }
    }

    fn changes(&self) -> PathBuf {
        self.lab.at("changes.bin")
    }

    /// The changed file is named and does not arrive; the other one does.
    fn check(&self) {
        let fetcher = Peer::new(&self.lab, "fetcher").tracker(&self.tracker);
        let output = self.lab.folder("output");
        let running = fetcher.get(&self.tickets[0], &output).start();
        let named = |line: &str| {
            let event: Value = serde_json::from_str(line).ok()?;
            let names_it = event["message"].as_str()?.contains("changes.bin");
            (event["event"] == "warning" && event["code"] == "changed" && names_it).then_some(())
        };
        self.sharing
            .wait_out(0, "a warning that names the changed file", named);
        running.interrupt();
        let ended = running.end();
        assert_ne!(
            ended.code,
            Some(0),
            "the old content cannot have arrived: {}",
            ended.out
        );
        assert!(!output.join("changes.bin").exists());

        let other = Peer::new(&self.lab, "other fetcher").tracker(&self.tracker);
        let _ended = other.get(&self.tickets[1], &output).run().expect_code(0);
        tree::assert_same(&self.lab.at("stays.bin"), &output.join("stays.bin"));
    }
}

fn writable(path: &Path) -> File {
    File::options().write(true).open(path).unwrap()
}

#[test]
fn a_truncated_source_is_named_and_the_other_share_goes_on() {
    let scene = Scene::new();
    writable(&scene.changes()).set_len(SIZE / 3).unwrap();
    scene.check();
}

#[test]
fn a_source_edited_in_one_byte_is_named_and_the_other_share_goes_on() {
    let scene = Scene::new();
    writable(&scene.changes()).write_all_at(b"!", SIZE / 2).unwrap();
    scene.check();
}

#[test]
fn a_source_that_was_deleted_is_named_and_the_other_share_goes_on() {
    let scene = Scene::new();
    std::fs::remove_file(scene.changes()).unwrap();
    scene.check();
}

#[test]
fn a_source_that_grew_is_still_served_up_to_its_old_end() {
    let scene = Scene::new();
    let before = fixtures::sha256(&scene.changes());
    let mut file = File::options().append(true).open(scene.changes()).unwrap();
    file.write_all(b"one more line").unwrap();
    drop(file);
    let output = scene.lab.folder("output");
    let fetcher = Peer::new(&scene.lab, "fetcher").tracker(&scene.tracker);
    let _ended = fetcher.get(&scene.tickets[0], &output).run().expect_code(0);
    assert_eq!(fixtures::sha256(&output.join("changes.bin")), before);
}
