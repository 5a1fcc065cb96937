//! One download: from a manifest to a file under its name.
//!
//! In reading order: what of it is wanted ([`aim`]), where each chunk is ([`chunks`]), which one comes next ([`picker`]), what a peer is
//! good for ([`score`], [`source`]), by which session it is asked ([`lines`], [`owed`], `moving`), what to do about all of it ([`state`]), whether to do anything (`halt`), how far it is
//! ([`progress`]), where the list of hashes comes from ([`hashes`]), who knows the swarm ([`swarm`]). Around that the
//! DownloadCoordinator actor, transient and
//! rebuilt from the job on disk; verified chunks reach the disk through `storing`.

mod actor;
pub mod aim;
pub mod chunks;
mod ending;
mod events;
mod halt;
mod handle;
pub mod hashes;
mod kept;
pub mod lines;
mod messages;
mod moving;
pub mod owed;
mod pausing;
pub mod picker;
pub mod progress;
pub mod score;
mod sessions;
pub mod source;
pub mod state;
mod status;
mod storing;
pub mod swarm;
mod wish;

pub use handle::DownloadHandle;
pub use status::{DownloadStatus, Pause, Stage};

use crate::{
    connection::{ConnectionManagerHandle, Hint, Policy},
    event::EventSink,
    storage::{BufferPool, ChunkStoreHandle},
};
use actor::DownloadCoordinator;
use aim::Aim;
use kept::Kept;
use p2p_shared::{
    id::ChunkHash,
    manifest::Manifest,
    supervision::{ChildSpec, Outcome, Restart, supervise},
};
use std::{path::PathBuf, sync::Arc};
use swarm::Swarm;

/// What every download of a peer works with.
#[derive(Clone)]
pub struct DownloadParts {
    /// Where chunks are kept.
    pub store: ChunkStoreHandle,
    /// Who leads to peers.
    pub connections: ConnectionManagerHandle,
    /// Where chunks that come in are kept until they are on disk: when it is empty, nobody else is to blame.
    pub receiving: BufferPool,
}

/// What is to be downloaded.
#[derive(Clone)]
pub struct DownloadSpec {
    /// What it is.
    pub manifest: Arc<Manifest>,
    /// The hashes of its chunks, checked against the Merkle root; if nothing, the swarm and its peers are asked.
    pub hashes: Option<Arc<[ChunkHash]>>,
    /// The folder that it appears in, under its own name.
    pub output: PathBuf,
    /// What of it is to be fetched.
    pub aim: Aim,
    /// Peers that are known to have it.
    pub seeders: Vec<Hint>,
    /// By which paths they are to be reached.
    pub policy: Policy,
    /// Who knows more of them.
    pub swarm: Arc<dyn Swarm>,
    /// Whether it stands still until its owner says otherwise.
    pub paused: bool,
    /// Where it reports to: phases, progress, paths, warnings, and `done`.
    pub sink: EventSink,
}

/// Starts a download. It goes on until it is done, has failed or is stopped, across crashes of its actor.
///
/// # Panics
/// Outside of a `LocalSet` (the thread of a [`system`](p2p_shared::supervision::system)).
pub fn start(parts: DownloadParts, spec: DownloadSpec) -> DownloadHandle {
    let file = spec.manifest.hash;
    let kept = Arc::new(Kept::new(&spec));
    let (status, wish) = (kept.status.subscribe(), Arc::clone(&kept.wish));
    let (for_actor, at_end) = (Arc::clone(&kept), Arc::clone(&kept));
    let child = ChildSpec::new("DownloadCoordinator", move |ctx| {
        DownloadCoordinator::new(parts.clone(), spec.clone(), Arc::clone(&for_actor), ctx)
    });
    let child = child.restart(Restart::Transient).on_end(move |outcome| {
        if let Outcome::GivenUp { reason } | Outcome::Crashed { reason } = outcome {
            at_end.give_up(&reason);
        }
    });
    let (handle, life) = supervise(child);
    DownloadHandle::new(file, handle, life, status, wish)
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod transfer_tests;
