//! Single steps of the schedule: crossing offers, signals that come again, waits, wishes that end.

use super::beginning;
use crate::{
    crypto::identity::Identity,
    holepunch::{
        candidate::{Candidate, CandidateKind, Loopback},
        probe::Role,
        schedule::*,
        signal::{CertificateHash, Offer, PunchSignal, RoundNonce},
    },
    testing,
};
use proptest::{collection::vec, prelude::*};
use std::time::{Duration, Instant};

/// A peer and its schedule; time is in milliseconds.
struct Peer {
    identity: Identity,
    schedule: Schedule,
    begin: Instant,
    calls: u64,
}

/// The client and the server of one pair.
fn pair() -> [Peer; 2] {
    let begin = beginning();
    let mut both = [1, 2].map(testing::identity);
    both.sort_by_key(|identity| identity.public_key());
    let keys = both.each_ref().map(Identity::public_key);
    let [client, server] = both;
    let peer = |identity: Identity, other| Peer {
        schedule: Schedule::new(&identity.public_key(), other),
        identity,
        begin,
        calls: 0,
    };
    [peer(client, keys[1]), peer(server, keys[0])]
}

fn candidates() -> Vec<Candidate> {
    vec![
        Candidate {
            kind: CandidateKind::Lan,
            address: "127.0.0.1:9".parse().unwrap(),
        },
        Candidate {
            kind: CandidateKind::Reflexive,
            address: "198.51.100.7:9".parse().unwrap(),
        },
    ]
}

impl Peer {
    fn at(&self, milliseconds: u64) -> Instant {
        self.begin + Duration::from_millis(milliseconds)
    }

    fn with<T>(&mut self, run: impl FnOnce(&mut Schedule, &Ours<'_>) -> T) -> T {
        self.calls += 1;
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.calls.to_be_bytes());
        nonce[8..].copy_from_slice(&self.identity.public_key().0[..8]);
        let ours = Ours {
            identity: &self.identity,
            certificate: CertificateHash([7; 32]),
            candidates: &candidates(),
            loopback: Loopback::Refused,
            nonce: RoundNonce(nonce),
        };
        run(&mut self.schedule, &ours)
    }

    fn tick(&mut self, milliseconds: u64) -> Vec<ScheduleAction> {
        let now = self.at(milliseconds);
        self.with(|schedule, ours| schedule.on_tick(now, ours))
    }

    fn hear(&mut self, milliseconds: u64, signal: &PunchSignal) -> Vec<ScheduleAction> {
        let now = self.at(milliseconds);
        self.with(|schedule, ours| schedule.on_signal(now, ours, signal.clone()))
    }

    /// Wants a path and offers.
    fn offer(&mut self, milliseconds: u64) -> PunchSignal {
        self.schedule.want(self.at(milliseconds));
        only_signal(self.tick(milliseconds))
    }
}

