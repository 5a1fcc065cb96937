//! Peers that lie, stall or go away: what arrives is right or does not arrive, and a liar is not asked again.

use std::sync::Arc;

use p2p_shared::bitfield::Bitfield;
use p2p_shared::crypto::identity::Identity;
use p2p_shared::hash::HashAlgorithm;
use p2p_shared::id::ChunkIndex;
use p2p_shared::protocol::{GoodbyeReason, RejectReason};
use p2p_shared::tracker_api::Have;
use p2p_tests::content::Content;
use p2p_tests::fake_peer::{Answer, Asked, FakePeer, Told};
use p2p_tests::fixtures;
use p2p_tests::lab::Lab;
use p2p_tests::programs::{Peer, Tracker};
use p2p_tests::tracker_caller::Caller;
use p2p_tests::tree;
use serde_json::Value;

/// Chunks of the file that is fetched; and a half.
const CHUNKS: u64 = 96;

/// A dropped liar may be tried once more, after a back-off; never a third time.
const SESSIONS: usize = 2;

struct Scene {
    lab: Lab,
    content: Arc<Content>,
}

impl Scene {
    fn new(algorithm: HashAlgorithm) -> Self {
        let lab = Lab::new();
        let source = lab.at("source.bin");
        fixtures::write_file(&source, 3, CHUNKS * 262_144 + 131_072);
        let content = Arc::new(Content::of(&source, algorithm));
        Self { lab, content }
    }

    /// Fetches it from these peers, and checks what arrived.
    fn fetch(&self, peers: &[&FakePeer]) {
        let output = self.lab.folder("output");
        let ticket = self
            .content
            .ticket(peers.iter().map(|peer| peer.seeder()).collect());
        let _ended = Peer::new(&self.lab, "fetcher")
            .get(&ticket, &output)
            .run()
            .expect_code(0);
        tree::assert_same(&self.lab.at("source.bin"), &output.join("source.bin"));
    }
}

/// Dropped, and not come back to.
#[track_caller]
fn assert_dropped(liar: &FakePeer) {
    let told = liar.wait("end the session with a liar", |told| told.ended > 0);
    assert!(
        told.sessions <= SESSIONS,
        "it was asked again and again: {told:?}"
    );
}

fn flips_a_bit(asked: &mut Asked<'_>) -> Answer {
    let middle = asked.bytes.len() / 2;
    asked.bytes[middle] ^= 1;
    Answer::Send
}

#[test]
fn a_peer_that_changes_bytes_is_dropped_and_the_file_is_right_with_sha256() {
    a_peer_that_changes_bytes_is_dropped_and_the_file_is_right(HashAlgorithm::Sha256);
}

#[test]
fn a_peer_that_changes_bytes_is_dropped_and_the_file_is_right_with_blake3() {
    a_peer_that_changes_bytes_is_dropped_and_the_file_is_right(HashAlgorithm::Blake3);
}

fn a_peer_that_changes_bytes_is_dropped_and_the_file_is_right(algorithm: HashAlgorithm) {
    let scene = Scene::new(algorithm);
    let liar = FakePeer::with_all(1, &scene.content, flips_a_bit);
    // The honest one waits for the liar to be found out, or it would be done before the liar is asked at all.
    let watched = liar.watch();
    let honest = FakePeer::with_all(2, &scene.content, move |_| {
        watched.wait("end the session with a liar", |told| told.ended > 0);
        Answer::Send
    });
    scene.fetch(&[&liar, &honest]);
    assert_dropped(&liar);
    // What it is told, if anything: chunks of its that nobody read any more reset the connection, and the goodbye with it.
    let told = liar.told();
    let other = |reason: &&GoodbyeReason| **reason != GoodbyeReason::Misbehaved;
    assert_eq!(told.goodbyes.iter().find(other), None, "{told:?}");
}

#[test]
fn a_chunk_that_is_another_chunk_is_no_chunk() {
    let scene = Scene::new(HashAlgorithm::Sha256);
    let liar = FakePeer::with_all(1, &scene.content, |asked| {
        Answer::SendAs(ChunkIndex(asked.chunk.0 ^ 1))
    });
    let watched = liar.watch();
    let honest = FakePeer::with_all(2, &scene.content, move |_| {
        watched.wait("end the session with a liar", |told| told.ended > 0);
        Answer::Send
    });
    scene.fetch(&[&liar, &honest]);
    assert_dropped(&liar);
}

#[test]
fn a_chunk_that_is_too_short_is_no_chunk() {
    let scene = Scene::new(HashAlgorithm::Blake3);
    let liar = FakePeer::with_all(1, &scene.content, |asked| {
        asked.bytes.pop();
        Answer::Send
    });
    let honest = FakePeer::honest(2, &scene.content);
    scene.fetch(&[&liar, &honest]);
}

