//! How every byte travels after the handshake: sealed records, a whole 256 KiB chunk in one.
//!
//! A record is a header of four bytes, the ciphertext of `type ‖ payload`, and a tag of 16 bytes. The header's
//! lowest 31 bits are the length of what follows it, big-endian; its highest bit says that this record is the
//! first one under the next key. Direction, epoch and header are authenticated, the nonce is a counter: a record
//! that was changed, left out, repeated, moved, or sent back to where it came from does not open.
//!
//! Seals and opens in place: no allocation, no copy. A key is replaced after 2^20 records, 16 GiB or an hour. The
//! first record that does not open ends the [`Opener`] for good. What a record layer cannot know is whether more
//! was to come: a stream that ends before a `Goodbye` was opened was cut, and the session has to say so.

use super::{
    aead::{Cipher, DefaultCipher, Refused, TAG},
    epoch::Epoch,
};
use std::time::Duration;

/// Bytes before a record's body.
pub const RECORD_HEADER: usize = 4;
/// Bytes that sealing adds after the plaintext.
pub const RECORD_TAG: usize = TAG;
/// The longest plaintext: a chunk of 256 KiB and 1 KiB for what is said about it.
pub const MAX_PLAINTEXT: usize = 256 * 1024 + 1024;
/// How long a key is used at most, if the session tells its age (see [`Sealer::on_clock`]).
pub const KEY_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// The header's bit that says: this record is the first one under the next key.
const NEXT_KEY: u32 = 1 << 31;

/// Why a record could not be sealed or opened. All but [`Empty`](Self::Empty) and [`TooLong`](Self::TooLong) when
/// sealing mean that the session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// There is not even a type in it.
    #[error("a record without content")]
    Empty,
    /// Longer than any record may be.
    #[error("a record of {0} bytes, more than the {MAX_PLAINTEXT} that one may hold")]
    TooLong(usize),
    /// The body is not as long as the header says.
    #[error("a record's body is not as long as its header says")]
    WrongLength,
    /// Not what the other side sealed as its next record.
    #[error("a record failed authentication")]
    Forged,
    /// The other side used a key longer than it may.
    #[error("the other side did not replace its key in time")]
    KeySpent,
    /// A record failed before, or there are no more keys; nothing can follow.
    #[error("no record can follow in this direction")]
    Closed,
}

/// Seals what goes out. One per session and direction; it cannot be copied, or a nonce would be used twice.
pub struct Sealer<C = DefaultCipher> {
    epoch: Option<Epoch<C>>,
    /// The session's age when the key was first used, as far as known.
    key_since: Duration,
    /// The session's age when it was last told.
    now: Duration,
}

impl<C: Cipher> Sealer<C> {
    pub(super) fn new(epoch: Epoch<C>) -> Self {
        Self {
            epoch: Some(epoch),
            key_since: Duration::ZERO,
            now: Duration::ZERO,
        }
    }

    /// Seals a record in place. In: [`RECORD_HEADER`] bytes of any content, then the plaintext. Out: the whole
    /// record. Allocates only if `record` has no room for [`RECORD_TAG`] more bytes.
    ///
    /// # Errors
    /// As [`seal_slice`](Self::seal_slice).
    pub fn seal(&mut self, record: &mut Vec<u8>) -> Result<(), RecordError> {
        let length = record.len();
        record.resize(length + RECORD_TAG, 0);
        let sealed = self.seal_slice(record);
        if sealed.is_err() {
            record.truncate(length);
        }
        sealed
    }

    /// Seals a record in place. In: [`RECORD_HEADER`] bytes of any content, the plaintext, and [`RECORD_TAG`]
    /// bytes of any content. Out: the whole record.
    ///
    /// # Errors
    /// [`Empty`](RecordError::Empty) and [`TooLong`](RecordError::TooLong) change nothing;
    /// [`Closed`](RecordError::Closed) is final.
    pub fn seal_slice(&mut self, record: &mut [u8]) -> Result<(), RecordError> {
        let length = record.len().saturating_sub(RECORD_HEADER + RECORD_TAG);
        check_length(length)?;
        let epoch = self.epoch.as_mut().ok_or(RecordError::Closed)?;
        let sealed = seal_next(epoch, self.now - self.key_since, record, length);
        match sealed {
            Ok(true) => self.key_since = self.now,
            Ok(false) => {}
            Err(Refused) => self.epoch = None,
        }
        sealed.map(|_| ()).map_err(|_| RecordError::Closed)
    }

