//! The handshake between two identities, and everything that must make it fail.

use super::{one_bit_wrong, open, seal};
use crate::{
    crypto::{
        handshake::{
            Carrier, FIRST_MESSAGE, HandshakeError, Initiator, MAX_HANDSHAKE_MESSAGE, Responder,
            SECOND_MESSAGE, SessionKeys, Unproven,
        },
        identity::Identity,
        record::RecordError,
    },
    id::PublicKey,
};
use proptest::prelude::*;

fn alice() -> Identity {
    Identity::from_secret([0xa1; 32])
}

fn bob() -> Identity {
    Identity::from_secret([0xb0; 32])
}

/// Alice dials Bob; the keys of both, Bob's not proved yet.
fn shake_hands() -> (SessionKeys, Unproven) {
    let mut initiator = Initiator::new(&alice(), &bob().public_key(), Carrier::Tcp).unwrap();
    let mut responder = Responder::new(&bob(), Carrier::Tcp).unwrap();
    responder.read_first(&initiator.first_message().unwrap()).unwrap();
    let (answer, keys) = responder.finish().unwrap();
    (initiator.finish(&answer).unwrap(), keys)
}

/// The same, and Alice has said something.
fn connect() -> (SessionKeys, SessionKeys) {
    let (mut alice, bob) = shake_hands();
    let mut record = seal(&mut alice.sealer, b"hello");
    let (header, body) = record.split_first_chunk_mut().unwrap();
    let (bob, plaintext) = bob.open_first(*header, body).unwrap();
    assert_eq!(plaintext, b"hello");
    (alice, bob)
}

#[test]
fn two_peers_that_shook_hands_understand_each_other_both_ways() {
    let (mut alice, mut bob) = connect();
    for text in [&b"hello"[..], b"again", &[7; 262_144]] {
        assert_eq!(
            open(&mut bob.opener, &seal(&mut alice.sealer, text)).unwrap(),
            text
        );
        assert_eq!(
            open(&mut alice.opener, &seal(&mut bob.sealer, text)).unwrap(),
            text
        );
    }
}

#[test]
fn each_side_knows_who_the_other_one_is() {
    let (a, b) = connect();
    assert_eq!(a.remote, bob().public_key());
    assert_eq!(b.remote, alice().public_key());
    assert_eq!(shake_hands().1.claimed(), alice().public_key());
}

#[test]
fn who_listens_may_speak_before_it_knows_to_whom() {
    let (mut alice, mut bob) = shake_hands();
    let record = seal(&mut bob.sealer, b"hello");
    assert_eq!(open(&mut alice.opener, &record).unwrap(), b"hello");
}

/// A first message of Alice for Bob.
fn first_message() -> Vec<u8> {
    Initiator::new(&alice(), &bob().public_key(), Carrier::Tcp)
        .unwrap()
        .first_message()
        .unwrap()
}

/// What becomes of a listener who reads `message`: the error, and that there is no answer.
fn refused(identity: &Identity, carrier: Carrier, message: &[u8]) -> HandshakeError {
    let mut responder = Responder::new(identity, carrier).unwrap();
    let error = responder.read_first(message).unwrap_err();
    assert!(
        responder.read_first(&first_message()).is_err(),
        "nothing is read after a failure"
    );
    assert!(responder.finish().is_err(), "no byte goes back after a failure");
    error
}

#[test]
fn messages_have_the_lengths_that_are_stated() {
    let mut initiator = Initiator::new(&alice(), &bob().public_key(), Carrier::Tcp).unwrap();
    let first = initiator.first_message().unwrap();
    assert_eq!(first.len(), FIRST_MESSAGE);
    let mut responder = Responder::new(&bob(), Carrier::Tcp).unwrap();
    responder.read_first(&first).unwrap();
    assert_eq!(responder.finish().unwrap().0.len(), SECOND_MESSAGE);
    const { assert!(MAX_HANDSHAKE_MESSAGE >= FIRST_MESSAGE && MAX_HANDSHAKE_MESSAGE >= SECOND_MESSAGE) };
}

