//! When a peer is told that we hold one more.

use super::*;

fn told(side: &mut Side) -> Vec<ChunkIndex> {
    let said = std::mem::take(&mut side.out).into_iter();
    said.filter_map(|wire| match wire {
        Wire::Message(PeerMessage::Have { file: FILE, chunk }) => Some(chunk),
        _ => None,
    })
    .collect()
}

fn hold(side: &mut Side, chunk: u32) {
    let actions = side.state.have(FILE, at(chunk));
    side.carry_out(actions);
}

fn tick(side: &mut Side, now: Instant) {
    let actions = side.state.on_tick(Answered::default(), now);
    side.carry_out(actions);
}

#[test]
fn a_peer_that_may_want_a_chunk_is_told_of_it_at_once() {
    let mut pair = Pair::new();
    let mut all_but_one = Bitfield::full(CHUNKS);
    all_but_one.clear(at(7));
    pair.b.holds.insert(FILE, all_but_one);
    pair.attach_a();
    pair.settle();
    hold(&mut pair.a, 3);
    assert_eq!(told(&mut pair.a), [at(3)]);
}

#[test]
fn a_peer_that_holds_all_is_told_of_many_chunks_together() {
    let mut pair = Pair::fetching();
    hold(&mut pair.a, 3);
    hold(&mut pair.a, 1);
    assert_eq!(told(&mut pair.a), []);
    tick(&mut pair.a, pair.now);
    assert_eq!(told(&mut pair.a), [at(3), at(1)]);
    tick(&mut pair.a, pair.now);
    assert_eq!(told(&mut pair.a), [], "once");
}

#[test]
fn a_peer_that_has_become_whole_hears_no_more_of_every_chunk() {
    let mut pair = Pair::new();
    pair.b.holds.insert(FILE, Bitfield::new(CHUNKS));
    pair.attach_a();
    pair.settle();
    for chunk in 0..CHUNKS {
        hold(&mut pair.b, chunk);
    }
    pair.settle();
    hold(&mut pair.a, 5);
    assert_eq!(told(&mut pair.a), []);
    tick(&mut pair.a, pair.now);
    assert_eq!(told(&mut pair.a), [at(5)]);
}

#[test]
fn what_was_fetched_earlier_is_told_little_by_little_and_all_of_it() {
    let mut pair = Pair::fetching();
    // As many as a file of 10 GiB has: the other side of this state counts none of them.
    let held: Vec<_> = (0..40_000).map(at).collect();
    pair.a.state.have_all(FILE, held.iter().copied());
    assert_eq!(told(&mut pair.a), []);
    let mut said = Vec::new();
    while said.len() < held.len() {
        tick(&mut pair.a, pair.now);
        let now = told(&mut pair.a);
        assert!((1..=2048).contains(&now.len()), "{} at once", now.len());
        said.extend(now);
    }
    assert_eq!(said, held);
}

#[test]
fn whoever_stopped_sharing_is_told_nothing_more() {
    let mut pair = Pair::fetching();
    hold(&mut pair.a, 3);
    let (file, reason) = (FILE, DetachReason::Finished);
    pair.a
        .hear(Wire::Message(PeerMessage::Detach { file, reason }), pair.now);
    tick(&mut pair.a, pair.now);
    assert_eq!(told(&mut pair.a), []);
}

#[test]
fn whoever_names_files_that_nobody_has_is_not_remembered_with_them() {
    let mut pair = Pair::new();
    let mut attached = std::collections::BTreeSet::new();
    for n in 0..5000_u32 {
        let mut file = FILE;
        file.0[..4].copy_from_slice(&n.to_be_bytes());
        pair.b.hear(Wire::Message(PeerMessage::Attach { file }), pair.now);
        pair.b.open();
        for report in std::mem::take(&mut pair.b.reports) {
            match report {
                SessionNews::Attached(file) => drop(attached.insert(file)),
                SessionNews::Detached(file) => drop(attached.remove(&file)),
                _ => {}
            }
        }
    }
    assert_eq!(attached.len(), 0);
    assert!(pair.b.closed.is_none(), "{:?}", pair.b.closed);
}
