//! A panic in any handler of any actor: the program stays up, other sessions go on, and the work is done all the same.
//!
//! The lists come from the source (`p2p_tests::handlers`), so a new handler is part of these tests from its first day. Each fail point panics
//! once; every program goes through a tour that reaches all of them. What a command was told may fail once; asked
//! again, it succeeds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use p2p_shared::crypto::identity::Identity;
use p2p_shared::hash::HashAlgorithm;
use p2p_shared::ticket::Ticket;
use p2p_shared::tracker_api::{Have, RegisterResponse};
use p2p_tests::content::Content;
use p2p_tests::fake_peer::{self, FakePeer};
use p2p_tests::fixtures;
use p2p_tests::handlers;
use p2p_tests::lab::Lab;
use p2p_tests::process::{Ended, Launch, Program};
use p2p_tests::programs::{Peer, Tracker};
use p2p_tests::relay_client::{Registered, visit};
use p2p_tests::tracker_caller::{Answer, Caller};
use p2p_tests::tree;
use reqwest::Method;
use serde_json::json;

/// Fail points that no tour reaches, and why. Everything else must have panicked.
const NOT_REACHED: &[(&str, &str)] = &[
    ("ChunkStore::ResumeJob", "pause and resume have no command yet"),
    ("ConnectionManager::Ban", "needs a liar in the tour"),
    ("ConnectionManager::Introduce", "open: no tour leads there yet"),
    (
        "DownloadCoordinator::PauseDownload",
        "pause and resume have no command yet",
    ),
    (
        "DownloadCoordinator::ResumeDownload",
        "pause and resume have no command yet",
    ),
    (
        "DownloadCoordinator::TableRebuilt",
        "open: no tour leads there yet",
    ),
    (
        "DownloadCoordinator::StopDownload",
        "open: no tour leads there yet",
    ),
    ("PeerSession::CancelChunk", "open: no tour leads there yet"),
    ("PeerSession::NamePeers", "open: no tour leads there yet"),
    ("PeerSession::TaskEnded", "open: no tour leads there yet"),
];

/// Open defects, left out of the tours: after these panics another session has to be made anew.
const OPEN: &[&str] = &[
    "ConnectionManager::Dialled",
    "ConnectionManager::Report",
    "ConnectionManager::Unwant",
];

/// The supervision's promise: an actor that crashed for the first time is back after at most this pause.
const BACK_WITHIN_MILLIS: f64 = 1000.0;

/// A command is tried so often: the first may meet the panic, the second the restart.
const TRIES: usize = 3;

#[test]
fn every_handler_begins_with_a_fail_point_of_its_name() {
    for program in ["tracker", "peer"] {
        let all = handlers::of(program);
        assert!(all.len() > 3, "{program}: only {} handlers found", all.len());
        let without: Vec<String> = all
            .iter()
            .filter(|handler| !handler.can_be_made_to_panic())
            .map(|handler| {
                format!(
                    "{}: {} has no fail_point!(\"{}\")",
                    handler.place, handler.actor, handler.name
                )
            })
            .collect();
        assert!(without.is_empty(), "{}", without.join("\n"));
    }
}

#[test]
fn a_panic_anywhere_in_a_fetching_peer_costs_no_other_session_and_the_download_is_done() {
    panic_everywhere(
        "peer",
        &["a fetching peer", "a sharing peer"],
        |name| match name {
            "a fetching peer" => fetch,
            _ => share,
        },
    );
}

#[test]
fn a_panic_anywhere_in_the_tracker_leaves_it_up_and_peers_find_each_other() {
    panic_everywhere("tracker", &["the tracker"], |_| track);
}

/// One tour under one fail point; what the program under test wrote to stderr.
type Tour = fn(&str) -> String;

/// Goes through the tours with each fail point; every one must have panicked in one of them. A tour waits far more than
/// it works, so several go on side by side, each with programs of its own.
fn panic_everywhere(program: &'static str, tours: &[&str], tour: fn(&str) -> Tour) {
    const SIDE_BY_SIDE: usize = 4;
    let only = std::env::var("P2P_TEST_FAIL_POINT").ok();
    let names: Vec<String> = handlers::fail_points_of(program)
        .into_iter()
        .filter(|name| match &only {
            Some(only) => only == name,
            None => !OPEN.contains(&name.as_str()),
        })
        .collect();
    let next = AtomicUsize::new(0);
    let problems = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE.min(names.len()) {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = panic_once(name, tours, tour);
                    problems.lock().unwrap().extend(found);
                }
            });
        }
    });
    let problems = problems.into_inner().unwrap();
    assert!(
        problems.is_empty(),
        "of {} fail points:\n{}",
        names.len(),
        problems.join("\n")
    );
}

