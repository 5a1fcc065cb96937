//! The decisions of a download: by sentences, and in a small world of peers that behave as they like.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeSet, VecDeque};

const A: PublicKey = PublicKey([1; 32]);
const B: PublicKey = PublicKey([2; 32]);
const C: PublicKey = PublicKey([3; 32]);

fn at(index: u32) -> ChunkIndex {
    ChunkIndex(index)
}

fn room(free: u32) -> Room {
    Room {
        free,
        window: 16,
        rate: 10_000_000,
    }
}

fn download(len: u32) -> Download {
    Download::new(Bitfield::new(len), Bitfield::full(len), 1)
}

/// Attaches a whole, unchoked peer with room for `free`, and says what it was asked for.
fn join(download: &mut Download, peer: PublicKey, free: u32) -> Vec<u32> {
    let len = download.chunks().len();
    download.on_attached(peer, Bitfield::full(len));
    requested(&download.on_choke(&peer, false, room(free)), peer)
}

fn requested(actions: &[Action], of: PublicKey) -> Vec<u32> {
    let chunks = actions.iter().filter_map(|action| match action {
        Action::Request { peer, chunks } if *peer == of => Some(chunks),
        _ => None,
    });
    chunks.flatten().map(|chunk| chunk.0).collect()
}

fn deliver(download: &mut Download, peer: PublicKey, chunk: u32, free: u32) -> Vec<Action> {
    let (arrival, mut actions) = download.on_received(&peer, at(chunk), Some(room(free)));
    assert!(matches!(arrival, Arrival::Store { .. }));
    actions.extend(download.on_stored(&peer, at(chunk), Instant::now()));
    actions
}

#[test]
fn a_single_source_is_asked_in_order_as_far_as_it_has_room() {
    let mut download = download(10);
    assert_eq!(join(&mut download, A, 4), [0, 1, 2, 3]);
    let actions = deliver(&mut download, A, 0, 2);
    assert_eq!(requested(&actions, A), [4, 5]);
    assert!(actions.contains(&Action::Have(at(0))));
}

#[test]
fn a_choking_peer_is_told_of_our_interest_and_asked_for_nothing() {
    let mut download = download(3);
    let actions = download.on_attached(A, Bitfield::full(3));
    let peer = A;
    assert_eq!(
        actions,
        [Action::Interest {
            peer,
            interested: true
        }]
    );
    assert_eq!(download.on_room(&A, room(4)), []);
}

#[test]
fn two_sources_are_asked_for_different_chunks() {
    let mut download = download(8);
    assert_eq!(join(&mut download, A, 4), [0, 1, 2, 3]);
    assert_eq!(join(&mut download, B, 4), [4, 5, 6, 7]);
}

#[test]
fn what_a_lost_peer_owed_is_asked_of_the_others_at_once() {
    let mut download = download(4);
    join(&mut download, A, 4);
    assert_eq!(join(&mut download, B, 4), [0; 0]);
    assert_eq!(requested(&download.on_detached(&A), B), [0, 1, 2, 3]);
}

#[test]
fn a_first_wrong_chunk_is_asked_elsewhere_and_its_proof_bans() {
    let mut download = download(4);
    join(&mut download, A, 2);
    join(&mut download, B, 4);
    download.on_received(&A, at(0), Some(room(2)));
    let actions = download.on_bad(&A, at(0));
    assert_eq!(requested(&actions, B), [0]);
    assert!(!actions.contains(&Action::Ban(A)));
    download.on_received(&B, at(0), Some(room(4)));
    assert!(
        download
            .on_stored(&B, at(0), Instant::now())
            .contains(&Action::Ban(A))
    );
}

#[test]
fn a_liar_alone_is_tried_once_more_and_then_banned_for_good() {
    let mut download = download(4);
    assert_eq!(join(&mut download, A, 1), [0]);
    download.on_received(&A, at(0), Some(room(0)));
    download.on_bad(&A, at(0));
    assert_eq!(
        requested(&download.on_room(&A, room(4)), A),
        [0],
        "on probation: one at a time"
    );
    download.on_received(&A, at(0), Some(room(4)));
    assert_eq!(download.on_bad(&A, at(0)), [Action::Ban(A)]);
    assert_eq!(download.on_room(&A, room(4)), []);
    download.on_detached(&A);
    assert_eq!(download.on_attached(A, Bitfield::full(4)), [Action::Ban(A)]);
}

