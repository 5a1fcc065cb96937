//! Both builds of the cipher under the records: the same bytes, the same refusals.

use super::{SHORT_LIVED, one_bit_wrong, open, pair, seal, standard_pair};
use crate::crypto::{
    aead::{AwsLc, Cipher, KEY, NONCE, Portable, Refused, TAG},
    epoch::{Direction, Limits},
    record::{MAX_PLAINTEXT, RECORD_HEADER, RecordError},
};
use proptest::prelude::*;
use std::cell::Cell;

/// A cipher that fails the first time, as one may that gets no memory.
struct FailsOnce(Cell<bool>);

impl Cipher for FailsOnce {
    fn new(_: &[u8; KEY]) -> Result<Self, Refused> {
        Ok(Self(Cell::new(false)))
    }

    fn seal(&self, _: [u8; NONCE], _: &[u8], _: &mut [u8]) -> Result<[u8; TAG], Refused> {
        if self.0.replace(true) {
            Ok([0; TAG])
        } else {
            Err(Refused)
        }
    }

    fn open<'a>(&self, _: [u8; NONCE], _: &[u8], _: &'a mut [u8]) -> Result<&'a mut [u8], Refused> {
        Err(Refused)
    }
}

/// Nobody knows what it did with the nonce.
#[test]
fn a_sealer_whose_cipher_fails_is_closed() {
    let (mut sealer, _) = pair::<FailsOnce>(Direction::ToResponder, Limits::STANDARD);
    for _ in 0..2 {
        assert_eq!(sealer.seal(&mut vec![0; 10]), Err(RecordError::Closed));
    }
}

proptest! {
    #[test]
    fn both_ciphers_make_the_same_records_and_open_each_others(
        texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..20),
    ) {
        let (mut fast, mut from_portable) = pair::<AwsLc>(Direction::ToInitiator, SHORT_LIVED);
        let (mut portable, mut from_fast) = pair::<Portable>(Direction::ToInitiator, SHORT_LIVED);
        for text in texts {
            let (one, other) = (seal(&mut fast, &text), seal(&mut portable, &text));
            prop_assert_eq!(&one, &other);
            prop_assert_eq!(&open(&mut from_fast, &one).unwrap(), &text);
            prop_assert_eq!(&open(&mut from_portable, &other).unwrap(), &text);
        }
    }

    #[test]
    fn any_bytes_at_all_are_refused_without_a_panic(
        header in any::<[u8; RECORD_HEADER]>(),
        mut body in prop::collection::vec(any::<u8>(), 0..100),
        fitting in any::<bool>(),
    ) {
        let header = if fitting { (body.len() as u32).to_be_bytes() } else { header };
        prop_assert!(standard_pair().1.open(header, &mut body.clone()).is_err());
        let (_, mut portable) = pair::<Portable>(Direction::ToResponder, Limits::STANDARD);
        prop_assert!(portable.open(header, &mut body).is_err());
    }
}

#[test]
fn both_ciphers_make_the_same_record_of_a_whole_chunk() {
    let text: Vec<u8> = (0..MAX_PLAINTEXT).map(|i| (i * 31 % 251) as u8).collect();
    let (mut fast, _) = pair::<AwsLc>(Direction::ToResponder, Limits::STANDARD);
    let (mut portable, _) = pair::<Portable>(Direction::ToResponder, Limits::STANDARD);
    assert!(seal(&mut fast, &text) == seal(&mut portable, &text));
}

#[test]
fn both_ciphers_refuse_every_flipped_bit() {
    let genuine = seal(&mut standard_pair().0, b"the quick brown fox");
    for wrong in one_bit_wrong(&genuine) {
        let (_, mut fast) = pair::<AwsLc>(Direction::ToResponder, Limits::STANDARD);
        let (_, mut portable) = pair::<Portable>(Direction::ToResponder, Limits::STANDARD);
        assert_eq!(open(&mut fast, &wrong), open(&mut portable, &wrong));
        assert_eq!(open(&mut fast, &genuine), Err(RecordError::Closed));
    }
}

/// Computed by an independent program from what `epoch.rs` and `record.rs` say: keys, nonces, associated data, header.
#[test]
fn records_are_what_they_were_when_version_1_was_written() {
    let (mut sealer, _) = pair::<Portable>(Direction::ToResponder, SHORT_LIVED);
    let records: Vec<_> = (0..5).map(|_| hex::encode(seal(&mut sealer, b"hello"))).collect();
    assert_eq!(records[0], "000000153b359214795744a753eb56aa6112b5957c43c0202d");
    assert_eq!(records[1], "000000158430e7094e74b35650a0d695c2e218b302863a31f7");
    assert_eq!(records[4], "800000158f65e0bf28a81b0b7763b84207652db29fe98c22b8");
    let (mut sealer, _) = pair::<Portable>(Direction::ToInitiator, SHORT_LIVED);
    assert_eq!(
        hex::encode(seal(&mut sealer, b"hello")),
        "00000015535fee306aea0a17f685beefd1282f138a35f75f81"
    );
}
