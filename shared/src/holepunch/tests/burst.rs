//! Single steps of a round: what is sent where, what counts, what somebody on the path could try.

use super::beginning;
use crate::{
    holepunch::{
        burst::*,
        candidate::{Candidate, CandidateKind},
        probe::{Kind, PROBE, Probe, ProbeKey, Role},
        signal::{CertificateHash, RoundNonce},
    },
    testing,
};
use proptest::{collection::vec, prelude::*};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

const DELAY: Duration = Duration::from_millis(30);

/// Our side of a round as `role` and the other side's key.
fn round(role: Role, candidates: &[(CandidateKind, u16)]) -> (Round, ProbeKey) {
    let (one, two) = (testing::identity(1), testing::identity(2));
    let (own, other) = match Role::of(&one.public_key(), &two.public_key()) == role {
        true => (one, two),
        false => (two, one),
    };
    let (nonce, others) = (RoundNonce([1; 16]), RoundNonce([2; 16]));
    let round = Round {
        remote: other.public_key(),
        key: ProbeKey::new(&own, &nonce, &other.public_key(), &others).unwrap(),
        candidates: candidates
            .iter()
            .map(|&(kind, port)| Candidate {
                kind,
                address: at(port),
            })
            .collect(),
        certificate: CertificateHash([0; 32]),
        delay: DELAY,
    };
    let key = ProbeKey::new(&other, &others, &own.public_key(), &nonce).unwrap();
    (round, key)
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 7], port))
}

fn sent(actions: &[BurstAction]) -> Vec<(SocketAddr, [u8; PROBE])> {
    actions
        .iter()
        .filter_map(|action| match action {
            BurstAction::Send { to, packet } => Some((*to, *packet)),
            _ => None,
        })
        .collect()
}

fn outcome(actions: &[BurstAction]) -> Option<BurstAction> {
    actions
        .iter()
        .copied()
        .find(|action| matches!(action, BurstAction::Punched(_) | BurstAction::Failed(_)))
}

/// All that a round does when nothing comes.
fn run(burst: &mut Burst) -> Vec<(Instant, BurstAction)> {
    let mut all = Vec::new();
    while let Some(now) = burst.deadline() {
        let actions = burst.on_tick(now);
        assert!(
            !actions.is_empty() || burst.deadline() != Some(now),
            "a busy loop"
        );
        all.extend(actions.into_iter().map(|action| (now, action)));
    }
    all
}

fn probe(key: &ProbeKey, number: u16) -> [u8; PROBE] {
    let kind = Kind::Probe;
    key.seal(Probe { kind, number })
}

/// The answer to a probe that was sent.
fn answer(key: &ProbeKey, packet: &[u8]) -> [u8; PROBE] {
    let number = key.open(packet).unwrap().number;
    let kind = Kind::Answer;
    key.seal(Probe { kind, number })
}

const TWO: [(CandidateKind, u16); 2] = [(CandidateKind::Lan, 1), (CandidateKind::Reflexive, 2)];

