//! How two peers come to share keys: `Noise_IK_25519_AESGCM_SHA256` (noiseprotocol.org, revision 34).
//!
//! One message each way, no payload. Who dials must know the static key of who listens; a prober that does not know it
//! gets no byte back, because the first message does not decrypt. Protocol version and kind of carrier are in the
//! prologue, so a session of one cannot be taken for another. After a failure nothing can be read or written.
//!
//! The first message can be recorded and sent again by anybody. So the listener gets no [`SessionKeys`] but [`Unproven`] ones,
//! with a key that is only claimed, until it has opened the first record, which no replayer can make. Who dialled
//! sends a record at once, without waiting for one. Pure: bytes in, bytes out; on a stream, each message follows its
//! length as u16, big-endian.

use super::{
    aead::{Cipher, DefaultCipher, Refused},
    epoch::{Direction, Epoch, Limits},
    exchange,
    identity::Identity,
    record::{Opener, RECORD_HEADER, RecordError, Sealer},
    resolver::Resolver,
};
use crate::id::PublicKey;
use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

/// The version of everything that peers say to each other. Peers of different versions do not understand each other.
pub const PROTOCOL_VERSION: u16 = 1;

/// Bytes of the first message: ephemeral key, static key with its tag, tag of the empty payload.
pub const FIRST_MESSAGE: usize = 32 + 32 + 16 + 16;
/// Bytes of the second message: ephemeral key, tag of the empty payload.
pub const SECOND_MESSAGE: usize = 32 + 16;
/// No handshake message is longer; refuse a longer one before reading it.
pub const MAX_HANDSHAKE_MESSAGE: usize = FIRST_MESSAGE;

const MAGIC: &[u8] = b"p2p/peer";
const NOISE: &str = "Noise_IK_25519_AESGCM_SHA256";

/// What carries the bytes. Both sides must mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// A TCP connection.
    Tcp = 1,
    /// A QUIC stream.
    Quic = 2,
    /// A tunnel through a relay.
    Relay = 3,
}

/// Why a handshake failed. Close without an answer, whatever it is.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// Not as long as this message is.
    #[error("a handshake message of {0} bytes")]
    WrongLength(usize),
    /// Not made for this key, version and carrier, or changed on the way.
    #[error("the handshake message is not for this peer, version and carrier")]
    Refused,
    /// A public key that no honest peer has: of low order, or not in its canonical encoding.
    #[error("the public key is not one that an honest peer has")]
    BadPublicKey,
    /// The other side has our own key: we reached ourselves, or a copy of our identity.
    #[error("the other side has our own key")]
    Ourselves,
    /// A step was called twice, too early, or after a failure.
    #[error("a handshake step out of turn")]
    OutOfTurn,
    /// The operating system gave no randomness, or no memory for a key.
    #[error("the handshake could not be made: {0}")]
    Failed(snow::Error),
}

impl From<snow::Error> for HandshakeError {
    fn from(error: snow::Error) -> Self {
        match error {
            snow::Error::Decrypt | snow::Error::Input => Self::Refused,
            snow::Error::Dh => Self::BadPublicKey,
            snow::Error::State(_) => Self::OutOfTurn,
            error => Self::Failed(error),
        }
    }
}

impl From<Refused> for HandshakeError {
    fn from(_: Refused) -> Self {
        Self::Failed(snow::Error::Init(snow::error::InitStage::GetCipherImpl))
    }
}

/// What a finished handshake leaves: the two directions of the session and who is at its other end.
pub struct SessionKeys<C = DefaultCipher> {
    /// Seals what we send.
    pub sealer: Sealer<C>,
    /// Opens what we get.
    pub opener: Opener<C>,
    /// The static key of the other side, which has proved that it has the secret.
    pub remote: PublicKey,
}

/// What the listener has before the first record: whoever sent the first message may have recorded it elsewhere. Nothing may be
/// done in the name of the claimed key yet, in particular no other session with that peer closed.
pub struct Unproven<C = DefaultCipher> {
    /// Seals what we send; only the holder of the claimed key can open it.
    pub sealer: Sealer<C>,
    opener: Opener<C>,
    claimed: PublicKey,
}

impl<C: Cipher> Unproven<C> {
    /// The static key that the other side says it has.
    pub fn claimed(&self) -> PublicKey {
        self.claimed
    }

    /// Opens the first record, as [`Opener::open`] does, which proves that the other side has the key that it claimed.
    ///
    /// # Errors
    /// Any error is the end: it was a replay, or the record was changed on the way.
    pub fn open_first(
        mut self,
        header: [u8; RECORD_HEADER],
        body: &mut [u8],
    ) -> Result<(SessionKeys<C>, &mut [u8]), RecordError> {
        let plaintext = self.opener.open(header, body)?;
        let keys = SessionKeys {
            sealer: self.sealer,
            opener: self.opener,
            remote: self.claimed,
        };
        Ok((keys, plaintext))
    }
}

/// The side that dials.
pub struct Initiator {
    noise: HandshakeState,
    remote: PublicKey,
}

impl Initiator {
    /// Prepares to dial the peer whose static key is `remote`.
    pub fn new(identity: &Identity, remote: &PublicKey, carrier: Carrier) -> Result<Self, HandshakeError> {
        check_remote(identity.public_key(), remote)?;
        let noise = builder(&identity.secret_bytes(), &prologue(carrier), Some(remote), true)?;
        Ok(Self {
            noise,
            remote: *remote,
        })
    }

    /// The message that opens the handshake, [`FIRST_MESSAGE`] bytes. Once.
    pub fn first_message(&mut self) -> Result<Vec<u8>, HandshakeError> {
        write(&mut self.noise, FIRST_MESSAGE)
    }

