//! Who may be heard on the UDP port.
//!
//! Promises that QUIC sees no datagram from an address that nobody vouched for: an address is admitted when an authenticated probe came
//! from it (or a round of ours chose to dial it, which takes the same), and stays so as long as somebody holds the [`Admission`]. Everybody
//! else is counted and gets no byte. Knows which certificate a round expects of whom, and which STUN servers were asked what.

use super::Fingerprint;
use p2p_shared::holepunch::{
    probe::{RoundName, round_name},
    stun::TransactionId,
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::{mpsc, oneshot};

/// Datagrams of a round that wait to be looked at. A burst is a few from each address; more are a flood.
pub(super) const ROUND_QUEUE: usize = 64;
/// Rounds at a time. Each is with another peer and lasts seconds.
pub(super) const ROUNDS: usize = 64;

/// A datagram for a round: who sent it, and what it says.
pub(super) type Datagram = (SocketAddr, Box<[u8]>);

/// The list at the door. One for a socket; locks are held for a look-up, never across anything that waits.
#[derive(Debug, Default)]
pub(super) struct Guests {
    admitted: RwLock<HashMap<SocketAddr, Guest>>,
    asked: Mutex<HashMap<TransactionId, Asked>>,
    rounds: Mutex<HashMap<RoundName, mpsc::Sender<Datagram>>>,
    turned_away: AtomicU64,
}

#[derive(Debug, Default)]
struct Guest {
    /// How many hold an admission.
    holders: usize,
    /// Who waits for a connection from there.
    expected: Option<Expected>,
}

/// A connection that a round waits for.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    /// The certificate that it must show.
    pub pin: Fingerprint,
    /// Who waits.
    pub to: mpsc::Sender<quinn::Connecting>,
}

#[derive(Debug)]
struct Asked {
    server: SocketAddr,
    answer: oneshot::Sender<Box<[u8]>>,
}

/// An address may be heard as long as this lives.
#[derive(Debug)]
pub(super) struct Admission {
    guests: Arc<Guests>,
    pub address: SocketAddr,
}

/// A round hears what may be probes as long as this lives.
#[derive(Debug)]
pub(super) struct Hearing {
    guests: Arc<Guests>,
    round: RoundName,
    pub datagrams: mpsc::Receiver<Datagram>,
}

/// A STUN answer is waited for as long as this lives.
#[derive(Debug)]
pub(super) struct Question {
    guests: Arc<Guests>,
    transaction: TransactionId,
    pub answer: oneshot::Receiver<Box<[u8]>>,
}

impl Guests {
    /// Whether QUIC may see what comes from there.
    pub(super) fn is_admitted(&self, from: &SocketAddr) -> bool {
        read(&self.admitted).contains_key(from)
    }

    /// Lets QUIC see what comes from `address`.
    pub(super) fn admit(self: &Arc<Self>, address: SocketAddr) -> Admission {
        write(&self.admitted).entry(address).or_default().holders += 1;
        Admission {
            guests: Arc::clone(self),
            address,
        }
    }

    /// Who waits for a connection from there. Nobody: it gets no answer.
    pub(super) fn expected(&self, from: &SocketAddr) -> Option<Expected> {
        read(&self.admitted).get(from)?.expected.clone()
    }

    /// Begins to listen for the probes of a round. `None`: too many do, or somebody does for this one.
    pub(super) fn hear(self: &Arc<Self>, round: RoundName) -> Option<Hearing> {
        let (sender, datagrams) = mpsc::channel(ROUND_QUEUE);
        let mut rounds = lock(&self.rounds);
        if rounds.len() >= ROUNDS || rounds.contains_key(&round) {
            return None;
        }
        rounds.insert(round, sender);
        Some(Hearing {
            guests: Arc::clone(self),
            round,
            datagrams,
        })
    }

    /// Something that is neither STUN nor QUIC came: for the round that it names, which can tell whether it is authentic.
    pub(super) fn on_probe(&self, from: SocketAddr, datagram: &[u8]) {
        let rounds = lock(&self.rounds);
        let round = round_name(datagram).and_then(|name| rounds.get(&name));
        // Full: a flood, or a round that is about to end. Probes are repeated.
        if round.is_none_or(|round| round.try_send((from, datagram.into())).is_err()) {
            self.turn_away();
        }
    }

    /// Waits for the answer of `server`.
    pub(super) fn ask(self: &Arc<Self>, transaction: TransactionId, server: SocketAddr) -> Question {
        let (sender, answer) = oneshot::channel();
        let asked = Asked {
            server,
            answer: sender,
        };
        lock(&self.asked).insert(transaction, asked);
        Question {
            guests: Arc::clone(self),
            transaction,
            answer,
        }
    }

    /// A STUN message came: for who asked that server with that transaction.
    pub(super) fn on_stun(&self, from: SocketAddr, datagram: &[u8]) {
        let transaction = datagram
            .get(8..20)
            .and_then(|id| TransactionId::try_from(id).ok());
        let mut asked = lock(&self.asked);
        let answered = transaction
            .filter(|id| asked.get(id).is_some_and(|asked| asked.server == from))
            .and_then(|id| asked.remove(&id));
        match answered {
            // An error means that nobody waits any more.
            Some(asked) => drop(asked.answer.send(datagram.into())),
            None => self.turn_away(),
        }
    }