#[test]
fn a_peer_that_claims_what_it_does_not_hold_costs_nothing_but_the_question() {
    let scene = Scene::new(HashAlgorithm::Sha256);
    let liar = FakePeer::with_all(1, &scene.content, |_| Answer::Reject(RejectReason::NotHeld));
    let honest = FakePeer::honest(2, &scene.content);
    scene.fetch(&[&liar, &honest]);
    let told = liar.told();
    // Not the same chunk over and over: each at most once a session.
    let mut asked = told.requests.clone();
    asked.sort_unstable();
    asked.dedup();
    assert!(told.requests.len() <= asked.len() * told.sessions, "{told:?}");
}

#[test]
fn two_that_hold_a_half_each_make_a_whole() {
    let scene = Scene::new(HashAlgorithm::Sha256);
    let chunks = scene.content.layout().chunks();
    let (mut first, mut second) = (Bitfield::new(chunks), Bitfield::new(chunks));
    for chunk in scene.content.layout().indices() {
        if chunk.0 % 2 == 0 {
            first.set(chunk)
        } else {
            second.set(chunk)
        };
    }
    let first = FakePeer::start(1, &scene.content, first, |_| Answer::Send);
    let second = FakePeer::start(2, &scene.content, second, |_| Answer::Send);
    scene.fetch(&[&first, &second]);
    let odd = |told: &Told| told.requests.iter().filter(|chunk| chunk.0 % 2 == 1).count();
    assert_eq!(
        odd(&first.told()),
        0,
        "asked for what it does not hold: {:?}",
        first.told()
    );
    assert_eq!(
        odd(&second.told()),
        second.told().requests.len(),
        "{:?}",
        second.told()
    );
}

#[test]
fn a_peer_that_stops_answering_holds_nobody_up() {
    let scene = Scene::new(HashAlgorithm::Sha256);
    let stalls = FakePeer::with_all(1, &scene.content, |asked| {
        if asked.before < 3 {
            Answer::Send
        } else {
            Answer::Stall
        }
    });
    let watched = stalls.watch();
    let honest = FakePeer::with_all(2, &scene.content, move |_| {
        watched.wait("ask the one that stalls", |told| told.requests.len() > 3);
        Answer::Send
    });
    scene.fetch(&[&stalls, &honest]);
}

#[test]
fn a_peer_that_hangs_up_in_the_middle_is_dialled_again() {
    let scene = Scene::new(HashAlgorithm::Sha256);
    let fickle = FakePeer::with_all(1, &scene.content, |asked| {
        if asked.before == 20 {
            Answer::Hangup
        } else {
            Answer::Send
        }
    });
    scene.fetch(&[&fickle]);
    assert_eq!(fickle.told().sessions, 2, "{:?}", fickle.told());
}

/// The warning that a peer was banned.
fn ban(event: &Value) -> Option<String> {
    let is_ban = event["code"] == "peer-banned";
    is_ban.then(|| event["message"].to_string())
}

#[test]
fn nine_liars_and_one_honest_peer_give_the_whole_file() {
    let scene = Scene::new(HashAlgorithm::Sha256);
    let liars: Vec<FakePeer> = (1..=9)
        .map(|seed| FakePeer::with_all(seed, &scene.content, flips_a_bit))
        .collect();
    let honest = FakePeer::honest(10, &scene.content);
    // A ticket has no room for ten: they meet through a tracker, where each says that it has the file.
    let tracker = Tracker::start(&scene.lab);
    let caller = Caller::new(&tracker.url());
    for (seed, peer) in (1..).zip(liars.iter().chain([&honest])) {
        let session = caller
            .register(&Identity::from_secret([seed; 32]), peer.address().port())
            .unwrap();
        let (status, answer) = caller
            .announce(&session.token, &scene.content, Have::Seeder, true)
            .unwrap();
        assert_eq!(status, 200, "{answer}");
    }
    let output = scene.lab.folder("output");
    let hash = scene.content.manifest.hash.to_string();
    let ended = Peer::new(&scene.lab, "fetcher")
        .tracker(&tracker)
        .get(&hash, &output)
        .run()
        .expect_code(0);
    tree::assert_same(&scene.lab.at("source.bin"), &output.join("source.bin"));
    let mut bans: Vec<String> = ended.events().iter().filter_map(ban).collect();
    bans.sort_unstable();
    let told = bans.len();
    bans.dedup();
    assert_eq!(bans.len(), told, "a peer's ban is told once: {bans:?}");
    for liar in &liars {
        assert!(liar.told().sessions <= SESSIONS, "{:?}", liar.told());
    }
}

#[test]
fn from_liars_alone_nothing_appears_under_the_final_name() {
    let scene = Scene::new(HashAlgorithm::Sha256);
    let liar = FakePeer::with_all(1, &scene.content, flips_a_bit);
    let output = scene.lab.folder("output");
    let ticket = scene.content.ticket(vec![liar.seeder()]);
    let fetcher = Peer::new(&scene.lab, "fetcher");
    let running = fetcher.get(&ticket, &output).args(["--timeout", "1"]).start();
    assert_dropped(&liar);
    running.end().expect_code(5);
    assert!(!output.join("source.bin").exists());
}
