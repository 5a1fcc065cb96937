//! Fetching a folder's index and nothing else, into memory: for a look at what is in a share.
//!
//! Promise: nothing is written anywhere, and no more is kept than the chunks that the index is in, until it is read. What it
//! is told is verified, so an index that makes no sense is its maker's.

use super::{
    Committed,
    target::{IndexFault, index_size, read_index},
};
use crate::storage::{error::CommitError, verify::VerifiedChunk};
use p2p_shared::{
    bitfield::Bitfield,
    id::ChunkIndex,
    manifest::{FolderIndex, INDEX_HEAD, Manifest},
};
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// An index that is being fetched.
#[derive(Debug)]
pub(super) struct Glance {
    manifest: Manifest,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    held: Bitfield,
    /// Until the index is read.
    chunks: BTreeMap<u32, Vec<u8>>,
    /// Where the index is, as far as is known.
    first: Range<u32>,
    index: Option<Arc<FolderIndex>>,
}

impl Glance {
    pub(super) fn new(manifest: Manifest) -> Self {
        let layout = manifest.layout();
        let state = State {
            held: Bitfield::new(layout.chunks()),
            chunks: BTreeMap::new(),
            first: layout.chunks_of(0..1),
            index: None,
        };
        Self {
            manifest,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Chunks are put in whole, and the index is read or not.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn held(&self) -> Bitfield {
        self.state().held.clone()
    }

    pub(super) fn index(&self) -> Option<Arc<FolderIndex>> {
        self.state().index.clone()
    }

    pub(super) fn wanted_first(&self) -> Range<u32> {
        let state = self.state();
        match state.index {
            Some(_) => 0..0,
            None => state.first.clone(),
        }
    }

    pub(super) fn wanted(&self) -> Bitfield {
        let mut wanted = Bitfield::new(self.manifest.layout().chunks());
        self.state().first.clone().for_each(|chunk| {
            wanted.set(ChunkIndex(chunk));
        });
        wanted
    }

    pub(super) fn commit(&self, verified: &VerifiedChunk) -> Result<Committed, CommitError> {
        if verified.file() != self.manifest.hash {
            return Err(CommitError::OtherFile(verified.file()));
        }
        let (mut state, chunk) = (self.state(), verified.chunk());
        // One that has nothing of the index is not kept, and nobody asks for it.
        if !state.first.contains(&chunk.0) || !state.held.set(chunk) {
            return Ok(Committed::AlreadyHeld);
        }
        state.chunks.insert(chunk.0, verified.bytes().to_vec());
        state.read(&self.manifest)?;
        Ok(Committed::Stored)
    }
}

impl State {
    /// Reads the index as far as it has come.
    fn read(&mut self, manifest: &Manifest) -> Result<(), IndexFault> {
        let Some(head) = self
            .chunks
            .get(&0)
            .and_then(|first| first.first_chunk::<INDEX_HEAD>())
        else {
            return Ok(());
        };
        let size = index_size(head, manifest)?;
        self.first = manifest.layout().chunks_of(0..size);
        if self.chunks.len() < self.first.len() {
            return Ok(());
        }
        let mut bytes: Vec<u8> = std::mem::take(&mut self.chunks).into_values().flatten().collect();
        // Fits: that much is in memory.
        bytes.truncate(size as usize);
        self.index = Some(Arc::new(read_index(&bytes, manifest)?));
        Ok(())
    }
}
