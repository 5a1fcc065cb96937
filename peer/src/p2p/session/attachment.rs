//! One file in one session: who talks about it, and what the peer holds of it.
//!
//! Both sides may fetch and serve the same file over the same session. Each says `Attach` and what it holds once, unasked
//! because it wants the file, or in answer because it has it; `Detach` from either side ends it for both. What the peer
//! holds is kept even while nobody here fetches, and even before it is known whether we share the file at all, so that
//! nothing has to be asked twice when somebody begins to.

use super::close::Violation;
use p2p_shared::{
    bitfield::Bitfield,
    chunker::{Layout, MAX_CHUNKS},
    id::{ChunkHash, ChunkIndex, FileHash, MerkleRoot},
    merkle::{MerkleProof, verify_range},
};
use std::collections::VecDeque;

/// What has to be known of a file to fetch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Which file.
    pub file: FileHash,
    /// How it is cut.
    pub layout: Layout,
    /// What its chunk hashes are checked against.
    pub root: MerkleRoot,
}

impl Wanted {
    /// Checks hashes that answer a question for `count` from `first` on: all of them, proved, or none.
    pub fn check_hashes(
        &self,
        first: u32,
        count: u32,
        hashes: &[ChunkHash],
        proof: &MerkleProof,
    ) -> Result<(), Violation> {
        let proved = || verify_range(&self.root, self.layout, ChunkIndex(first), hashes, proof).is_ok();
        let right = hashes.is_empty() || (hashes.len() == count as usize && proved());
        if right {
            Ok(())
        } else {
            Err(Violation::Hashes(self.file))
        }
    }
}

/// Our side of fetching a file over one session.
#[derive(Debug)]
pub struct Fetch {
    /// What is fetched.
    pub wanted: Wanted,
    /// We told the peer that it has something for us.
    pub interested: bool,
    /// What the owner was told last about room.
    pub told_room: u32,
}

/// What the two sides said about one file.
#[derive(Debug, Default)]
pub struct Attachment {
    /// We said `Attach`.
    pub we: bool,
    /// The peer said `Attach`.
    pub they: bool,
    /// We are looking whether we have it, to answer their `Attach`.
    pub opening: bool,
    /// What they asked for meanwhile.
    pub early: Vec<ChunkIndex>,
    /// How it is cut, once we know: then it may be served.
    pub layout: Option<Layout>,
    /// We fetch it.
    pub fetch: Option<Fetch>,
    /// The peer wants something of it from us.
    pub their_interest: bool,
    /// What the peer holds.
    pub theirs: Theirs,
    /// Chunks that we got, and that a peer which holds them all is told of with the next tick.
    pub unsaid: VecDeque<ChunkIndex>,
}

/// What a peer holds of a file, as far as it came.
#[derive(Debug, Default)]
pub struct Theirs {
    /// Bytes of the bitfield that came.
    parts: usize,
    /// Nothing while we do not know how the file is cut.
    bits: Option<Bitfield>,
    /// What came before we knew.
    unread: Vec<Unread>,
    unread_bytes: usize,
}

/// A statement about a file that we do not know yet.
#[derive(Debug)]
enum Unread {
    Part(u32, Vec<u8>),
    Have(ChunkIndex),
}

/// Bytes of statements kept unread: the largest bitfield that there can be, and some.
const MAX_UNREAD: usize = MAX_CHUNKS as usize / 8 + 64 * 1024;

impl Theirs {
    /// What the peer holds, once it has said so completely.
    pub fn whole(&self) -> Option<&Bitfield> {
        self.bits
            .as_ref()
            .filter(|bits| self.parts == Bitfield::byte_len(bits.len()))
    }

    /// We know how `file` is cut: reads what came before.
    pub fn learn(&mut self, file: FileHash, layout: Layout) -> Result<(), Violation> {
        self.bits = Some(Bitfield::new(layout.chunks()));
        for statement in std::mem::take(&mut self.unread) {
            match statement {
                Unread::Part(first_byte, bits) => drop(self.on_part(file, first_byte, bits)?),
                Unread::Have(chunk) => drop(self.on_have(file, chunk)?),
            }
        }
        Ok(())
    }

    /// A part of the bitfield; true when that completes it.
    pub fn on_part(&mut self, file: FileHash, first_byte: u32, part: Vec<u8>) -> Result<bool, Violation> {
        let Some(bits) = &mut self.bits else {
            self.keep(part.len(), Unread::Part(first_byte, part))?;
            return Ok(false);
        };
        let whole = Bitfield::byte_len(bits.len());
        let next = first_byte as usize == self.parts && self.parts + part.len() <= whole;
        // Only the bitfield of a file without chunks is empty, and comes once.
        let news = !part.is_empty() || whole == 0;
        if !next || !news || bits.write_bytes(first_byte, &part).is_err() {
            return Err(Violation::Bitfield(file));
        }
        self.parts += part.len();
        Ok(self.parts == whole)
    }

    /// The peer holds one more; true if we did not know (a bitfield that is still coming says it anyway).
    pub fn on_have(&mut self, file: FileHash, chunk: ChunkIndex) -> Result<bool, Violation> {
        let complete = self.whole().is_some();
        let Some(bits) = &mut self.bits else {
            self.keep(size_of::<Unread>(), Unread::Have(chunk))?;
            return Ok(false);
        };
        if chunk.0 >= bits.len() {
            return Err(Violation::OutOfRange(file, chunk));
        }
        Ok(complete && bits.set(chunk))
    }

