//! The moves of a chunk, one by one and at random.

use super::*;
use proptest::prelude::*;

const A: PublicKey = PublicKey([1; 32]);
const B: PublicKey = PublicKey([2; 32]);
const C: PublicKey = PublicKey([3; 32]);

fn fresh(len: u32) -> Chunks {
    Chunks::new(Bitfield::new(len), Bitfield::full(len))
}

fn at(index: u32) -> ChunkIndex {
    ChunkIndex(index)
}

#[test]
fn a_chunk_goes_from_missing_over_asked_and_storing_to_held() {
    let mut chunks = fresh(1);
    assert_eq!(chunks.state(at(0)), ChunkState::Missing);
    assert!(chunks.ask(at(0), A));
    assert!(matches!(chunks.state(at(0)), ChunkState::Asked(asked) if asked.of(&A)));
    assert_eq!(chunks.on_received(at(0), &A), Arrival::Store { loser: None });
    assert_eq!(chunks.state(at(0)), ChunkState::Storing);
    assert!(!chunks.is_complete());
    assert!(chunks.on_stored(at(0)));
    assert_eq!(chunks.state(at(0)), ChunkState::Held);
    assert!(chunks.is_complete());
}

#[test]
fn a_chunk_that_is_under_way_is_not_asked_for_as_if_it_were_missing() {
    let mut chunks = fresh(1);
    assert!(chunks.ask(at(0), A));
    assert!(!chunks.ask(at(0), B));
}

#[test]
fn a_chunk_is_asked_of_two_peers_at_most_and_never_twice_of_one() {
    let mut chunks = fresh(1);
    assert!(!chunks.ask_again(at(0), A), "not asked at all yet");
    chunks.ask(at(0), A);
    assert!(!chunks.ask_again(at(0), A));
    assert!(chunks.ask_again(at(0), B));
    assert!(!chunks.ask_again(at(0), C));
}

#[test]
fn the_slower_of_two_loses() {
    let mut chunks = fresh(1);
    chunks.ask(at(0), A);
    chunks.ask_again(at(0), B);
    assert_eq!(chunks.on_received(at(0), &B), Arrival::Store { loser: Some(A) });
    assert_eq!(chunks.on_received(at(0), &A), Arrival::Superfluous);
}

#[test]
fn a_bad_chunk_is_missing_again() {
    let mut chunks = fresh(2);
    chunks.ask(at(0), A);
    chunks.on_received(at(0), &A);
    chunks.on_not_stored(at(0));
    assert_eq!(chunks.state(at(0)), ChunkState::Missing);
    assert_eq!(chunks.front(), at(0));
}

#[test]
fn what_a_lost_peer_was_asked_for_is_missing_again_unless_another_was_asked_too() {
    let mut chunks = fresh(3);
    chunks.ask(at(0), A);
    chunks.ask(at(1), A);
    chunks.ask_again(at(1), B);
    chunks.ask(at(2), B);
    chunks.on_peer_gone(&A);
    assert_eq!(chunks.state(at(0)), ChunkState::Missing);
    assert!(matches!(chunks.state(at(1)), ChunkState::Asked(asked) if asked.of(&B) && !asked.of(&A)));
    assert!(matches!(chunks.state(at(2)), ChunkState::Asked(_)));
}

#[test]
fn what_is_not_selected_is_not_missing_until_it_is_selected() {
    let mut wanted = Bitfield::new(4);
    wanted.set(at(2));
    let mut chunks = Chunks::new(Bitfield::new(4), wanted);
    assert_eq!(chunks.missing().ones().collect::<Vec<_>>(), [at(2)]);
    assert_eq!(chunks.front(), at(2));
    chunks.ask(at(2), A);
    chunks.on_received(at(2), &A);
    chunks.on_stored(at(2));
    assert!(chunks.is_complete());
    chunks.select(Bitfield::full(4));
    assert_eq!(chunks.missing().ones().collect::<Vec<_>>(), [at(0), at(1), at(3)]);
}

#[test]
fn a_chunk_beyond_the_file_is_nothing_to_us() {
    assert_eq!(fresh(1).on_received(at(1), &A), Arrival::Superfluous);
}

#[derive(Debug, Clone)]
enum Step {
    Ask(u32, u8),
    AskAgain(u32, u8),
    Received(u32, u8),
    Stored(u32),
    NotStored(u32),
    GivenUp(u32, u8),
    Gone(u8),
    Lost(u32),
    Select(Vec<bool>),
}

const LEN: u32 = 12;

fn step() -> impl Strategy<Value = Step> {
    let chunk = 0..LEN;
    let peer = 0..3u8;
    prop_oneof![
        4 => (chunk.clone(), peer.clone()).prop_map(|(c, p)| Step::Ask(c, p)),
        1 => (chunk.clone(), peer.clone()).prop_map(|(c, p)| Step::AskAgain(c, p)),
        4 => (chunk.clone(), peer.clone()).prop_map(|(c, p)| Step::Received(c, p)),
        4 => chunk.clone().prop_map(Step::Stored),
        1 => chunk.clone().prop_map(Step::NotStored),
        1 => (chunk.clone(), peer.clone()).prop_map(|(c, p)| Step::GivenUp(c, p)),
        1 => peer.prop_map(Step::Gone),
        1 => chunk.prop_map(Step::Lost),
        1 => prop::collection::vec(any::<bool>(), LEN as usize).prop_map(Step::Select),
    ]
}

fn key(peer: u8) -> PublicKey {
    PublicKey([peer; 32])
}

fn apply(chunks: &mut Chunks, step: Step) {
    match step {
        Step::Ask(chunk, peer) => drop(chunks.ask(at(chunk), key(peer))),
        Step::AskAgain(chunk, peer) => drop(chunks.ask_again(at(chunk), key(peer))),
        Step::Received(chunk, peer) => drop(chunks.on_received(at(chunk), &key(peer))),
        Step::Stored(chunk) => drop(chunks.on_stored(at(chunk))),
        Step::NotStored(chunk) => chunks.on_not_stored(at(chunk)),
        Step::GivenUp(chunk, peer) => chunks.on_given_up(at(chunk), &key(peer)),
        Step::Gone(peer) => chunks.on_peer_gone(&key(peer)),
        Step::Lost(chunk) => chunks.on_lost(at(chunk)),
        Step::Select(bits) => {
            let mut wanted = Bitfield::new(LEN);
            for (index, _) in bits.iter().enumerate().filter(|(_, bit)| **bit) {
                wanted.set(at(index as u32));
            }
            chunks.select(wanted);
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_each_chunk_is_in_one_state_and_no_wanted_one_is_forgotten(
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut chunks = fresh(LEN);
        for step in steps {
            apply(&mut chunks, step);
            for chunk in (0..LEN).map(at) {
                let states = [
                    chunks.missing.has(chunk),
                    chunks.asked.contains_key(&chunk),
                    chunks.storing.contains(&chunk),
                    chunks.held.has(chunk),
                ];
                let count = states.iter().filter(|state| **state).count();
                prop_assert!(count <= 1, "{chunk} is in {count} states");
                prop_assert!(count == 1 || !chunks.wanted.has(chunk), "{chunk} is forgotten");
                prop_assert!(!chunks.missing.has(chunk) || chunk >= chunks.front());
            }
        }
    }
}
