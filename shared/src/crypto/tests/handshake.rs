//! The handshake between two identities, and everything that must make it fail.

use crate::crypto::{
    handshake::{Carrier, Initiator, Responder, SessionKeys},
    identity::Identity,
    record::{RECORD_HEADER, body_length},
};

fn alice() -> Identity {
    Identity::from_secret([0xa1; 32])
}

fn bob() -> Identity {
    Identity::from_secret([0xb0; 32])
}

/// Alice dials Bob; the keys of both.
fn connect() -> (SessionKeys, SessionKeys) {
    let mut initiator = Initiator::new(&alice(), &bob().public_key(), Carrier::Tcp).unwrap();
    let mut responder = Responder::new(&bob(), Carrier::Tcp).unwrap();
    responder.read_first(&initiator.first_message().unwrap()).unwrap();
    let (answer, keys) = responder.finish().unwrap();
    (initiator.finish(&answer).unwrap(), keys)
}

/// What one side seals, the other one opens to.
fn carry(from: &mut SessionKeys, to: &mut SessionKeys, plaintext: &[u8]) -> Vec<u8> {
    let mut record = [&[0; RECORD_HEADER], plaintext].concat();
    from.sealer.seal(&mut record).unwrap();
    let (header, body) = record.split_first_chunk_mut().unwrap();
    assert_eq!(body_length(*header), Ok(body.len()));
    to.opener.open(*header, body).unwrap().to_vec()
}

#[test]
fn two_peers_that_shook_hands_understand_each_other_both_ways() {
    let (mut alice, mut bob) = connect();
    for text in [&b"hello"[..], b"again", &[7; 262_144]] {
        assert_eq!(carry(&mut alice, &mut bob, text), text);
        assert_eq!(carry(&mut bob, &mut alice, text), text);
    }
}

#[test]
fn each_side_knows_who_the_other_one_is() {
    let (a, b) = connect();
    assert_eq!(a.remote, bob().public_key());
    assert_eq!(b.remote, alice().public_key());
}