#[test]
fn claims_that_turn_out_empty_are_not_asked_again_and_cost_the_session() {
    let mut download = download(64);
    join(&mut download, A, 16);
    let mut refused = BTreeSet::new();
    let mut dropped = false;
    let mut queue = VecDeque::from_iter(0..16);
    while let Some(chunk) = queue.pop_front() {
        assert!(refused.insert(chunk), "{chunk} was asked for twice");
        let actions = download.on_rejected(&A, at(chunk), true, room(16));
        queue.extend(requested(&actions, A));
        dropped |= actions.contains(&Action::Drop(A));
    }
    assert!(dropped);
}

#[test]
fn a_peer_that_owes_and_stays_silent_is_dropped() {
    let mut download = download(4);
    join(&mut download, A, 4);
    let start = Instant::now();
    download.on_tick(false, start);
    assert_eq!(download.on_tick(false, start + Duration::from_secs(29)), []);
    assert_eq!(
        download.on_tick(false, start + Duration::from_secs(31)),
        [Action::Drop(A)]
    );
}

#[test]
fn while_no_buffer_is_free_nobody_is_blamed() {
    let mut download = download(4);
    join(&mut download, A, 4);
    let start = Instant::now();
    for second in 0..100 {
        assert_eq!(download.on_tick(true, start + Duration::from_secs(second)), []);
    }
}

#[test]
fn a_late_chunk_is_asked_of_the_best_idle_peer_and_the_loser_cancelled() {
    let mut download = download(3);
    join(&mut download, A, 3);
    join(&mut download, B, 4);
    join(&mut download, C, 4);
    download.on_room(
        &B,
        Room {
            rate: 1_000_000,
            ..room(4)
        },
    );
    let actions = download.on_late(&A, &[at(0)], room(0));
    let (peer, chunks) = (C, vec![at(0)]);
    assert_eq!(actions, [Action::Request { peer, chunks }], "C is the faster one");
    let (_, actions) = download.on_received(&C, at(0), Some(room(0)));
    let (peer, chunk) = (A, at(0));
    assert!(actions.contains(&Action::Cancel { peer, chunk }));
    assert_eq!(
        download.on_received(&A, at(0), Some(room(4))).0,
        Arrival::Superfluous
    );
}

#[test]
fn at_the_end_an_idle_peer_helps_a_much_slower_one_and_nobody_else() {
    let mut download = download(2);
    join(&mut download, A, 2);
    download.on_room(
        &A,
        Room {
            rate: 100_000,
            ..room(0)
        },
    );
    assert_eq!(join(&mut download, B, 4), [1], "the one furthest away");
    assert_eq!(join(&mut download, C, 4), [0]);
    assert_eq!(requested(&download.on_room(&C, room(4)), C), [0; 0]);
}

#[test]
fn at_the_end_peers_of_equal_speed_do_not_send_the_same() {
    let mut download = download(2);
    join(&mut download, A, 2);
    download.on_room(&A, room(0));
    assert_eq!(join(&mut download, B, 4), [0; 0]);
}

#[test]
fn a_full_disk_cancels_everything_until_it_is_resumed() {
    let mut download = download(4);
    join(&mut download, A, 2);
    let actions = download.pause();
    assert_eq!(actions.len(), 2);
    assert!(
        actions
            .iter()
            .all(|action| matches!(action, Action::Cancel { peer: A, .. }))
    );
    assert_eq!(download.on_room(&A, room(4)), []);
    assert_eq!(requested(&download.resume(), A), [0, 1, 2, 3]);
}

#[test]
fn only_what_is_selected_is_asked_for() {
    let mut wanted = Bitfield::new(8);
    wanted.set(at(5));
    let mut download = Download::new(Bitfield::new(8), wanted, 1);
    assert_eq!(join(&mut download, A, 4), [5]);
    deliver(&mut download, A, 5, 4);
    assert!(download.is_complete());
    let actions = download.select(Bitfield::full(8));
    assert!(!download.is_complete());
    assert_eq!(requested(&actions, A), [0, 1, 2, 3]);
}

#[test]
fn interest_ends_when_a_peer_has_nothing_more_for_us() {
    let mut download = download(2);
    let mut bits = Bitfield::new(2);
    bits.set(at(0));
    download.on_attached(A, bits);
    download.on_choke(&A, false, room(4));
    deliver(&mut download, A, 0, 4);
    let peer = A;
    let actions = download.on_tick(false, Instant::now());
    assert_eq!(
        actions,
        [Action::Interest {
            peer,
            interested: false
        }]
    );
    let actions = download.on_has(&A, at(1));
    assert_eq!(
        actions[0],
        Action::Interest {
            peer,
            interested: true
        }
    );
    assert_eq!(requested(&actions, A), [1]);
}