    /// Takes the answer. The other side is who we meant: nobody else could have made it.
    pub fn finish(self, answer: &[u8]) -> Result<SessionKeys, HandshakeError> {
        self.finish_with(answer)
    }

    /// As [`finish`](Self::finish), with a build of the cipher chosen by the caller.
    pub fn finish_with<C: Cipher>(mut self, answer: &[u8]) -> Result<SessionKeys<C>, HandshakeError> {
        read(&mut self.noise, answer, SECOND_MESSAGE)?;
        let (sealer, opener) = directions(self.noise, Direction::ToResponder)?;
        let remote = self.remote;
        Ok(SessionKeys {
            sealer,
            opener,
            remote,
        })
    }
}

/// The side that listens.
pub struct Responder {
    identity: PublicKey,
    /// Gone after a failure.
    noise: Option<HandshakeState>,
    remote: Option<PublicKey>,
}

impl Responder {
    /// Prepares to be dialled.
    pub fn new(identity: &Identity, carrier: Carrier) -> Result<Self, HandshakeError> {
        let noise = builder(&identity.secret_bytes(), &prologue(carrier), None, false)?;
        Ok(Self {
            identity: identity.public_key(),
            noise: Some(noise),
            remote: None,
        })
    }

    /// Takes the first message and returns the static key that its sender claims (see [`Unproven`]). Once.
    pub fn read_first(&mut self, message: &[u8]) -> Result<PublicKey, HandshakeError> {
        let mut noise = self.noise.take().ok_or(HandshakeError::OutOfTurn)?;
        read(&mut noise, message, FIRST_MESSAGE)?;
        let remote = noise
            .get_remote_static()
            .and_then(|key| key.try_into().ok())
            .map(PublicKey)
            .ok_or(HandshakeError::OutOfTurn)?;
        check_remote(self.identity, &remote)?;
        self.noise = Some(noise);
        self.remote = Some(remote);
        Ok(remote)
    }

    /// The answer, [`SECOND_MESSAGE`] bytes, and the keys.
    pub fn finish(self) -> Result<(Vec<u8>, Unproven), HandshakeError> {
        self.finish_with()
    }

    /// As [`finish`](Self::finish), with a build of the cipher chosen by the caller.
    pub fn finish_with<C: Cipher>(self) -> Result<(Vec<u8>, Unproven<C>), HandshakeError> {
        let (Some(mut noise), Some(remote)) = (self.noise, self.remote) else {
            return Err(HandshakeError::OutOfTurn);
        };
        let answer = write(&mut noise, SECOND_MESSAGE)?;
        let (sealer, opener) = directions(noise, Direction::ToInitiator)?;
        let claimed = remote;
        Ok((
            answer,
            Unproven {
                sealer,
                opener,
                claimed,
            },
        ))
    }
}

fn prologue(carrier: Carrier) -> Vec<u8> {
    [MAGIC, &PROTOCOL_VERSION.to_be_bytes(), &[carrier as u8]].concat()
}

fn builder(
    secret: &[u8; 32],
    prologue: &[u8],
    remote: Option<&PublicKey>,
    initiator: bool,
) -> Result<HandshakeState, HandshakeError> {
    let mut builder = Builder::with_resolver(NOISE.parse()?, Box::new(Resolver))
        .prologue(prologue)?
        .local_private_key(secret)?;
    if let Some(remote) = remote {
        builder = builder.remote_public_key(remote.as_bytes())?;
    }
    Ok(if initiator {
        builder.build_initiator()?
    } else {
        builder.build_responder()?
    })
}

fn check_remote(own: PublicKey, remote: &PublicKey) -> Result<(), HandshakeError> {
    if !exchange::is_canonical(remote) {
        return Err(HandshakeError::BadPublicKey);
    }
    if own == *remote {
        return Err(HandshakeError::Ourselves);
    }
    Ok(())
}

fn write(noise: &mut HandshakeState, length: usize) -> Result<Vec<u8>, HandshakeError> {
    let mut message = vec![0; length];
    let written = noise.write_message(&[], &mut message)?;
    debug_assert_eq!(written, length);
    Ok(message)
}

fn read(noise: &mut HandshakeState, message: &[u8], length: usize) -> Result<(), HandshakeError> {
    if message.len() != length {
        return Err(HandshakeError::WrongLength(message.len()));
    }
    noise.read_message(message, &mut [])?;
    Ok(())
}

/// Leaves Noise with its two keys and the hash of everything that was said, which the record keys are bound to.
fn directions<C: Cipher>(
    mut noise: HandshakeState,
    outgoing: Direction,
) -> Result<(Sealer<C>, Opener<C>), HandshakeError> {
    let (to_responder, to_initiator) = noise.dangerously_get_raw_split();
    let (to_responder, to_initiator) = (Zeroizing::new(to_responder), Zeroizing::new(to_initiator));
    let hash: [u8; 32] = noise
        .get_handshake_hash()
        .try_into()
        .map_err(|_| HandshakeError::OutOfTurn)?;
    let to_responder = Epoch::first(Direction::ToResponder, &to_responder, &hash, Limits::STANDARD)?;
    let to_initiator = Epoch::first(Direction::ToInitiator, &to_initiator, &hash, Limits::STANDARD)?;
    let (sealing, opening) = match outgoing {
        Direction::ToResponder => (to_responder, to_initiator),
        Direction::ToInitiator => (to_initiator, to_responder),
    };
    Ok((Sealer::new(sealing), Opener::new(opening)))
}
