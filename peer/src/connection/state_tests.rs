//! The table of peers, by sentences and at random.

use super::*;
use crate::connection::{
    hint::{Hint, RelayAddress},
    reason::Why,
};

const ME: PublicKey = PublicKey([5; 32]);
const SMALLER: PublicKey = PublicKey([1; 32]);
const LARGER: PublicKey = PublicKey([9; 32]);
const FILE: FileHash = FileHash([1; 32]);

fn table() -> Connections {
    Connections::new(ME, Limits::default(), Policy::Auto, 0)
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn hint(key: PublicKey) -> Hint {
    at(key, vec![address(1000)])
}

fn at(key: PublicKey, addresses: Vec<SocketAddr>) -> Hint {
    Hint {
        key,
        addresses,
        relays: Vec::new(),
    }
}

fn relay() -> RelayAddress {
    RelayAddress::of(None, &"http://relay.example".parse().unwrap()).unwrap()
}

/// Somebody with an address and a relay.
fn either(key: PublicKey) -> Hint {
    Hint {
        relays: vec![relay()],
        ..hint(key)
    }
}

fn new(session: SessionId, key: PublicKey, dialler: Dialler) -> NewSession {
    NewSession {
        session,
        key,
        dialler,
        path: PathKind::Direct,
        listen: Vec::new(),
    }
}

fn relayed(session: SessionId, key: PublicKey, dialler: Dialler) -> NewSession {
    NewSession {
        path: PathKind::Relayed,
        ..new(session, key, dialler)
    }
}

fn tries(actions: &[Action], wanted: Attempt) -> Vec<PublicKey> {
    let tries = actions.iter().filter_map(|action| match action {
        Action::Try { attempt, key, .. } if *attempt == wanted => Some(*key),
        _ => None,
    });
    tries.collect()
}

fn offered(actions: &[Action]) -> Vec<(FileHash, SessionId)> {
    let offers = actions.iter().filter_map(|action| match action {
        Action::Offer { file, session, .. } => Some((*file, *session)),
        _ => None,
    });
    offers.collect()
}

fn dials(actions: &[Action]) -> Vec<PublicKey> {
    tries(actions, Attempt::Dial)
}

#[test]
fn a_peer_of_a_wanted_file_is_dialled_once_and_offered_when_it_answers() {
    let mut table = table();
    let now = Instant::now();
    assert_eq!(
        dials(&table.want(FILE, Policy::Auto, [hint(LARGER)], now)),
        [LARGER]
    );
    assert_eq!(dials(&table.want(FILE, Policy::Auto, [hint(LARGER)], now)), []);
    let actions = table.on_session(new(SessionId(1), LARGER, Dialler::Us), now);
    assert_eq!(offered(&actions), [(FILE, SessionId(1))]);
    assert_eq!(table.reach(&FILE).active, 1);
}

#[test]
fn we_do_not_dial_ourselves() {
    assert_eq!(table().want(FILE, Policy::Auto, [hint(ME)], Instant::now()), []);
}

#[test]
fn a_peer_that_does_not_answer_is_dialled_again_after_a_pause() {
    let mut table = table();
    let now = Instant::now();
    table.want(FILE, Policy::Auto, [hint(LARGER)], now);
    assert_eq!(table.on_failed(&LARGER, Attempt::Dial, now), []);
    assert_eq!(table.on_tick(now + Duration::from_millis(100)), []);
    assert_eq!(dials(&table.on_tick(now + Duration::from_millis(201))), [LARGER]);
}

#[test]
fn a_new_address_ends_the_pause() {
    let mut table = table();
    let now = Instant::now();
    table.want(FILE, Policy::Auto, [hint(LARGER)], now);
    table.on_failed(&LARGER, Attempt::Dial, now);
    assert_eq!(
        dials(&table.want(FILE, Policy::Auto, [at(LARGER, vec![address(1000)])], now)),
        []
    );
    assert_eq!(
        dials(&table.want(FILE, Policy::Auto, [at(LARGER, vec![address(2000)])], now)),
        [LARGER]
    );
}

#[test]
fn when_both_dial_at_once_both_keep_the_one_that_the_smaller_key_began() {
    // The same two sessions, seen from both sides, in both orders.
    for (me, them) in [(SMALLER, LARGER), (LARGER, SMALLER)] {
        for ours_first in [true, false] {
            let mut table = Connections::new(me, Limits::default(), Policy::Auto, 0);
            let now = Instant::now();
            let (ours, theirs) = ((SessionId(1), Dialler::Us), (SessionId(2), Dialler::Them));
            let order = if ours_first {
                [ours, theirs]
            } else {
                [theirs, ours]
            };
            let actions: Vec<_> = order
                .into_iter()
                .flat_map(|(session, dialler)| table.on_session(new(session, them, dialler), now))
                .collect();
            let loser = if me == SMALLER { SessionId(2) } else { SessionId(1) };
            let why = Refusal::Redundant;
            assert_eq!(actions, [Action::Close { session: loser, why }]);
            assert_eq!(table.sessions().count(), 1);
        }
    }
}

#[test]
fn a_peer_that_dials_again_has_lost_the_old_session() {
    let mut table = table();
    let now = Instant::now();
    table.on_session(new(SessionId(1), LARGER, Dialler::Them), now);
    let actions = table.on_session(new(SessionId(2), LARGER, Dialler::Them), now);
    let why = Refusal::Redundant;
    assert_eq!(
        actions,
        [Action::Close {
            session: SessionId(1),
            why
        }]
    );
    // Its end, told late, does not touch the new one.
    table.on_closed(SessionId(1), Redial::Soon, now);
    assert_eq!(table.sessions().collect::<Vec<_>>(), [(SessionId(2), LARGER)]);
}

#[test]
fn a_lost_session_is_dialled_again_and_a_banned_peer_never() {
    let mut table = table();
    let now = Instant::now();
    table.want(FILE, Policy::Auto, [hint(LARGER)], now);
    table.on_session(new(SessionId(1), LARGER, Dialler::Us), now);
    table.on_closed(SessionId(1), Redial::Soon, now);
    assert_eq!(dials(&table.on_tick(now + Duration::from_secs(1))), [LARGER]);
    table.on_session(new(SessionId(2), LARGER, Dialler::Us), now);
    let why = Refusal::Banned;
    assert_eq!(
        table.ban(LARGER),
        [Action::Close {
            session: SessionId(2),
            why
        }]
    );
    table.on_closed(SessionId(2), Redial::Soon, now);
    assert_eq!(
        table.want(FILE, Policy::Auto, [at(LARGER, vec![address(7)])], now),
        []
    );
    assert_eq!(table.on_tick(now + Duration::from_secs(10_000)), []);
    assert_eq!(
        table.on_session(new(SessionId(3), LARGER, Dialler::Them), now),
        [Action::Close {
            session: SessionId(3),
            why
        }]
    );
}

#[test]
fn a_leecher_that_comes_to_us_is_offered_to_our_own_download_of_the_file() {
    let mut table = table();
    let now = Instant::now();
    table.on_session(new(SessionId(1), LARGER, Dialler::Them), now);
    assert_eq!(table.on_attached(SessionId(1), FILE), []);
    table.want(FILE, Policy::Auto, [], now);
    let (file, session) = (FILE, SessionId(1));
    assert_eq!(offered(&table.on_attached(session, FILE)), [(file, session)]);
    assert_eq!(offered(&table.offers(FILE)), [(file, session)]);
}

#[test]
fn nobody_is_dialled_for_a_file_that_is_not_wanted_any_more() {
    let mut table = table();
    let now = Instant::now();
    table.want(FILE, Policy::Auto, [hint(LARGER)], now);
    table.on_failed(&LARGER, Attempt::Dial, now);
    table.unwant(&FILE);
    assert_eq!(table.on_tick(now + Duration::from_secs(10)), []);
    assert!(table.peers.is_empty());
}

#[test]
fn dials_and_sessions_stay_within_their_limits() {
    let limits = Limits {
        sessions: 3,
        guests: 3,
        dials: 2,
        known_per_file: 10,
        addresses: 2,
    };
    let mut table = Connections::new(ME, limits, Policy::Auto, 0);
    let now = Instant::now();
    let key = |n: u8| PublicKey([100 + n; 32]);
    let hints = (0..20).map(|n| at(key(n), (0..5).map(|port| address(1000 + port)).collect()));
    let actions = table.want(FILE, Policy::Auto, hints, now);
    assert_eq!(dials(&actions), [key(0), key(1)]);
    assert!(matches!(&actions[0], Action::Try { addresses, .. } if addresses.len() == 2));
    assert_eq!(table.peers.len(), 10);
    assert_eq!(
        dials(&table.on_session(new(SessionId(0), key(0), Dialler::Us), now)),
        [key(2)]
    );
    assert_eq!(
        dials(&table.on_session(new(SessionId(1), key(1), Dialler::Us), now)),
        []
    );
    table.on_session(new(SessionId(2), key(2), Dialler::Us), now);
    let why = Refusal::Full;
    assert_eq!(
        table.on_session(new(SessionId(3), key(3), Dialler::Them), now),
        [Action::Close {
            session: SessionId(3),
            why
        }]
    );
}

#[test]
fn a_peer_that_is_connected_for_another_file_is_offered_as_soon_as_it_is_said_to_have_this_one() {
    let mut table = table();
    let now = Instant::now();
    let (file, session) = (FILE, SessionId(1));
    table.on_session(new(session, LARGER, Dialler::Us), now);
    table.want(FILE, Policy::Auto, [], now);
    let offers = table.hint(FILE, [hint(LARGER)], now);
    assert_eq!(offered(&offers), [(file, session)]);
    assert_eq!(table.hint(FILE, [hint(LARGER)], now), [], "said before");
}

#[test]
fn hints_for_a_file_that_nobody_wants_any_more_are_of_no_interest() {
    let mut table = table();
    let now = Instant::now();
    table.want(FILE, Policy::Auto, [], now);
    table.unwant(&FILE);
    assert_eq!(table.hint(FILE, [hint(LARGER)], now), []);
    assert_eq!(table.reach(&FILE), Reach::default());
}

#[test]
fn a_table_that_was_told_of_a_dial_under_way_does_not_begin_another() {
    let mut table = table();
    let now = Instant::now();
    table.on_trying(LARGER, Attempt::Dial);
    assert_eq!(table.want(FILE, Policy::Auto, [hint(LARGER)], now), []);
    assert_eq!(table.reach(&FILE).pending, 1);
    assert_eq!(table.on_failed(&LARGER, Attempt::Dial, now), []);
    assert_eq!(dials(&table.on_tick(now + Duration::from_secs(1))), [LARGER]);
}

#[test]
fn a_dial_that_fails_for_nobody_leaves_nothing_behind() {
    let mut table = table();
    let now = Instant::now();
    table.on_trying(LARGER, Attempt::Dial);
    table.on_failed(&LARGER, Attempt::Dial, now);
    assert!(table.peers.is_empty());
}

#[test]
fn a_session_that_is_introduced_late_does_not_replace_the_one_that_replaced_it() {
    let mut table = table();
    let now = Instant::now();
    table.on_session(new(SessionId(1), LARGER, Dialler::Us), now);
    table.on_session(new(SessionId(2), LARGER, Dialler::Us), now);
    let (session, why) = (SessionId(1), Refusal::Redundant);
    assert_eq!(
        table.on_session(new(session, LARGER, Dialler::Us), now),
        [Action::Close { session, why }]
    );
    assert_eq!(table.sessions().collect::<Vec<_>>(), [(SessionId(2), LARGER)]);
}

#[test]
fn with_no_direct_path_the_relay_is_asked_in_time_for_half_a_second_and_offered() {
    let mut table = table();
    let now = Instant::now();
    let at = |ms| now + Duration::from_millis(ms);
    let actions = table.want(FILE, Policy::Auto, [either(LARGER)], now);
    assert_eq!(dials(&actions), [LARGER]);
    assert_eq!(tries(&actions, Attempt::Tunnel), []);
    assert_eq!(table.on_tick(at(249)), []);
    let actions = table.on_tick(at(250));
    assert_eq!(tries(&actions, Attempt::Tunnel), [LARGER]);
    assert!(matches!(&actions[0], Action::Try { not_before, .. } if *not_before == Some(at(500))));
    assert!(
        matches!(&actions[0], Action::Try { relays, addresses, .. } if *relays == [relay()] && addresses.is_empty())
    );
    let offers = table.on_session(relayed(SessionId(1), LARGER, Dialler::Us), at(600));
    let (file, session, why) = (FILE, SessionId(1), Why::NothingDirect);
    assert_eq!(offers, [Action::Offer { file, session, why }]);
}

#[test]
fn a_better_path_is_offered_and_the_worse_session_retired_on_both_sides() {
    for dialler in [Dialler::Us, Dialler::Them] {
        let mut table = table();
        let now = Instant::now();
        table.want(FILE, Policy::Auto, [either(LARGER)], now);
        table.on_session(relayed(SessionId(1), LARGER, dialler), now);
        let actions = table.on_session(new(SessionId(2), LARGER, dialler), now);
        assert_eq!(offered(&actions), [(FILE, SessionId(2))]);
        assert!(actions.contains(&Action::Retire(SessionId(1))), "{actions:?}");
        // It is there until it ends, which is no loss.
        assert_eq!(table.sessions().count(), 2);
        assert_eq!(table.on_closed(SessionId(1), Redial::Soon, now), []);
        assert!(table.is_current(SessionId(2)));
    }
}

#[test]
fn a_tunnel_of_ours_that_comes_after_the_direct_session_is_not_kept_and_one_of_theirs_stands_by() {
    let mut table = table();
    let now = Instant::now();
    table.want(FILE, Policy::Auto, [either(LARGER)], now);
    table.on_session(new(SessionId(1), LARGER, Dialler::Us), now);
    let (session, why) = (SessionId(2), Refusal::Redundant);
    let actions = table.on_session(relayed(session, LARGER, Dialler::Us), now);
    assert_eq!(actions, [Action::Close { session, why }]);
    // They may know that the direct one is broken.
    assert_eq!(
        table.on_session(relayed(SessionId(3), LARGER, Dialler::Them), now),
        []
    );
    assert!(table.is_current(SessionId(1)));
    let actions = table.on_closed(SessionId(1), Redial::Soon, now);
    assert_eq!(offered(&actions), [(FILE, SessionId(3))]);
}

#[test]
fn a_session_that_falls_silent_has_a_tunnel_opened_beside_it_and_is_closed_if_it_stays_silent() {
    let mut table = table();
    let now = Instant::now();
    let at = |ms| now + Duration::from_millis(ms);
    let quiet = |ms| Some(Duration::from_millis(ms));
    table.want(FILE, Policy::Auto, [either(LARGER)], now);
    table.on_session(new(SessionId(1), LARGER, Dialler::Us), now);
    let actions = table.on_quiet(SessionId(1), quiet(1000), at(1000));
    assert_eq!(tries(&actions, Attempt::Tunnel), [LARGER]);
    let offers = table.on_session(relayed(SessionId(2), LARGER, Dialler::Us), at(1100));
    let (file, session, why) = (FILE, SessionId(2), Why::Silence);
    assert_eq!(offers[0], Action::Offer { file, session, why });
    // A new connection may get through where the old one does not.
    assert_eq!(dials(&offers), [LARGER]);
    assert_eq!(table.on_quiet(SessionId(1), quiet(1500), at(1500)), []);
    let (session, why) = (SessionId(1), Refusal::Silent);
    let actions = table.on_quiet(session, quiet(1750), at(1750));
    assert_eq!(actions, [Action::Close { session, why }]);
    assert!(table.is_current(SessionId(2)));
    // Better is looked for from then on.
    assert_eq!(table.on_failed(&LARGER, Attempt::Dial, at(6100)), []);
    assert_eq!(dials(&table.on_tick(at(11_100))), [LARGER]);
}

#[test]
fn a_session_that_is_heard_again_is_used_again_and_the_tunnel_let_go() {
    let mut table = table();
    let now = Instant::now();
    table.want(FILE, Policy::Auto, [either(LARGER)], now);
    table.on_session(new(SessionId(1), LARGER, Dialler::Us), now);
    table.on_quiet(SessionId(1), Some(Duration::from_secs(1)), now);
    table.on_session(relayed(SessionId(2), LARGER, Dialler::Us), now);
    let actions = table.on_quiet(SessionId(1), None, now);
    assert_eq!(offered(&actions), [(FILE, SessionId(1))]);
    assert!(actions.contains(&Action::Retire(SessionId(2))));
}

#[test]
fn a_silent_session_without_another_one_is_left_alone() {
    let mut table = table();
    let now = Instant::now();
    table.want(FILE, Policy::Auto, [hint(LARGER)], now);
    table.on_session(new(SessionId(1), LARGER, Dialler::Us), now);
    assert_eq!(
        table.on_quiet(SessionId(1), Some(Duration::from_secs(10)), now),
        []
    );
    assert!(table.is_current(SessionId(1)));
}

#[test]
fn what_is_wanted_through_relays_only_is_not_offered_over_a_direct_session() {
    let mut table = table();
    let now = Instant::now();
    table.on_session(new(SessionId(1), LARGER, Dialler::Them), now);
    let actions = table.want(FILE, Policy::RelayOnly, [either(LARGER)], now);
    assert_eq!((offered(&actions), dials(&actions)), (vec![], vec![]));
    assert_eq!(tries(&actions, Attempt::Tunnel), [LARGER]);
    assert_eq!(table.offers(FILE), []);
    let offers = table.on_session(relayed(SessionId(2), LARGER, Dialler::Us), now);
    assert_eq!(offered(&offers), [(FILE, SessionId(2))]);
}

#[test]
fn who_comes_through_a_relay_is_dialled_where_it_listens_though_nothing_is_wanted_of_it() {
    let mut table = table();
    let now = Instant::now();
    let come = NewSession {
        listen: vec![address(7)],
        ..relayed(SessionId(1), LARGER, Dialler::Them)
    };
    assert_eq!(dials(&table.on_session(come, now)), [LARGER]);
}