/// Goes through the tours with one fail point; what went wrong.
fn panic_once(name: &str, tours: &[&str], tour: fn(&str) -> Tour) -> Vec<String> {
    let mut problems = Vec::new();
    let mut reached = false;
    for role in tours {
        match catch_unwind(AssertUnwindSafe(|| tour(role)(name))) {
            Ok(said) => reached |= check_restart(name, &said, &mut problems),
            Err(_) => problems.push(format!("{name} in {role}: see above")),
        }
    }
    let excused = NOT_REACHED.iter().any(|(excused, _)| *excused == name);
    if !reached && !excused {
        problems.push(format!("{name}: never reached by a tour; extend one"));
    }
    let how = if reached {
        "panicked, and all went on"
    } else {
        "not reached"
    };
    println!("{name}: {how}");
    problems
}

/// Whether it panicked; if its actor was restarted, then soon.
fn check_restart(name: &str, said: &str, problems: &mut Vec<String>) -> bool {
    let reached = said.contains(&format!("failpoint {name} panic"));
    for line in said.lines().filter(|line| line.contains("actor is restarted")) {
        if pause_millis(line).is_none_or(|pause| pause > BACK_WITHIN_MILLIS) {
            problems.push(format!("{name}: not back within a second: {line}"));
        }
    }
    reached
}

/// `pause=100ms` or `pause=1.6s` in a line of the log.
fn pause_millis(line: &str) -> Option<f64> {
    let word = line.split("pause=").nth(1)?.split_whitespace().next()?;
    match word.strip_suffix("ms") {
        Some(millis) => millis.parse().ok(),
        None => word
            .strip_suffix('s')?
            .parse::<f64>()
            .ok()
            .map(|seconds| seconds * 1000.0),
    }
}

fn failing(launch: Launch, name: &str) -> Launch {
    launch.env("FAILPOINTS", format!("{name}=1*panic"))
}

/// The command until it succeeds.
#[track_caller]
fn insist(command: impl Fn() -> Launch) -> Ended {
    for _ in 1..TRIES {
        let ended = command().run();
        if ended.code == Some(0) {
            return ended;
        }
    }
    command().run().expect_code(0)
}

/// Ends it as a service manager would; it must do so cleanly whatever happened before.
fn end_well(mut daemon: Program) -> String {
    assert!(
        !daemon.has_ended(),
        "the process went down: {}",
        daemon.err_text()
    );
    daemon.terminate();
    daemon.end().expect_code(0).err
}

/// A door that a fake waits at.
#[derive(Default)]
struct Door {
    open: Mutex<bool>,
    changed: Condvar,
}

