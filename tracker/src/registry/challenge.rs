//! Challenges that were given out and not answered yet.
//!
//! Each can be answered once, for a short while, by the key that asked for it. Bounded in number: when there are too
//! many, the oldest go, so a flood costs its peers a second try and the tracker no memory. Knows no clock.

use p2p_shared::{crypto::identity::Challenger, id::PublicKey};
use std::collections::{HashMap, VecDeque};

/// How long an answer may take, in milliseconds: many round trips of a slow link, too short to work on it elsewhere.
const LIFE: u64 = 30_000;

/// Open challenges at most, about 12 MiB.
const MOST: usize = 65_536;

type Nonce = [u8; 32];

/// The open challenges.
#[derive(Default)]
pub(crate) struct Challenges {
    open: HashMap<Nonce, Open>,
    /// In the order in which they end; may name some that were answered.
    ends: VecDeque<(u64, Nonce)>,
}

struct Open {
    key: PublicKey,
    challenger: Challenger,
}

impl Challenges {
    /// Keeps a challenge that was given to the holder of `key`.
    pub(crate) fn keep(&mut self, key: PublicKey, challenger: Challenger, now: u64) {
        self.forget_ended(now);
        let nonce = challenger.challenge().nonce;
        self.open.insert(nonce, Open { key, challenger });
        self.ends.push_back((now + LIFE, nonce));
    }

    /// Takes the challenge that `key` answers; `None` if there is none of this name for this key, or not any more.
    pub(crate) fn take(&mut self, nonce: &Nonce, key: &PublicKey, now: u64) -> Option<Challenger> {
        self.forget_ended(now);
        if self.open.get(nonce)?.key != *key {
            return None;
        }
        self.open.remove(nonce).map(|open| open.challenger)
    }

    fn forget_ended(&mut self, now: u64) {
        while let Some((end, nonce)) = self.ends.front() {
            if *end > now && self.ends.len() <= MOST {
                break;
            }
            self.open.remove(nonce);
            self.ends.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: PublicKey = PublicKey([7; 32]);

    fn given(challenges: &mut Challenges, now: u64) -> Nonce {
        let challenger = Challenger::new().unwrap();
        let nonce = challenger.challenge().nonce;
        challenges.keep(KEY, challenger, now);
        nonce
    }

    #[test]
    fn a_challenge_is_answered_once() {
        let mut challenges = Challenges::default();
        let nonce = given(&mut challenges, 0);
        assert!(challenges.take(&nonce, &KEY, 1).is_some());
        assert!(challenges.take(&nonce, &KEY, 1).is_none());
    }

    #[test]
    fn another_key_cannot_answer_nor_use_up_a_challenge() {
        let mut challenges = Challenges::default();
        let nonce = given(&mut challenges, 0);
        assert!(challenges.take(&nonce, &PublicKey([8; 32]), 1).is_none());
        assert!(challenges.take(&nonce, &KEY, 1).is_some());
    }

    #[test]
    fn a_late_answer_comes_to_nothing() {
        let mut challenges = Challenges::default();
        let nonce = given(&mut challenges, 0);
        assert!(challenges.take(&nonce, &KEY, LIFE).is_none());
    }

    #[test]
    fn the_number_of_open_challenges_is_bounded_and_the_latest_stays() {
        let mut challenges = Challenges::default();
        let first = given(&mut challenges, 0);
        let mut last = first;
        for _ in 0..MOST + 10 {
            last = given(&mut challenges, 1);
        }
        assert!(challenges.open.len() <= MOST + 1);
        assert!(challenges.take(&first, &KEY, 2).is_none());
        assert!(challenges.take(&last, &KEY, 2).is_some());
    }
}
