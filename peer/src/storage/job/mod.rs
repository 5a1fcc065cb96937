//! A download on disk: verified chunks in, the finished file out.
//!
//! Promise: a chunk that was committed is on the disk and right, whatever happens to the process; what a checkpoint
//! covers is so whatever happens to the machine. The result appears under its final name when it is whole, checked
//! and durable, and never in place of something else. A job that was cut short is gone on with by opening it again.
//!
//! Reading order: [`place`] where it lives, [`private`] for us alone, [`target`] what is written to, [`wanted`] what of it is
//! to be had, [`ledger`] and [`journal`] what is known of it, [`log`] the journal's file, [`open`] beginning and going on,
//! [`standing`] what has its final name already, [`front`] and [`lead`] the whole-file hash, [`keeper`] checkpoints,
//! [`finish`] the end; [`glance`] is a job that fetches a folder's index alone. All calls are blocking and may come from
//! several threads at once.

mod finish;
mod front;
mod glance;
mod journal;
mod keeper;
mod lead;
mod ledger;
mod log;
mod open;
mod place;
mod private;
mod standing;
mod target;
#[cfg(test)]
mod tests;
mod wanted;

pub(super) use finish::Finished;
pub(super) use open::Surroundings;
pub use target::IndexFault;

use self::{front::Front, glance::Glance, keeper::Pace, log::Log, place::Place, target::Target};
use super::{
    error::{CommitError, DiskError, FinishError, Named as _, ReadError},
    import::Import,
    served::Served,
    verify::{BadChunk, ReceivedChunk, VerifiedChunk, verify, verify_by},
};
use crate::{
    metrics::{self, DiskWork},
    selection::Selection,
};
use p2p_shared::{
    bitfield::Bitfield,
    chunker::{CHUNK_SIZE, Layout},
    id::{ChunkHash, ChunkIndex},
    manifest::Manifest,
};
use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, atomic::AtomicBool},
};

/// What is to be fetched, and where to.
#[derive(Debug, Clone)]
pub struct JobSpec {
    /// What it is.
    pub manifest: Manifest,
    /// The hashes of its chunks, checked against the manifest's Merkle root.
    pub hashes: Arc<[ChunkHash]>,
    /// The folder in which the file (or folder) will appear under its name.
    pub output: PathBuf,
    /// Which files of it are wanted, if it is a folder.
    pub selection: Selection,
}

/// What became of a committed chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It is stored and journaled: it survives a crash of this process.
    Stored,
    /// It was held already; nothing was written.
    AlreadyHeld,
}

/// Why a received chunk was not stored.
#[derive(Debug, thiserror::Error)]
pub enum NotStored {
    /// It is not what it claims to be.
    #[error(transparent)]
    Bad(#[from] BadChunk),
    /// It is, and could not be stored.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// A download that goes on. Shared by whoever fetches, serves and finishes it; its threads end when nobody does any
/// more.
#[derive(Debug)]
pub struct Job {
    spec: JobSpec,
    target_path: PathBuf,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// Chunks come in.
    Live(Arc<Live>),
    /// It stood under its final name already.
    There(Box<(Served, Import)>),
    /// Only the index is fetched, and into memory.
    Glance(Box<Glance>),
}

/// A job with chunks coming in. Its threads share it.
#[derive(Debug)]
struct Live {
    manifest: Manifest,
    hashes: Arc<[ChunkHash]>,
    layout: Layout,
    place: Place,
    target: Target,
    log: Mutex<Log>,
    front: Front,
    pace: Pace,
    /// Held by who makes a checkpoint: one at a time.
    checkpoint: Mutex<()>,
    /// What the end of it was; held while it is being finished.
    end: Mutex<Option<finish::End>>,
    /// Nothing is written any more. Held for reading by who writes.
    closed: RwLock<bool>,
    /// The names of its files are durable.
    names_durable: AtomicBool,
}

impl Job {
    /// What is fetched, and where to.
    #[must_use]
    pub fn spec(&self) -> &JobSpec {
        &self.spec
    }

    /// What is fetched.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.spec.manifest
    }

    /// The hashes of its chunks.
    #[must_use]
    pub fn hashes(&self) -> &Arc<[ChunkHash]> {
        &self.spec.hashes
    }

    /// Where it will appear.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target_path
    }

    /// The chunks that are stored, at this moment.
    #[must_use]
    pub fn held(&self) -> Bitfield {
        match &self.body {
            Body::Live(live) => live.log().ledger().held().clone(),
            Body::There(there) => there.0.held(),
            Body::Glance(glance) => glance.held(),
        }
    }

    /// Bytes in the chunks that are stored, of those that are wanted; and in all that are wanted.
    #[must_use]
    pub fn standing(&self) -> (u64, u64) {
        let (layout, wanted) = (self.spec.manifest.layout(), self.wanted());
        let mut held = self.held();
        held.intersect(&wanted);
        (bytes_of(layout, &held), bytes_of(layout, &wanted))
    }

