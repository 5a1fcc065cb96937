//! Which way is tried when, which session is used, and why: what breaks when one of these choices is made otherwise.

use super::{
    hint::{Hint, RelayAddress},
    path::{Attempt, Holding, Paths, Ways},
    policy::Policy,
    reason::Why,
    redial::Redial,
    state::{Action, Connections, Dialler, Limits, NewSession, Refusal, SessionId},
};
use crate::event::PathKind;
use p2p_shared::id::{FileHash, PublicKey};
use std::time::{Duration, Instant};

const ME: PublicKey = PublicKey([5; 32]);
const PEER: PublicKey = PublicKey([9; 32]);
const FILE: FileHash = FileHash([1; 32]);
const WAYS: Ways = Ways {
    addresses: true,
    relays: true,
    udp: false,
};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn table() -> Connections {
    Connections::new(ME, Limits::default(), Policy::Auto, 0)
}

fn hint(key: PublicKey, port: Option<u16>) -> Hint {
    Hint {
        key,
        addresses: port
            .map(|port| ([127, 0, 0, 1], port).into())
            .into_iter()
            .collect(),
        relays: vec![RelayAddress::of(None, &"http://relay.example".parse().unwrap()).unwrap()],
    }
}

fn session(id: u64, dialler: Dialler, path: PathKind) -> NewSession {
    NewSession {
        session: SessionId(id),
        key: PEER,
        dialler,
        path,
        listen: Vec::new(),
    }
}

fn tries(actions: &[Action]) -> Vec<(PublicKey, Attempt)> {
    let tries = actions.iter().filter_map(|action| match action {
        Action::Try { key, attempt, .. } => Some((*key, *attempt)),
        _ => None,
    });
    tries.collect()
}

/// Ways that were each tried so often in vain, the last time at `now`, and then begun again.
fn tried(times: u32, attempt: Attempt, now: Instant) -> Paths {
    let mut paths = Paths::new();
    for _ in 0..times {
        paths.on_begun(attempt);
        paths.on_failed(attempt, 0, now);
    }
    paths
}

fn hold(paths: &mut Paths, path: PathKind, quiet: bool, now: Instant) {
    paths.on_holding(Some(Holding { path, quiet }), now);
}

/// After how many milliseconds it is due, in steps of 50.
fn due_after(paths: &mut Paths, attempt: Attempt, now: Instant) -> Option<u64> {
    let mut times = (0..1_000_000).step_by(50);
    times.find(|after| {
        let due = paths.due(Policy::Auto, WAYS, true, now + ms(*after));
        due.contains(&attempt)
    })
}

#[test]
fn when_the_last_session_is_lost_other_ways_do_not_wait_out_their_pauses() {
    let now = Instant::now();
    let mut paths = tried(4, Attempt::Dial, now);
    hold(&mut paths, PathKind::Relayed, false, now);
    paths.on_holding(None, now);
    paths.on_lost(PathKind::Relayed, Redial::Soon, 0, now);
    assert_eq!(due_after(&mut paths, Attempt::Dial, now), Some(200));
}

#[test]
fn a_relay_that_was_not_known_ends_the_pause() {
    let now = Instant::now();
    let mut paths = tried(8, Attempt::Tunnel, now);
    assert!(due_after(&mut paths, Attempt::Tunnel, now) > Some(1000));
    paths.on_new_relay();
    assert_eq!(due_after(&mut paths, Attempt::Tunnel, now), Some(250));
}

#[test]
fn who_delivered_something_is_dialled_at_once_when_it_is_lost() {
    let now = Instant::now();
    let mut paths = tried(8, Attempt::Dial, now);
    hold(&mut paths, PathKind::Direct, false, now);
    paths.on_useful(PathKind::Direct);
    paths.on_holding(None, now);
    paths.on_lost(PathKind::Direct, Redial::Soon, 0, now);
    assert_eq!(due_after(&mut paths, Attempt::Dial, now), Some(200));
}

#[test]
fn rounds_for_a_better_path_begin_with_the_worse_one_whatever_failed_before() {
    let now = Instant::now();
    // Over before, or still under way.
    for (is_under_way, pauses) in [(false, [5_000, 15_000]), (true, [5_000, 15_000])] {
        let mut paths = tried(4, Attempt::Dial, now);
        if is_under_way {
            paths.on_begun(Attempt::Dial);
        }
        hold(&mut paths, PathKind::Relayed, false, now);
        if is_under_way {
            paths.on_failed(Attempt::Dial, 0, now);
        }
        let mut at = now;
        for pause in pauses {
            let after = due_after(&mut paths, Attempt::Dial, at).unwrap();
            assert_eq!(after, pause, "under way: {is_under_way}");
            at += ms(after);
            paths.on_begun(Attempt::Dial);
            paths.on_failed(Attempt::Dial, 0, at);
        }
    }
}

