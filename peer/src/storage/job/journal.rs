//! The journal of a download as bytes: what it says and how it is read back. Pure.
//!
//! ```text
//! head     seal("P2PJ", version 1): boot 16 ‖ inode of the data u64 ‖ file hash ‖ algorithm u8 ‖ size u64 ‖ Merkle root
//! record   tag u8 ‖ length u16 ‖ payload ‖ CRC32 of (CRC32 of what comes before ‖ tag ‖ length ‖ payload)
//! ```
//!
//! Promise: what is read back is a true beginning of what was written. Each record's checksum covers the one before it,
//! so a torn, altered, repeated or stale record ends the journal there; it is cut, never guessed.

use super::ledger::Ledger;
use crate::storage::{
    disk::Boot,
    format::{self, Decoder, Encoder, FormatError, Kind, SEAL_HEAD},
};
use p2p_shared::{bitfield::Bitfield, chunker::Layout, id::ChunkIndex, manifest::Manifest};
use std::io::{self, Read};

const KIND: Kind = Kind {
    magic: *b"P2PJ",
    version: 1,
};

/// Bytes of the head's payload.
const HEAD: usize = 16 + 8 + 32 + 1 + 8 + 32;

/// Bytes of the whole head.
const SEALED_HEAD: usize = SEAL_HEAD + HEAD;

/// What a journal begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// In which run of the operating system it is written.
    pub(super) boot: Boot,
    /// The inode of the file that the chunks are written to.
    pub(super) inode: u64,
}

/// What can happen to a download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    /// These chunks were written.
    Had { first: ChunkIndex, count: u32 },
    /// This chunk was found not to be what was written.
    Lost(ChunkIndex),
    /// What is had by now is about to be made durable.
    Mark,
    /// What was had at the mark is durable; the whole-file hash of that time.
    Durable { front: Vec<u8> },
    /// What came after the last `Durable`'s mark may not be on the disk.
    Distrust,
    /// The folder's files are where they belong.
    Unpacked,
}

/// What a journal says.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) head: Head,
    pub(super) ledger: Ledger,
    /// Bytes that say so; what follows is torn.
    pub(super) length: u64,
    /// The checksum that the next record goes on from.
    pub(super) chain: u32,
}

/// The head of a journal for `manifest`, and the checksum that its first record goes on from.
pub(super) fn encode_head(head: Head, manifest: &Manifest) -> (Vec<u8>, u32) {
    let mut out = Encoder::with_capacity(HEAD);
    out.raw(head.boot.as_bytes());
    out.u64(head.inode);
    out.raw(&subject(manifest));
    let bytes = format::seal(KIND, &out.finish());
    let chain = crc32fast::hash(&bytes);
    (bytes, chain)
}

/// What a journal is about.
fn subject(manifest: &Manifest) -> Vec<u8> {
    let mut out = Encoder::default();
    out.raw(manifest.hash.as_bytes());
    out.algorithm(manifest.algorithm);
    out.u64(manifest.size);
    out.raw(manifest.merkle_root.as_bytes());
    out.finish()
}

/// The bytes of `record` after what `chain` is the checksum of; `chain` goes on.
pub(super) fn encode_record(record: &Record, chain: &mut u32) -> Vec<u8> {
    let mut payload = Encoder::default();
    let tag = match record {
        Record::Had { first, count } => {
            payload.u32(first.0);
            payload.u32(*count);
            1
        }
        Record::Lost(chunk) => {
            payload.u32(chunk.0);
            2
        }
        Record::Mark => 3,
        Record::Durable { front } => {
            payload.raw(front);
            4
        }
        Record::Distrust => 5,
        Record::Unpacked => 6,
    };
    let payload = payload.finish();
    let mut out = Encoder::with_capacity(payload.len() + 7);
    out.u8(tag);
    // Fits: the longest is the state of a hash, at most 1 KiB.
    out.u16(payload.len() as u16);
    out.raw(&payload);
    let mut bytes = out.finish();
    *chain = link(*chain, &bytes);
    bytes.extend_from_slice(&chain.to_be_bytes());
    bytes
}

fn link(chain: u32, record: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&chain.to_be_bytes());
    crc.update(record);
    crc.finalize()
}

/// `Had` records for all of `bits`, one for each run of chunks.
pub(super) fn runs(bits: &Bitfield) -> Vec<Record> {
    let mut runs: Vec<Record> = Vec::new();
    for chunk in bits.ones() {
        match runs.last_mut() {
            Some(Record::Had { first, count }) if first.0 + *count == chunk.0 => *count += 1,
            _ => runs.push(Record::Had {
                first: chunk,
                count: 1,
            }),
        }
    }
    runs
}

