//! When keys are replaced, and that no nonce serves twice.

use super::{SHORT_LIVED, open, pair, seal, standard_pair};
use crate::crypto::{
    aead::{Cipher, KEY, NONCE, Refused, TAG},
    epoch::{Direction, Limits},
    record::{KEY_LIFETIME, Opener, RecordError, Sealer},
};
use std::{cell::RefCell, collections::HashSet, time::Duration};

fn short_lived_pair() -> (Sealer, Opener) {
    pair(Direction::ToResponder, SHORT_LIVED)
}

#[test]
fn a_key_is_replaced_after_its_number_of_records() {
    let (mut sealer, mut opener) = short_lived_pair();
    for number in 0..40u8 {
        let record = seal(&mut sealer, &[number]);
        assert_eq!(
            record[0] & 0x80 != 0,
            number > 0 && number % 4 == 0,
            "record {number}"
        );
        assert_eq!(open(&mut opener, &record), Ok(vec![number]));
        assert_eq!(
            (sealer.epoch(), opener.epoch()),
            (u32::from(number / 4), u32::from(number / 4))
        );
    }
}

#[test]
fn a_key_is_replaced_after_its_number_of_bytes() {
    let (mut sealer, mut opener) = short_lived_pair();
    let epochs = [60, 39, 1, 1, 100, 1].map(|length| {
        let text = vec![9; length];
        assert_eq!(open(&mut opener, &seal(&mut sealer, &text)), Ok(text));
        assert_eq!(sealer.epoch(), opener.epoch());
        sealer.epoch()
    });
    assert_eq!(epochs, [0, 0, 0, 1, 1, 2]);
}

#[test]
fn a_key_is_replaced_after_its_lifetime() {
    let (mut sealer, mut opener) = standard_pair();
    let mut epoch_at = |age: Duration| {
        sealer.on_clock(age);
        let record = seal(&mut sealer, b"hello");
        open(&mut opener, &record).unwrap();
        assert_eq!(sealer.epoch(), opener.epoch());
        sealer.epoch()
    };
    let second = Duration::from_secs(1);
    assert_eq!(epoch_at(KEY_LIFETIME - second), 0);
    assert_eq!(epoch_at(KEY_LIFETIME), 1);
    assert_eq!(
        epoch_at(Duration::ZERO),
        1,
        "a clock that goes back changes nothing"
    );
    assert_eq!(epoch_at(KEY_LIFETIME * 2 - second), 1);
    assert_eq!(epoch_at(KEY_LIFETIME * 2), 2);
}

/// Else a receiver would be at the mercy of how carefully the sender counts.
#[test]
fn a_sender_that_does_not_replace_its_key_is_refused() {
    let (mut careless, _) = standard_pair();
    let (_, mut opener) = short_lived_pair();
    for _ in 0..SHORT_LIVED.records {
        open(&mut opener, &seal(&mut careless, b"hello")).unwrap();
    }
    assert_eq!(
        open(&mut opener, &seal(&mut careless, b"hello")),
        Err(RecordError::KeySpent)
    );
    assert_eq!(
        open(&mut opener, &seal(&mut careless, b"hello")),
        Err(RecordError::Closed)
    );
}

#[test]
fn a_record_of_an_earlier_key_does_not_open_under_the_next_one() {
    let (mut sealer, mut opener) = short_lived_pair();
    let earlier: Vec<_> = (0..4).map(|_| seal(&mut sealer, b"hello")).collect();
    for record in &earlier {
        open(&mut opener, record).unwrap();
    }
    let first_of_next = seal(&mut sealer, b"hello");
    let mut replayed = earlier[0].clone();
    replayed[0] |= 0x80;
    assert_eq!(open(&mut opener, &replayed), Err(RecordError::Forged));
    assert_eq!(open(&mut opener, &first_of_next), Err(RecordError::Closed));
}

thread_local! {
    static USED: RefCell<HashSet<([u8; KEY], [u8; NONCE])>> = RefCell::default();
}

/// A cipher that encrypts nothing and fails when a nonce is used twice under a key.
struct NonceWatcher([u8; KEY]);

impl Cipher for NonceWatcher {
    fn new(key: &[u8; KEY]) -> Result<Self, Refused> {
        Ok(Self(*key))
    }

    fn seal(&self, nonce: [u8; NONCE], _: &[u8], _: &mut [u8]) -> Result<[u8; TAG], Refused> {
        let fresh = USED.with_borrow_mut(|used| used.insert((self.0, nonce)));
        assert!(fresh, "a nonce was used twice");
        Ok([0; TAG])
    }

    fn open<'a>(&self, _: [u8; NONCE], _: &[u8], _: &'a mut [u8]) -> Result<&'a mut [u8], Refused> {
        Err(Refused)
    }
}

#[test]
fn no_nonce_is_used_twice_under_a_key_in_either_direction() {
    let limits = Limits {
        records: 16,
        bytes: u64::MAX,
    };
    let (mut one, _) = pair::<NonceWatcher>(Direction::ToResponder, limits);
    let (mut other, _) = pair::<NonceWatcher>(Direction::ToInitiator, limits);
    for _ in 0..2000 {
        seal(&mut one, b"hello");
        seal(&mut other, b"hello");
    }
    assert_eq!(USED.with_borrow(HashSet::len), 4000);
    assert_eq!(one.epoch(), 124);
}
