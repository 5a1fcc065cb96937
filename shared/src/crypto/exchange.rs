//! X25519 key agreement (RFC 7748), and the randomness that keys are made from.
//!
//! Promises that no agreement ends in a secret which the other side could force: a public key of low order is
//! refused. A static public key has one spelling: other encodings of the same point are refused too, because
//! peers are told apart by the bytes of their keys.

use crate::id::PublicKey;
use x25519_dalek::{SharedSecret, StaticSecret};
use zeroize::Zeroizing;

/// The other side's public key contributes nothing: the secret would be known to everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the public key is of low order")]
pub(super) struct LowOrder;

/// 32 bytes from the operating system.
pub(super) fn random() -> Result<Zeroizing<[u8; 32]>, getrandom::Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes)?;
    Ok(bytes)
}

/// The public key that belongs to `secret`.
pub(super) fn public_key(secret: &StaticSecret) -> PublicKey {
    PublicKey(x25519_dalek::PublicKey::from(secret).to_bytes())
}

/// The secret that the holders of the two keys share.
pub(super) fn agree(secret: &StaticSecret, public: &PublicKey) -> Result<SharedSecret, LowOrder> {
    let shared = secret.diffie_hellman(&public.0.into());
    if shared.was_contributory() {
        Ok(shared)
    } else {
        Err(LowOrder)
    }
}

/// Whether the bytes are the one canonical encoding of their coordinate: below 2^255 − 19, the unused bit clear.
/// (X25519 itself accepts others, RFC 7748 section 5.)
pub(super) fn is_canonical(key: &PublicKey) -> bool {
    let [lowest, middle @ .., highest] = &key.0;
    *highest < 0x7f || (*highest == 0x7f && (middle.iter().any(|byte| *byte != 0xff) || *lowest < 0xed))
}
