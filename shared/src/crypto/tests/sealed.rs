//! What a relay, or who broke the TLS to it, could try with sealed messages.

use super::one_bit_wrong;
use crate::{
    crypto::{
        identity::Identity,
        sealed::{MAX_PLAINTEXT, SEALED, SealedError, open, seal},
    },
    id::PublicKey,
    testing,
};
use proptest::{collection::vec, prelude::*};

fn sides() -> (Identity, Identity) {
    (testing::identity(1), testing::identity(2))
}

#[test]
fn who_it_is_for_opens_what_was_sealed() {
    let (sender, receiver) = sides();
    for length in [0, 1, 255, 256, MAX_PLAINTEXT] {
        let plaintext = testing::content(3, length);
        let sealed = seal(&sender, &receiver.public_key(), &plaintext).unwrap();
        let opened = open(&receiver, &sender.public_key(), &sealed).unwrap();
        assert_eq!(opened, plaintext);
    }
}

#[test]
fn every_sealed_message_has_the_same_length_and_no_two_are_alike() {
    let (sender, receiver) = sides();
    let seal = |plaintext: &[u8]| seal(&sender, &receiver.public_key(), plaintext).unwrap();
    assert_eq!(seal(b"").len(), SEALED);
    assert_eq!(seal(&[7; MAX_PLAINTEXT]).len(), SEALED);
    assert_ne!(seal(b"again"), seal(b"again"));
}

#[test]
fn what_does_not_fit_is_refused_before_it_is_sealed() {
    let (sender, receiver) = sides();
    let long = [0; MAX_PLAINTEXT + 1];
    let refused = seal(&sender, &receiver.public_key(), &long);
    assert!(matches!(refused, Err(SealedError::TooLong(511))), "{refused:?}");
}

#[test]
fn nobody_else_opens_it_not_even_its_sender() {
    let (sender, receiver) = sides();
    let other = testing::identity(3);
    let sealed = seal(&sender, &receiver.public_key(), b"for one only").unwrap();
    let (from, to) = (sender.public_key(), receiver.public_key());
    assert!(matches!(open(&other, &from, &sealed), Err(SealedError::Refused)));
    assert!(matches!(open(&sender, &to, &sealed), Err(SealedError::Refused)));
}

#[test]
fn a_relay_cannot_pass_it_off_as_somebody_elses() {
    let (sender, receiver) = sides();
    let other = testing::identity(3).public_key();
    let sealed = seal(&sender, &receiver.public_key(), b"from one only").unwrap();
    assert!(matches!(
        open(&receiver, &other, &sealed),
        Err(SealedError::Refused)
    ));
}

#[test]
fn every_flipped_bit_and_every_other_length_of_a_sealed_message_is_refused() {
    let (sender, receiver) = sides();
    let from = sender.public_key();
    let sealed = seal(&sender, &receiver.public_key(), b"unchanged").unwrap();
    for changed in one_bit_wrong(&sealed).step_by(3) {
        // The highest bit of an X25519 key is not used (RFC 7748 section 5), but it is hashed.
        assert!(open(&receiver, &from, &changed).is_err());
    }
    for length in [0, 1, 32, SEALED - 1] {
        assert!(open(&receiver, &from, &sealed[..length]).is_err(), "{length}");
    }
    let longer = [&sealed[..], &[0]].concat();
    assert!(open(&receiver, &from, &longer).is_err());
    assert_eq!(open(&receiver, &from, &sealed).unwrap(), b"unchanged");
}

#[test]
fn keys_that_no_honest_peer_has_and_our_own_are_refused() {
    let (sender, receiver) = sides();
    let zero = seal(&sender, &PublicKey([0; 32]), b"");
    assert!(matches!(zero, Err(SealedError::BadPublicKey)), "{zero:?}");
    let second_spelling = seal(&sender, &PublicKey([0xff; 32]), b"");
    assert!(matches!(second_spelling, Err(SealedError::BadPublicKey)));
    let own = sender.public_key();
    assert!(matches!(seal(&sender, &own, b""), Err(SealedError::Ourselves)));
    let sealed = seal(&receiver, &own, b"").unwrap();
    assert!(matches!(
        open(&sender, &own, &sealed),
        Err(SealedError::Ourselves)
    ));
    assert!(open(&sender, &PublicKey([0xff; 32]), &sealed).is_err());
}

#[test]
fn an_ephemeral_key_of_low_order_is_refused() {
    let (sender, receiver) = sides();
    let mut sealed = seal(&sender, &receiver.public_key(), b"").unwrap();
    sealed[..32].fill(0);
    let opened = open(&receiver, &sender.public_key(), &sealed);
    assert!(matches!(opened, Err(SealedError::BadPublicKey)), "{opened:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn garbage_never_opens(
        bytes in prop_oneof![vec(any::<u8>(), SEALED), vec(any::<u8>(), 0..2 * SEALED)],
    ) {
        let (sender, receiver) = sides();
        prop_assert!(open(&receiver, &sender.public_key(), &bytes).is_err());
    }
}