    /// Counts a datagram that nobody wanted.
    pub(super) fn turn_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    /// Datagrams that nobody wanted, so far.
    pub(super) fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }
}

impl Admission {
    /// Has connections from there that show the right certificate handed to a round, until [`Self::expect_no_more`].
    pub(super) fn expect(&self, expected: Expected) {
        if let Some(guest) = write(&self.guests.admitted).get_mut(&self.address) {
            guest.expected = Some(expected);
        }
    }

    /// No further connection is wanted from there.
    pub(super) fn expect_no_more(&self) {
        if let Some(guest) = write(&self.guests.admitted).get_mut(&self.address) {
            guest.expected = None;
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut admitted = write(&self.guests.admitted);
        if let Some(guest) = admitted.get_mut(&self.address) {
            guest.holders -= 1;
            if guest.holders == 0 {
                admitted.remove(&self.address);
            }
        }
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        lock(&self.guests.rounds).remove(&self.round);
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        lock(&self.guests.asked).remove(&self.transaction);
    }
}

// Every change is one call on a map, so what a panicking thread left behind is whole.

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use p2p_shared::holepunch::{probe::MAGIC, stun};

    fn address(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    #[test]
    fn an_address_is_heard_while_anybody_vouches_for_it() {
        let guests = Arc::new(Guests::default());
        assert!(!guests.is_admitted(&address(1)));
        let (first, second) = (guests.admit(address(1)), guests.admit(address(1)));
        drop(first);
        assert!(guests.is_admitted(&address(1)));
        assert!(!guests.is_admitted(&address(2)), "another port of that address");
        drop(second);
        assert!(!guests.is_admitted(&address(1)));
    }

    #[test]
    fn nobody_who_is_admitted_may_connect_unless_a_round_expects_it() {
        let guests = Arc::new(Guests::default());
        let admission = guests.admit(address(1));
        assert!(guests.expected(&address(1)).is_none());
        let (to, _connections) = mpsc::channel(1);
        let pin = [1; 32];
        admission.expect(Expected { pin, to });
        assert_eq!(guests.expected(&address(1)).unwrap().pin, pin);
        admission.expect_no_more();
        assert!(guests.expected(&address(1)).is_none());
    }

    #[tokio::test]
    async fn a_stun_answer_is_taken_only_from_who_was_asked_and_once() {
        let guests = Arc::new(Guests::default());
        let answer = stun::request([3; 12]);
        let mut question = guests.ask([3; 12], address(1));
        guests.on_stun(address(2), &answer);
        guests.on_stun(address(1), &stun::request([4; 12]));
        assert!(question.answer.try_recv().is_err());
        assert_eq!(guests.turned_away(), 2);
        guests.on_stun(address(1), &answer);
        assert_eq!(*question.answer.try_recv().unwrap(), *answer);
        guests.on_stun(address(1), &answer);
        assert_eq!(guests.turned_away(), 3, "a second answer");
    }

    #[test]
    fn a_question_that_nobody_waits_for_any_more_leaves_nothing_behind() {
        let guests = Arc::new(Guests::default());
        drop(guests.ask([3; 12], address(1)));
        assert!(lock(&guests.asked).is_empty());
    }

    fn probe(round: RoundName) -> Vec<u8> {
        [&MAGIC[..], &[1, 1, 0, 0], &round.0, &[0; 16]].concat()
    }

    #[test]
    fn a_round_hears_what_names_it_while_it_lasts() {
        let guests = Arc::new(Guests::default());
        let (ours, other) = (RoundName([1; 8]), RoundName([2; 8]));
        guests.on_probe(address(1), &probe(ours));
        assert_eq!(guests.turned_away(), 1, "nobody listens");
        let mut hearing = guests.hear(ours).unwrap();
        assert!(guests.hear(ours).is_none(), "one listener a round");
        guests.on_probe(address(1), &probe(other));
        guests.on_probe(address(1), &probe(ours)[1..]);
        assert_eq!(guests.turned_away(), 3);
        guests.on_probe(address(1), &probe(ours));
        assert_eq!(
            hearing.datagrams.try_recv().unwrap(),
            (address(1), probe(ours).into())
        );
        drop(hearing);
        assert!(guests.hear(ours).is_some());
    }

    #[test]
    fn rounds_and_what_waits_for_them_are_limited() {
        let guests = Arc::new(Guests::default());
        let name = |number: usize| RoundName([u8::try_from(number).unwrap(); 8]);
        let rounds: Vec<_> = (0..ROUNDS)
            .map(|number| guests.hear(name(number)).unwrap())
            .collect();
        assert!(guests.hear(name(ROUNDS)).is_none());
        for _ in 0..=ROUND_QUEUE {
            guests.on_probe(address(1), &probe(name(0)));
        }
        assert_eq!(guests.turned_away(), 1);
        drop(rounds);
    }
}
