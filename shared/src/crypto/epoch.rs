//! The keys of one direction of a session: how long one may be used and what comes after it.
//!
//! A direction starts with a secret from the handshake. Each epoch has a key and a nonce base derived from its
//! secret (HKDF-SHA256); the next epoch's secret is derived from this one's and then this one is erased, so that
//! a key found in memory opens nothing that was sent before its epoch. Nonces are the base XOR a counter, as in
//! TLS 1.3 (RFC 8446 section 5.3): no nonce is used twice under a key.

use super::aead::{Cipher, KEY, NONCE, Refused};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// After how much use a key is replaced.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Records under one key.
    pub(super) records: u64,
    /// Plaintext bytes under one key; the record that crosses the line is the last one.
    pub(super) bytes: u64,
}

impl Limits {
    /// 2^20 records or 16 GiB. 16 GiB are 2^30 blocks: an attacker's advantage from them is about 2^-69, and
    /// TLS 1.3 allows 2^34.5 blocks (RFC 8446 section 5.5).
    pub(super) const STANDARD: Self = Self {
        records: 1 << 20,
        bytes: 16 << 30,
    };
}

/// Which way a record travels. Part of every record's associated data and of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From who dialled to who listened.
    ToResponder = 1,
    /// The other way.
    ToInitiator = 2,
}

impl Direction {
    fn label(self) -> &'static [u8] {
        match self {
            Self::ToResponder => b"p2p/record/v1 to responder",
            Self::ToInitiator => b"p2p/record/v1 to initiator",
        }
    }
}

/// The key of one direction, its use so far, and the secret of the next one.
pub(super) struct Epoch<C> {
    direction: Direction,
    limits: Limits,
    secret: Zeroizing<[u8; 32]>,
    cipher: C,
    nonce_base: [u8; NONCE],
    /// How many keys came before this one.
    number: u32,
    /// How many records this key was used for.
    records: u64,
    /// How many plaintext bytes.
    bytes: u64,
}

impl<C: Cipher> Epoch<C> {
    /// The first epoch, from one half of the Noise split and the hash of the whole handshake.
    pub(super) fn first(
        direction: Direction,
        split: &[u8; 32],
        handshake_hash: &[u8; 32],
        limits: Limits,
    ) -> Result<Self, Refused> {
        let secret = expand(&Hkdf::new(Some(handshake_hash), split), direction.label());
        let (cipher, nonce_base) = schedule(&secret)?;
        Ok(Self {
            direction,
            limits,
            secret,
            cipher,
            nonce_base,
            number: 0,
            records: 0,
            bytes: 0,
        })
    }

    /// Goes on to the next epoch and forgets this one's key.
    ///
    /// # Errors
    /// After 2^32 epochs (the direction may then not be used any more).
    pub(super) fn advance(&mut self) -> Result<(), Refused> {
        let number = self.number.checked_add(1).ok_or(Refused)?;
        let secret = expand(&hkdf(&self.secret), b"p2p/record/v1 next");
        let (cipher, nonce_base) = schedule(&secret)?;
        (self.secret, self.cipher, self.nonce_base) = (secret, cipher, nonce_base);
        (self.number, self.records, self.bytes) = (number, 0, 0);
        Ok(())
    }

    /// How many keys came before this one.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Whether the key has been used as much as it may.
    pub(super) fn is_spent(&self) -> bool {
        self.records >= self.limits.records || self.bytes >= self.limits.bytes
    }

    /// Encrypts the next record's plaintext in place; returns the tag.
    pub(super) fn seal(&mut self, header: [u8; 4], plaintext: &mut [u8]) -> Result<[u8; 16], Refused> {
        let (nonce, associated) = self.next(header, plaintext.len());
        self.cipher.seal(nonce, &associated, plaintext)
    }

    /// Checks and decrypts the next record's body in place.
    pub(super) fn open<'a>(&mut self, header: [u8; 4], body: &'a mut [u8]) -> Result<&'a mut [u8], Refused> {
        let plaintext = body.len().checked_sub(super::aead::TAG).ok_or(Refused)?;
        let (nonce, associated) = self.next(header, plaintext);
        self.cipher.open(nonce, &associated, body)
    }

    /// Nonce and associated data of the next record, which counts as used from here on, whatever happens.
    fn next(&mut self, header: [u8; 4], length: usize) -> ([u8; NONCE], [u8; 9]) {
        let mut nonce = self.nonce_base;
        for (byte, counter) in nonce[NONCE - 8..].iter_mut().zip(self.records.to_be_bytes()) {
            *byte ^= counter;
        }
        let mut associated = [0; 9];
        associated[0] = self.direction as u8;
        associated[1..5].copy_from_slice(&self.number.to_be_bytes());
        associated[5..].copy_from_slice(&header);
        self.records += 1;
        self.bytes += length as u64;
        (nonce, associated)
    }
}

/// Key and nonce base of an epoch.
fn schedule<C: Cipher>(secret: &[u8; 32]) -> Result<(C, [u8; NONCE]), Refused> {
    let key: Zeroizing<[u8; KEY]> = expand(&hkdf(secret), b"p2p/record/v1 key");
    let nonce_base: Zeroizing<[u8; NONCE]> = expand(&hkdf(secret), b"p2p/record/v1 nonce");
    Ok((C::new(&key)?, *nonce_base))
}

fn hkdf(secret: &[u8; 32]) -> Hkdf<Sha256> {
    Hkdf::from_prk(secret).expect("32 bytes are what SHA-256 gives, the least that HKDF takes")
}

fn expand<const N: usize>(hkdf: &Hkdf<Sha256>, label: &[u8]) -> Zeroizing<[u8; N]> {
    const { assert!(N <= 255 * 32, "more than HKDF-SHA256 can give") };
    let mut output = Zeroizing::new([0; N]);
    hkdf.expand(label, &mut *output)
        .expect("the length is checked when this is compiled");
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::aead::Portable;

    fn epoch() -> Epoch<Portable> {
        Epoch::first(Direction::ToResponder, &[1; 32], &[2; 32], Limits::STANDARD).unwrap()
    }

    #[test]
    fn limits_are_what_is_promised() {
        assert_eq!(Limits::STANDARD.records, 1_048_576);
        assert_eq!(Limits::STANDARD.bytes, 17_179_869_184);
    }

    #[test]
    fn keys_end_with_the_last_epoch_number() {
        let mut epoch = epoch();
        epoch.number = u32::MAX - 1;
        epoch.advance().unwrap();
        assert_eq!(epoch.advance(), Err(Refused));
    }

    #[test]
    fn nothing_of_an_epoch_is_left_in_the_next_one() {
        let mut epoch = epoch();
        let before = (epoch.secret.clone(), epoch.nonce_base);
        epoch.advance().unwrap();
        assert_ne!(epoch.secret, before.0);
        assert_ne!(epoch.nonce_base, before.1);
    }

    #[test]
    fn directions_start_from_different_secrets() {
        let other = Epoch::<Portable>::first(Direction::ToInitiator, &[1; 32], &[2; 32], Limits::STANDARD);
        assert_ne!(epoch().secret, other.unwrap().secret);
    }

    /// A secret depends on the split and on everything that was said in the handshake.
    #[test]
    fn a_secret_depends_on_split_and_handshake() {
        let of =
            |split, hash| Epoch::<Portable>::first(Direction::ToResponder, split, hash, Limits::STANDARD);
        assert_ne!(of(&[1; 32], &[3; 32]).unwrap().secret, epoch().secret);
        assert_ne!(of(&[3; 32], &[2; 32]).unwrap().secret, epoch().secret);
    }
}