    /// The chunks that had better come first: those with a folder's index, while it is not known. Until then the
    /// others can be committed too, but are written twice.
    #[must_use]
    pub fn wanted_first(&self) -> Range<u32> {
        match &self.body {
            Body::Live(live) => live.wanted_first(),
            Body::There(..) => 0..0,
            Body::Glance(glance) => glance.wanted_first(),
        }
    }

    /// Verifies a chunk that came from a peer and commits it: as [`verify`](fn@super::verify) and [`Self::commit`], for the
    /// time of one hash where they and the whole-file hash take two.
    pub fn store(&self, received: ReceivedChunk) -> Result<Committed, NotStored> {
        match &self.body {
            Body::Live(live) => live.store(received),
            Body::There(..) => Ok(Committed::AlreadyHeld),
            Body::Glance(glance) => {
                let expected = hash_of(&self.spec.hashes, received.chunk);
                let (algorithm, layout) = (self.spec.manifest.algorithm, self.spec.manifest.layout());
                let verified = metrics::chunk_checked(|| verify(received, &expected, algorithm, layout))?;
                Ok(glance.commit(&verified)?)
            }
        }
    }

    /// Writes the chunk, then journals it. When this returns the chunk survives the death of the process. On an error
    /// the chunk is not held and can be committed again; after [`CommitError::NoSpace`] once there is room.
    pub fn commit(&self, chunk: VerifiedChunk) -> Result<Committed, CommitError> {
        match &self.body {
            Body::Live(live) => live.commit(chunk),
            Body::There(..) => Ok(Committed::AlreadyHeld),
            Body::Glance(glance) => glance.commit(&chunk),
        }
    }

    /// Appends exactly the chunk's bytes to `out`, checked against its hash; on an error `out` is as it was.
    pub fn read_chunk(&self, chunk: ChunkIndex, out: &mut Vec<u8>) -> Result<(), ReadError> {
        match &self.body {
            Body::Live(live) => live.read_chunk(chunk, out),
            Body::There(there) => there.0.read_chunk(chunk, out),
            Body::Glance(_) => Err(ReadError::NotHeld(chunk)),
        }
    }

    /// Makes durable what is stored, so that even a power cut loses none of it. For a clean stop.
    pub fn flush(&self) -> Result<(), CommitError> {
        match &self.body {
            Body::Live(live) => live.flush(),
            Body::There(..) | Body::Glance(_) => Ok(()),
        }
    }

    /// Checks the whole, makes it durable and gives it its name: up to the time of hashing and writing what is not yet
    /// hashed and written. Called again it says the same again. Callers go through
    /// [`ChunkStoreHandle::finish`](super::ChunkStoreHandle::finish), which also makes a share of it.
    pub(super) fn complete(&self) -> Result<Finished, FinishError> {
        match &self.body {
            Body::Live(live) => live.complete(),
            Body::There(there) => Ok(Finished::Whole(Box::new(there.1.clone()))),
            Body::Glance(_) => Err(FinishError::Closed),
        }
    }

    /// Hashes what is stored, gives up what is not as it should be, and says how many chunks were read and which were
    /// given up. `progress` is given the bytes done so far.
    pub(super) fn recheck(
        &self,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(u32, Vec<ChunkIndex>), DiskError> {
        match &self.body {
            Body::Live(live) => live.recheck(progress),
            Body::There(..) | Body::Glance(_) => Ok((0, Vec::new())),
        }
    }

    /// Ends the job and removes what was stored of it. What is finished stays.
    pub(super) fn discard(&self) -> Result<(), DiskError> {
        match &self.body {
            Body::Live(live) => live.discard(),
            Body::There(..) | Body::Glance(_) => Ok(()),
        }
    }
}

/// Bytes in these chunks.
#[must_use]
pub fn bytes_of(layout: Layout, chunks: &Bitfield) -> u64 {
    let last = ChunkIndex(layout.chunks().saturating_sub(1));
    let short = if chunks.has(last) {
        CHUNK_SIZE - layout.length(last)
    } else {
        0
    };
    u64::from(chunks.count()) * u64::from(CHUNK_SIZE) - u64::from(short)
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Body::Live(live) = &self.body {
            live.stop();
        }
    }
}

impl Live {
    fn log(&self) -> MutexGuard<'_, Log> {
        // The log keeps file and ledger in step by itself; a panic elsewhere does not change that.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing is written any more; it stays so while the answer is held.
    fn closed(&self) -> RwLockReadGuard<'_, bool> {
        // It is set in one step.
        self.closed.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the threads. What is stored stays.
    fn stop(&self) {
        self.front.stop();
        self.pace.stop();
    }

    fn flush(&self) -> Result<(), CommitError> {
        let closed = self.closed();
        if *closed { Ok(()) } else { Ok(self.checkpoint()?) }
    }

    fn wanted_first(&self) -> Range<u32> {
        match &self.target {
            Target::File(_) => 0..0,
            Target::Folder(folder) => {
                // A copy: who writes a chunk takes the log while it holds the tree, so nobody may wait for the tree with
                // the log in hand.
                let held = self.log().ledger().held().clone();
                folder.wanted_first(&held)
            }
        }
    }