#[test]
fn a_prober_that_does_not_know_the_key_gets_no_byte_back() {
    for probe in [vec![0; FIRST_MESSAGE], vec![0xff; FIRST_MESSAGE], first_message()] {
        let carol = Identity::from_secret([0xca; 32]);
        refused(&carol, Carrier::Tcp, &probe);
    }
}

#[test]
fn a_first_message_of_any_other_length_is_refused() {
    for length in (0..FIRST_MESSAGE).chain([FIRST_MESSAGE + 1, 65_535, 100_000]) {
        let mut message = first_message();
        message.resize(length, 0);
        let error = refused(&bob(), Carrier::Tcp, &message);
        assert!(matches!(error, HandshakeError::WrongLength(wrong) if wrong == length));
    }
}

#[test]
fn every_flipped_bit_of_the_first_message_is_refused() {
    for wrong in one_bit_wrong(&first_message()) {
        let mut responder = Responder::new(&bob(), Carrier::Tcp).unwrap();
        assert!(responder.read_first(&wrong).is_err());
        assert!(responder.finish().is_err());
    }
}

#[test]
fn every_flipped_bit_of_the_answer_is_refused() {
    for bit in 0..SECOND_MESSAGE * 8 {
        let mut initiator = Initiator::new(&alice(), &bob().public_key(), Carrier::Tcp).unwrap();
        let mut responder = Responder::new(&bob(), Carrier::Tcp).unwrap();
        responder.read_first(&initiator.first_message().unwrap()).unwrap();
        let mut answer = responder.finish().unwrap().0;
        answer[bit / 8] ^= 1 << (bit % 8);
        assert!(initiator.finish(&answer).is_err(), "bit {bit}");
    }
}

#[test]
fn an_answer_of_any_other_length_is_refused() {
    for length in (0..SECOND_MESSAGE).chain([SECOND_MESSAGE + 1, 65_535]) {
        let mut initiator = Initiator::new(&alice(), &bob().public_key(), Carrier::Tcp).unwrap();
        let mut responder = Responder::new(&bob(), Carrier::Tcp).unwrap();
        responder.read_first(&initiator.first_message().unwrap()).unwrap();
        let mut answer = responder.finish().unwrap().0;
        answer.resize(length, 0);
        assert!(initiator.finish(&answer).is_err(), "{length}");
    }
}

#[test]
fn a_handshake_of_one_carrier_is_none_on_another() {
    for carrier in [Carrier::Quic, Carrier::Relay] {
        let error = refused(&bob(), carrier, &first_message());
        assert!(matches!(error, HandshakeError::Refused));
    }
}

#[test]
fn an_answer_to_somebody_else_is_refused() {
    let answer_to = |first: &[u8]| {
        let mut responder = Responder::new(&bob(), Carrier::Tcp).unwrap();
        responder.read_first(first).unwrap();
        responder.finish().unwrap().0
    };
    let mut initiator = Initiator::new(&alice(), &bob().public_key(), Carrier::Tcp).unwrap();
    initiator.first_message().unwrap();
    assert!(initiator.finish(&answer_to(&first_message())).is_err());
}

#[test]
fn our_own_message_sent_back_is_no_answer() {
    let mut initiator = Initiator::new(&alice(), &bob().public_key(), Carrier::Tcp).unwrap();
    let first = initiator.first_message().unwrap();
    assert!(initiator.finish(&first[..SECOND_MESSAGE]).is_err());
}

/// A recorded first message is accepted as such, so it must not be worth anything: whoever sends it again has none
/// of the keys, and no record from the recorded session opens in the new one.
#[test]
fn a_replayed_first_message_and_its_records_open_nothing() {
    let mut initiator = Initiator::new(&alice(), &bob().public_key(), Carrier::Tcp).unwrap();
    let first = initiator.first_message().unwrap();
    let listen = || {
        let mut responder = Responder::new(&bob(), Carrier::Tcp).unwrap();
        responder.read_first(&first).unwrap();
        responder.finish().unwrap()
    };
    let (answer, genuine) = listen();
    let mut alice = initiator.finish(&answer).unwrap();
    let mut recorded = seal(&mut alice.sealer, b"hello");
    let (header, body) = recorded.split_first_chunk_mut().unwrap();
    let (_, replayed) = listen();
    assert_eq!(
        replayed.open_first(*header, &mut body.to_vec()).err(),
        Some(RecordError::Forged)
    );
    assert_eq!(genuine.open_first(*header, body).unwrap().1, b"hello");
}