/// Reads a journal of `manifest`. An error of the disk is the outer one; a head that is of no use (damaged, of another
/// version or about something else) the inner one.
pub(super) fn replay(mut journal: impl Read, manifest: &Manifest) -> io::Result<Result<Replay, FormatError>> {
    let mut sealed = Vec::with_capacity(SEALED_HEAD);
    journal
        .by_ref()
        .take(SEALED_HEAD as u64)
        .read_to_end(&mut sealed)?;
    let head = match decode_head(&sealed, manifest) {
        Ok(head) => head,
        Err(error) => return Ok(Err(error)),
    };
    let layout = manifest.layout();
    let mut replay = Replay {
        head,
        ledger: Ledger::new(layout.chunks()),
        length: SEALED_HEAD as u64,
        chain: crc32fast::hash(&sealed),
    };
    let mut record = Vec::new();
    while read_record(&mut journal, &mut record)? {
        let Some(said) = decode_record(&record, replay.chain, layout) else {
            break;
        };
        replay.apply(said);
        replay.chain = link(replay.chain, checked(&record));
        replay.length += record.len() as u64;
    }
    Ok(Ok(replay))
}

fn decode_head(sealed: &[u8], manifest: &Manifest) -> Result<Head, FormatError> {
    let (payload, _) = format::open(KIND, sealed)?;
    let mut payload = Decoder::new(payload);
    let head = Head {
        boot: Boot::from_bytes(payload.array()?),
        inode: payload.u64()?,
    };
    let subject = subject(manifest);
    if payload.raw(subject.len())? != subject {
        return Err(FormatError::Field("file hash"));
    }
    payload.end()?;
    Ok(head)
}

/// The next record as it is, with its checksum; false at the end or in a torn one.
fn read_record(journal: &mut impl Read, record: &mut Vec<u8>) -> io::Result<bool> {
    record.clear();
    if journal.take(3).read_to_end(record)? < 3 {
        return Ok(false);
    }
    let length = record.last_chunk::<2>().copied().map_or(0, u16::from_be_bytes);
    let rest = u64::from(length) + 4;
    Ok(journal.take(rest).read_to_end(record)? as u64 == rest)
}

/// The part of a record that its checksum covers.
fn checked(record: &[u8]) -> &[u8] {
    record
        .split_last_chunk::<4>()
        .map_or(record, |(checked, _)| checked)
}

fn decode_record(record: &[u8], chain: u32, layout: Layout) -> Option<Record> {
    let (bytes, crc) = record.split_last_chunk::<4>()?;
    if link(chain, bytes) != u32::from_be_bytes(*crc) {
        return None;
    }
    let mut bytes = Decoder::new(bytes);
    let tag = bytes.u8().ok()?;
    let length = bytes.u16().ok()?;
    let record = match tag {
        1 => Record::Had {
            first: ChunkIndex(bytes.u32().ok()?),
            count: bytes.u32().ok()?,
        },
        2 => Record::Lost(ChunkIndex(bytes.u32().ok()?)),
        3 => Record::Mark,
        4 => Record::Durable {
            front: bytes.raw(usize::from(length)).ok()?.to_vec(),
        },
        5 => Record::Distrust,
        6 => Record::Unpacked,
        _ => return None,
    };
    bytes.end().ok()?;
    let within = match record {
        Record::Had { first, count } => first
            .0
            .checked_add(count)
            .is_some_and(|end| end <= layout.chunks()),
        Record::Lost(chunk) => layout.contains(chunk),
        _ => true,
    };
    within.then_some(record)
}

