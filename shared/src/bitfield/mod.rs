//! The set of chunks that somebody holds.
//!
//! One bit a chunk; as bytes in the order of BEP 3: the highest bit of the first byte is chunk 0, spare bits at the
//! end are zero. Knows nothing of peers or files, and never allocates for a length that it was not given.

#[cfg(test)]
mod tests;

use crate::id::ChunkIndex;

/// Chunks in one word.
const BITS: u32 = u64::BITS;

/// Bytes that are no bitfield of the length that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BitfieldError {
    /// Too few or too many bytes.
    #[error("a bitfield of {expected} bytes was expected, got {got}")]
    Length {
        /// Bytes that the number of chunks needs.
        expected: usize,
        /// Bytes that were there.
        got: usize,
    },
    /// A part that does not lie inside the bitfield.
    #[error("bytes {first}.. of a bitfield of {bytes} bytes: {got} do not fit there")]
    OutOfRange {
        /// Where the part was to begin, in bytes.
        first: u32,
        /// Bytes of the part.
        got: usize,
        /// Bytes of the whole bitfield.
        bytes: usize,
    },
    /// A bit behind the last chunk is set.
    #[error("a bit behind the last of {chunks} chunks is set")]
    SpareBits {
        /// Chunks of the file.
        chunks: u32,
    },
}

/// A set of chunks of one file.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Bitfield {
    /// Number of chunks of the file.
    len: u32,
    /// How many bits are set.
    count: u32,
    /// Chunk `i` is bit `63 - i % 64` of word `i / 64`; bits behind the last chunk are zero.
    words: Vec<u64>,
}

impl Bitfield {
    /// No chunk of `len`.
    pub fn new(len: u32) -> Self {
        Self {
            len,
            count: 0,
            words: vec![0; len.div_ceil(BITS) as usize],
        }
    }

    /// Every chunk of `len`.
    pub fn full(len: u32) -> Self {
        let mut words = vec![u64::MAX; len.div_ceil(BITS) as usize];
        if let Some(last) = words.last_mut() {
            *last &= used_bits(len);
        }
        Self {
            len,
            count: len,
            words,
        }
    }

    /// Number of chunks of the file, held or not.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// How many chunks are held.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether every chunk is held; a file without chunks is.
    pub fn is_full(&self) -> bool {
        self.count == self.len
    }

    /// Whether no chunk is held, whatever the length.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether the chunk is held; no for one that the file does not have.
    pub fn has(&self, chunk: ChunkIndex) -> bool {
        chunk.0 < self.len && self.words[(chunk.0 / BITS) as usize] & mask(chunk) != 0
    }

    /// Adds the chunk. Whether that changed anything: no for one held before or that the file does not have.
    pub fn set(&mut self, chunk: ChunkIndex) -> bool {
        let new = chunk.0 < self.len && !self.has(chunk);
        if new {
            self.words[(chunk.0 / BITS) as usize] |= mask(chunk);
            self.count += 1;
        }
        new
    }

    /// Takes the chunk out. Whether it was held.
    pub fn clear(&mut self, chunk: ChunkIndex) -> bool {
        let held = self.has(chunk);
        if held {
            self.words[(chunk.0 / BITS) as usize] &= !mask(chunk);
            self.count -= 1;
        }
        held
    }