fn only_signal(actions: Vec<ScheduleAction>) -> PunchSignal {
    match <[ScheduleAction; 1]>::try_from(actions) {
        Ok([ScheduleAction::Send(signal)]) => signal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_offers_says_start_and_begins_half_a_round_trip_later() {
    let [mut client, mut server] = pair();
    let offer = server.offer(0);
    let answer = only_signal(client.hear(40, &offer));
    let actions = server.hear(100, &answer);
    let [ScheduleAction::Send(start), ScheduleAction::Begin(round)] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(round.delay, Duration::from_millis(50));
    assert_eq!(round.key.role(), Role::Server);
    let actions = client.hear(150, start);
    let [ScheduleAction::Begin(other)] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(other.delay, Duration::ZERO);
    assert_eq!(other.key.name(), round.key.name());
    assert_eq!(other.certificate, CertificateHash([7; 32]));
    // Loopback is neither offered nor probed.
    for round in [round, other] {
        assert_eq!(round.candidates, candidates()[1..]);
    }
    let PunchSignal::Offer(Offer {
        candidates: named, ..
    }) = offer
    else {
        panic!("{offer:?}");
    };
    assert_eq!(named, candidates()[1..]);
}

#[test]
fn of_two_offers_that_cross_the_clients_counts() {
    let [mut client, mut server] = pair();
    let (from_client, from_server) = (client.offer(0), server.offer(0));
    assert!(client.hear(30, &from_server).is_empty());
    let answer = only_signal(server.hear(30, &from_client));
    assert_eq!(client.hear(60, &answer).len(), 2);
}

#[test]
fn a_recorded_offer_sent_again_is_worth_an_answer_a_second_and_no_packet() {
    let [mut client, mut server] = pair();
    let offer = client.offer(0);
    let old_answer = only_signal(server.hear(10, &offer));
    let old_start = match &client.hear(20, &old_answer)[..] {
        [ScheduleAction::Send(start), _] => start.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(server.hear(30, &old_start).len(), 1);
    server.schedule.on_failed(server.at(2_500));
    // Everything that was said is said again, many times.
    let (mut answers, mut begun) = (0, 0);
    for milliseconds in (3_000..13_000).step_by(50) {
        for recorded in [&offer, &old_start, &old_answer] {
            for action in server.hear(milliseconds, recorded) {
                match action {
                    ScheduleAction::Send(PunchSignal::Answer { .. }) => answers += 1,
                    ScheduleAction::Begin(_) => begun += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    assert_eq!((answers, begun), (10, 0));
}

#[test]
fn an_answer_or_a_start_that_names_another_nonce_is_ignored() {
    let [mut client, mut server] = pair();
    let offer = client.offer(0);
    let answer = only_signal(server.hear(10, &offer));
    let PunchSignal::Answer { offer: theirs, .. } = answer.clone() else {
        panic!("{answer:?}");
    };
    let to = RoundNonce([0xee; 16]);
    let wrong = PunchSignal::Answer { to, offer: theirs };
    assert!(client.hear(20, &wrong).is_empty());
    assert!(server.hear(20, &PunchSignal::Start { to }).is_empty());
    // The right ones still count, and once.
    let start = match &client.hear(30, &answer)[..] {
        [ScheduleAction::Send(start), ScheduleAction::Begin(_)] => start.clone(),
        other => panic!("{other:?}"),
    };
    assert!(client.hear(31, &answer).is_empty());
    assert_eq!(server.hear(40, &start).len(), 1);
    assert!(server.hear(41, &start).is_empty());
}

#[test]
fn while_a_round_goes_on_no_other_one_begins() {
    let [mut client, mut server] = pair();
    let offer = client.offer(0);
    let answer = only_signal(server.hear(10, &offer));
    client.hear(20, &answer);
    client.schedule.want(client.at(30));
    client.schedule.on_address_change(client.at(30));
    assert_eq!(client.schedule.deadline(), None);
    assert!(client.tick(100_000).is_empty());
    let other = PunchSignal::Offer(Offer {
        nonce: RoundNonce([5; 16]),
        certificate: CertificateHash([0; 32]),
        candidates: vec![],
    });
    assert!(client.hear(100_000, &other).is_empty());
    // It changed meanwhile: the next one comes at once.
    client.schedule.on_failed(client.at(100_001));
    assert_eq!(client.schedule.deadline(), Some(client.at(100_001)));
}

#[test]
fn an_offer_that_nobody_answers_is_made_again_after_the_waits() {
    let [mut client, _] = pair();
    client.offer(0);
    let mut now = 3_000;
    for (failures, wait) in WAITS.into_iter().chain([WAITS[3]; 3]).enumerate() {
        assert!(client.tick(now - 1).is_empty());
        assert!(client.tick(now).is_empty());
        assert_eq!(client.schedule.failures() as usize, failures + 1);
        now += wait.as_millis() as u64;
        assert!(client.tick(now - 1).is_empty(), "{failures}");
        only_signal(client.tick(now));
        now += SIGNAL_WAIT.as_millis() as u64;
    }
}

#[test]
fn an_answer_that_led_to_no_start_is_no_failure_of_ours() {
    let [mut client, mut server] = pair();
    let offer = client.offer(0);
    only_signal(server.hear(10, &offer));
    assert!(server.tick(3_010).is_empty());
    assert_eq!(server.schedule.failures(), 0);
    // It wanted nothing itself.
    assert_eq!(server.schedule.deadline(), None);
}

#[test]
fn nothing_is_offered_once_nothing_is_wanted_and_offers_are_still_answered() {
    let [mut client, mut server] = pair();
    client.schedule.want(client.at(0));
    client.schedule.unwant();
    assert_eq!(client.schedule.deadline(), None);
    client.offer(10);
    client.schedule.unwant();
    assert_eq!(client.schedule.deadline(), None);
    let offer = server.offer(20);
    only_signal(client.hear(30, &offer));
}

#[test]
fn a_path_ends_the_wish_and_the_next_wish_is_served_at_once() {
    let [mut client, mut server] = pair();
    let offer = client.offer(0);
    let answer = only_signal(server.hear(10, &offer));
    client.hear(20, &answer);
    client.schedule.on_punched();
    assert_eq!(client.schedule.deadline(), None);
    client.schedule.want(client.at(60_000));
    assert_eq!(client.schedule.deadline(), Some(client.at(60_000)));
}

#[test]
fn addresses_that_change_all_the_time_make_one_offer_a_second() {
    let [mut client, _] = pair();
    client.schedule.want(client.at(0));
    let mut offers = 0;
    for milliseconds in (0..10_000).step_by(10) {
        client.schedule.on_address_change(client.at(milliseconds));
        if !client.tick(milliseconds).is_empty() {
            offers += 1;
            client.schedule.on_failed(client.at(milliseconds));
        }
    }
    assert_eq!(offers, 10);
}

#[test]
fn a_peer_that_is_somewhere_else_now_is_tried_as_if_for_the_first_time() {
    let [mut client, _] = pair();
    let offer = |nonce, candidates| {
        PunchSignal::Offer(Offer {
            nonce: RoundNonce([nonce; 16]),
            certificate: CertificateHash([0; 32]),
            candidates,
        })
    };
    let mut failures_after = |seconds: u64, signal: PunchSignal| {
        only_signal(client.hear(seconds * 1_000, &signal));
        client.schedule.on_failed(client.at(seconds * 1_000));
        client.schedule.failures()
    };
    assert_eq!(failures_after(0, offer(1, candidates())), 1);
    assert_eq!(failures_after(5, offer(2, candidates())), 2);
    assert_eq!(failures_after(10, offer(3, candidates()[1..].to_vec())), 1);
}

proptest! {
    #[test]
    fn whatever_is_said_no_round_begins_that_the_other_side_did_not_agree_to(
        steps in vec((0..6u8, 0..2_000u64, any::<[u8; 16]>()), 0..60),
    ) {
        let [mut client, _] = pair();
        let mut now = 0;
        client.schedule.want(client.at(0));
        let mut offers = Vec::new();
        for (step, wait, nonce) in steps {
            now += wait;
            let nonce = RoundNonce(nonce);
            let offer = Offer { nonce, certificate: CertificateHash([1; 32]), candidates: candidates() };
            let actions = match step {
                0 => client.tick(now),
                1 => client.hear(now, &PunchSignal::Offer(offer)),
                2 => client.hear(now, &PunchSignal::Answer { to: nonce, offer }),
                3 => client.hear(now, &PunchSignal::Start { to: nonce }),
                4 => {
                    client.schedule.on_address_change(client.at(now));
                    Vec::new()
                }
                _ => {
                    client.schedule.on_failed(client.at(now));
                    Vec::new()
                }
            };
            for action in actions {
                match action {
                    ScheduleAction::Begin(round) => prop_assert!(false, "{round:?}"),
                    ScheduleAction::Send(PunchSignal::Offer(_)) => offers.push(now),
                    ScheduleAction::Send(PunchSignal::Answer { .. }) => {}
                    ScheduleAction::Send(start) => prop_assert!(false, "{start:?}"),
                }
            }
            // There is always something to wait for, as long as a path is wanted.
            prop_assert!(client.schedule.deadline().is_some());
        }
        prop_assert!(offers.windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{offers:?}");
    }
}
