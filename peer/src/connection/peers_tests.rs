//! Who is remembered, who is let in, and to whom we never show where we are.

use super::*;
use crate::connection::{
    path::Attempt,
    redial::Redial,
    state::{Dialler, Limits, NewSession, Refusal, SessionId},
};
use p2p_shared::protocol::PeerHint;
use std::time::Duration;

const ME: PublicKey = PublicKey([5; 32]);
const PEER: PublicKey = PublicKey([9; 32]);
const FILE: FileHash = FileHash([1; 32]);
const OTHER: FileHash = FileHash([2; 32]);

fn table(policy: Policy) -> Connections {
    Connections::new(ME, Limits::default(), policy, 0)
}

fn key(n: u16) -> PublicKey {
    let mut key = [7; 32];
    key[..2].copy_from_slice(&n.to_be_bytes());
    PublicKey(key)
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Somebody with an address and a relay.
fn hint(key: PublicKey) -> Hint {
    Hint {
        key,
        addresses: vec![address(1000)],
        relays: vec![RelayAddress::of(None, &"http://relay.example".parse().unwrap()).unwrap()],
    }
}

fn session(id: u64, key: PublicKey, dialler: Dialler, path: PathKind) -> NewSession {
    NewSession {
        session: SessionId(id),
        key,
        dialler,
        path,
        listen: vec![address(1001)],
    }
}

fn tries(actions: &[Action]) -> Vec<(PublicKey, Attempt)> {
    let tries = actions.iter().filter_map(|action| match action {
        Action::Try { key, attempt, .. } => Some((*key, *attempt)),
        _ => None,
    });
    tries.collect()
}

fn dialled(actions: &[Action]) -> Vec<PublicKey> {
    let tries = tries(actions).into_iter();
    let dials = tries.filter(|(_, attempt)| *attempt == Attempt::Dial);
    dials.map(|(key, _)| key).collect()
}

/// Everything that is begun in the ten minutes after `now`.
fn begun(table: &mut Connections, now: Instant) -> Vec<(PublicKey, Attempt)> {
    let seconds = 0..600;
    seconds
        .flat_map(|second| tries(&table.on_tick(now + Duration::from_secs(second))))
        .collect()
}

#[test]
fn who_was_asked_through_relays_only_is_not_dialled_when_nothing_is_wanted_of_it_any_more() {
    let (mut table, now) = (table(Policy::Auto), Instant::now());
    let actions = table.want(FILE, Policy::RelayOnly, [hint(PEER)], now);
    assert_eq!(actions[0], Action::Hide(PEER), "before anything is tried");
    assert_eq!(tries(&actions), [(PEER, Attempt::Tunnel)]);
    table.on_session(session(1, PEER, Dialler::Us, PathKind::Relayed), now);
    table.unwant(&FILE);
    assert_eq!(begun(&mut table, now), []);
    // It goes, is forgotten, and comes back by itself; and something else of it is wanted.
    table.on_closed(SessionId(1), Redial::Soon, now);
    let actions = table.on_session(session(2, PEER, Dialler::Them, PathKind::Relayed), now);
    assert_eq!(tries(&actions), []);
    assert_eq!(begun(&mut table, now), []);
    table.on_closed(SessionId(2), Redial::Soon, now);
    let actions = table.want(OTHER, Policy::Auto, [hint(PEER)], now);
    assert_eq!(dialled(&actions), []);
}

#[test]
fn a_table_that_was_rebuilt_knows_from_whom_we_hide() {
    let (mut table, now) = (table(Policy::Auto), Instant::now());
    table.on_hidden(PEER);
    assert!(table.peers.is_empty());
    let actions = table.on_session(session(1, PEER, Dialler::Them, PathKind::Relayed), now);
    assert_eq!((tries(&actions), begun(&mut table, now)), (vec![], vec![]));
}

#[test]
fn who_says_that_the_same_file_may_come_directly_after_all_shows_where_we_are_to_its_peers_and_to_no_others()
{
    let (mut table, now) = (table(Policy::Auto), Instant::now());
    table.want(OTHER, Policy::RelayOnly, [hint(key(1))], now);
    table.want(FILE, Policy::RelayOnly, [hint(PEER), hint(key(1))], now);
    let actions = table.want(FILE, Policy::DirectOnly, [], now);
    assert!(actions.contains(&Action::Show(PEER)) && !actions.contains(&Action::Show(key(1))));
    assert_eq!(dialled(&actions), [PEER]);
    assert_eq!(dialled(&table.on_tick(now)), []);
}

#[test]
fn who_fetched_through_relays_only_and_asks_again_has_to_say_that_it_may_come_directly() {
    let (mut table, now) = (table(Policy::Auto), Instant::now());
    table.want(FILE, Policy::RelayOnly, [hint(PEER)], now);
    table.unwant(&FILE);
    table.on_failed(&PEER, Attempt::Tunnel, now);
    let actions = table.want(FILE, Policy::Auto, [hint(PEER)], now);
    assert_eq!(
        (tries(&actions), dialled(&actions)),
        (vec![(PEER, Attempt::Tunnel)], vec![])
    );
    table.unwant(&FILE);
    let actions = table.want(FILE, Policy::Sequential, [hint(PEER)], now);
    assert_eq!(actions[0], Action::Show(PEER));
}

#[test]
fn every_peer_of_what_is_wanted_through_relays_only_is_hidden_from_whether_it_is_tried_yet_or_not() {
    let (mut table, now) = (table(Policy::Auto), Instant::now());
    let actions = table.want(FILE, Policy::RelayOnly, (0..40).map(key).map(hint), now);
    let hidden = actions.iter().filter(|action| matches!(action, Action::Hide(_)));
    assert_eq!((hidden.count(), tries(&actions).len()), (40, 16));
    // One that shares another file, and one that says so itself.
    table.want(OTHER, Policy::Auto, [hint(PEER)], now);
    assert!(
        table
            .want(OTHER, Policy::RelayOnly, [], now)
            .contains(&Action::Hide(PEER))
    );
    table.on_session(session(1, key(99), Dialler::Them, PathKind::Direct), now);
    let actions = table.on_attached(SessionId(1), FILE);
    assert_eq!(actions, [Action::Hide(key(99))]);
}

#[test]
fn what_is_wanted_through_relays_only_of_a_peer_that_is_direct_only_is_neither_dialled_for_nor_relayed() {
    let (mut table, now) = (table(Policy::DirectOnly), Instant::now());
    let actions = table.want(FILE, Policy::RelayOnly, [hint(PEER)], now);
    assert_eq!(dialled(&actions), []);
    let actions = table.on_session(session(1, PEER, Dialler::Us, PathKind::Relayed), now);
    let offers = actions
        .iter()
        .filter(|action| matches!(action, Action::Offer { .. }));
    assert_eq!(offers.count(), 0);
    assert_eq!(table.offers(FILE), []);
}

#[test]
fn a_tracker_names_another_peer_when_those_that_are_known_do_not_answer() {
    let (mut table, now) = (table(Policy::Auto), Instant::now());
    let most = table.limits.known_per_file as u16;
    let alone = |key| Hint {
        relays: Vec::new(),
        ..hint(key)
    };
    table.want(FILE, Policy::Auto, (0..most).map(key).map(alone), now);
    table.hint(FILE, [hint(PEER)], now);
    assert_eq!(table.peers.len(), usize::from(most));
    assert!(!table.peers.contains_key(&PEER), "nobody was tried in vain yet");
    for _ in 0..3 {
        table.on_trying(key(3), Attempt::Dial);
        table.on_failed(&key(3), Attempt::Dial, now);
    }
    table.on_failed(&key(2), Attempt::Dial, now);
    table.hint(FILE, [hint(PEER)], now);
    assert!(table.peers.contains_key(&PEER) && table.peers.contains_key(&key(2)));
    assert!(!table.peers.contains_key(&key(3)), "which failed most");
    assert_eq!(table.peers.len(), usize::from(most));
}

#[test]
fn peers_that_peers_name_leave_room_for_those_that_a_tracker_names() {
    let (mut table, now) = (table(Policy::Auto), Instant::now());
    table.want(FILE, Policy::Auto, [], now);
    table.on_session(session(1, PEER, Dialler::Them, PathKind::Direct), now);
    let most = table.limits.known_per_file;
    for round in 0..100u16 {
        let named = (0..50).map(|n| PeerHint {
            key: key(round * 50 + n),
            addresses: vec![address(9)],
        });
        let later = now + Duration::from_secs(u64::from(round) * 10);
        table.on_named(SessionId(1), FILE, named.collect(), later);
    }
    let known = table.peers.values().filter(|peer| peer.files.contains_key(&FILE));
    assert_eq!(known.count(), most / 2);
    table.hint(FILE, [hint(key(60_000))], now);
    assert!(table.peers.contains_key(&key(60_000)));
}

#[test]
fn the_newest_addresses_count_and_what_other_peers_name_takes_no_place_of_theirs() {
    let (mut table, now) = (table(Policy::Auto), Instant::now());
    let named = |key, ports: std::ops::Range<u16>| Hint {
        key,
        addresses: ports.map(address).collect(),
        relays: Vec::new(),
    };
    let most = table.limits.addresses as u16;
    table.want(FILE, Policy::Auto, [named(PEER, 0..most)], now);
    table.hint(FILE, [named(PEER, 100..102)], now);
    let known = |table: &Connections| table.peers[&PEER].addresses.clone();
    assert_eq!(known(&table).len(), usize::from(most));
    assert_eq!(known(&table)[..1], [address(2)], "the oldest two are gone");
    table.on_session(session(1, key(1), Dialler::Them, PathKind::Direct), now);
    let poison = PeerHint {
        key: PEER,
        addresses: (200..210).map(address).collect(),
    };
    let before = known(&table);
    table.on_named(SessionId(1), FILE, vec![poison], now);
    assert_eq!(known(&table), before);
    table.on_failed(&PEER, Attempt::Dial, now);
    let later = now + Duration::from_secs(1);
    let actions = table.on_tick(later);
    assert!(
        matches!(&actions[0], Action::Try { addresses, .. } if addresses[0] == address(101)),
        "the newest first: {actions:?}"
    );
}

#[test]
fn peers_that_want_something_leave_room_for_those_of_which_something_is_wanted() {
    let (mut table, now) = (table(Policy::Auto), Instant::now());
    let guests = table.limits.guests as u16;
    for n in 0..guests {
        let come = session(n.into(), key(n), Dialler::Them, PathKind::Direct);
        table.on_session(come, now);
    }
    assert_eq!(table.sessions().count(), usize::from(guests));
    let one_more = session(1000, key(1000), Dialler::Them, PathKind::Direct);
    let (session_, why) = (SessionId(1000), Refusal::Full);
    assert_eq!(
        table.on_session(one_more, now),
        [Action::Close {
            session: session_,
            why
        }]
    );
    assert_eq!(
        dialled(&table.want(FILE, Policy::Auto, [hint(PEER)], now)),
        [PEER]
    );
    table.on_session(session(1001, PEER, Dialler::Us, PathKind::Direct), now);
    assert_eq!(table.reach(&FILE).active, 1);
}

#[test]
fn a_session_on_which_nothing_is_heard_gives_way_to_a_new_one_whoever_began_it() {
    for ours_first in [true, false] {
        let (mut table, now) = (table(Policy::Auto), Instant::now());
        let (first, second) = match ours_first {
            true => (Dialler::Us, Dialler::Them),
            false => (Dialler::Them, Dialler::Us),
        };
        table.on_session(session(1, PEER, first, PathKind::Direct), now);
        table.on_quiet(SessionId(1), Some(Duration::from_secs(1)), now);
        table.on_session(session(2, PEER, second, PathKind::Direct), now);
        assert!(table.is_current(SessionId(2)), "ours first: {ours_first}");
        assert_eq!(table.sessions().count(), 1);
    }
}