    /// The chunks held, in order.
    pub fn ones(&self) -> impl Iterator<Item = ChunkIndex> + '_ {
        self.words
            .iter()
            .enumerate()
            .flat_map(|(i, &word)| chunks_of_word(i, word))
    }

    /// The chunks that `other` holds as well, in order, from the word of 64 that `from` is in. Costs a look at a word for 64
    /// chunks, however few there are.
    pub fn common<'a>(&'a self, other: &'a Self, from: ChunkIndex) -> impl Iterator<Item = ChunkIndex> + 'a {
        let words = self.words.iter().zip(&other.words).enumerate();
        words
            .skip((from.0 / BITS) as usize)
            .flat_map(|(i, (mine, theirs))| chunks_of_word(i, mine & theirs))
    }

    /// The chunks not held, in order.
    pub fn missing(&self) -> impl Iterator<Item = ChunkIndex> + '_ {
        self.words
            .iter()
            .enumerate()
            .flat_map(|(i, &word)| chunks_of_word(i, !word))
            .take((self.len - self.count) as usize)
    }

    /// Adds what `other` holds; of a longer one, what lies beyond the end is left out.
    pub fn union(&mut self, other: &Self) {
        for (mine, theirs) in self.words.iter_mut().zip(&other.words) {
            *mine |= theirs;
        }
        self.settle();
    }

    /// Keeps only what `other` holds too.
    pub fn intersect(&mut self, other: &Self) {
        let theirs = other.words.iter().copied().chain(std::iter::repeat(0));
        for (mine, theirs) in self.words.iter_mut().zip(theirs) {
            *mine &= theirs;
        }
        self.settle();
    }

    /// What is held here and not in `other`.
    pub fn and_not(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        for (mine, theirs) in rest.words.iter_mut().zip(&other.words) {
            *mine &= !theirs;
        }
        rest.settle();
        rest
    }

    /// Whether something is held here and not in `other`: is a peer with this bitfield of interest to one
    /// with that? Allocates nothing.
    pub fn has_more_than(&self, other: &Self) -> bool {
        let theirs = other.words.iter().copied().chain(std::iter::repeat(0));
        self.words
            .iter()
            .zip(theirs)
            .any(|(mine, theirs)| mine & !theirs != 0)
    }

    /// Number of bytes of a bitfield for `len` chunks.
    pub fn byte_len(len: u32) -> usize {
        len.div_ceil(8) as usize
    }

    /// As bytes, the first chunk in the highest bit of the first byte.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.words.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.truncate(Self::byte_len(self.len));
        bytes
    }

    /// From bytes for a file of `len` chunks: exactly as many as that needs, spare bits zero.
    pub fn from_bytes(len: u32, bytes: &[u8]) -> Result<Self, BitfieldError> {
        if bytes.len() != Self::byte_len(len) {
            return Err(BitfieldError::Length {
                expected: Self::byte_len(len),
                got: bytes.len(),
            });
        }
        let mut field = Self::new(len);
        field.write_bytes(0, bytes)?;
        Ok(field)
    }

    /// Replaces the chunks of bytes `first..` by these: a large bitfield travels in several parts.
    /// After an error nothing has changed.
    pub fn write_bytes(&mut self, first: u32, bytes: &[u8]) -> Result<(), BitfieldError> {
        let whole = Self::byte_len(self.len);
        let start = first as usize;
        if bytes.len() > whole.saturating_sub(start) {
            return Err(BitfieldError::OutOfRange {
                first,
                got: bytes.len(),
                bytes: whole,
            });
        }
        let spare = (whole * 8) as u64 - u64::from(self.len);
        let ends = start + bytes.len() == whole;
        if ends
            && bytes
                .last()
                .is_some_and(|last| u64::from(last.trailing_zeros()) < spare)
        {
            return Err(BitfieldError::SpareBits { chunks: self.len });
        }
        for (at, &byte) in (start..).zip(bytes) {
            let shift = 56 - 8 * (at % 8);
            let word = &mut self.words[at / 8];
            *word = *word & !(0xff << shift) | u64::from(byte) << shift;
        }
        self.settle();
        Ok(())
    }

    /// Restores what must hold after words were changed wholesale: no bit behind the end, the count right.
    fn settle(&mut self) {
        if let Some(last) = self.words.last_mut() {
            *last &= used_bits(self.len);
        }
        self.count = self.words.iter().map(|word| word.count_ones()).sum();
    }
}

impl std::fmt::Debug for Bitfield {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bitfield({} of {})", self.count, self.len)
    }
}

/// The chunk's bit in its word.
fn mask(chunk: ChunkIndex) -> u64 {
    1 << (BITS - 1 - chunk.0 % BITS)
}

/// The bits of the last word that stand for chunks, of a file with `len` of them.
fn used_bits(len: u32) -> u64 {
    match len % BITS {
        0 => u64::MAX,
        rest => !(u64::MAX >> rest),
    }
}

/// The chunks of word number `i` whose bits are set, in order.
fn chunks_of_word(i: usize, mut word: u64) -> impl Iterator<Item = ChunkIndex> {
    let base = i as u64 * u64::from(BITS);
    std::iter::from_fn(move || {
        if word == 0 {
            return None;
        }
        let bit = word.leading_zeros();
        word &= !(1 << (BITS - 1 - bit));
        // Fits: words reach no further than the u32 length, rounded up; `missing` takes no more than exist.
        Some(ChunkIndex((base + u64::from(bit)) as u32))
    })
}
