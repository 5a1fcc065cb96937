//! What an interrupted hashing run leaves behind, so that the next one goes on where it was.
//!
//! A head that says what is hashed, then records of (first chunk, hashes, state of the whole-file hash), each with its
//! own checksum. Promise: what is read back is a true beginning of the work; a torn or altered record ends it. Written
//! without waiting for the disk: after a power cut a little (or all) is hashed again.

use super::{HashCache, cache::Source, pipeline::Start};
use crate::storage::format::{self, Decoder, Encoder, FormatError, Kind};
use p2p_shared::{hash::FileHasher, id::ChunkHash};
use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::PathBuf,
};

const HEAD: Kind = Kind {
    magic: *b"P2PI",
    version: 1,
};

const RECORD: Kind = Kind {
    magic: *b"P2Pi",
    version: 1,
};

/// Chunks from one record to the next: 256 MiB, a fifth of a second of work.
const EVERY: usize = 1024;

/// The open journal of a run.
#[derive(Debug)]
pub(super) struct Interrupted {
    path: PathBuf,
    file: File,
    /// How many hashes it holds.
    noted: usize,
}

impl Interrupted {
    /// Opens the journal for `source` and reads back how far an earlier run came. `None`: it cannot be written, or
    /// another process is hashing the same thing.
    pub(super) fn open(cache: &HashCache, source: &Source) -> Option<(Start, Self)> {
        let path = cache.interrupted_path(source);
        match Self::open_at(path.clone(), source) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot journal the hashing; interrupted it would begin anew");
                None
            }
        }
    }

    fn open_at(path: PathBuf, source: &Source) -> io::Result<Option<(Start, Self)>> {
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        if file.try_lock().is_err() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (start, valid) =
            replay(source, &bytes).unwrap_or_else(|_| (Start::new(source.algorithm, source.layout), 0));
        file.set_len(valid as u64)?;
        file.seek(SeekFrom::Start(valid as u64))?;
        let mut interrupted = Self {
            path,
            file,
            noted: start.hashes.len(),
        };
        if valid == 0 {
            let mut head = Encoder::default();
            source.encode(&mut head);
            interrupted.append(&format::seal(HEAD, &head.finish()), 0)?;
        }
        Ok(Some((start, interrupted)))
    }

    fn append(&mut self, bytes: &[u8], noted: usize) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.noted = noted;
        Ok(())
    }

    /// How far the work has come; written down now and then, or `now` (the run is about to end).
    pub(super) fn note(&mut self, hasher: &FileHasher, hashes: &[ChunkHash], now: bool) {
        let new = hashes.get(self.noted..).unwrap_or_default();
        if new.is_empty() || !(now || new.len() >= EVERY) {
            return;
        }
        let mut record = Encoder::with_capacity(32 * new.len() + 1024);
        record.u64(self.noted as u64);
        record.hashes(new);
        record.bytes(&hasher.save());
        if let Err(error) = self.append(&format::seal(RECORD, &record.finish()), hashes.len()) {
            // A torn record is cut when it is read; the next one then does not follow on it and is cut too.
            tracing::debug!(path = %self.path.display(), %error, "cannot journal the hashing");
        }
    }

    /// The work is done: nothing is left to go on with.
    pub(super) fn done(self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "cannot remove the journal of a hashing");
        }
    }
}

/// How far the journal says that the work came, and how many of its bytes say so.
fn replay(source: &Source, bytes: &[u8]) -> Result<(Start, usize), FormatError> {
    let (head, mut rest) = format::open(HEAD, bytes)?;
    source.expect(&mut Decoder::new(head))?;
    let mut start = Start::new(source.algorithm, source.layout);
    while let Ok((payload, after)) = format::open(RECORD, rest) {
        if replay_record(source, payload, &mut start).is_err() {
            break;
        }
        rest = after;
    }
    Ok((start, bytes.len() - rest.len()))
}

