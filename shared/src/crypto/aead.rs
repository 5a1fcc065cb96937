//! AES-256-GCM (NIST SP 800-38D) in place, in two builds that make the same bytes.
//!
//! [`AwsLc`] (feature `aws-lc`, the default) is several times faster; [`Portable`] is pure Rust. Callers choose
//! with a type parameter and otherwise get [`Default`](DefaultCipher). Nothing here allocates for a record or
//! copies its bytes. Whoever calls sees to it that a nonce is used once under a key.

use aes_gcm::{AeadInOut as _, Aes256Gcm, KeyInit as _};

/// Bytes of a key.
pub const KEY: usize = 32;
/// Bytes of a nonce.
pub const NONCE: usize = 12;
/// Bytes of an authentication tag.
pub const TAG: usize = 16;

/// The bytes are not what was sealed under this key, nonce and associated data; or more than the cipher takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("authentication failed")]
pub struct Refused;

/// A key of AES-256-GCM, ready for use.
pub trait Cipher: Sized {
    /// Prepares a key.
    ///
    /// # Errors
    /// Only if the library behind it cannot get memory for it.
    fn new(key: &[u8; KEY]) -> Result<Self, Refused>;

    /// Encrypts `data` in place and returns its tag.
    ///
    /// # Errors
    /// Only for more than 64 GiB.
    fn seal(&self, nonce: [u8; NONCE], associated: &[u8], data: &mut [u8]) -> Result<[u8; TAG], Refused>;

    /// Checks and decrypts `body` (ciphertext ‖ tag) in place and returns the plaintext at its head.
    ///
    /// # Errors
    /// If anything differs from what was sealed; `body` then holds nothing of use.
    fn open<'a>(
        &self,
        nonce: [u8; NONCE],
        associated: &[u8],
        body: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refused>;
}

/// The build that records use unless told otherwise.
#[cfg(feature = "aws-lc")]
pub type DefaultCipher = AwsLc;
/// The build that records use unless told otherwise.
#[cfg(not(feature = "aws-lc"))]
pub type DefaultCipher = Portable;

/// The pure Rust build, on the crate `aes-gcm`.
pub struct Portable(Aes256Gcm);

impl Cipher for Portable {
    fn new(key: &[u8; KEY]) -> Result<Self, Refused> {
        Ok(Self(Aes256Gcm::new(key.into())))
    }

    fn seal(&self, nonce: [u8; NONCE], associated: &[u8], data: &mut [u8]) -> Result<[u8; TAG], Refused> {
        self.0
            .encrypt_inout_detached(&nonce.into(), associated, data.into())
            .map(Into::into)
            .map_err(|_| Refused)
    }

    fn open<'a>(
        &self,
        nonce: [u8; NONCE],
        associated: &[u8],
        body: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refused> {
        let (data, tag) = body.split_last_chunk_mut::<TAG>().ok_or(Refused)?;
        self.0
            .decrypt_inout_detached(&nonce.into(), associated, (&mut *data).into(), &(*tag).into())
            .map_err(|_| Refused)?;
        Ok(data)
    }
}

/// The fast build, on `aws-lc-rs` (assembly for AES-NI, VAES and ARMv8).
#[cfg(any(feature = "aws-lc", test))]
pub struct AwsLc(aws_lc_rs::aead::LessSafeKey);

#[cfg(any(feature = "aws-lc", test))]
impl Cipher for AwsLc {
    fn new(key: &[u8; KEY]) -> Result<Self, Refused> {
        use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| Refused)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    fn seal(&self, nonce: [u8; NONCE], associated: &[u8], data: &mut [u8]) -> Result<[u8; TAG], Refused> {
        use aws_lc_rs::aead::{Aad, Nonce};
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(associated), data)
            .map_err(|_| Refused)?;
        tag.as_ref().try_into().map_err(|_| Refused)
    }

    fn open<'a>(
        &self,
        nonce: [u8; NONCE],
        associated: &[u8],
        body: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refused> {
        use aws_lc_rs::aead::{Aad, Nonce};
        let (data, tag) = body.split_last_chunk_mut::<TAG>().ok_or(Refused)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0
            .open_in_place_separate_tag(nonce, Aad::from(associated), tag, data)
            .map_err(|_| Refused)
    }
}