#[test]
fn probes_are_10_to_200_ms_apart_for_two_seconds_and_then_the_round_fails() {
    let begin = beginning();
    let (round, key) = round(Role::Client, &[(CandidateKind::Reflexive, 1)]);
    let mut burst = Burst::new(round, begin);
    let all = run(&mut burst);
    let (last, probes) = all.split_last().unwrap();
    assert_eq!(last.1, BurstAction::Failed(BurstFailure::Silence));
    assert_eq!(last.0 - begin, DELAY + LONGEST);
    let times: Vec<u128> = probes
        .iter()
        .map(|(when, _)| (*when - begin - DELAY).as_millis())
        .collect();
    let expected = [
        0, 10, 30, 70, 150, 310, 510, 710, 910, 1110, 1310, 1510, 1710, 1910,
    ];
    assert_eq!(times, expected);
    let actions: Vec<BurstAction> = probes.iter().map(|(_, action)| *action).collect();
    let numbers: Vec<u16> = sent(&actions)
        .iter()
        .map(|(_, packet)| key.open(packet).unwrap().number)
        .collect();
    assert!(numbers.is_sorted() && numbers.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn a_probe_is_answered_by_one_packet_of_its_size_and_admits_its_address_once() {
    let begin = beginning();
    let (round, key) = round(Role::Server, &TWO);
    let mut burst = Burst::new(round, begin);
    let actions = burst.on_packet(begin, at(9), &probe(&key, 7));
    assert_eq!(actions[0], BurstAction::Admit(at(9)));
    let [(to, packet)] = sent(&actions)[..] else {
        panic!("{actions:?}");
    };
    let expected = Probe {
        kind: Kind::Answer,
        number: 7,
    };
    assert_eq!((to, key.open(&packet)), (at(9), Some(expected)));
    let again = burst.on_packet(begin, at(9), &probe(&key, 8));
    assert_eq!((again.len(), sent(&again).len()), (1, 1));
}

#[test]
fn an_address_that_nobody_named_is_probed_too() {
    let begin = beginning();
    let (round, key) = round(Role::Client, &TWO);
    let mut burst = Burst::new(round, begin);
    burst.on_packet(begin, at(9), &probe(&key, 7));
    let all: Vec<BurstAction> = run(&mut burst).into_iter().map(|(_, action)| action).collect();
    let to_it = sent(&all).iter().filter(|(to, _)| *to == at(9)).count();
    assert_eq!(to_it, 14);
    assert_eq!(all.last(), Some(&BurstAction::Failed(BurstFailure::OneWay)));
}

#[test]
fn a_probe_that_somebody_sends_again_from_elsewhere_gets_nothing() {
    let begin = beginning();
    let (round, key) = round(Role::Server, &TWO);
    let mut burst = Burst::new(round, begin);
    let packet = probe(&key, 7);
    burst.on_packet(begin, at(1), &packet);
    assert_eq!(burst.on_packet(begin, at(9), &packet), []);
}

#[test]
fn who_sends_from_everywhere_is_not_probed_everywhere() {
    let begin = beginning();
    let (round, key) = round(Role::Server, &TWO);
    let mut burst = Burst::new(round, begin);
    let answered = (0..100u16)
        .filter(|number| {
            let packet = probe(&key, *number);
            !burst.on_packet(begin, at(1_000 + number), &packet).is_empty()
        })
        .count();
    assert_eq!(answered, MAX_LEARNED);
}

#[test]
fn the_other_sides_probe_ends_the_wait() {
    let begin = beginning();
    let (round, key) = round(Role::Client, &TWO);
    let mut burst = Burst::new(round, begin);
    assert_eq!(burst.deadline(), Some(begin + DELAY));
    burst.on_packet(begin, at(1), &probe(&key, 0));
    assert_eq!(burst.deadline(), Some(begin));
    assert_eq!(sent(&burst.on_tick(begin)).len(), 2);
}

#[test]
fn the_best_address_that_answers_is_chosen_at_once() {
    let begin = beginning();
    let (round, key) = round(Role::Client, &TWO);
    let mut burst = Burst::new(round, begin);
    let probes = sent(&burst.on_tick(begin + DELAY));
    let now = begin + DELAY + Duration::from_millis(3);
    let actions = burst.on_packet(now, at(1), &answer(&key, &probes[0].1));
    let punched = Punched {
        address: at(1),
        kind: Some(CandidateKind::Lan),
        role: Role::Client,
        rtt: Duration::from_millis(3),
    };
    assert_eq!(outcome(&actions), Some(BurstAction::Punched(punched)));
    assert_eq!(burst.deadline(), None, "the client that has chosen is done");
}

#[test]
fn a_better_address_has_50_ms_to_answer_after_another_one() {
    for better_answers in [false, true] {
        let begin = beginning();
        let (round, key) = round(Role::Client, &TWO);
        let mut burst = Burst::new(round, begin);
        let probes = sent(&burst.on_tick(begin + DELAY));
        let now = begin + DELAY + Duration::from_millis(5);
        let actions = burst.on_packet(now, at(2), &answer(&key, &probes[1].1));
        assert_eq!(outcome(&actions), None);
        if better_answers {
            let later = now + Duration::from_millis(49);
            let actions = burst.on_packet(later, at(1), &answer(&key, &probes[0].1));
            let chosen = outcome(&actions);
            assert!(
                matches!(chosen, Some(BurstAction::Punched(punched)) if punched.address == at(1)),
                "{chosen:?}"
            );
        } else {
            let before = burst.on_tick(now + Duration::from_millis(49));
            assert_eq!(outcome(&before), None);
            let chosen = outcome(&burst.on_tick(now + Duration::from_millis(50)));
            assert!(
                matches!(chosen, Some(BurstAction::Punched(punched)) if punched.address == at(2)),
                "{chosen:?}"
            );
        }
    }
}

#[test]
fn an_answer_from_elsewhere_proves_nothing_about_the_address_that_was_probed() {
    let begin = beginning();
    let (round, key) = round(Role::Client, &[(CandidateKind::Reflexive, 1)]);
    let mut burst = Burst::new(round, begin);
    let probes = sent(&burst.on_tick(begin + DELAY));
    let now = begin + DELAY + Duration::from_millis(5);
    let actions = burst.on_packet(now, at(9), &answer(&key, &probes[0].1));
    assert_eq!(actions, [BurstAction::Admit(at(9))]);
    let next = burst.on_tick(now + Duration::from_millis(10));
    assert!(sent(&next).iter().any(|(to, _)| *to == at(9)));
    let later = burst.on_tick(now + Duration::from_millis(100));
    assert_eq!(outcome(&later), None);
}

#[test]
fn the_server_goes_on_for_the_clients_sake_and_says_nothing_more() {
    let begin = beginning();
    let (round, key) = round(Role::Server, &[(CandidateKind::Reflexive, 1)]);
    let mut burst = Burst::new(round, begin);
    let probes = sent(&burst.on_tick(begin + DELAY));
    let actions = burst.on_packet(begin + DELAY, at(1), &answer(&key, &probes[0].1));
    assert!(outcome(&actions).is_some());
    let later: Vec<BurstAction> = run(&mut burst).into_iter().map(|(_, action)| action).collect();
    assert!(sent(&later).len() >= 13);
    assert_eq!(outcome(&later), None);
    let late = begin + DELAY + LONGEST;
    assert_eq!(sent(&burst.on_packet(late, at(1), &probe(&key, 3))).len(), 1);
}

#[test]
fn a_failed_round_stays_failed() {
    let begin = beginning();
    let (round, key) = round(Role::Server, &TWO);
    let mut burst = Burst::new(round, begin);
    run(&mut burst);
    let late = begin + DELAY + LONGEST;
    assert_eq!(burst.on_packet(late, at(1), &probe(&key, 3)), []);
    assert_eq!(burst.on_tick(late), []);
}

#[test]
fn what_is_not_authentic_changes_nothing() {
    let begin = beginning();
    let (round, _) = round(Role::Server, &TWO);
    let own = probe(&round.key, 1);
    let mut burst = Burst::new(round, begin);
    for datagram in [&own[..], &[0; PROBE], b"", &own[..31]] {
        assert_eq!(burst.on_packet(begin, at(1), datagram), []);
    }
    assert_eq!(burst.deadline(), Some(begin + DELAY));
}

/// Something that happens to a round.
#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Probe { port: u16, number: u16 },
    Answer { port: u16, which: usize },
    Garbage(Vec<u8>),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..400u64).prop_map(Step::Wait),
        (0..30u16, 0..50u16).prop_map(|(port, number)| Step::Probe { port, number }),
        (0..5u16, 0..40usize).prop_map(|(port, which)| Step::Answer { port, which }),
        vec(any::<u8>(), 0..40).prop_map(Step::Garbage),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_a_round_has_one_outcome_and_a_bounded_cost(
        client in any::<bool>(),
        steps in vec(any_step(), 0..60),
    ) {
        let role = if client { Role::Client } else { Role::Server };
        let begin = beginning();
        let (round, key) = round(role, &TWO);
        let mut burst = Burst::new(round, begin);
        let (mut now, mut all, mut received) = (begin, Vec::new(), 0);
        for step in steps {
            let actions = match step {
                Step::Wait(milliseconds) => {
                    now += Duration::from_millis(milliseconds);
                    burst.on_tick(now)
                }
                Step::Probe { port, number } => {
                    received += 1;
                    burst.on_packet(now, at(port), &probe(&key, number))
                }
                Step::Answer { port, which } => match sent(&all).get(which) {
                    Some((_, packet)) => {
                        let number = key.open(packet).unwrap().number;
                        let kind = Kind::Answer;
                        burst.on_packet(now, at(port), &key.seal(Probe { kind, number }))
                    }
                    None => Vec::new(),
                },
                Step::Garbage(bytes) => {
                    let actions = burst.on_packet(now, at(1), &bytes);
                    prop_assert_eq!(&actions, &[]);
                    actions
                }
            };
            all.extend(actions);
        }
        all.extend(run(&mut burst).into_iter().map(|(_, action)| action));
        let outcomes = all.iter().filter(|action| outcome(&[**action]).is_some()).count();
        prop_assert_eq!(outcomes, 1);
        let mut probed: Vec<SocketAddr> = Vec::new();
        let mut answers = 0;
        for (to, packet) in sent(&all) {
            match key.open(&packet).unwrap().kind {
                Kind::Probe => probed.push(to),
                Kind::Answer => answers += 1,
            }
        }
        prop_assert!(answers <= received);
        // The gaps begin anew when an address is heard for the first time.
        let most = 2 * 14;
        prop_assert!(probed.len() <= (TWO.len() + MAX_LEARNED) * most);
        probed.sort_unstable();
        probed.dedup();
        prop_assert!(probed.len() <= TWO.len() + MAX_LEARNED);
        let mut admitted: Vec<SocketAddr> = all.iter().filter_map(|action| match action {
            BurstAction::Admit(from) => Some(*from),
            _ => None,
        }).collect();
        let before = admitted.len();
        admitted.sort_unstable();
        admitted.dedup();
        prop_assert_eq!(admitted.len(), before);
    }
}
