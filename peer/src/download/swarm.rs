//! What a download needs from whoever knows the swarm of its file, and nothing more.
//!
//! The tracker client is one ([`Trackers`]); a download by ticket alone has [`Nobody`].

use crate::client::{Announcement, HandOut, QueryError, TrackerClientHandle, TrackerUrl};
use futures_util::future::{BoxFuture, FutureExt as _};
use p2p_shared::{
    id::{ChunkHash, FileHash},
    manifest::Manifest,
    tracker_api::Have,
};
use std::{sync::Arc, time::Duration};

/// Somebody who knows a swarm.
pub trait Swarm: Send + Sync {
    /// Who else has the file, and when to ask again.
    fn peers(&self, file: FileHash) -> BoxFuture<'static, Result<HandOut, QueryError>>;

    /// The hashes of all chunks, checked against the Merkle root.
    fn chunk_hashes(&self, manifest: Arc<Manifest>)
    -> BoxFuture<'static, Result<Vec<ChunkHash>, QueryError>>;

    /// Tells that we have the file, `whole` or in part, from now on.
    fn announce(&self, manifest: &Arc<Manifest>, hashes: &Arc<[ChunkHash]>, whole: bool);

    /// Tells that we have it no more.
    fn stop(&self, file: &FileHash);
}

/// The swarm as some trackers know it.
#[derive(Clone)]
pub struct Trackers {
    /// The way to them.
    pub client: TrackerClientHandle,
    /// Which of them.
    pub urls: Arc<[TrackerUrl]>,
}

impl Swarm for Trackers {
    fn peers(&self, file: FileHash) -> BoxFuture<'static, Result<HandOut, QueryError>> {
        let Self { client, urls } = self.clone();
        async move { client.peers(&file, &urls).await }.boxed()
    }

    fn chunk_hashes(
        &self,
        manifest: Arc<Manifest>,
    ) -> BoxFuture<'static, Result<Vec<ChunkHash>, QueryError>> {
        let Self { client, urls } = self.clone();
        async move { client.chunk_hashes(&manifest, &urls).await }.boxed()
    }

    fn announce(&self, manifest: &Arc<Manifest>, hashes: &Arc<[ChunkHash]>, whole: bool) {
        let announcement = Announcement {
            manifest: Arc::clone(manifest),
            hashes: Some(Arc::clone(hashes)),
            have: if whole { Have::Seeder } else { Have::Partial },
            fresh: false,
        };
        self.client.announce(announcement, &self.urls);
    }

    fn stop(&self, file: &FileHash) {
        self.client.stop(file);
    }
}

/// No swarm beside the peers of the ticket and those that they name.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

/// How often nobody is asked.
const NEVER: Duration = Duration::from_secs(3600);

impl Swarm for Nobody {
    fn peers(&self, _: FileHash) -> BoxFuture<'static, Result<HandOut, QueryError>> {
        let nobody = HandOut {
            peers: Vec::new(),
            interval: NEVER,
        };
        async move { Ok(nobody) }.boxed()
    }

    fn chunk_hashes(&self, _: Arc<Manifest>) -> BoxFuture<'static, Result<Vec<ChunkHash>, QueryError>> {
        async move { Err(QueryError::NoTracker) }.boxed()
    }

    fn announce(&self, _: &Arc<Manifest>, _: &Arc<[ChunkHash]>, _: bool) {}

    fn stop(&self, _: &FileHash) {}
}
