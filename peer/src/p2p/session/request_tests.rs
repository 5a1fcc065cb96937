//! Requests: right behind the attach, before the other side knows whether it has the file; of whom none are sent; several files at once.

use super::*;

#[test]
fn requests_right_behind_the_attach_are_answered_when_it_is_known_whether_the_file_is_shared() {
    let mut pair = Pair::new();
    pair.b.holds.insert(FILE, Bitfield::full(CHUNKS));
    pair.attach_a();
    let actions = pair.a.state.set_interest(FILE, true);
    pair.a.carry_out(actions);
    let actions = pair.a.state.request(FILE, vec![at(0), at(1), at(2)], pair.now);
    pair.a.carry_out(actions);
    let actions = pair.a.state.cancel(FILE, at(1));
    pair.a.carry_out(actions);
    // All of it is there before the store has answered.
    while let Some(wire) = pair.a.out.pop_front() {
        pair.b.hear(wire, pair.now);
    }
    assert!(pair.b.serving.is_empty() && pair.b.opening == [FILE]);
    pair.settle();
    assert_eq!(pair.a.state.requests.outstanding(), 0, "each was answered");
    assert_eq!(pair.b.answered.requests, 2, "the cancelled one was not read");
    assert!(pair.a.closed.is_none() && pair.b.closed.is_none());
}

#[test]
fn requests_right_behind_the_attach_of_a_file_that_is_not_shared_are_rejected() {
    let mut pair = Pair::new();
    pair.attach_a();
    let actions = pair.a.state.request(FILE, vec![at(0), at(1)], pair.now);
    pair.a.carry_out(actions);
    pair.settle();
    assert_eq!(pair.a.state.requests.outstanding(), 0);
    let detached = |(_, news): &(_, ChunkNews)| matches!(news, ChunkNews::Detached { .. });
    assert!(pair.a.news.iter().any(detached));
    assert!(pair.a.closed.is_none() && pair.b.closed.is_none());
}

#[test]
fn who_has_said_that_it_chokes_is_not_asked() {
    let mut pair = Pair::new();
    pair.b.holds.insert(FILE, Bitfield::full(CHUNKS));
    pair.attach_a();
    pair.a.hear(Wire::Message(PeerMessage::Choke), pair.now);
    let actions = pair.a.state.request(FILE, vec![at(0)], pair.now);
    assert!(matches!(
        &actions[..],
        [Action::Tell(FILE, ChunkNews::NotAsked { chunks, .. })] if chunks[..] == [at(0)]
    ));
}

#[test]
fn two_files_share_the_window() {
    let mut pair = Pair::fetching();
    let other = FileHash([2; 32]);
    pair.b.holds.insert(other, Bitfield::full(CHUNKS));
    let actions = pair.a.state.attach(wanted(other));
    pair.a.carry_out(actions);
    pair.settle();
    assert_eq!(
        (pair.a.state.room(&FILE).free, pair.a.state.room(&other).free),
        (2, 2)
    );
    let actions = pair.a.state.request(FILE, vec![at(0), at(1)], pair.now);
    pair.a.carry_out(actions);
    assert_eq!(
        (pair.a.state.room(&FILE).free, pair.a.state.room(&other).free),
        (0, 2)
    );
}
