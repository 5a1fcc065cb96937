//! One message to a peer with whom there is no session: sealed so that only it can open it, and that it knows who sent it.
//!
//! `Noise_X_25519_AESGCM_SHA256` (noiseprotocol.org, revision 34, section 7.4: a one-way pattern), on the same primitives as the
//! [handshake](super::handshake), under a prologue of its own. Every sealed message has [`SEALED`] bytes, so its length tells nothing.
//!
//! What it does not give, as no single message can: it can be recorded and **sent again** (so its content has to make sure that this is
//! worth nothing; [`signal`](crate::holepunch::signal) does), it is readable to who gets the **receiver's** static key
//! later, and who has that key can make messages to its owner in anybody's name. Pure, without state: opening something wrong changes nothing.

use super::{exchange, handshake::PROTOCOL_VERSION, identity::Identity, resolver::Resolver};
use crate::{id::PublicKey, protocol::relay::MAX_SIGNAL};
use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

/// What a message is filled up to, its length (u16) included: twice what is sent today would need a second size, which would tell the two apart.
const PADDED: usize = 512;

/// The longest message that can be sealed.
pub const MAX_PLAINTEXT: usize = PADDED - 2;

/// Bytes of every sealed message: ephemeral key, static key with its tag, the padded message with its tag.
pub const SEALED: usize = 32 + (32 + 16) + PADDED + 16;

const _: () = assert!(SEALED <= MAX_SIGNAL);

const MAGIC: &[u8] = b"p2p/signal";
const NOISE: &str = "Noise_X_25519_AESGCM_SHA256";

/// Why a message could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    /// More than [`MAX_PLAINTEXT`] bytes.
    #[error("{0} bytes are more than a signal can hold")]
    TooLong(usize),
    /// Not made for this peer by the one who is named, or changed on the way.
    #[error("the sealed message is not for this peer, or not from the one who is said to have sent it")]
    Refused,
    /// A public key that no honest peer has: of low order, or not in its canonical encoding.
    #[error("the public key is not one that an honest peer has")]
    BadPublicKey,
    /// A message to ourselves, or from ourselves.
    #[error("the other side has our own key")]
    Ourselves,
    /// The operating system gave no randomness.
    #[error("the message could not be sealed: {0}")]
    Failed(snow::Error),
}

impl From<snow::Error> for SealedError {
    fn from(error: snow::Error) -> Self {
        match error {
            snow::Error::Decrypt | snow::Error::Input => Self::Refused,
            snow::Error::Dh => Self::BadPublicKey,
            error => Self::Failed(error),
        }
    }
}

/// Seals `plaintext` for the holder of `to`: [`SEALED`] bytes.
pub fn seal(identity: &Identity, to: &PublicKey, plaintext: &[u8]) -> Result<Vec<u8>, SealedError> {
    check_key(identity, to)?;
    let padded = pad(plaintext)?;
    let mut noise = builder(&identity.secret_bytes(), Some(to))?;
    let mut sealed = vec![0; SEALED];
    let written = noise.write_message(&*padded, &mut sealed)?;
    debug_assert_eq!(written, SEALED);
    Ok(sealed)
}

/// Opens what the holder of `from` sealed for us. That it did so now, and once, does not follow.
pub fn open(identity: &Identity, from: &PublicKey, sealed: &[u8]) -> Result<Vec<u8>, SealedError> {
    check_key(identity, from)?;
    if sealed.len() != SEALED {
        return Err(SealedError::Refused);
    }
    let mut noise = builder(&identity.secret_bytes(), None)?;
    let mut padded = Zeroizing::new([0; PADDED]);
    noise.read_message(sealed, &mut *padded)?;
    if noise.get_remote_static() != Some(from.as_bytes()) {
        return Err(SealedError::Refused);
    }
    unpad(&padded).ok_or(SealedError::Refused)
}

fn check_key(identity: &Identity, other: &PublicKey) -> Result<(), SealedError> {
    if !exchange::is_canonical(other) {
        return Err(SealedError::BadPublicKey);
    }
    if identity.public_key() == *other {
        return Err(SealedError::Ourselves);
    }
    Ok(())
}

/// Length, message, zeros.
fn pad(plaintext: &[u8]) -> Result<Zeroizing<[u8; PADDED]>, SealedError> {
    let mut padded = Zeroizing::new([0; PADDED]);
    let (length, room) = padded.split_at_mut(2);
    let Some(place) = room.get_mut(..plaintext.len()) else {
        return Err(SealedError::TooLong(plaintext.len()));
    };
    place.copy_from_slice(plaintext);
    length.copy_from_slice(&(plaintext.len() as u16).to_be_bytes());
    Ok(padded)
}

/// One message has one padding: what follows it is zero.
fn unpad(padded: &[u8; PADDED]) -> Option<Vec<u8>> {
    let (length, rest) = padded.split_first_chunk()?;
    let (plaintext, filling) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    filling.iter().all(|byte| *byte == 0).then(|| plaintext.to_vec())
}

/// The sender's side if the receiver's key is given, else the receiver's.
fn builder(secret: &[u8; 32], to: Option<&PublicKey>) -> Result<HandshakeState, SealedError> {
    let prologue = [MAGIC, &PROTOCOL_VERSION.to_be_bytes()].concat();
    let builder = Builder::with_resolver(NOISE.parse()?, Box::new(Resolver))
        .prologue(&prologue)?
        .local_private_key(secret)?;
    Ok(match to {
        Some(key) => builder.remote_public_key(key.as_bytes())?.build_initiator()?,
        None => builder.build_responder()?,
    })
}
