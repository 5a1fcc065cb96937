//! The primitives that `snow` runs the handshake on: ours instead of its own.
//!
//! So there is one X25519, one SHA-256 and one AES-256-GCM in the program, a key agreement with a point of low
//! order fails instead of giving a secret that everybody knows, and randomness comes from the operating system
//! alone. Offers exactly the suite of [`handshake`](super::handshake) and nothing else.

use super::{
    aead::{Cipher as _, NONCE, Portable},
    exchange,
};
use crate::id::PublicKey;
use sha2::{Digest as _, Sha256};
use snow::{
    Error,
    params::{CipherChoice, DHChoice, HashChoice},
    resolvers::CryptoResolver,
    types::{Cipher, Dh, Hash, Random},
};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

pub(super) struct Resolver;

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(SystemRandom))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match choice {
            DHChoice::Curve25519 => Some(Box::new(X25519::without_key())),
            _ => None,
        }
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        match choice {
            HashChoice::SHA256 => Some(Box::new(Sha(Sha256::new()))),
            _ => None,
        }
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        match choice {
            CipherChoice::AESGCM => Some(Box::new(AesGcm(Zeroizing::new([0; 32])))),
            _ => None,
        }
    }
}

struct SystemRandom;

impl Random for SystemRandom {
    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Error> {
        getrandom::fill(target).map_err(|_| Error::Rng)
    }
}

struct X25519 {
    secret: StaticSecret,
    public: PublicKey,
}

impl X25519 {
    /// What `snow` holds until it sets or generates a key; it uses nothing of this before.
    fn without_key() -> Self {
        Self {
            secret: StaticSecret::from([0; 32]),
            public: PublicKey([0; 32]),
        }
    }

    fn new(secret: [u8; 32]) -> Self {
        let secret = StaticSecret::from(secret);
        let public = exchange::public_key(&secret);
        Self { secret, public }
    }
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, secret: &[u8]) {
        let secret = secret
            .try_into()
            .expect("only the handshake sets keys, from arrays of 32 bytes");
        *self = Self::new(secret);
    }

    fn generate(&mut self, random: &mut dyn Random) -> Result<(), Error> {
        let mut secret = Zeroizing::new([0; 32]);
        random.try_fill_bytes(&mut *secret)?;
        *self = Self::new(*secret);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn privkey(&self) -> &[u8] {
        self.secret.as_bytes()
    }

    /// `public` is a buffer as long as the longest key that Noise knows; ours is its head.
    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let public = public.first_chunk().ok_or(Error::Dh)?;
        let shared = exchange::agree(&self.secret, &PublicKey(*public)).map_err(|_| Error::Dh)?;
        out.first_chunk_mut::<32>()
            .ok_or(Error::Dh)?
            .copy_from_slice(shared.as_bytes());
        Ok(())
    }
}

struct Sha(Sha256);

impl Hash for Sha {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        out[..32].copy_from_slice(&self.0.finalize_reset());
    }
}

/// Keyed anew for every handshake message, so only the key is kept.
struct AesGcm(Zeroizing<[u8; 32]>);

impl AesGcm {
    fn cipher(&self) -> Portable {
        Portable::new(&self.0).expect("the portable build needs no memory of its own")
    }
}

/// Noise revision 34, section 12.4: 32 zero bits, then the counter big-endian.
fn nonce(counter: u64) -> [u8; NONCE] {
    let mut nonce = [0; NONCE];
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    nonce
}

impl Cipher for AesGcm {
    fn name(&self) -> &'static str {
        "AESGCM"
    }

    fn set(&mut self, key: &[u8; 32]) {
        *self.0 = *key;
    }

    fn encrypt(&self, counter: u64, associated: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let (data, rest) = out.split_at_mut(plaintext.len());
        data.copy_from_slice(plaintext);
        let tag = self
            .cipher()
            .seal(nonce(counter), associated, data)
            .expect("a handshake message is under 64 KiB, the cipher takes 64 GiB");
        rest[..tag.len()].copy_from_slice(&tag);
        plaintext.len() + tag.len()
    }

    fn decrypt(
        &self,
        counter: u64,
        associated: &[u8],
        sealed: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let mut sealed = sealed.to_vec();
        let plaintext = self
            .cipher()
            .open(nonce(counter), associated, &mut sealed)
            .map_err(|_| Error::Decrypt)?;
        out.get_mut(..plaintext.len())
            .ok_or(Error::Decrypt)?
            .copy_from_slice(plaintext);
        Ok(plaintext.len())
    }
}