fn replay_record(source: &Source, payload: &[u8], start: &mut Start) -> Result<(), FormatError> {
    let mut payload = Decoder::new(payload);
    if payload.u64()? != start.hashes.len() as u64 {
        return Err(FormatError::Field("first chunk"));
    }
    let hashes = payload.hashes()?;
    let state = payload.bytes()?;
    let hasher =
        FileHasher::restore(source.algorithm, source.layout, state).ok_or(FormatError::Field("state"))?;
    if hasher.next_index().0 as usize != start.hashes.len() + hashes.len() {
        return Err(FormatError::Field("number of chunks"));
    }
    start.hasher = hasher;
    start.hashes.extend_from_slice(&hashes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use p2p_shared::{
        chunker::{CHUNK_SIZE, Layout},
        hash::HashAlgorithm,
    };

    fn source(algorithm: HashAlgorithm) -> Source {
        Source {
            fingerprint: [7; 32],
            algorithm,
            layout: Layout::new(10 * 262_144).unwrap(),
        }
    }

    /// A journal after 3 and 5 chunks, and where its head and first record end.
    fn journal(source: &Source) -> (Vec<u8>, [usize; 2]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (start, mut interrupted) = Interrupted::open_at(path.clone(), source).unwrap().unwrap();
        let head = fs::read(&path).unwrap().len();
        let (mut hasher, mut hashes) = (start.hasher, start.hashes);
        let mut ends = [head, 0];
        for chunk in 0..5 {
            hashes.push(ChunkHash([chunk; 32]));
            hasher.update(&vec![chunk; CHUNK_SIZE as usize], &ChunkHash([chunk; 32]));
            interrupted.note(&hasher, &hashes, chunk == 2 || chunk == 4);
            if chunk == 2 {
                ends[1] = fs::read(&path).unwrap().len();
            }
        }
        (fs::read(&path).unwrap(), ends)
    }

    #[test]
    fn the_work_goes_on_where_it_was() {
        for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Blake3] {
            let source = source(algorithm);
            let (bytes, _) = journal(&source);
            let (start, valid) = replay(&source, &bytes).unwrap();
            assert_eq!(
                (start.hasher.next_index().0, start.hashes.len(), valid),
                (5, 5, bytes.len())
            );
            assert_eq!(start.hashes[4], ChunkHash([4; 32]));
        }
    }

    #[test]
    fn of_a_journal_altered_or_cut_anywhere_only_whole_records_before_that_count() {
        let source = source(HashAlgorithm::Sha256);
        let (bytes, [head, first]) = journal(&source);
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 0x40;
            for journal in [&bytes[..at], &altered] {
                let chunks = replay(&source, journal).map(|(start, _)| start.hashes.len());
                let expected = if at < head {
                    None
                } else {
                    Some(if at < first { 0 } else { 3 })
                };
                assert_eq!(chunks.ok(), expected, "byte {at}");
            }
        }
    }

    #[test]
    fn the_journal_of_another_source_is_begun_anew() {
        let (bytes, _) = journal(&source(HashAlgorithm::Sha256));
        let mut other = source(HashAlgorithm::Sha256);
        other.fingerprint[0] ^= 1;
        assert!(replay(&other, &bytes).is_err());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        fs::write(&path, &bytes).unwrap();
        let (start, _) = Interrupted::open_at(path.clone(), &other).unwrap().unwrap();
        assert!(start.hashes.is_empty());
        assert!(replay(&other, &fs::read(&path).unwrap()).is_ok());
    }

    #[test]
    fn a_journal_that_is_in_use_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let source = source(HashAlgorithm::Sha256);
        let first = Interrupted::open_at(path.clone(), &source).unwrap().unwrap();
        assert!(Interrupted::open_at(path.clone(), &source).unwrap().is_none());
        drop(first);
        assert!(Interrupted::open_at(path, &source).unwrap().is_some());
    }
}
