//! Peers that move to another session.

use super::*;
use crate::download::{chunks::Arrival, chunks::ChunkState, source::Room};

const PEER: PublicKey = PublicKey([1; 32]);
const OTHER: PublicKey = PublicKey([2; 32]);
const OLD: SessionId = SessionId(1);
const NEW: SessionId = SessionId(2);

fn room(free: u32) -> Room {
    Room {
        free,
        window: free,
        rate: 1_000_000,
    }
}

fn known(free: u32) -> Known {
    Known {
        bits: Some(Bitfield::full(16)),
        choked: false,
        room: room(free),
        round_trip: None,
    }
}

/// A download of 16 chunks, of which the peer was asked for four.
fn download() -> Download {
    let mut download = Download::new(Bitfield::new(16), Bitfield::full(16), 0);
    download.on_attached(PEER, Bitfield::full(16));
    assert_eq!(requested(&download.on_choke(&PEER, false, room(4))).len(), 4);
    download
}

fn requested(actions: &[Action]) -> Vec<ChunkIndex> {
    let requests = actions.iter().filter_map(|action| match action {
        Action::Request { chunks, .. } => Some(chunks.clone()),
        _ => None,
    });
    requests.flatten().collect()
}

fn asked(download: &Download) -> Vec<ChunkIndex> {
    let mut asked: Vec<_> = download.chunks().asked().map(|(chunk, _)| chunk).collect();
    asked.sort_unstable();
    asked
}

fn moved(download: &mut Download, free: u32) -> Vec<ChunkIndex> {
    requested(&download.on_moved(PEER, Some(OLD), NEW, known(free)))
}

#[test]
fn over_the_new_session_the_next_chunks_are_asked_and_those_of_the_old_one_not_again() {
    let mut download = download();
    let before = asked(&download);
    let new = moved(&mut download, 6);
    assert_eq!(new.len(), 6);
    assert!(new.iter().all(|chunk| !before.contains(chunk)));
    assert_eq!(asked(&download).len(), 10);
}

#[test]
fn the_new_session_is_told_that_we_want_something() {
    let mut download = download();
    let actions = download.on_moved(PEER, Some(OLD), NEW, known(0));
    let (peer, interested) = (PEER, true);
    assert!(actions.contains(&Action::Interest { peer, interested }));
}

#[test]
fn what_comes_over_the_old_session_is_taken_and_makes_no_room_on_the_new_one() {
    let mut download = download();
    let old = asked(&download);
    moved(&mut download, 6);
    let (arrival, actions) = download.on_received(&PEER, old[0], None);
    assert_eq!(arrival, Arrival::Store { loser: None });
    assert_eq!(requested(&actions), []);
    assert_eq!(download.chunks().state(old[0]), ChunkState::Storing);
}

#[test]
fn when_the_old_session_ends_exactly_what_it_owes_is_asked_again() {
    let mut download = download();
    let old = asked(&download);
    let new = moved(&mut download, 6);
    download.on_received(&PEER, old[0], None);
    download.on_gone(OLD);
    for chunk in &old[1..] {
        assert_eq!(download.chunks().state(*chunk), ChunkState::Missing);
    }
    assert_eq!(asked(&download).len(), new.len(), "the rest is still under way");
    assert_eq!(download.chunks().state(old[0]), ChunkState::Storing);
}

#[test]
fn when_the_new_session_ends_first_what_the_old_one_owes_still_comes() {
    let mut download = download();
    let old = asked(&download);
    moved(&mut download, 6);
    download.on_detached(&PEER);
    assert_eq!(asked(&download), old);
    let (arrival, _) = download.on_received(&PEER, old[0], None);
    assert_eq!(arrival, Arrival::Store { loser: None });
    download.on_gone(OLD);
    assert_eq!(asked(&download), []);
}

#[test]
fn going_back_to_the_old_session_what_it_owes_counts_as_asked_of_it() {
    let mut download = download();
    let old = asked(&download);
    moved(&mut download, 4);
    let actions = download.on_moved(PEER, Some(NEW), OLD, known(6));
    // A window of six, of which four are taken.
    assert_eq!(requested(&actions).len(), 2);
    // The end of the other one gives up what was asked there, and nothing else.
    download.on_gone(NEW);
    assert!(old.iter().all(|chunk| asked(&download).contains(chunk)));
}

#[test]
fn what_the_old_session_will_not_bring_is_asked_of_somebody() {
    let mut download = download();
    let old = asked(&download);
    download.on_attached(OTHER, Bitfield::full(16));
    moved(&mut download, 12);
    let actions = download.on_given_back(&PEER, &old[..2]);
    assert_eq!(requested(&actions), [], "nobody has room");
    let actions = download.on_choke(&OTHER, false, room(8));
    assert_eq!(requested(&actions), old[..2]);
}

#[test]
fn a_wrong_chunk_over_the_old_session_is_held_against_the_peer_on_the_new_one() {
    let mut download = download();
    let old = asked(&download);
    moved(&mut download, 6);
    for chunk in &old[..2] {
        download.on_received(&PEER, *chunk, None);
        download.on_bad(&PEER, *chunk);
    }
    let banned = download.on_attached(PEER, Bitfield::full(16));
    assert_eq!(banned, [Action::Ban(PEER)]);
}

/// A download that has asked [`PEER`] behind its `Attach`.
fn asked_early() -> (Download, Vec<ChunkIndex>) {
    let mut download = Download::new(Bitfield::new(16), Bitfield::full(16), 1);
    let actions = download.on_named(PEER);
    let (peer, interested) = (PEER, true);
    assert_eq!(actions[0], Action::Interest { peer, interested });
    (download, requested(&actions))
}

#[test]
fn whom_others_name_is_asked_before_it_says_what_it_holds_and_not_again_when_it_does() {
    let (mut download, early) = asked_early();
    assert_eq!(early.len(), 4);
    assert_eq!(download.on_named(PEER), []);
    assert_eq!(download.on_attached(PEER, Bitfield::full(16)), []);
    assert_eq!(asked(&download), early);
    let more = requested(&download.on_choke(&PEER, false, room(2)));
    assert!(more.iter().all(|chunk| !early.contains(chunk)), "{more:?}");
}

#[test]
fn what_it_does_not_hold_after_all_is_not_held_against_it_and_asked_of_others() {
    let (mut download, early) = asked_early();
    for chunk in &early {
        let actions = download.on_rejected(&PEER, *chunk, true, room(4));
        assert_eq!(requested(&actions), [], "it has yet to say what it holds");
    }
    assert_eq!(asked(&download), []);
    let mut bits = Bitfield::new(16);
    bits.set(ChunkIndex(9));
    download.on_attached(PEER, bits);
    let actions = download.on_choke(&PEER, false, room(4));
    assert_eq!(requested(&actions), [ChunkIndex(9)]);
    download.on_attached(OTHER, Bitfield::full(16));
    let actions = download.on_choke(&OTHER, false, room(16));
    assert!(early.iter().all(|chunk| requested(&actions).contains(chunk)));
}

#[test]
fn who_is_asked_early_and_goes_owes_nothing() {
    let (mut download, _) = asked_early();
    download.on_detached(&PEER);
    assert_eq!((asked(&download), download.peers()), (vec![], 0));
}
