//! SHA-256 (FIPS 180-4) of a stream: a state that can be written down, and that can give the hash of what is fed to it
//! beside its own without reading it twice.

use super::twin::{Block, compress_twice};
use sha2::block_api::compress256;

/// The state before the first block (FIPS 180-4, 5.3.3).
const START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The hash of a stream so far.
#[derive(Clone)]
pub(super) struct Stream {
    words: [u32; 8],
    /// Bytes fed so far.
    length: u64,
    /// The bytes behind the last whole block: `length % 64` of them.
    tail: Block,
}

impl Stream {
    /// Bytes of a saved state.
    pub(super) const SAVED: usize = 32 + 8 + 64;

    pub(super) fn new() -> Self {
        Self {
            words: START,
            length: 0,
            tail: [0; 64],
        }
    }

    fn tail_length(&self) -> usize {
        (self.length % 64) as usize
    }

    /// Feeds `bytes`.
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        let filled = self.tail_length();
        self.length = self.length.wrapping_add(bytes.len() as u64);
        if filled > 0 {
            let (head, rest) = bytes.split_at(bytes.len().min(64 - filled));
            self.tail[filled..filled + head.len()].copy_from_slice(head);
            if filled + head.len() < 64 {
                return;
            }
            compress256(&mut self.words, &[self.tail]);
            bytes = rest;
        }
        let (blocks, rest) = bytes.as_chunks::<64>();
        compress256(&mut self.words, blocks);
        self.tail[..rest.len()].copy_from_slice(rest);
    }

    /// Feeds `bytes`, and gives the hash of them alone; for the time of one hash where the stream is at a whole block.
    pub(super) fn update_with_digest(&mut self, bytes: &[u8]) -> [u8; 32] {
        let mut alone = Self::new();
        if self.tail_length() > 0 {
            alone.update(bytes);
            self.update(bytes);
            return alone.finish();
        }
        let (blocks, rest) = bytes.as_chunks::<64>();
        compress_twice(&mut self.words, &mut alone.words, blocks);
        for stream in [&mut *self, &mut alone] {
            stream.length = stream.length.wrapping_add(bytes.len() as u64);
            stream.tail[..rest.len()].copy_from_slice(rest);
        }
        alone.finish()
    }

    /// The hash, after the last bytes: a one bit, zeros, and the length in bits (FIPS 180-4, 5.1.1).
    pub(super) fn finish(mut self) -> [u8; 32] {
        let filled = self.tail_length();
        self.tail[filled] = 0x80;
        self.tail[filled + 1..].fill(0);
        if filled + 1 > 56 {
            compress256(&mut self.words, &[self.tail]);
            self.tail.fill(0);
        }
        self.tail[56..].copy_from_slice(&self.length.wrapping_mul(8).to_be_bytes());
        compress256(&mut self.words, &[self.tail]);
        let mut digest = [0; 32];
        for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(self.words) {
            *bytes = word.to_be_bytes();
        }
        digest
    }

    /// The state, to go on from with [`Self::restore`].
    pub(super) fn save(&self) -> [u8; Self::SAVED] {
        let mut saved = [0; Self::SAVED];
        for (bytes, word) in saved.as_chunks_mut::<4>().0.iter_mut().zip(self.words) {
            *bytes = word.to_le_bytes();
        }
        saved[32..40].copy_from_slice(&self.length.to_le_bytes());
        let tail = self.tail_length();
        saved[40..40 + tail].copy_from_slice(&self.tail[..tail]);
        saved
    }

    /// The state of a stream of `length` bytes, from what [`Self::save`] wrote.
    pub(super) fn restore(saved: &[u8], length: u64) -> Option<Self> {
        let saved: &[u8; Self::SAVED] = saved.try_into().ok()?;
        let (words, _) = saved.as_chunks::<4>();
        let mut stream = Self {
            words: std::array::from_fn(|at| u32::from_le_bytes(words[at])),
            length,
            tail: [0; 64],
        };
        let tail = stream.tail_length();
        stream.tail[..tail].copy_from_slice(&saved[40..40 + tail]);
        let intact =
            saved[32..40] == length.to_le_bytes() && saved[40 + tail..].iter().all(|byte| *byte == 0);
        intact.then_some(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha2::{Digest as _, Sha256};

    fn bytes(length: usize, seed: u8) -> Vec<u8> {
        (0..length)
            .map(|i| (i as u8).wrapping_mul(37).wrapping_add(seed) ^ (i >> 8) as u8)
            .collect()
    }

    #[test]
    fn the_published_vectors_come_out() {
        // FIPS 180-2, B.1 and B.2, and the empty string.
        let vectors = [
            (
                "",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            (
                "abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
        ];
        for (text, digest) in vectors {
            let mut stream = Stream::new();
            assert_eq!(hex::encode(stream.update_with_digest(text.as_bytes())), digest);
            assert_eq!(hex::encode(stream.finish()), digest);
        }
    }

    #[test]
    fn every_length_around_a_block_is_padded_rightly() {
        for length in 0..200 {
            let bytes = bytes(length, 1);
            let mut stream = Stream::new();
            stream.update(&bytes);
            assert_eq!(
                stream.finish(),
                <[u8; 32]>::from(Sha256::digest(&bytes)),
                "{length} bytes"
            );
        }
    }

    proptest! {
        #[test]
        fn pieces_of_any_length_have_their_own_hash_and_make_the_hash_of_the_whole(
            lengths in prop::collection::vec(0..400usize, 0..12),
            seed in any::<u8>(),
        ) {
            let mut stream = Stream::new();
            let mut whole = Sha256::new();
            let mut length = 0;
            for (number, piece) in lengths.into_iter().enumerate() {
                let piece = bytes(piece, seed.wrapping_add(number as u8));
                prop_assert_eq!(stream.update_with_digest(&piece), <[u8; 32]>::from(Sha256::digest(&piece)));
                whole.update(&piece);
                length += piece.len() as u64;
                let restored = Stream::restore(&stream.save(), length);
                prop_assert!(restored.is_some());
                stream = restored.unwrap_or_else(Stream::new);
            }
            prop_assert_eq!(stream.finish(), <[u8; 32]>::from(whole.finalize()));
        }
    }

    #[test]
    fn a_saved_state_of_another_length_or_with_more_in_it_is_refused() {
        let mut stream = Stream::new();
        stream.update(&bytes(100, 3));
        let saved = stream.save();
        assert!(Stream::restore(&saved, 100).is_some());
        assert!(Stream::restore(&saved, 101).is_none());
        assert!(Stream::restore(&saved[1..], 100).is_none());
        let mut more = saved;
        more[Stream::SAVED - 1] = 1;
        assert!(Stream::restore(&more, 100).is_none());
    }
}