#[test]
fn a_record_sent_back_to_its_sender_does_not_open() {
    let (mut alice, _) = connect();
    let record = seal(&mut alice.sealer, b"hello");
    assert_eq!(open(&mut alice.opener, &record), Err(RecordError::Forged));
}

#[test]
fn two_sessions_of_the_same_peers_share_no_keys() {
    let ((mut alice, _), (_, mut bob)) = (connect(), connect());
    let record = seal(&mut alice.sealer, b"again");
    assert_eq!(open(&mut bob.opener, &record), Err(RecordError::Forged));
}

#[test]
fn nobody_shakes_hands_with_themselves() {
    assert!(matches!(
        Initiator::new(&bob(), &bob().public_key(), Carrier::Tcp),
        Err(HandshakeError::Ourselves)
    ));
}

#[test]
fn a_peer_key_that_makes_the_secret_public_is_not_dialled() {
    for low_order in [0, 1] {
        let mut key = [0; 32];
        key[0] = low_order;
        let mut initiator = Initiator::new(&alice(), &PublicKey(key), Carrier::Tcp).unwrap();
        assert!(matches!(
            initiator.first_message(),
            Err(HandshakeError::BadPublicKey)
        ));
    }
}

#[test]
fn an_ephemeral_key_that_makes_the_secret_public_is_refused() {
    for low_order in [0, 1] {
        let mut first = first_message();
        first[..32].fill(0);
        first[0] = low_order;
        let error = refused(&bob(), Carrier::Tcp, &first);
        assert!(matches!(error, HandshakeError::BadPublicKey));
    }
}

#[test]
fn the_second_spelling_of_a_peer_key_is_not_dialled() {
    let mut key = bob().public_key();
    key.0[31] |= 0x80;
    assert!(matches!(
        Initiator::new(&alice(), &key, Carrier::Tcp),
        Err(HandshakeError::BadPublicKey)
    ));
}

#[test]
fn steps_out_of_turn_are_errors() {
    let mut initiator = Initiator::new(&alice(), &bob().public_key(), Carrier::Tcp).unwrap();
    let first = initiator.first_message().unwrap();
    assert!(matches!(
        initiator.first_message(),
        Err(HandshakeError::OutOfTurn)
    ));
    let responder = Responder::new(&bob(), Carrier::Tcp).unwrap();
    assert!(matches!(responder.finish(), Err(HandshakeError::OutOfTurn)));
    let mut responder = Responder::new(&bob(), Carrier::Tcp).unwrap();
    responder.read_first(&first).unwrap();
    assert!(matches!(
        responder.read_first(&first),
        Err(HandshakeError::OutOfTurn)
    ));
    let initiator = Initiator::new(&alice(), &bob().public_key(), Carrier::Tcp).unwrap();
    assert!(initiator.finish(&[0; SECOND_MESSAGE]).is_err());
}

proptest! {
    #[test]
    fn any_bytes_at_all_are_no_handshake_and_no_panic(
        first in prop::collection::vec(any::<u8>(), FIRST_MESSAGE),
        answer in prop::collection::vec(any::<u8>(), SECOND_MESSAGE),
    ) {
        let mut responder = Responder::new(&bob(), Carrier::Tcp).unwrap();
        prop_assert!(responder.read_first(&first).is_err());
        let mut initiator = Initiator::new(&alice(), &bob().public_key(), Carrier::Tcp).unwrap();
        initiator.first_message().unwrap();
        prop_assert!(initiator.finish(&answer).is_err());
    }
}
