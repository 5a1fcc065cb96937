//! What a session serves from: the shares and downloads of this peer, as far as a session needs to know them.
//!
//! Sessions depend on these two traits only; the chunk store implements them, tests put other things on the shelf.

use crate::storage::{ChunkStoreHandle, ReadError, Served};
use futures_util::future::BoxFuture;
use p2p_shared::{
    bitfield::Bitfield,
    chunker::Layout,
    id::{ChunkHash, ChunkIndex, FileHash},
};
use std::sync::Arc;

/// Where files are looked up.
pub trait Shelf: Send + Sync {
    /// The file, if we share it or hold some of it.
    fn open(&self, file: FileHash) -> BoxFuture<'static, Option<Arc<dyn Shared>>>;
}

/// A file that can be served, whole or in part. Used from many threads at once.
pub trait Shared: Send + Sync {
    /// How it is cut.
    fn layout(&self) -> Layout;

    /// The chunks that can be read at this moment.
    fn held(&self) -> Bitfield;

    /// The hashes of all its chunks.
    fn hashes(&self) -> Arc<[ChunkHash]>;

    /// Appends exactly the chunk's bytes to `out`; on an error `out` is as it was. Blocking.
    fn read_chunk(&self, chunk: ChunkIndex, out: &mut Vec<u8>) -> Result<(), ReadError>;

    /// Fills `out`, which is as long as the chunk, if that takes no waiting; else what is in it means nothing.
    fn read_cached(&self, chunk: ChunkIndex, out: &mut [u8]) -> bool;
}

impl Shelf for ChunkStoreHandle {
    fn open(&self, file: FileHash) -> BoxFuture<'static, Option<Arc<dyn Shared>>> {
        let store = self.clone();
        Box::pin(async move {
            match Self::open(&store, file).await {
                Ok(served) => served.map(|served| served as Arc<dyn Shared>),
                Err(error) => {
                    tracing::warn!(%file, %error, "a peer asks for a file that cannot be opened");
                    None
                }
            }
        })
    }
}

impl Shared for Served {
    fn layout(&self) -> Layout {
        self.manifest().layout()
    }

    fn held(&self) -> Bitfield {
        Self::held(self)
    }

    fn hashes(&self) -> Arc<[ChunkHash]> {
        Arc::clone(Self::hashes(self))
    }

    fn read_chunk(&self, chunk: ChunkIndex, out: &mut Vec<u8>) -> Result<(), ReadError> {
        Self::read_chunk(self, chunk, out)
    }

    fn read_cached(&self, chunk: ChunkIndex, out: &mut [u8]) -> bool {
        Self::read_cached(self, chunk, out)
    }
}
