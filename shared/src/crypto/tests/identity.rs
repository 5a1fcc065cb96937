//! Proving an identity to a tracker, and what a liar could try.

use crate::{
    crypto::identity::{Challenge, Challenger, CryptoError, Identity, Proof},
    id::{PeerId, PublicKey},
};

fn alice() -> Identity {
    Identity::from_secret([0xa1; 32])
}

#[test]
fn the_holder_of_a_key_proves_it() {
    let challenger = Challenger::new().unwrap();
    let proof = alice().prove(&challenger.challenge()).unwrap();
    challenger.check(&alice().public_key(), &proof).unwrap();
}

#[test]
fn a_proof_is_worth_nothing_for_another_key() {
    let challenger = Challenger::new().unwrap();
    let mallory = Identity::from_secret([0x3a; 32]);
    let proof = mallory.prove(&challenger.challenge()).unwrap();
    assert!(matches!(
        challenger.check(&alice().public_key(), &proof),
        Err(CryptoError::WrongProof)
    ));
}

#[test]
fn a_proof_is_worth_nothing_for_another_challenge() {
    let (asked, other) = (Challenger::new().unwrap(), Challenger::new().unwrap());
    let proof = alice().prove(&asked.challenge()).unwrap();
    assert!(other.check(&alice().public_key(), &proof).is_err());
    // Nor for one with the same key or the same nonce.
    for mixed in [
        Challenge {
            nonce: other.challenge().nonce,
            ..asked.challenge()
        },
        Challenge {
            nonce: asked.challenge().nonce,
            ..other.challenge()
        },
    ] {
        let proof = alice().prove(&mixed).unwrap();
        assert!(asked.check(&alice().public_key(), &proof).is_err());
        assert!(other.check(&alice().public_key(), &proof).is_err());
    }
}

#[test]
fn every_flipped_bit_of_a_proof_is_noticed() {
    let challenger = Challenger::new().unwrap();
    let proof = alice().prove(&challenger.challenge()).unwrap();
    for wrong in super::one_bit_wrong(&proof.0) {
        let wrong = Proof(wrong.try_into().unwrap());
        assert!(challenger.check(&alice().public_key(), &wrong).is_err());
    }
}

/// With such a key anybody could compute the proof.
#[test]
fn keys_that_make_the_secret_public_are_refused_by_both_sides() {
    let challenger = Challenger::new().unwrap();
    let proof = alice().prove(&challenger.challenge()).unwrap();
    let zero = PublicKey([0; 32]);
    assert!(matches!(
        challenger.check(&zero, &proof),
        Err(CryptoError::BadPublicKey)
    ));
    let challenge = Challenge {
        nonce: [0; 32],
        ephemeral_key: zero,
    };
    assert!(matches!(
        alice().prove(&challenge),
        Err(CryptoError::BadPublicKey)
    ));
}

/// Else one secret could register as several peers that look different.
#[test]
fn the_second_spelling_of_a_key_is_refused() {
    let challenger = Challenger::new().unwrap();
    let proof = alice().prove(&challenger.challenge()).unwrap();
    let mut key = alice().public_key();
    key.0[31] |= 0x80;
    assert!(matches!(
        challenger.check(&key, &proof),
        Err(CryptoError::BadPublicKey)
    ));
}

/// Computed by an independent program from what `identity.rs` says.
#[test]
fn the_proof_is_what_it_was_when_version_1_was_written() {
    let challenge = Challenge {
        nonce: [7; 32],
        ephemeral_key: Identity::from_secret([9; 32]).public_key(),
    };
    assert_eq!(
        serde_json::to_value(alice().prove(&challenge).unwrap()).unwrap(),
        "120878e27e2ec69be2575e2e6a36bb59ece06f81117030f35ebf7c25bea0e8b4"
    );
}

#[test]
fn challenge_and_proof_travel_as_hexadecimal_text() {
    let challenge = Challenger::new().unwrap().challenge();
    let json = serde_json::to_value(&challenge).unwrap();
    assert_eq!(json["nonce"], hex::encode(challenge.nonce));
    assert_eq!(serde_json::from_value::<Challenge>(json).unwrap(), challenge);
    let proof = Proof([0xab; 32]);
    assert_eq!(
        serde_json::to_string(&proof).unwrap(),
        format!("\"{}\"", "ab".repeat(32))
    );
    assert!(serde_json::from_str::<Proof>("\"abcd\"").is_err());
}

#[test]
fn an_identity_survives_being_stored() {
    let identity = Identity::generate().unwrap();
    let restored = Identity::from_secret(*identity.secret_bytes());
    assert_eq!(restored.public_key(), identity.public_key());
    assert_eq!(restored.peer_id(), PeerId::of(&identity.public_key()));
}

#[test]
fn two_generated_identities_differ() {
    let (one, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    assert_ne!(one.public_key(), other.public_key());
}

#[test]
fn no_secret_is_printed() {
    let identity = Identity::generate().unwrap();
    let secret = hex::encode(*identity.secret_bytes());
    let printed = format!("{identity:?}");
    assert!(printed.contains(&identity.public_key().to_string()));
    assert!(!printed.contains(&secret));
}
