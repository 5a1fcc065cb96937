//! Who a peer is: one X25519 static key, and the proof to a tracker that it holds it.
//!
//! The proof is a key agreement, so that the one static key serves nothing but X25519: the tracker sends a nonce
//! and an ephemeral public key, the peer answers with HMAC-SHA256 under a key that only the two of them can
//! derive. It proves possession to the tracker that asked, at the moment that it asked, and signs nothing that
//! could be shown to others. Never prints or logs the secret.

use super::exchange;
use crate::id::{PeerId, PublicKey};
use data_encoding::HEXLOWER_PERMISSIVE;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::fmt;
use x25519_dalek::{SharedSecret, StaticSecret};
use zeroize::Zeroizing;

/// Binds the proof to its purpose: a key derived under another label proves nothing here.
const PROOF_LABEL: &[u8] = b"p2p/tracker-proof/v1";

/// Why an identity could not be made or proved.
#[derive(Debug, thiserror::Error)]
pub enum CryptoError {
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// A public key that no honest party has: of low order, or not in its canonical encoding.
    #[error("the public key is not one that an honest party has")]
    BadPublicKey,
    /// The proof does not fit the challenge and the public key.
    #[error("the proof does not belong to this public key and challenge")]
    WrongProof,
}

impl From<exchange::LowOrder> for CryptoError {
    fn from(_: exchange::LowOrder) -> Self {
        Self::BadPublicKey
    }
}

/// A peer's static key pair. The secret is erased from memory when the last copy is dropped.
#[derive(Clone)]
pub struct Identity {
    secret: StaticSecret,
    public: PublicKey,
}

impl Identity {
    /// A new identity from the operating system's randomness.
    pub fn generate() -> Result<Self, CryptoError> {
        Ok(Self::from_secret(*exchange::random()?))
    }

    /// The identity with this X25519 secret (any 32 bytes are one, RFC 7748 section 5).
    pub fn from_secret(secret: [u8; 32]) -> Self {
        let secret = StaticSecret::from(secret);
        let public = exchange::public_key(&secret);
        Self { secret, public }
    }

    /// The secret, to be stored where nobody else can read it.
    pub fn secret_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.to_bytes())
    }

    /// What others know this peer by.
    pub fn public_key(&self) -> PublicKey {
        self.public
    }

    /// The short handle that follows from the public key.
    pub fn peer_id(&self) -> PeerId {
        PeerId::of(&self.public)
    }

    /// The secret that nobody but we and the holder of `other` can know. The same for ever: not to be used but as one ingredient of a key.
    ///
    /// # Errors
    /// [`CryptoError::BadPublicKey`] for a key of low order or in a second spelling.
    pub(crate) fn shared_with(&self, other: &PublicKey) -> Result<SharedSecret, CryptoError> {
        if !exchange::is_canonical(other) {
            return Err(CryptoError::BadPublicKey);
        }
        Ok(exchange::agree(&self.secret, other)?)
    }

    /// Answers a tracker's challenge.
    ///
    /// # Errors
    /// [`CryptoError::BadPublicKey`] if the tracker's ephemeral key is of low order.
    pub fn prove(&self, challenge: &Challenge) -> Result<Proof, CryptoError> {
        let shared = exchange::agree(&self.secret, &challenge.ephemeral_key)?;
        let code = proof_code(shared.as_bytes(), challenge, &self.public);
        Ok(Proof(code.finalize().into_bytes().into()))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.public)
    }
}

/// What a tracker asks a peer to answer before it believes its public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// Names the challenge and makes it fresh.
    #[serde(with = "hex32")]
    pub nonce: [u8; 32],
    /// The tracker's half of the key agreement, used once.
    pub ephemeral_key: PublicKey,
}

/// The answer to a [`Challenge`]: HMAC-SHA256. In JSON 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Proof(
    /// The code itself.
    #[serde(with = "hex32")]
    pub [u8; 32],
);

/// The tracker's half: makes a challenge and checks the one answer to it. Use it once, then drop it; how long it
/// may stay open is the caller's to decide.
pub struct Challenger {
    secret: StaticSecret,
    challenge: Challenge,
}

impl Challenger {
    /// A fresh challenge.
    pub fn new() -> Result<Self, CryptoError> {
        Ok(Self::from_parts(*exchange::random()?, *exchange::random()?))
    }

    fn from_parts(secret: [u8; 32], nonce: [u8; 32]) -> Self {
        let secret = StaticSecret::from(secret);
        let ephemeral_key = exchange::public_key(&secret);
        Self {
            secret,
            challenge: Challenge { nonce, ephemeral_key },
        }
    }

    /// What goes to the peer.
    pub fn challenge(&self) -> Challenge {
        self.challenge.clone()
    }

    /// Whether the holder of `public_key` made `proof` for this challenge. Compares in constant time.
    ///
    /// # Errors
    /// [`CryptoError::BadPublicKey`] for a key of low order or in a second spelling,
    /// [`CryptoError::WrongProof`] for anything else than the right answer.
    pub fn check(&self, public_key: &PublicKey, proof: &Proof) -> Result<(), CryptoError> {
        if !exchange::is_canonical(public_key) {
            return Err(CryptoError::BadPublicKey);
        }
        let shared = exchange::agree(&self.secret, public_key)?;
        proof_code(shared.as_bytes(), &self.challenge, public_key)
            .verify_slice(&proof.0)
            .map_err(|_| CryptoError::WrongProof)
    }
}

impl fmt::Debug for Challenger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Challenger").field(&self.challenge).finish()
    }
}

/// HMAC keyed by HKDF(shared secret, salt = nonce) over nonce ‖ public key ‖ ephemeral key.
fn proof_code(shared: &[u8; 32], challenge: &Challenge, public_key: &PublicKey) -> Hmac<Sha256> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(&challenge.nonce), shared)
        .expand(PROOF_LABEL, &mut *key)
        .expect("32 bytes are less than the 255 blocks that HKDF can give");
    let mut code = Hmac::<Sha256>::new_from_slice(&*key).expect("HMAC takes a key of any length");
    code.update(&challenge.nonce);
    code.update(public_key.as_bytes());
    code.update(challenge.ephemeral_key.as_bytes());
    code
}

/// 32 bytes as 64 hexadecimal digits.
mod hex32 {
    use super::HEXLOWER_PERMISSIVE;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER_PERMISSIVE.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        // The same rules and the same wording as for every other name of 32 bytes.
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse::<crate::id::PublicKey>()
            .map(|parsed| parsed.0)
            .map_err(D::Error::custom)
    }
}
