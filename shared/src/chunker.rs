//! Where a stream is cut: chunks of 256 KiB, the last one shorter, an empty stream without any.
//!
//! [`Layout`] owns this arithmetic: everybody else asks it for offsets and lengths and never multiplies.
//! A layout is checked when it is made, so nothing here overflows or panics afterwards.

use crate::id::ChunkIndex;
use std::ops::Range;

/// Bytes of every chunk but the last one of a file: the unit that is asked for, verified and stored.
///
/// Small enough that a lying peer costs little and a chunk fits a pooled buffer, large enough that a chunk's
/// 32-byte hash is 0.012 % of it. A power of two, so that a chunk is a subtree of BLAKE3's own tree.
pub const CHUNK_SIZE: u32 = 262_144;

/// Most chunks of one file. Every size from outside passes this bound before anything is allocated for it: at
/// the bound the hash list takes 2 GiB and a bitfield 8 MiB.
pub const MAX_CHUNKS: u32 = 1 << 26;

/// Most bytes of one file, 16 TiB: as much as a file can have on ext4 with 4 KiB blocks.
pub const MAX_SIZE: u64 = MAX_CHUNKS as u64 * CHUNK_SIZE as u64;

/// A size beyond [`MAX_SIZE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{size} bytes are more than the {MAX_SIZE} bytes (16 TiB) that one share can have")]
pub struct TooLarge {
    /// The size that was refused, in bytes.
    pub size: u64,
}

/// How a stream of a certain size is cut into chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Bytes of the whole stream, at most [`MAX_SIZE`].
    size: u64,
}

impl Layout {
    /// The layout of a stream of `size` bytes.
    pub fn new(size: u64) -> Result<Self, TooLarge> {
        if size > MAX_SIZE {
            return Err(TooLarge { size });
        }
        Ok(Self { size })
    }

    /// The layout of `size` bytes, or of [`MAX_SIZE`] if that is less.
    pub(crate) fn clamped(size: u64) -> Self {
        Self {
            size: size.min(MAX_SIZE),
        }
    }

    /// Bytes of the whole stream.
    pub fn size(self) -> u64 {
        self.size
    }

    /// Number of chunks; 0 for an empty stream.
    pub fn chunks(self) -> u32 {
        // Fits: the size is at most MAX_CHUNKS times the chunk size.
        self.size.div_ceil(u64::from(CHUNK_SIZE)) as u32
    }

    /// Whether the stream has this chunk.
    pub fn contains(self, chunk: ChunkIndex) -> bool {
        chunk.0 < self.chunks()
    }

    /// Where the chunk begins, in bytes from the beginning of the stream. Of a chunk that the stream does not
    /// have: where it would begin.
    pub fn offset(self, chunk: ChunkIndex) -> u64 {
        u64::from(chunk.0) * u64::from(CHUNK_SIZE)
    }

    /// Bytes of the chunk: [`CHUNK_SIZE`], less for the last one, 0 for one that the stream does not have.
    pub fn length(self, chunk: ChunkIndex) -> u32 {
        // Fits: at most CHUNK_SIZE.
        self.size
            .saturating_sub(self.offset(chunk))
            .min(u64::from(CHUNK_SIZE)) as u32
    }

    /// Where the chunk lies in the stream, in bytes; empty for a chunk that the stream does not have.
    pub fn extent(self, chunk: ChunkIndex) -> Range<u64> {
        let start = self.offset(chunk).min(self.size);
        start..start + u64::from(self.length(chunk))
    }

    /// All chunks in order.
    pub fn indices(self) -> impl DoubleEndedIterator<Item = ChunkIndex> + ExactSizeIterator {
        (0..self.chunks()).map(ChunkIndex)
    }

    /// The chunks that hold any of these bytes; what lies beyond the end of the stream counts for nothing.
    pub fn chunks_of(self, bytes: Range<u64>) -> Range<u32> {
        let end = bytes.end.min(self.size);
        let start = bytes.start.min(end);
        let first = (start / u64::from(CHUNK_SIZE)) as u32;
        if start == end {
            return first..first;
        }
        first..end.div_ceil(u64::from(CHUNK_SIZE)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lengths(size: u64) -> Vec<u32> {
        let layout = Layout::new(size).unwrap();
        layout.indices().map(|chunk| layout.length(chunk)).collect()
    }

    #[test]
    fn a_stream_is_cut_into_whole_chunks_and_a_rest() {
        assert_eq!(lengths(0), [0; 0]);
        assert_eq!(lengths(1), [1]);
        assert_eq!(lengths(262_143), [262_143]);
        assert_eq!(lengths(262_144), [262_144]);
        assert_eq!(lengths(262_145), [262_144, 1]);
        assert_eq!(lengths(3 * 262_144), [262_144; 3]);
    }

    #[test]
    fn a_chunk_beyond_the_end_has_no_bytes() {
        let layout = Layout::new(262_145).unwrap();
        for beyond in [2, 3, u32::MAX] {
            assert!(!layout.contains(ChunkIndex(beyond)));
            assert_eq!(layout.length(ChunkIndex(beyond)), 0);
            assert!(layout.extent(ChunkIndex(beyond)).is_empty());
        }
    }

    #[test]
    fn the_largest_stream_has_exactly_the_most_chunks() {
        let layout = Layout::new(MAX_SIZE).unwrap();
        assert_eq!(layout.chunks(), MAX_CHUNKS);
        assert_eq!(layout.length(ChunkIndex(MAX_CHUNKS - 1)), CHUNK_SIZE);
        assert_eq!(Layout::new(MAX_SIZE + 1), Err(TooLarge { size: MAX_SIZE + 1 }));
        assert!(Layout::new(u64::MAX).is_err());
    }

    #[test]
    fn a_range_of_bytes_needs_every_chunk_that_it_touches() {
        let layout = Layout::new(1_000_000).unwrap();
        assert_eq!(layout.chunks_of(0..1), 0..1);
        assert_eq!(layout.chunks_of(262_143..262_145), 0..2);
        assert_eq!(layout.chunks_of(262_144..524_288), 1..2);
        assert_eq!(layout.chunks_of(0..u64::MAX), 0..4);
        assert_eq!(layout.chunks_of(5..5), 0..0);
        assert_eq!(layout.chunks_of(2_000_000..3_000_000), 3..3);
    }

    proptest! {
        #[test]
        fn extents_follow_each_other_and_cover_the_stream(size in 0..20_000_000u64) {
            let layout = Layout::new(size).unwrap();
            let mut end = 0;
            for chunk in layout.indices() {
                prop_assert_eq!(layout.extent(chunk).start, end);
                end = layout.extent(chunk).end;
                prop_assert!(layout.length(chunk) > 0);
            }
            prop_assert_eq!(end, size);
        }

        #[test]
        fn chunks_of_are_exactly_those_whose_extent_overlaps(size in 0..3_000_000u64, a in 0..4_000_000u64, b in 0..4_000_000u64) {
            let layout = Layout::new(size).unwrap();
            let bytes = a.min(b)..a.max(b);
            let found = layout.chunks_of(bytes.clone());
            for chunk in layout.indices() {
                let extent = layout.extent(chunk);
                let overlaps = extent.start.max(bytes.start) < extent.end.min(bytes.end);
                prop_assert_eq!(found.contains(&chunk.0), overlaps);
            }
            prop_assert!(found.end <= layout.chunks());
        }
    }
}