    /// Tells how old the session is. Once a key has been in use for [`KEY_LIFETIME`], the next record goes out
    /// under a new one. An age below an earlier one is ignored.
    pub fn on_clock(&mut self, session_age: Duration) {
        self.now = self.now.max(session_age);
    }

    /// How many keys were used up so far.
    pub fn epoch(&self) -> u32 {
        self.epoch.as_ref().map_or(0, Epoch::number)
    }
}

/// Seals the record with the key that is its turn; says whether that is a new one.
fn seal_next<C: Cipher>(
    epoch: &mut Epoch<C>,
    key_age: Duration,
    record: &mut [u8],
    length: usize,
) -> Result<bool, Refused> {
    let replace = epoch.is_spent() || key_age >= KEY_LIFETIME;
    if replace {
        epoch.advance()?;
    }
    let flag = if replace { NEXT_KEY } else { 0 };
    let header = ((length + RECORD_TAG) as u32 | flag).to_be_bytes();
    let (head, body) = record.split_at_mut(RECORD_HEADER);
    let (plaintext, tag) = body.split_at_mut(length);
    head.copy_from_slice(&header);
    tag.copy_from_slice(&epoch.seal(header, plaintext)?);
    Ok(replace)
}

/// Opens what comes in.
pub struct Opener<C = DefaultCipher> {
    /// Gone after the first failure.
    epoch: Option<Epoch<C>>,
}

impl<C: Cipher> Opener<C> {
    pub(super) fn new(epoch: Epoch<C>) -> Self {
        Self { epoch: Some(epoch) }
    }

    /// Opens the next record in place and returns its plaintext, which starts where `body` starts. `body` is all
    /// that follows the header, [`body_length`] bytes.
    ///
    /// # Errors
    /// Any error is final: the keys are erased and every later call fails with
    /// [`Closed`](RecordError::Closed). What is left in `body` is of no use.
    pub fn open<'a>(
        &mut self,
        header: [u8; RECORD_HEADER],
        body: &'a mut [u8],
    ) -> Result<&'a mut [u8], RecordError> {
        let mut epoch = self.epoch.take().ok_or(RecordError::Closed)?;
        let plaintext = open_next(&mut epoch, header, body)?;
        self.epoch = Some(epoch);
        Ok(plaintext)
    }

    /// How many keys the other side used up so far.
    pub fn epoch(&self) -> u32 {
        self.epoch.as_ref().map_or(0, Epoch::number)
    }
}

fn open_next<'a, C: Cipher>(
    epoch: &mut Epoch<C>,
    header: [u8; RECORD_HEADER],
    body: &'a mut [u8],
) -> Result<&'a mut [u8], RecordError> {
    if body_length(header)? != body.len() {
        return Err(RecordError::WrongLength);
    }
    if u32::from_be_bytes(header) & NEXT_KEY != 0 {
        epoch.advance().map_err(|_| RecordError::Closed)?;
    } else if epoch.is_spent() {
        return Err(RecordError::KeySpent);
    }
    epoch.open(header, body).map_err(|_| RecordError::Forged)
}

/// How many bytes follow `header`: check this before reading or allocating them.
///
/// # Errors
/// [`RecordError::Empty`] and [`RecordError::TooLong`]: the session is over.
pub fn body_length(header: [u8; RECORD_HEADER]) -> Result<usize, RecordError> {
    let length = (u32::from_be_bytes(header) & !NEXT_KEY) as usize;
    check_length(length.saturating_sub(RECORD_TAG))?;
    Ok(length)
}

fn check_length(plaintext: usize) -> Result<(), RecordError> {
    match plaintext {
        0 => Err(RecordError::Empty),
        1..=MAX_PLAINTEXT => Ok(()),
        _ => Err(RecordError::TooLong(plaintext)),
    }
}
