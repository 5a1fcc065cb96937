//! One file or folder as others may fetch it: a share, read where it lies, or a download that is not yet complete.
//!
//! Promise: a chunk that [`Served::read_chunk`] hands out is what its hash says. A share's files are compared with
//! what they were when they were hashed, before and after every read, and on any difference the chunk is hashed
//! before it may go out; chunks of a download are hashed always, for its files change as we write them.
//! Used from many threads at once, off the store's mailbox; every read is blocking.

use super::{
    error::ReadError,
    import::{
        Import, SourceLayout,
        reader::{Seen, SourceError, SourceReader},
    },
    job::Job,
    open_files::OpenFiles,
};
use p2p_shared::{
    bitfield::Bitfield,
    chunker::Layout,
    id::{ChunkHash, ChunkIndex},
    manifest::Manifest,
};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// A share or a download, to be read chunk by chunk.
#[derive(Debug)]
pub struct Served {
    content: Content,
}

#[derive(Debug)]
enum Content {
    Share(Share),
    Partial(Arc<Job>),
}

#[derive(Debug)]
struct Share {
    manifest: Manifest,
    layout: Layout,
    hashes: Arc<[ChunkHash]>,
    reader: SourceReader,
    /// A file that was found to be something else than what was shared.
    changed: Mutex<Option<PathBuf>>,
}

impl Served {
    pub(super) fn share(import: Import, files: OpenFiles) -> Self {
        let share = Share {
            layout: import.manifest.layout(),
            manifest: import.manifest,
            hashes: import.hashes,
            reader: SourceReader::new(import.source, files),
            changed: Mutex::new(None),
        };
        Self {
            content: Content::Share(share),
        }
    }

    pub(super) fn partial(job: Arc<Job>) -> Self {
        Self {
            content: Content::Partial(job),
        }
    }

    /// What it is.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        match &self.content {
            Content::Share(share) => &share.manifest,
            Content::Partial(job) => job.manifest(),
        }
    }

    /// The hashes of its chunks.
    #[must_use]
    pub fn hashes(&self) -> &Arc<[ChunkHash]> {
        match &self.content {
            Content::Share(share) => &share.hashes,
            Content::Partial(job) => job.hashes(),
        }
    }

    /// The chunks that can be read at this moment: all of a share.
    #[must_use]
    pub fn held(&self) -> Bitfield {
        match &self.content {
            Content::Share(share) => Bitfield::full(share.layout.chunks()),
            Content::Partial(job) => job.held(),
        }
    }

    /// Whether it is a download that goes on.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        matches!(self.content, Content::Partial(_))
    }

    /// The first file that was found to be no longer what was shared, since this was opened.
    #[must_use]
    pub fn changed(&self) -> Option<PathBuf> {
        match &self.content {
            Content::Share(share) => share
                .changed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            Content::Partial(_) => None,
        }
    }

    /// Where a share lies.
    pub(super) fn source(&self) -> Option<&SourceLayout> {
        match &self.content {
            Content::Share(share) => Some(share.reader.source()),
            Content::Partial(_) => None,
        }
    }

    /// Appends exactly the chunk's bytes to `out`; on an error `out` is as it was. Blocking.
    pub fn read_chunk(&self, chunk: ChunkIndex, out: &mut Vec<u8>) -> Result<(), ReadError> {
        match &self.content {
            Content::Share(share) => share.read_chunk(chunk, out),
            Content::Partial(job) => job.read_chunk(chunk, out),
        }
    }
}

impl Share {
    fn read_chunk(&self, chunk: ChunkIndex, out: &mut Vec<u8>) -> Result<(), ReadError> {
        let Some(hash) = self.hashes.get(chunk.0 as usize) else {
            return Err(ReadError::NotHeld(chunk));
        };
        let before = out.len();
        let file = match self.reader.read(self.layout.extent(chunk), out) {
            Ok(Seen::AsRecorded) => return Ok(()),
            Ok(Seen::Differs(file)) => file,
            Err(SourceError::Gone(file)) => return Err(self.has_changed(file)),
            Err(SourceError::Disk(error)) => return Err(ReadError::Io(error)),
        };
        let (_, bytes) = out.split_at(before);
        if self.manifest.algorithm.hash_chunk(self.layout, chunk, bytes) == *hash {
            return Ok(());
        }
        out.truncate(before);
        Err(self.has_changed(file))
    }

    fn has_changed(&self, file: u32) -> ReadError {
        let path = self.reader.source().path(file);
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.get_or_insert_with(|| path.clone());
        ReadError::Changed { path }
    }
}
