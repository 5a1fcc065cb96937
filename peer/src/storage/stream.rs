//! Which bytes of a share's stream lie in which of its files.
//!
//! A file's stream is the file. A folder's stream is its index and then its files' bytes in index order
//! (protocol.md, "Content"). Pure arithmetic, checked when it is made; nothing here touches the disk.

use std::ops::Range;

/// Where every byte of a stream lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamMap {
    /// Bytes of the folder index at the head; 0 for a file.
    head: u64,
    /// Where each file's bytes begin, in order; one more at the end, where the stream ends.
    starts: Vec<u64>,
}

/// A stretch of a stream that lies in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) place: Place,
    /// Where it begins within that place, in bytes.
    pub(super) offset: u64,
    /// How many bytes; never 0.
    pub(super) length: usize,
}

/// Where bytes of a stream can lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the encoded folder index.
    Head,
    /// In this file, counted in index order.
    File(u32),
}

impl StreamMap {
    /// A single file of `size` bytes.
    pub(super) fn file(size: u64) -> Self {
        Self {
            head: 0,
            starts: vec![0, size],
        }
    }

    /// A folder whose index takes `head` bytes and whose files have these sizes. `None` if that is more than fits in
    /// 64 bits (or more files than in 32).
    pub(super) fn folder(head: u64, sizes: impl IntoIterator<Item = u64>) -> Option<Self> {
        let mut starts = vec![head];
        let mut end = head;
        for size in sizes {
            end = end.checked_add(size)?;
            starts.push(end);
        }
        u32::try_from(starts.len()).ok()?;
        Some(Self { head, starts })
    }

    /// Bytes of the whole stream.
    pub(super) fn size(&self) -> u64 {
        self.starts.last().copied().unwrap_or(self.head)
    }

    /// Number of files.
    #[cfg(test)]
    pub(super) fn files(&self) -> usize {
        self.starts.len() - 1
    }

    /// Bytes of one file.
    pub(super) fn file_size(&self, file: u32) -> u64 {
        let extent = self.extent(file);
        extent.end - extent.start
    }

    /// Where one file lies in the stream; empty for a file that is not there.
    pub(super) fn extent(&self, file: u32) -> Range<u64> {
        let start = self.starts.get(file as usize).copied();
        let end = self.starts.get(file as usize + 1).copied();
        match (start, end) {
            (Some(start), Some(end)) => start..end,
            _ => self.size()..self.size(),
        }
    }

    /// The pieces that make up `bytes`, in order; what lies beyond the end is left out. Empty files have no piece.
    pub(super) fn pieces(&self, bytes: Range<u64>) -> impl Iterator<Item = Piece> + '_ {
        let end = bytes.end.min(self.size());
        let mut at = bytes.start;
        // The last file that begins at or before `at`: of several that begin there, all but it are empty.
        let mut file = self
            .starts
            .partition_point(|start| *start <= at)
            .saturating_sub(1);
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let begin = at;
            if begin < self.head {
                at = self.head.min(end);
                return Some(Piece {
                    place: Place::Head,
                    offset: begin,
                    length: length(begin..at),
                });
            }
            while self.starts.get(file + 1).is_some_and(|next| *next <= begin) {
                file += 1;
            }
            let start = *self.starts.get(file)?;
            at = (*self.starts.get(file + 1)?).min(end);
            Some(Piece {
                // Fits: `folder` has checked the number of files.
                place: Place::File(file as u32),
                offset: begin - start,
                length: length(begin..at),
            })
        })
    }
}

fn length(range: Range<u64>) -> usize {
    // Pieces are asked for by chunk; on a 32-bit machine a longer one is cut and asked for again by nobody.
    usize::try_from(range.end - range.start).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pieces(map: &StreamMap, bytes: Range<u64>) -> Vec<(Place, u64, usize)> {
        map.pieces(bytes)
            .map(|piece| (piece.place, piece.offset, piece.length))
            .collect()
    }

    #[test]
    fn a_file_is_its_own_stream() {
        let map = StreamMap::file(10);
        assert_eq!(pieces(&map, 3..20), [(Place::File(0), 3, 7)]);
        assert_eq!(pieces(&map, 10..20), []);
        assert_eq!(pieces(&StreamMap::file(0), 0..20), []);
    }

    #[test]
    fn a_folder_is_its_index_and_then_its_files_without_the_empty_ones() {
        let map = StreamMap::folder(5, [3, 0, 0, 4]).unwrap();
        assert_eq!((map.size(), map.files()), (12, 4));
        let all = [
            (Place::Head, 0, 5),
            (Place::File(0), 0, 3),
            (Place::File(3), 0, 4),
        ];
        assert_eq!(pieces(&map, 0..12), all);
        assert_eq!(
            pieces(&map, 4..9),
            [
                (Place::Head, 4, 1),
                (Place::File(0), 0, 3),
                (Place::File(3), 0, 1)
            ]
        );
        assert_eq!(pieces(&map, 8..9), [(Place::File(3), 0, 1)]);
        assert_eq!(map.extent(3), 8..12);
        assert_eq!(map.file_size(1), 0);
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        assert_eq!(StreamMap::folder(5, [u64::MAX]), None);
    }

    proptest! {
        #[test]
        fn pieces_are_those_of_every_byte_on_its_own(
            head in 1..20u64, sizes in proptest::collection::vec(0..6u64, 0..8), a in 0..70u64, b in 0..70u64,
        ) {
            let map = StreamMap::folder(head, sizes.clone()).unwrap();
            let mut bytes: Vec<(Place, u64)> = (0..head).map(|at| (Place::Head, at)).collect();
            for (file, size) in sizes.iter().enumerate() {
                bytes.extend((0..*size).map(|at| (Place::File(file as u32), at)));
            }
            let (from, to) = (a.min(b), a.max(b));
            let expected: Vec<_> = bytes.iter().skip(from as usize).take((to - from) as usize).copied().collect();
            let found: Vec<_> = map.pieces(from..to)
                .flat_map(|piece| (0..piece.length as u64).map(move |at| (piece.place, piece.offset + at)))
                .collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(map.size(), bytes.len() as u64);
        }
    }
}