#[test]
fn for_a_silent_session_with_a_peer_of_which_nothing_is_wanted_no_tunnel_is_opened() {
    let now = Instant::now();
    let mut paths = Paths::new();
    hold(&mut paths, PathKind::Direct, true, now);
    assert_eq!(paths.due(Policy::Auto, WAYS, false, now), []);
    assert_eq!(paths.due(Policy::Auto, WAYS, true, now), [Attempt::Tunnel]);
}

#[test]
fn of_two_silent_sessions_none_is_let_go_and_none_is_given_up() {
    let (mut table, now) = (table(), Instant::now());
    table.want(FILE, Policy::Auto, [hint(PEER, Some(1))], now);
    table.on_session(session(1, Dialler::Us, PathKind::Direct), now);
    table.on_quiet(SessionId(1), Some(ms(1000)), now);
    table.on_session(session(2, Dialler::Us, PathKind::Relayed), now);
    assert!(table.is_current(SessionId(2)));
    for id in [2, 1] {
        let actions = table.on_quiet(SessionId(id), Some(ms(10_000)), now);
        let lets_go = |action: &Action| matches!(action, Action::Retire(_) | Action::Close { .. });
        // The other one is heard until both are not.
        assert!(id == 2 || !actions.iter().any(lets_go), "{actions:?}");
        if id == 2 {
            assert!(!actions.iter().any(lets_go), "{actions:?}");
        }
    }
    table.on_quiet(SessionId(2), None, now);
    let (session, why) = (SessionId(1), Refusal::Silent);
    let actions = table.on_quiet(session, Some(ms(10_000)), now);
    assert!(actions.contains(&Action::Close { session, why }));
}

#[test]
fn a_hole_that_is_punched_is_no_longer_being_punched_whoever_spoke_first() {
    let (mut table, now) = (table(), Instant::now());
    table.set_udp(true);
    let actions = table.want(FILE, Policy::Auto, [hint(PEER, None)], now);
    assert!(tries(&actions).contains(&(PEER, Attempt::Punch)));
    table.on_session(session(1, Dialler::Them, PathKind::Punched), now);
    assert!(!table.peers[&PEER].paths.is_under_way(Attempt::Punch));
}

#[test]
fn those_who_failed_least_come_first() {
    let limits = Limits {
        dials: 1,
        ..Limits::default()
    };
    let mut table = Connections::new(ME, limits, Policy::DirectOnly, 0);
    let (now, first) = (Instant::now(), PublicKey([1; 32]));
    let hints = [hint(first, Some(1)), hint(PEER, Some(2))];
    assert_eq!(
        tries(&table.want(FILE, Policy::Auto, hints, now)),
        [(first, Attempt::Dial)]
    );
    assert_eq!(
        tries(&table.on_failed(&first, Attempt::Dial, now)),
        [(PEER, Attempt::Dial)]
    );
    table.on_failed(&PEER, Attempt::Dial, now);
    // Both may be tried again, the first for the second time.
    let (later, other) = (now + ms(60_000), PublicKey([7; 32]));
    table.on_tick(later);
    table.hint(FILE, [hint(other, Some(3))], later);
    let actions = table.on_failed(&first, Attempt::Dial, later);
    assert_eq!(tries(&actions), [(other, Attempt::Dial)]);
}

#[test]
fn why_a_path_is_used_is_what_was_so() {
    let now = Instant::now();
    let relayed = |dialler| session(2, dialler, PathKind::Relayed);
    let why = |table: &Connections| table.why(&PEER, PathKind::Relayed);
    let mut came = table();
    came.on_session(relayed(Dialler::Them), now);
    assert_eq!(why(&came), Why::TheyCame);
    let mut policy = table();
    policy.want(FILE, Policy::RelayOnly, [hint(PEER, Some(1))], now);
    policy.on_session(relayed(Dialler::Us), now);
    assert_eq!(why(&policy), Why::Policy);
    let mut nowhere = table();
    nowhere.want(FILE, Policy::Auto, [hint(PEER, None)], now);
    nowhere.on_session(relayed(Dialler::Us), now);
    assert_eq!(why(&nowhere), Why::NoAddress);
    let mut lost = table();
    lost.want(FILE, Policy::Auto, [hint(PEER, Some(1))], now);
    lost.on_session(session(1, Dialler::Us, PathKind::Direct), now);
    lost.on_closed(SessionId(1), Redial::Soon, now);
    lost.on_session(relayed(Dialler::Us), now);
    assert_eq!(why(&lost), Why::Lost(PathKind::Direct));
}