impl Replay {
    fn apply(&mut self, record: Record) {
        match record {
            Record::Had { first, count } => {
                (first.0..first.0 + count).for_each(|chunk| self.ledger.on_had(ChunkIndex(chunk)));
            }
            Record::Lost(chunk) => self.ledger.on_lost(chunk),
            Record::Mark => self.ledger.on_mark(),
            Record::Durable { front } => self.ledger.on_durable(front),
            Record::Distrust => self.ledger.on_distrust(),
            Record::Unpacked => self.ledger.on_unpacked(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p2p_shared::{chunker::CHUNK_SIZE, hash::HashAlgorithm, id::MerkleRoot, testing};
    use proptest::prelude::*;

    const CHUNKS: u32 = 40;

    fn manifest() -> Manifest {
        let (mut manifest, _) = testing::file(HashAlgorithm::Sha256, "file", b"");
        manifest.size = u64::from(CHUNKS * CHUNK_SIZE);
        manifest
    }

    fn head() -> Head {
        Head {
            boot: Boot::numbered(3),
            inode: 77,
        }
    }

    fn record() -> impl Strategy<Value = Record> {
        let run = (0..CHUNKS, 1..5u32).prop_map(|(first, count)| Record::Had {
            first: ChunkIndex(first),
            count: count.min(CHUNKS - first),
        });
        prop_oneof![
            8 => run,
            1 => (0..CHUNKS).prop_map(|chunk| Record::Lost(ChunkIndex(chunk))),
            2 => Just(Record::Mark),
            2 => proptest::collection::vec(any::<u8>(), 0..60).prop_map(|front| Record::Durable { front }),
            1 => Just(Record::Distrust),
            1 => Just(Record::Unpacked),
        ]
    }

    /// A journal's bytes, and after each record (and the head) how long it is and what it says.
    fn written(records: &[Record]) -> (Vec<u8>, Vec<(usize, Ledger)>) {
        let manifest = manifest();
        let (mut bytes, mut chain) = encode_head(head(), &manifest);
        let mut said = replay(&bytes[..], &manifest).unwrap().unwrap();
        let mut states = vec![(bytes.len(), said.ledger.clone())];
        for record in records {
            bytes.extend(encode_record(record, &mut chain));
            said.apply(record.clone());
            states.push((bytes.len(), said.ledger.clone()));
        }
        (bytes, states)
    }

    fn read(bytes: &[u8]) -> Option<Replay> {
        replay(bytes, &manifest()).unwrap().ok()
    }

    #[test]
    fn a_journal_of_something_else_is_refused() {
        let (bytes, _) = encode_head(head(), &manifest());
        let mut others = [manifest(), manifest(), manifest(), manifest()];
        others[0].hash.0[0] ^= 1;
        others[1].size -= 1;
        others[2].merkle_root = MerkleRoot([1; 32]);
        others[3].algorithm = HashAlgorithm::Blake3;
        for other in others {
            assert!(replay(&bytes[..], &other).unwrap().is_err());
        }
        assert!(read(&bytes).is_some());
    }

    #[test]
    fn chunks_that_the_file_does_not_have_end_the_journal() {
        for (first, count) in [(CHUNKS, 1), (0, CHUNKS + 1), (u32::MAX, u32::MAX)] {
            let wrong = Record::Had {
                first: ChunkIndex(first),
                count,
            };
            let (mut bytes, mut chain) = encode_head(head(), &manifest());
            let before = bytes.len();
            bytes.extend(encode_record(&wrong, &mut chain));
            assert_eq!(read(&bytes).unwrap().length, before as u64);
        }
    }

    #[test]
    fn a_record_of_another_journal_does_not_follow() {
        let had = |first| Record::Had {
            first: ChunkIndex(first),
            count: 1,
        };
        let (mine, _) = written(&[had(1)]);
        let (other, states) = written(&[had(2), had(3)]);
        let stale = &other[states[1].0..];
        let read = read(&[&mine[..], stale].concat()).unwrap();
        assert_eq!(read.length, mine.len() as u64);
        assert_eq!(read.ledger.held().ones().collect::<Vec<_>>(), [ChunkIndex(1)]);
    }

    #[test]
    fn runs_say_what_a_bitfield_says() {
        let mut bits = Bitfield::new(10);
        for chunk in [0, 1, 2, 5, 7, 8, 9] {
            bits.set(ChunkIndex(chunk));
        }
        let run = |first, count| Record::Had {
            first: ChunkIndex(first),
            count,
        };
        assert_eq!(runs(&bits), [run(0, 3), run(5, 1), run(7, 3)]);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(records in proptest::collection::vec(record(), 0..30)) {
            let (bytes, states) = written(&records);
            let read = read(&bytes).unwrap();
            let (length, ledger) = states.last().unwrap();
            prop_assert_eq!(read.head, head());
            prop_assert_eq!(&read.ledger, ledger);
            prop_assert_eq!(read.length, *length as u64);
        }

        #[test]
        fn cut_or_altered_at_any_byte_only_whole_records_before_it_count(
            records in proptest::collection::vec(record(), 0..12), flip in 1..=255u8,
        ) {
            let (bytes, states) = written(&records);
            for at in 0..bytes.len() {
                let mut altered = bytes.clone();
                altered[at] ^= flip;
                let before = states.iter().rfind(|(length, _)| *length <= at);
                for damaged in [&bytes[..at], &altered] {
                    let read = read(damaged);
                    prop_assert_eq!(read.as_ref().map(|read| read.length), before.map(|(length, _)| *length as u64));
                    prop_assert_eq!(read.as_ref().map(|read| &read.ledger), before.map(|(_, ledger)| ledger));
                }
            }
        }

        #[test]
        fn going_on_after_a_cut_gives_a_journal_that_is_read_whole(
            records in proptest::collection::vec(record(), 1..12), at in any::<prop::sample::Index>(), next in record(),
        ) {
            let (bytes, _) = written(&records);
            let cut = &bytes[..at.index(bytes.len() + 1)];
            if let Some(mut replayed) = read(cut) {
                let mut gone_on = bytes[..replayed.length as usize].to_vec();
                gone_on.extend(encode_record(&next, &mut replayed.chain));
                replayed.apply(next);
                let again = read(&gone_on).unwrap();
                prop_assert_eq!(again.length, gone_on.len() as u64);
                prop_assert_eq!(again.ledger, replayed.ledger);
            }
        }
    }
}
