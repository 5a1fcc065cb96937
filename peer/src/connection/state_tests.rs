//! The table of peers, by sentences and at random.

use super::*;
use proptest::prelude::*;

const ME: PublicKey = PublicKey([5; 32]);
const SMALLER: PublicKey = PublicKey([1; 32]);
const LARGER: PublicKey = PublicKey([9; 32]);
const FILE: FileHash = FileHash([1; 32]);

fn table() -> Connections {
    Connections::new(ME, Limits::default(), 0)
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn hint(key: PublicKey) -> (PublicKey, Vec<SocketAddr>) {
    (key, vec![address(1000)])
}

fn new(session: SessionId, key: PublicKey, dialler: Dialler) -> NewSession {
    NewSession {
        session,
        key,
        dialler,
        listen: Vec::new(),
    }
}

fn dials(actions: &[Action]) -> Vec<PublicKey> {
    let dials = actions.iter().filter_map(|action| match action {
        Action::Dial { key, .. } => Some(*key),
        _ => None,
    });
    dials.collect()
}

#[test]
fn a_peer_of_a_wanted_file_is_dialled_once_and_offered_when_it_answers() {
    let mut table = table();
    let now = Instant::now();
    assert_eq!(dials(&table.want(FILE, [hint(LARGER)], now)), [LARGER]);
    assert_eq!(dials(&table.want(FILE, [hint(LARGER)], now)), []);
    let actions = table.on_session(new(SessionId(1), LARGER, Dialler::Us), now);
    assert_eq!(
        actions,
        [Action::Offer {
            file: FILE,
            session: SessionId(1)
        }]
    );
    assert_eq!(table.reach(&FILE).active, 1);
}

#[test]
fn we_do_not_dial_ourselves() {
    assert_eq!(table().want(FILE, [hint(ME)], Instant::now()), []);
}

#[test]
fn a_peer_that_does_not_answer_is_dialled_again_after_a_pause() {
    let mut table = table();
    let now = Instant::now();
    table.want(FILE, [hint(LARGER)], now);
    assert_eq!(table.on_dial_failed(&LARGER, now), []);
    assert_eq!(table.on_tick(now + Duration::from_millis(100)), []);
    assert_eq!(dials(&table.on_tick(now + Duration::from_millis(201))), [LARGER]);
}

#[test]
fn a_new_address_ends_the_pause() {
    let mut table = table();
    let now = Instant::now();
    table.want(FILE, [hint(LARGER)], now);
    table.on_dial_failed(&LARGER, now);
    assert_eq!(dials(&table.want(FILE, [(LARGER, vec![address(1000)])], now)), []);
    assert_eq!(
        dials(&table.want(FILE, [(LARGER, vec![address(2000)])], now)),
        [LARGER]
    );
}

#[test]
fn when_both_dial_at_once_both_keep_the_one_that_the_smaller_key_began() {
    // The same two sessions, seen from both sides, in both orders.
    for (me, them) in [(SMALLER, LARGER), (LARGER, SMALLER)] {
        for ours_first in [true, false] {
            let mut table = Connections::new(me, Limits::default(), 0);
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
    table.want(FILE, [hint(LARGER)], now);
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
    assert_eq!(table.want(FILE, [(LARGER, vec![address(7)])], now), []);
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
    table.want(FILE, [], now);
    let (file, session) = (FILE, SessionId(1));
    assert_eq!(
        table.on_attached(session, FILE),
        [Action::Offer { file, session }]
    );
    assert_eq!(table.offers(FILE), [Action::Offer { file, session }]);
}

#[test]
fn nobody_is_dialled_for_a_file_that_is_not_wanted_any_more() {
    let mut table = table();
    let now = Instant::now();
    table.want(FILE, [hint(LARGER)], now);
    table.on_dial_failed(&LARGER, now);
    table.unwant(&FILE);
    assert_eq!(table.on_tick(now + Duration::from_secs(10)), []);
    assert!(table.peers.is_empty());
}

#[test]
fn dials_and_sessions_stay_within_their_limits() {
    let limits = Limits {
        sessions: 3,
        dials: 2,
        known_per_file: 10,
        addresses: 2,
    };
    let mut table = Connections::new(ME, limits, 0);
    let now = Instant::now();
    let key = |n: u8| PublicKey([100 + n; 32]);
    let hints = (0..20).map(|n| (key(n), (0..5).map(|port| address(1000 + port)).collect()));
    let actions = table.want(FILE, hints, now);
    assert_eq!(dials(&actions), [key(0), key(1)]);
    assert!(matches!(&actions[0], Action::Dial { addresses, .. } if addresses.len() == 2));
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
    table.want(FILE, [], now);
    let offer = [Action::Offer { file, session }];
    assert_eq!(table.hint(FILE, [hint(LARGER)], now), offer);
    assert_eq!(table.hint(FILE, [hint(LARGER)], now), [], "said before");
}

#[test]
fn hints_for_a_file_that_nobody_wants_any_more_are_of_no_interest() {
    let mut table = table();
    let now = Instant::now();
    table.want(FILE, [], now);
    table.unwant(&FILE);
    assert_eq!(table.hint(FILE, [hint(LARGER)], now), []);
    assert_eq!(table.reach(&FILE), Reach::default());
}

#[test]
fn a_table_that_was_told_of_a_dial_under_way_does_not_begin_another() {
    let mut table = table();
    let now = Instant::now();
    table.on_dialling(LARGER);
    assert_eq!(table.want(FILE, [hint(LARGER)], now), []);
    assert_eq!(table.reach(&FILE).pending, 1);
    assert_eq!(table.on_dial_failed(&LARGER, now), []);
    assert_eq!(dials(&table.on_tick(now + Duration::from_secs(1))), [LARGER]);
}

#[test]
fn a_dial_that_fails_for_nobody_leaves_nothing_behind() {
    let mut table = table();
    let now = Instant::now();
    table.on_dialling(LARGER);
    table.on_dial_failed(&LARGER, now);
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

#[derive(Debug, Clone)]
enum Step {
    Want(u8, u8),
    Unwant(u8),
    Session(u8, bool),
    Closed(u8),
    Failed(u8),
    Attached(u8, u8),
    Ban(u8),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..2u8, 0..6u8).prop_map(|(f, k)| Step::Want(f, k)),
        1 => (0..2u8).prop_map(Step::Unwant),
        3 => (0..6u8, any::<bool>()).prop_map(|(k, us)| Step::Session(k, us)),
        2 => any::<u8>().prop_map(Step::Closed),
        2 => (0..6u8).prop_map(Step::Failed),
        1 => (any::<u8>(), 0..2u8).prop_map(|(s, f)| Step::Attached(s, f)),
        1 => (0..6u8).prop_map(Step::Ban),
        3 => (0..20_000u16).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_there_is_one_session_a_peer_and_no_dial_to_whom_we_have(
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut table = table();
        let mut now = Instant::now();
        let mut next = 0;
        let key = |n: u8| PublicKey([n + 2; 32]);
        for step in steps {
            let actions = match step {
                Step::Want(file, peer) => table.want(FileHash([file; 32]), [hint(key(peer))], now),
                Step::Unwant(file) => {
                    table.unwant(&FileHash([file; 32]));
                    Vec::new()
                }
                Step::Session(peer, us) => {
                    next += 1;
                    let dialler = if us { Dialler::Us } else { Dialler::Them };
                    table.on_session(new(SessionId(next), key(peer), dialler), now)
                }
                Step::Closed(session) => table.on_closed(SessionId(session.into()), Redial::Soon, now),
                Step::Failed(peer) => table.on_dial_failed(&key(peer), now),
                Step::Attached(session, file) => table.on_attached(SessionId(session.into()), FileHash([file; 32])),
                Step::Ban(peer) => table.ban(key(peer)),
                Step::Wait(milliseconds) => {
                    now += Duration::from_millis(milliseconds.into());
                    table.on_tick(now)
                }
            };
            let mut active = HashSet::new();
            for (session, key) in table.sessions() {
                prop_assert!(active.insert(key), "two sessions with {key}");
                let status = table.peers[&key].status;
                let current = matches!(status, Status::Active { session: kept, .. } if kept == session);
                prop_assert!(current, "a session that the table does not show");
            }
            for key in dials(&actions) {
                prop_assert!(!active.contains(&key) && !table.is_banned(&key) && key != ME);
            }
            for peer in table.peers.values() {
                let Status::Active { session, .. } = peer.status else { continue };
                prop_assert!(table.sessions.contains_key(&session), "an active peer without a session");
            }
        }
    }
}