/// How a peer of the small world behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    Honest,
    Slow,
    Liar,
    Silent,
    Empty,
}

/// Peers that answer one request a step, each in its manner.
struct World {
    download: Download,
    manners: Vec<Manner>,
    asked: BTreeMap<PublicKey, VecDeque<ChunkIndex>>,
    away: BTreeSet<PublicKey>,
    stored: Vec<u32>,
    now: Instant,
}

impl World {
    fn new(len: u32, manners: Vec<Manner>) -> Self {
        let mut world = Self {
            download: download(len),
            asked: BTreeMap::new(),
            away: BTreeSet::new(),
            stored: vec![0; len as usize],
            now: Instant::now(),
            manners,
        };
        for peer in 0..world.manners.len() {
            let key = PublicKey([peer as u8; 32]);
            let actions = world.download.on_attached(key, Bitfield::full(len));
            world.carry_out(actions);
            let actions = world.download.on_choke(&key, false, world.room(&key));
            world.carry_out(actions);
        }
        world
    }

    fn room(&self, peer: &PublicKey) -> Room {
        let outstanding = self.asked.get(peer).map_or(0, VecDeque::len) as u32;
        room(4_u32.saturating_sub(outstanding))
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Request { peer, chunks } => {
                    assert!(
                        !self.away.contains(&peer),
                        "asked a peer that was banned or dropped"
                    );
                    self.asked.entry(peer).or_default().extend(chunks);
                }
                Action::Cancel { peer, chunk } => self.asked.entry(peer).or_default().retain(|c| *c != chunk),
                Action::Ban(peer) | Action::Drop(peer) => {
                    self.away.insert(peer);
                    self.asked.remove(&peer);
                    let actions = self.download.on_detached(&peer);
                    self.carry_out(actions);
                }
                Action::Have(chunk) => self.stored[chunk.0 as usize] += 1,
                Action::Interest { .. } => {}
            }
        }
    }

    fn step(&mut self, round: u32) {
        self.now += Duration::from_millis(500);
        for (index, manner) in self.manners.clone().into_iter().enumerate() {
            let key = PublicKey([index as u8; 32]);
            let silent = manner == Manner::Silent || (manner == Manner::Slow && !round.is_multiple_of(7));
            if silent || self.away.contains(&key) {
                continue;
            }
            if let Some(chunk) = self.asked.get_mut(&key).and_then(VecDeque::pop_front) {
                self.answer(key, manner, chunk);
            }
        }
        let actions = self.download.on_tick(false, self.now);
        self.carry_out(actions);
    }

    fn answer(&mut self, peer: PublicKey, manner: Manner, chunk: ChunkIndex) {
        let room = self.room(&peer);
        let actions = if manner == Manner::Empty {
            self.download.on_rejected(&peer, chunk, true, room)
        } else {
            let (arrival, mut actions) = self.download.on_received(&peer, chunk, Some(room));
            if arrival != Arrival::Superfluous {
                actions.extend(match manner {
                    Manner::Liar => self.download.on_bad(&peer, chunk),
                    _ => self.download.on_stored(&peer, chunk, self.now),
                });
            }
            actions
        };
        self.carry_out(actions);
    }
}

fn manner() -> impl Strategy<Value = Manner> {
    prop_oneof![
        Just(Manner::Honest),
        Just(Manner::Slow),
        Just(Manner::Liar),
        Just(Manner::Silent),
        Just(Manner::Empty),
    ]
}

proptest! {
    #[test]
    fn one_honest_peer_is_enough_whoever_else_is_there(
        len in 1..60u32,
        mut manners in prop::collection::vec(manner(), 0..10),
        place in any::<prop::sample::Index>(),
    ) {
        manners.insert(place.index(manners.len() + 1), Manner::Honest);
        let mut world = World::new(len, manners.clone());
        for round in 0..500 {
            if world.download.is_complete() {
                break;
            }
            world.step(round);
        }
        prop_assert!(world.download.is_complete(), "not complete among {manners:?}");
        prop_assert!(world.stored.iter().all(|times| *times == 1), "a chunk was stored twice");
        for (index, manner) in manners.iter().enumerate() {
            let away = world.away.contains(&PublicKey([index as u8; 32]));
            prop_assert!(!(away && *manner == Manner::Honest), "the honest one was sent away");
        }
    }
}
