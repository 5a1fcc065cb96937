//! The table of peers, at random.

use super::*;
use crate::connection::hint::{Hint, RelayAddress};
use proptest::prelude::*;

const ME: PublicKey = PublicKey([5; 32]);
const PATHS: [PathKind; 3] = [PathKind::Direct, PathKind::Punched, PathKind::Relayed];

#[derive(Debug, Clone, Copy)]
enum Step {
    Want(u8, u8, Policy),
    Unwant(u8),
    Session(u8, bool, usize),
    Closed(u8),
    Failed(u8, usize),
    Attached(u8, u8),
    Quiet(u8, Option<u16>),
    Ban(u8),
    Wait(u16),
}

fn policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        4 => Just(Policy::Auto),
        1 => Just(Policy::Sequential),
        1 => Just(Policy::DirectOnly),
        1 => Just(Policy::RelayOnly),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..2u8, 0..6u8, policy()).prop_map(|(f, k, p)| Step::Want(f, k, p)),
        1 => (0..2u8).prop_map(Step::Unwant),
        4 => (0..6u8, any::<bool>(), 0..3usize).prop_map(|(k, us, p)| Step::Session(k, us, p)),
        2 => any::<u8>().prop_map(Step::Closed),
        2 => (0..6u8, 0..3usize).prop_map(|(k, a)| Step::Failed(k, a)),
        1 => (any::<u8>(), 0..2u8).prop_map(|(s, f)| Step::Attached(s, f)),
        2 => (any::<u8>(), prop::option::of(900..4000u16)).prop_map(|(s, q)| Step::Quiet(s, q)),
        1 => (0..6u8).prop_map(Step::Ban),
        3 => (0..20_000u16).prop_map(Step::Wait),
    ]
}

fn key(n: u8) -> PublicKey {
    PublicKey([n + 2; 32])
}

fn hint(peer: u8) -> Hint {
    let relay = RelayAddress::of(None, &"http://relay.example".parse().unwrap()).unwrap();
    Hint {
        key: key(peer),
        addresses: vec![SocketAddr::from(([127, 0, 0, 1], 1000))],
        relays: vec![relay],
    }
}

fn act(table: &mut Connections, step: Step, next: &mut u64, now: &mut Instant) -> Vec<Action> {
    let id = |session: u8| SessionId(session.into());
    let now_ = *now;
    match step {
        Step::Want(file, peer, policy) => table.want(FileHash([file; 32]), policy, [hint(peer)], now_),
        Step::Unwant(file) => {
            table.unwant(&FileHash([file; 32]));
            Vec::new()
        }
        Step::Session(peer, us, path) => {
            *next += 1;
            let new = NewSession {
                session: SessionId(*next),
                key: key(peer),
                dialler: if us { Dialler::Us } else { Dialler::Them },
                path: PATHS[path],
                listen: Vec::new(),
            };
            table.on_session(new, now_)
        }
        Step::Closed(session) => table.on_closed(id(session), Redial::Soon, now_),
        Step::Failed(peer, attempt) => table.on_failed(&key(peer), Attempt::ALL[attempt], now_),
        Step::Attached(session, file) => table.on_attached(id(session), FileHash([file; 32])),
        Step::Quiet(session, since) => {
            let since = since.map(|since| Duration::from_millis(since.into()));
            table.on_quiet(id(session), since, now_)
        }
        Step::Ban(peer) => table.ban(key(peer)),
        Step::Wait(milliseconds) => {
            *now += Duration::from_millis(milliseconds.into());
            table.on_tick(*now)
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_a_peer_is_used_by_one_session_and_tried_in_each_way_once(
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut table = Connections::new(ME, Limits::default(), Policy::Auto, 0);
        table.set_udp(true);
        let (mut now, mut next) = (Instant::now(), 0);
        let (mut pending, mut hidden) = (BTreeSet::new(), BTreeSet::new());
        for step in steps {
            match &step {
                Step::Failed(peer, attempt) => drop(pending.remove(&(key(*peer), Attempt::ALL[*attempt]))),
                Step::Session(peer, us, path) if *us || PATHS[*path] == PathKind::Punched => {
                    pending.remove(&(key(*peer), Attempt::to(PATHS[*path])));
                }
                _ => {}
            }
            for action in act(&mut table, step, &mut next, &mut now) {
                match action {
                    Action::Try { attempt, key, .. } => {
                        prop_assert!(pending.insert((key, attempt)), "{attempt:?} twice at once");
                        prop_assert!(!table.is_banned(&key) && key != ME);
                        let policy = table.peers[&key].policy(Policy::Auto);
                        prop_assert!(policy.allows(attempt.path()), "{attempt:?} under {policy:?}");
                        prop_assert!(!hidden.contains(&key) || attempt == Attempt::Tunnel, "shown by {attempt:?}");
                    }
                    Action::Offer { file, session, .. } => {
                        prop_assert!(table.is_current(session), "an offer of what is not used");
                        let kept = &table.sessions[&session];
                        let (_, path) = table.peers[&kept.key].links.current().unwrap();
                        prop_assert!(table.wanted[&file].allows(path));
                    }
                    Action::Close { session, .. } => {
                        prop_assert!(!table.sessions.contains_key(&session), "closed and kept");
                    }
                    Action::Retire(session) => prop_assert!(!table.is_current(session)),
                    Action::Hide(key) => prop_assert!(hidden.insert(key), "said twice"),
                    Action::Show(key) => prop_assert!(hidden.remove(&key), "shown and was not hidden"),
                }
            }
            for (key, peer) in &table.peers {
                let current = peer.links.current();
                let kept = current.is_none_or(|(session, _)| table.sessions.contains_key(&session));
                prop_assert!(kept, "{key} is used by a session that is not there");
                let policy = peer.policy(Policy::Auto);
                let is_allowed = current.is_none_or(|(_, path)| policy.allows(path));
                // Whoever is here directly when it is to be hidden from knows where we are.
                prop_assert!(is_allowed || !peer.files.is_empty() || peer.hidden);
            }
        }
    }
}
