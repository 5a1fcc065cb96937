//! Which session is used, when another one comes.

use super::*;

const PEER: PublicKey = PublicKey([1; 32]);

fn line(id: u64) -> Line<u64> {
    Line {
        id: SessionId(id),
        session: id,
        path: PathKind::Direct,
        reason: "because",
        known: Known::default(),
    }
}

fn used(lines: &Lines<u64>) -> Option<u64> {
    lines.used(&PEER).map(|line| line.session)
}

fn answer(lines: &mut Lines<u64>, id: u64) {
    let known = lines.known_mut(&PEER, SessionId(id)).unwrap();
    known.bits = Some(Bitfield::full(4));
    known.choked = false;
}

#[test]
fn the_first_session_is_used_at_once_and_offered_again_it_is_known() {
    let mut lines = Lines::default();
    assert_eq!(lines.join(PEER, line(1)), Joined::First);
    assert_eq!(lines.join(PEER, line(1)), Joined::Known);
    assert_eq!(used(&lines), Some(1));
}

#[test]
fn a_second_one_is_used_as_soon_as_it_can_be_asked_and_the_first_one_goes() {
    let mut lines = Lines::default();
    lines.join(PEER, line(1));
    assert_eq!(lines.join(PEER, line(2)), Joined::Next);
    assert_eq!(lines.switch(&PEER, Known::default()), None);
    assert_eq!(used(&lines), Some(1));
    answer(&mut lines, 2);
    assert_eq!(lines.switch(&PEER, Known::default()), Some(Some(SessionId(1))));
    assert_eq!(used(&lines), Some(2));
    assert_eq!(lines.role(&PEER, SessionId(1)), Role::Going);
    assert_eq!(
        lines.switch(&PEER, Known::default()),
        None,
        "nothing is coming any more"
    );
}

#[test]
fn one_that_goes_and_comes_back_is_known_as_it_was() {
    let mut lines = Lines::default();
    lines.join(PEER, line(1));
    lines.join(PEER, line(2));
    answer(&mut lines, 2);
    let known = Known {
        bits: Some(Bitfield::full(4)),
        choked: false,
        ..Known::default()
    };
    lines.switch(&PEER, known);
    lines.on_has(&PEER, SessionId(1), ChunkIndex(99));
    assert_eq!(lines.join(PEER, line(1)), Joined::Back);
    assert_eq!(lines.switch(&PEER, Known::default()), Some(Some(SessionId(2))));
    assert_eq!(used(&lines), Some(1));
}

#[test]
fn when_the_one_used_ends_the_next_is_used_even_if_it_has_said_nothing_yet() {
    let mut lines = Lines::default();
    lines.join(PEER, line(1));
    lines.join(PEER, line(2));
    assert_eq!(lines.end(&PEER, SessionId(1)), Role::Used);
    assert_eq!(lines.switch(&PEER, Known::default()), Some(None));
    assert_eq!(used(&lines), Some(2));
}

#[test]
fn one_that_is_coming_and_not_wanted_any_more_goes() {
    let mut lines = Lines::default();
    lines.join(PEER, line(1));
    lines.join(PEER, line(2));
    assert_eq!(lines.join(PEER, line(1)), Joined::Known);
    assert_eq!(lines.role(&PEER, SessionId(2)), Role::Going);
    answer(&mut lines, 2);
    assert_eq!(lines.switch(&PEER, Known::default()), None);
    assert_eq!(used(&lines), Some(1));
}

#[test]
fn when_all_have_ended_nothing_is_left() {
    let mut lines = Lines::default();
    lines.join(PEER, line(1));
    lines.join(PEER, line(2));
    for (id, role) in [(2, Role::Coming), (1, Role::Used), (1, Role::Unknown)] {
        assert_eq!(lines.end(&PEER, SessionId(id)), role);
    }
    assert!(lines.peers.is_empty());
}
