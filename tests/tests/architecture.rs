//! The rules of ARCHITECTURE.md and CONTRIBUTING.md that a program can check: who may import whom, what stays pure, what a
//! public signature may show, how long a file gets.

use std::fs;

use p2p_tests::sources::{self, Source, line_of};

const PRODUCT: [&str; 3] = ["shared", "tracker", "peer"];

/// No file grows beyond this; one that does holds two concepts.
const LONGEST: usize = 500;

/// Files that decide and therefore see no runtime, no file and no clock, beside every `state.rs` and every file whose opening says
/// that it is pure.
const PURE: &[&str] = &[
    "peer/src/connection/redial.rs",
    "peer/src/download/chunks.rs",
    "peer/src/download/hashes.rs",
    "peer/src/download/picker.rs",
    "peer/src/download/progress.rs",
    "peer/src/download/score.rs",
    "peer/src/download/source.rs",
    "peer/src/p2p/session/attachment.rs",
    "peer/src/p2p/session/close.rs",
    "peer/src/p2p/session/incoming.rs",
    "peer/src/p2p/session/liveness.rs",
    "peer/src/p2p/session/requests.rs",
    "peer/src/p2p/session/window.rs",
    "peer/src/storage/verify.rs",
    "tracker/src/registry/address.rs",
    "tracker/src/registry/challenge.rs",
    "tracker/src/registry/handout.rs",
    "tracker/src/registry/lease.rs",
    "tracker/src/registry/swarm.rs",
];

/// The parts of `shared` that act.
const SHARED_THAT_ACTS: &[&str] = &[
    "shared/src/supervision",
    "shared/src/logger.rs",
    "shared/src/testing",
];

/// What a pure file never names.
const IMPURE: &[&str] = &[
    "actix",
    "tokio",
    "reqwest",
    "rusqlite",
    "std::fs",
    "std::process",
    "std::thread",
    "std::net::Tcp",
    "std::net::Udp",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "Instant::now",
    "SystemTime::now",
    "spawn_blocking",
];

#[test]
fn peer_and_tracker_never_name_each_other_and_shared_names_neither() {
    let forbidden: &[(&str, &[&str])] = &[
        ("peer", &["p2p_tracker", "p2p_tests"]),
        ("tracker", &["p2p_peer", "p2p_tests"]),
        ("shared", &["p2p_peer", "p2p_tracker", "p2p_tests"]),
    ];
    let mut wrong = Vec::new();
    for (name, others) in forbidden {
        for source in sources::of(&[name]) {
            wrong.extend(others.iter().flat_map(|other| uses(&source, other)));
        }
        let manifest = fs::read_to_string(sources::root().join(name).join("Cargo.toml")).unwrap();
        for other in *others {
            if manifest.contains(&other.replace('_', "-")) {
                wrong.push(format!("{name}/Cargo.toml depends on {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_that_decide_see_no_runtime_no_file_no_socket_and_no_clock() {
    let mut wrong = Vec::new();
    let mut missing: Vec<&str> = PURE.to_vec();
    for source in sources::of(&PRODUCT) {
        missing.retain(|path| *path != source.path);
        if is_pure(&source) {
            wrong.extend(IMPURE.iter().flat_map(|word| uses(&source, word)));
        }
    }
    assert!(
        missing.is_empty(),
        "gone or renamed; say here what decides now: {missing:?}"
    );
    assert!(wrong.is_empty(), "pure files that act:\n{}", wrong.join("\n"));
}

fn is_pure(source: &Source) -> bool {
    let path = source.path.as_str();
    let in_shared = path.starts_with("shared/src/") && path != "shared/src/lib.rs";
    let acts = SHARED_THAT_ACTS.iter().any(|acting| path.starts_with(acting));
    let says_so = source
        .text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .any(|line| line.contains("Pure"));
    (in_shared && !acts) || says_so || path.ends_with("/state.rs") || PURE.contains(&path)
}

#[test]
fn no_public_signature_shows_an_address_of_an_actor() {
    let mut wrong = Vec::new();
    for source in sources::of(&PRODUCT) {
        // The supervision is what makes handles out of addresses.
        if source.path.starts_with("shared/src/supervision") {
            continue;
        }
        for (at, _) in source
            .code
            .match_indices("pub fn ")
            .chain(source.code.match_indices("pub async fn "))
        {
            let rest = &source.code[at..];
            let signature = &rest[..rest.find(['{', ';']).unwrap_or(rest.len())];
            if words(signature, "Addr").next().is_some() {
                wrong.push(format!(
                    "{}:{}: {}",
                    source.path,
                    line_of(&source.code, at),
                    signature.trim()
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "hand out a handle, not an Addr:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn nobody_uses_registries_that_hand_out_dead_actors_or_panics_that_abort() {
    let mut wrong = Vec::new();
    for source in sources::of(&PRODUCT) {
        for word in [
            "from_registry",
            "SystemService",
            "ArbiterService",
            "SyncArbiter",
            "block_in_place",
        ] {
            wrong.extend(uses(&source, word));
        }
    }
    let manifest = fs::read_to_string(sources::root().join("Cargo.toml")).unwrap();
    if manifest.contains("panic = \"abort\"") {
        wrong.push("Cargo.toml: panic = \"abort\" ends the process where one actor should end".to_owned());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn messages_are_encoded_in_one_place() {
    let allowed = |path: &str| path.starts_with("shared/src/");
    let wrong: Vec<String> = sources::of(&["tracker", "peer"])
        .iter()
        .filter(|source| !allowed(&source.path))
        .flat_map(|source| {
            ["encode_into_std_write", "bincode::serde", "bincode::config"].map(|word| uses(source, word))
        })
        .flatten()
        .collect();
    assert!(
        wrong.is_empty(),
        "go through p2p_shared::protocol::codec:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn files_hold_one_concept_and_folders_are_named_after_it() {
    let mut wrong = Vec::new();
    for source in sources::of(&["shared", "tracker", "peer", "tests"]) {
        let lines = source.text.lines().count();
        if lines > LONGEST {
            wrong.push(format!("{}: {lines} lines", source.path));
        }
        let vague = |part: &str| {
            matches!(
                part.trim_end_matches(".rs"),
                "utils" | "util" | "helpers" | "common" | "misc"
            )
        };
        if source.path.split('/').any(vague) {
            wrong.push(format!("{}: a name that says nothing", source.path));
        }
        if !source.is_test && !source.text.starts_with("//!") {
            wrong.push(format!("{}: does not open with what it promises", source.path));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where this source uses the word, as `path:line: the line`.
fn uses(source: &Source, word: &str) -> Vec<String> {
    let line = |at: usize| {
        let line = line_of(&source.code, at);
        format!(
            "{}:{line}: {}",
            source.path,
            source.text.lines().nth(line - 1).unwrap_or_default().trim()
        )
    };
    words(&source.code, word).map(line).collect()
}

/// Where the word stands as a word of its own; one that ends in a capitalised prefix (`std::net::Tcp`) may go on.
fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(part_of_word) && (word.contains("::") || !after.is_some_and(part_of_word))
    })
}