impl Door {
    fn pass(&self) {
        let mut open = self.open.lock().unwrap();
        while !*open {
            open = self.changed.wait(open).unwrap();
        }
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

fn content(lab: &Lab, name: &str, size: u64) -> Arc<Content> {
    let path = lab.at(name);
    fixtures::write_file(&path, size, size);
    Arc::new(Content::of(&path, HashAlgorithm::Sha256))
}

/// A daemon that fetches, with another session that must not notice.
fn fetch(name: &str) -> String {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let peer = Peer::new(&lab, "peer").tracker(&tracker);
    let daemon = peer.start_daemon_with(|launch| failing(launch, name));
    let output = lab.folder("output");

    // The bystander's download is under way all the time: its second half waits for the door.
    let door = Arc::new(Door::default());
    let waits = Arc::clone(&door);
    let other = content(&lab, "other.bin", 4 << 20);
    let bystander = FakePeer::with_all(1, &other, move |asked| {
        if asked.chunk.0 >= 8 {
            waits.pass();
        }
        fake_peer::Answer::Send
    });
    let other_ticket = other.ticket(vec![bystander.seeder()]);
    let background = peer.get(&other_ticket, &output).start();

    let wanted = content(&lab, "wanted.bin", 6 << 20);
    let source = FakePeer::honest(2, &wanted);
    let ticket = wanted.ticket(vec![source.seeder()]);
    insist(|| peer.get(&ticket, &output));
    tree::assert_same(&lab.at("wanted.bin"), &output.join("wanted.bin"));
    ask_everything(&peer, &lab, &wanted.manifest.hash.to_string());

    // Nothing in the folder is selected: what was fetched for its index goes.
    let folder = lab.folder("folder");
    fixtures::write_file(&folder.join("file"), 3, 1000);
    let folder = Arc::new(Content::of_folder(&folder, HashAlgorithm::Sha256));
    let shares_folder = FakePeer::honest(3, &folder);
    let nothing = folder.ticket(vec![shares_folder.seeder()]);
    let not_found = || {
        let ended = peer.get(&nothing, &output).args(["--include", "*.iso"]).run();
        ended.code == Some(3)
    };
    assert!((0..TRIES).any(|_| not_found()), "{name}: get --include");

    door.open();
    drop(background);
    insist(|| peer.get(&other_ticket, &output));
    tree::assert_same(&lab.at("other.bin"), &output.join("other.bin"));

    let (one, two) = (bystander.told(), source.told());
    let broken = one.sessions.saturating_sub(1) + two.sessions.saturating_sub(1);
    let allowed = usize::from(name.starts_with("PeerSession::"));
    assert!(
        broken <= allowed,
        "{name}: {broken} sessions had to be made anew: {one:?} {two:?}"
    );
    end_well(daemon)
}

/// A daemon that shares, asked by two others.
fn share(name: &str) -> String {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let peer = Peer::new(&lab, "peer").tracker(&tracker);
    let daemon = peer.start_daemon_with(|launch| failing(launch, name));
    let source = lab.at("shared.bin");
    fixtures::write_file(&source, 5, 6 << 20);
    let said = insist(|| peer.share(&source));
    let ticket = said
        .events()
        .into_iter()
        .find(|event| event["event"] == "ticket")
        .expect("a ticket");
    let ticket: Ticket = ticket["ticket"].as_str().unwrap().parse().unwrap();

    let hash = ticket.manifest.hash.to_string();
    let fetchers = ["one", "two"].map(|name| Peer::new(&lab, name).tracker(&tracker));
    let output = |fetcher: &Peer| {
        lab.folder(&format!(
            "output of {}",
            fetcher.folder().file_name().unwrap().display()
        ))
    };
    let running = fetchers
        .each_ref()
        .map(|fetcher| fetcher.get(&ticket.to_string(), &output(fetcher)).start());
    for (fetcher, running) in fetchers.iter().zip(running) {
        let _ended = running.end().expect_code(0);
        tree::assert_same(&source, &output(fetcher).join("shared.bin"));
    }
    ask_everything(&peer, &lab, &hash);
    end_well(daemon)
}

/// Every other command, and the tracker gone and back.
fn ask_everything(peer: &Peer, lab: &Lab, hash: &str) {
    insist(|| peer.command("list"));
    insist(|| peer.command("status"));
    insist(|| peer.command("verify").arg(hash));
    let small = lab.at("small.bin");
    if !small.exists() {
        fixtures::write_file(&small, 6, 300_000);
    }
    insist(|| peer.share(&small));
    // It may have been removed by the try whose answer was lost.
    let removed = peer.command("remove").arg(fixtures::sha256(&small)).run();
    if removed.code != Some(0) {
        assert!(matches!(
            peer.command("remove").arg(fixtures::sha256(&small)).run().code,
            Some(0 | 3)
        ));
    }
}

/// A tracker, called by hand: every route, for two peers and two files.
fn track(name: &str) -> String {
    let lab = Lab::new();
    let tracker = Tracker::start_with(&lab, |launch| failing(launch, name).args(["--lease", "3"]));
    let caller = Caller::new(&tracker.url());
    let [kept, removed] =
        ["kept.bin", "removed.bin"].map(|file| content(&lab, file, 700_000 + file.len() as u64));
    let peers = [1, 2].map(|seed| Identity::from_secret([seed; 32]));
    let register = |peer: &Identity| {
        let tries = (0..TRIES).find_map(|_| caller.register(peer, 6881).ok());
        tries.unwrap_or_else(|| panic!("{name}: cannot register"))
    };
    let [one, two] = peers.each_ref().map(register);
    for (session, file) in [(&one, &kept), (&one, &removed), (&two, &kept)] {
        succeeds(name, "announce", || {
            caller.announce(&session.token, file, Have::Seeder, true)
        });
        succeeds(name, "announce again", || {
            caller.announce(&session.token, file, Have::Seeder, false)
        });
    }
    let of_peer = |peer: &RegisterResponse, what: &str| format!("/api/peers/{}{what}", peer.peer_id);
    let hash = kept.manifest.hash;
    let paths = ["/healthz", "/readyz", "/api/stats", "/api/peers", "/api/files"].map(String::from);
    let of_file = ["", "/chunks", "/peers"].map(|part| format!("/api/files/{hash}{part}"));
    for path in paths.into_iter().chain(of_file).chain([of_peer(&two, "")]) {
        succeeds(name, &path, || caller.get(&path));
    }
    let beat = |peer: &RegisterResponse| {
        caller.call(
            Method::POST,
            &of_peer(peer, "/heartbeat"),
            Some(&peer.token),
            Some(&json!({})),
        )
    };
    succeeds(name, "heartbeat", || beat(&one));
    relay(name, &tracker, &caller);
    let gone = format!("/api/files/{}", removed.manifest.hash);
    let answers: Vec<_> = (0..TRIES)
        .map(|_| caller.call(Method::DELETE, &gone, None, None))
        .collect();
    assert!(
        answers
            .iter()
            .any(|answer| matches!(answer, Ok((200 | 204 | 404, _)))),
        "{name}: {answers:?}"
    );
    let (status, _) = caller.get(&gone).expect("an answer");
    assert_eq!(status, 404, "{name}: the removed file is still there");
    let answers: Vec<_> = (0..TRIES)
        .map(|_| caller.call(Method::DELETE, &of_peer(&two, ""), Some(&two.token), None))
        .collect();
    assert!(
        answers.iter().any(|answer| matches!(answer, Ok((200 | 204, _)))),
        "{name}: {answers:?}"
    );

    // Whatever broke meanwhile, the first peer is still there with its file, and the second is handed to nobody.
    succeeds(name, "heartbeat", || beat(&one));
    let (_, handed) = caller
        .get(&format!("/api/files/{hash}/peers"))
        .expect("an answer");
    let named: Vec<_> = handed["peers"]
        .as_array()
        .expect("peers")
        .iter()
        .map(|peer| &peer["peer_id"])
        .collect();
    assert_eq!(named, [&json!(one.peer_id)], "{name}: {handed}");
    wait_for_timers(&tracker, name);
    end_well(tracker.program)
}

/// Two peers at the relay: what breaks in the middle works when it is tried again.
fn relay(name: &str, tracker: &Tracker, caller: &Caller) {
    let address = tracker.address();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let visits = (0..TRIES).map(|_| {
        let peers = [3, 4].map(|seed| {
            let identity = Identity::from_secret([seed; 32]);
            let tries = (0..TRIES).find_map(|_| caller.register(&identity, 6881).ok());
            let session = tries.unwrap_or_else(|| panic!("{name}: cannot register"));
            let (key, token) = (identity.public_key(), session.token);
            Registered { key, token }
        });
        runtime.block_on(async { tokio::spawn(visit(address, peers)).await.is_ok() })
    });
    let visits: Vec<bool> = visits.collect();
    assert!(visits.contains(&true), "{name}: the relay does not come back");
}

/// Asks until it is answered well.
#[track_caller]
fn succeeds(name: &str, what: &str, call: impl Fn() -> Answer) {
    let answers: Vec<Answer> = (0..TRIES).map(|_| call()).collect();
    assert!(
        answers.iter().any(|answer| matches!(answer, Ok((200 | 204, _)))),
        "{name}, {what}: {answers:?}"
    );
}

/// A timer's fail point comes by itself, in its time.
fn wait_for_timers(tracker: &Tracker, name: &str) {
    if name.ends_with("Tick") {
        let panic = format!("failpoint {name} panic");
        tracker
            .program
            .wait_err(0, &panic, |line| line.contains(&panic).then_some(()));
        tracker.program.wait_err(0, "a restart", |line| {
            line.contains("actor is restarted").then_some(())
        });
    }
}