    fn keep(&mut self, bytes: usize, statement: Unread) -> Result<(), Violation> {
        self.unread_bytes += bytes;
        self.unread.push(statement);
        if self.unread_bytes > MAX_UNREAD {
            return Err(Violation::TooMany("statements about an unknown file"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p2p_shared::{chunker::CHUNK_SIZE, merkle::MerkleTree};

    const FILE: FileHash = FileHash([1; 32]);

    fn layout(chunks: u32) -> Layout {
        Layout::new(u64::from(chunks) * u64::from(CHUNK_SIZE)).unwrap()
    }

    fn theirs(chunks: u32) -> Theirs {
        let mut theirs = Theirs::default();
        theirs.learn(FILE, layout(chunks)).unwrap();
        theirs
    }

    fn ones(theirs: &Theirs) -> Option<Vec<u32>> {
        theirs
            .whole()
            .map(|bits| bits.ones().map(|chunk| chunk.0).collect())
    }

    #[test]
    fn a_bitfield_comes_in_parts_in_order() {
        let mut theirs = theirs(20);
        assert_eq!(theirs.on_part(FILE, 0, vec![0x80]), Ok(false));
        assert_eq!(ones(&theirs), None);
        assert_eq!(theirs.on_part(FILE, 1, vec![0, 0x10]), Ok(true));
        assert_eq!(ones(&theirs), Some(vec![0, 19]));
    }

    #[test]
    fn parts_out_of_order_too_long_twice_or_with_spare_bits_are_violations() {
        let wrong = Err(Violation::Bitfield(FILE));
        assert_eq!(theirs(20).on_part(FILE, 1, vec![0]), wrong);
        assert_eq!(theirs(20).on_part(FILE, 0, vec![0; 4]), wrong);
        assert_eq!(theirs(20).on_part(FILE, 0, vec![0, 0, 1]), wrong);
        assert_eq!(theirs(20).on_part(FILE, 0, vec![]), wrong);
        let mut theirs = theirs(20);
        theirs.on_part(FILE, 0, vec![0; 3]).unwrap();
        assert_eq!(theirs.on_part(FILE, 0, vec![0; 3]), wrong);
        assert_eq!(theirs.on_part(FILE, 3, vec![]), wrong);
    }

    #[test]
    fn one_more_is_news_once() {
        let mut theirs = theirs(20);
        theirs.on_part(FILE, 0, vec![0x80, 0, 0]).unwrap();
        assert_eq!(theirs.on_have(FILE, ChunkIndex(0)), Ok(false));
        assert_eq!(theirs.on_have(FILE, ChunkIndex(1)), Ok(true));
        assert_eq!(theirs.on_have(FILE, ChunkIndex(1)), Ok(false));
        let beyond = ChunkIndex(20);
        assert_eq!(
            theirs.on_have(FILE, beyond),
            Err(Violation::OutOfRange(FILE, beyond))
        );
    }

    #[test]
    fn what_is_said_of_an_unknown_file_is_read_when_it_is_known() {
        let mut theirs = Theirs::default();
        theirs.on_part(FILE, 0, vec![0x80, 0, 0]).unwrap();
        theirs.on_have(FILE, ChunkIndex(7)).unwrap();
        assert_eq!(ones(&theirs), None);
        theirs.learn(FILE, layout(20)).unwrap();
        assert_eq!(ones(&theirs), Some(vec![0, 7]));
        let mut wrong = Theirs::default();
        wrong.on_part(FILE, 0, vec![0; 9]).unwrap();
        assert_eq!(wrong.learn(FILE, layout(20)), Err(Violation::Bitfield(FILE)));
    }

    #[test]
    fn what_is_said_of_an_unknown_file_has_an_end() {
        let mut theirs = Theirs::default();
        let more = (0..1000).find_map(|_| theirs.on_part(FILE, 0, vec![0; 256 * 1024]).err());
        assert!(matches!(more, Some(Violation::TooMany(_))));
        assert!(theirs.unread_bytes < MAX_UNREAD + 512 * 1024);
    }

    #[test]
    fn hashes_are_taken_only_as_asked_and_proved() {
        let hashes: Vec<_> = (0..8).map(|n| ChunkHash([n; 32])).collect();
        let tree = MerkleTree::new(layout(8), &hashes).unwrap();
        let wanted = Wanted {
            file: FILE,
            layout: layout(8),
            root: tree.root(),
        };
        let proof = tree.proof(2..5);
        let wrong = Err(Violation::Hashes(FILE));
        assert_eq!(wanted.check_hashes(2, 3, &hashes[2..5], &proof), Ok(()));
        assert_eq!(
            wanted.check_hashes(2, 3, &hashes[3..6], &proof),
            wrong,
            "not those"
        );
        assert_eq!(
            wanted.check_hashes(2, 3, &hashes[2..4], &tree.proof(2..4)),
            wrong,
            "not all"
        );
        assert_eq!(
            wanted.check_hashes(2, 3, &[], &proof),
            Ok(()),
            "the peer may not have them"
        );
    }
}
