//! Tests of the crypto modules, beside the code because they look at its insides.
//!
//! `vectors` compares with published test vectors (`shared/tests/vectors`, each file says where it is from),
//! `handshake`, `record` and `rekey` do what an attacker on the path could do, `identity` what a liar at the tracker
//! could, `sealed` what a relay could, `aead` compares the two builds.

mod aead;
mod handshake;
mod identity;
mod record;
mod rekey;
mod sealed;
mod vectors;

use super::{
    aead::{Cipher, DefaultCipher},
    epoch::{Direction, Epoch, Limits},
    record::{Opener, RECORD_HEADER, RecordError, Sealer},
};

/// A key after every fourth record or after 100 bytes.
const SHORT_LIVED: Limits = Limits {
    records: 4,
    bytes: 100,
};

/// Both ends of one direction of a session.
fn pair<C: Cipher>(direction: Direction, limits: Limits) -> (Sealer<C>, Opener<C>) {
    (
        Sealer::new(Epoch::first(direction, &[1; 32], &[2; 32], limits).unwrap()),
        Opener::new(Epoch::first(direction, &[1; 32], &[2; 32], limits).unwrap()),
    )
}

/// A pair as the handshake makes them.
fn standard_pair() -> (Sealer, Opener) {
    pair::<DefaultCipher>(Direction::ToResponder, Limits::STANDARD)
}

/// The whole record that `plaintext` travels as.
fn seal<C: Cipher>(sealer: &mut Sealer<C>, plaintext: &[u8]) -> Vec<u8> {
    let mut record = [&[0; RECORD_HEADER], plaintext].concat();
    sealer.seal(&mut record).unwrap();
    record
}

/// What the receiving side makes of a whole record.
fn open<C: Cipher>(opener: &mut Opener<C>, record: &[u8]) -> Result<Vec<u8>, RecordError> {
    let (header, body) = record.split_first_chunk().unwrap();
    opener
        .open(*header, &mut body.to_vec())
        .map(|plaintext| plaintext.to_vec())
}

/// Every copy of `bytes` that differs from it in one bit.
fn one_bit_wrong(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len() * 8).map(|bit| {
        let mut copy = bytes.to_vec();
        copy[bit / 8] ^= 1 << (bit % 8);
        copy
    })
}
