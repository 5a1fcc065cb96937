//! A panic in any handler of any actor: the program stays up, other sessions go on, and the work is done all the same.
//!
//! The lists come from the source (`p2p_tests::handlers`), so a new handler is part of these tests from its first day. Each fail point panics
//! once; every program goes through tours ([`peer`], [`tracker`]) that together reach all of them. What a command was told may fail
//! once; asked again, it succeeds.

mod peer;
mod tracker;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use p2p_shared::hash::HashAlgorithm;
use p2p_tests::content::Content;
use p2p_tests::fixtures;
use p2p_tests::handlers;
use p2p_tests::lab::Lab;
use p2p_tests::process::{Ended, Launch, Program};

/// What else has to go wrong for these to be reached.
const BEFORE: &[(&str, &str)] = &[
    (
        "DownloadCoordinator::TableRebuilt",
        "ConnectionManager::Introduce=1*panic",
    ),
    // The fourth write of all sessions: one that works by then.
    ("PeerSession::TaskEnded", "session::write=3*off->1*return"),
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
    panic_everywhere("peer", &peer::TOURS);
}

#[test]
fn a_panic_anywhere_in_the_tracker_leaves_it_up_and_peers_find_each_other() {
    panic_everywhere("tracker", &tracker::TOURS);
}

/// A program's way through its work, with one fail point; the result is what it wrote to stderr.
struct Tour {
    role: &'static str,
    go: fn(&str) -> String,
    /// Only for fail points that the tours before it did not reach: it takes long.
    is_detour: bool,
}

/// Goes through the tours with each fail point; every one must have panicked in one of them. A tour waits far more than
/// it works, so several go on side by side, each with programs of its own.
fn panic_everywhere(program: &'static str, tours: &[Tour]) {
    const SIDE_BY_SIDE: usize = 4;
    let only = std::env::var("P2P_TEST_FAIL_POINT").ok();
    let names: Vec<String> = handlers::fail_points_of(program)
        .into_iter()
        .filter(|name| only.as_ref().is_none_or(|only| only == name))
        .collect();
    let next = AtomicUsize::new(0);
    let problems = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE.min(names.len()) {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = panic_once(name, tours);
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
fn panic_once(name: &str, tours: &[Tour]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut reached = false;
    for tour in tours {
        if tour.is_detour && reached {
            continue;
        }
        match catch_unwind(AssertUnwindSafe(|| (tour.go)(name))) {
            Ok(said) => reached |= check_restart(name, &said, &mut problems),
            Err(_) => problems.push(format!("{name} in {}: see above", tour.role)),
        }
    }
    if !reached {
        problems.push(format!("{name}: never reached by a tour; extend one"));
    }
    let how = if problems.is_empty() {
        "panicked, and all went on"
    } else {
        "not as it should be"
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
    let before = BEFORE.iter().find(|(behind, _)| *behind == name);
    let before = before.map_or_else(String::new, |(_, before)| format!("{before};"));
    launch.env("FAILPOINTS", format!("{before}{name}=1*panic"))
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

fn content(lab: &Lab, name: &str, size: u64) -> Arc<Content> {
    let path = lab.at(name);
    fixtures::write_file(&path, size, size);
    Arc::new(Content::of(&path, HashAlgorithm::Sha256))
}