    fn store(&self, received: ReceivedChunk) -> Result<Committed, NotStored> {
        let chunk = received.chunk;
        // Of a chunk that the file does not have this is never asked: that shows before.
        let expected = front::Chunks::hash(self, chunk);
        let hash = |bytes: &[u8]| match self.target.wants_everything() {
            true => self.front.hash_in_passing(chunk, bytes, &expected, self),
            // Of a selection there is no whole to be followed.
            false => self.manifest.algorithm.hash_chunk(self.layout, chunk, bytes),
        };
        let verified = metrics::chunk_checked(|| verify_by(received, &expected, self.layout, hash))?;
        Ok(self.commit(verified)?)
    }

    fn commit(&self, verified: VerifiedChunk) -> Result<Committed, CommitError> {
        if verified.file() != self.manifest.hash {
            return Err(CommitError::OtherFile(verified.file()));
        }
        let closed = self.closed();
        if *closed {
            return Err(CommitError::Closed);
        }
        if let Some(error) = self.pace.failed() {
            return Err(error.into());
        }
        let chunk = verified.chunk();
        let stored = !self.log().ledger().held().has(chunk);
        if stored {
            self.write(chunk, verified.bytes())?;
            let wanted = self.front.wants_bytes() && self.target.wants_everything();
            let bytes = (wanted && !self.front.is_past(chunk)).then(|| verified.into_bytes().park());
            self.front.on_stored(chunk, bytes.flatten(), self);
            self.pace.on_stored(u64::from(self.layout.length(chunk)));
        }
        self.unpack()?;
        Ok(if stored {
            Committed::Stored
        } else {
            Committed::AlreadyHeld
        })
    }

    fn write(&self, chunk: ChunkIndex, bytes: &[u8]) -> Result<(), DiskError> {
        let journal = || {
            self.log()
                .had(chunk)
                .named("write the journal of", &self.place.path())
        };
        metrics::disk(DiskWork::Write, || {
            self.target.write(self.layout.extent(chunk), bytes, journal)
        })
    }

    /// Puts a folder's files where they belong, as soon as that is known.
    fn unpack(&self) -> Result<(), CommitError> {
        let Target::Folder(folder) = &self.target else {
            return Ok(());
        };
        let held = || self.log().ledger().held().clone();
        let then = || {
            self.log()
                .unpacked()
                .named("write the journal of", &self.place.path())
        };
        match folder.unpack(&self.place, held, then) {
            Ok(false) => Ok(()),
            Ok(true) => {
                // Everything may be wanted, which was not known when the chunks before came.
                self.front.on_stored(ChunkIndex(0), None, self);
                Ok(self.take_standing(folder)?)
            }
            Err(target::UnpackError::Index(fault)) => Err(CommitError::BadIndex(fault)),
            Err(target::UnpackError::Selection(nothing)) => Err(CommitError::Selection(nothing)),
            Err(target::UnpackError::Disk(error)) => Err(error.into()),
        }
    }

    /// As it is on the disk.
    fn read(&self, chunk: ChunkIndex, out: &mut Vec<u8>) -> Result<(), DiskError> {
        metrics::disk(DiskWork::Read, || {
            self.target.read(self.layout.extent(chunk), out)
        })
    }

    fn read_chunk(&self, chunk: ChunkIndex, out: &mut Vec<u8>) -> Result<(), ReadError> {
        if !self.log().ledger().held().has(chunk) {
            return Err(ReadError::NotHeld(chunk));
        }
        let before = out.len();
        let expected = self.hashes.get(chunk.0 as usize);
        let read = self.read(chunk, out);
        let (_, bytes) = out.split_at(before);
        let right = expected == Some(&self.manifest.algorithm.hash_chunk(self.layout, chunk, bytes));
        match read {
            Ok(()) if right => Ok(()),
            failed => {
                out.truncate(before);
                failed?;
                // Somebody wrote into it; better to fetch it again.
                if let Err(error) = self.log().lost(chunk) {
                    tracing::warn!(chunk = chunk.0, %error, "cannot journal that a chunk was lost");
                }
                Err(ReadError::Changed {
                    path: self.place.path(),
                })
            }
        }
    }
}

impl front::Chunks for Live {
    fn has(&self, chunk: ChunkIndex) -> bool {
        // Of a selection there is no whole to be hashed.
        self.target.wants_everything() && self.log().ledger().held().has(chunk)
    }

    fn read(&self, chunk: ChunkIndex, out: &mut Vec<u8>) -> Result<(), DiskError> {
        Self::read(self, chunk, out)
    }

    fn hash(&self, chunk: ChunkIndex) -> ChunkHash {
        hash_of(&self.hashes, chunk)
    }
}

/// The spec was checked to have as many hashes as the file has chunks; of one that it does not have nothing is right.
fn hash_of(hashes: &[ChunkHash], chunk: ChunkIndex) -> ChunkHash {
    hashes
        .get(chunk.0 as usize)
        .copied()
        .unwrap_or(ChunkHash([0; 32]))
}
