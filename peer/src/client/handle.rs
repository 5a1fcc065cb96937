//! What the rest of a peer says to trackers, and asks them.

use super::{
    Announcement, CallError, HandOut, QueryError, TrackerUrl,
    messages::{Wanted, Wish},
    probe::Probe,
    query::Queries,
    status::ClientStatus,
};
use p2p_shared::{
    id::{ChunkHash, FileHash},
    manifest::Manifest,
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};

/// The way to the trackers. Cheap to clone; stays valid while the actor behind it is rebuilt.
#[derive(Clone)]
pub struct TrackerClientHandle {
    wanted: Arc<watch::Sender<Wanted>>,
    queries: Queries,
}

/// How announcing went at each tracker that was to be told.
pub type Announced = Vec<(TrackerUrl, Result<(), CallError>)>;

impl TrackerClientHandle {
    pub(super) fn new(wanted: watch::Sender<Wanted>, queries: Queries) -> Self {
        Self {
            wanted: Arc::new(wanted),
            queries,
        }
    }

    /// The trackers that this peer is configured with.
    pub fn configured(&self) -> Vec<TrackerUrl> {
        let wanted = self.wanted.borrow();
        let configured = wanted.trackers.iter().filter(|(_, wish)| wish.configured);
        let mut urls: Vec<_> = configured.map(|(tracker, _)| tracker.clone()).collect();
        urls.sort();
        urls
    }

    /// A person named these trackers: they may be told the API key.
    pub fn name(&self, trackers: &[TrackerUrl]) {
        self.queries.http.name(trackers);
    }

    /// What this peer has of a file, from now on until [`Self::stop`]: told to `trackers` at once, again whenever they
    /// want to hear it, and anew after they forgot. Announcing again with another `have` replaces what was said.
    pub fn announce(&self, announcement: Announcement, trackers: &[TrackerUrl]) {
        let hash = announcement.manifest.hash;
        let announcement = Arc::new(announcement);
        self.wanted.send_modify(|wanted| {
            for tracker in trackers {
                let wish = wanted.trackers.entry(tracker.clone()).or_default();
                wish.files.insert(hash, Arc::clone(&announcement));
            }
        });
    }

    /// This peer no longer has `hash`: no tracker hands it out for that file any more.
    pub fn stop(&self, hash: &FileHash) {
        self.wanted.send_modify(|wanted| {
            for wish in wanted.trackers.values_mut() {
                wish.files.remove(hash);
            }
            wanted
                .trackers
                .retain(|_, wish: &mut Wish| wish.configured || !wish.files.is_empty());
        });
    }

    /// Waits until each of `trackers` has taken the announcement of `hash`, or has failed and `patience` is over.
    /// Failures are retried behind the scenes before and after.
    pub async fn announced(&self, hash: &FileHash, trackers: &[TrackerUrl], patience: Duration) -> Announced {
        let mut status = self.queries.status.clone();
        let settled = status.wait_for(|status| {
            let final_word = |tracker| match outcome(status, tracker, hash) {
                Some(Err(error)) => error.is_refusal(),
                Some(Ok(())) => true,
                None => false,
            };
            trackers.iter().all(final_word)
        });
        // Whether settled or out of patience: what is known now is the answer.
        let _known_by_now = timeout(patience, settled).await.is_ok();
        let status = self.queries.status.borrow();
        let tell = |tracker: &TrackerUrl| {
            let silent = || CallError::Unreachable {
                tracker: tracker.clone(),
                reason: "no answer in time".to_owned(),
            };
            let outcome = outcome(&status, tracker, hash).unwrap_or_else(|| Err(silent()));
            (tracker.clone(), outcome)
        };
        trackers.iter().map(tell).collect()
    }

    /// What `trackers` know about `hash`.
    pub async fn file(&self, hash: &FileHash, trackers: &[TrackerUrl]) -> Result<Manifest, QueryError> {
        self.queries.file(hash, trackers).await
    }

    /// The hashes of all chunks of `manifest`, checked against its Merkle root.
    pub async fn chunk_hashes(
        &self,
        manifest: &Manifest,
        trackers: &[TrackerUrl],
    ) -> Result<Vec<ChunkHash>, QueryError> {
        self.queries.chunk_hashes(manifest, trackers).await
    }

    /// Peers of `hash`, from all `trackers` together.
    pub async fn peers(&self, hash: &FileHash, trackers: &[TrackerUrl]) -> Result<HandOut, QueryError> {
        self.queries.peers(hash, trackers).await
    }

    /// Whether `tracker` answers, how soon, and what time it is there.
    pub(crate) async fn probe(&self, tracker: &TrackerUrl) -> Result<Probe, CallError> {
        self.queries.http.probe(tracker).await
    }

    /// The token turned out to be worth nothing: unless there is another one already, the peer registers anew.
    pub(crate) fn renew(&self, tracker: &TrackerUrl, token: Arc<str>) {
        self.wanted.send_modify(|wanted| {
            wanted.lost.insert(tracker.clone(), token);
        });
    }

    /// The API key, if `tracker` is one that may be told it.
    pub(crate) fn api_key(&self, tracker: &TrackerUrl) -> Option<String> {
        self.queries.http.api_key(tracker)
    }

    /// How each tracker stands; changes can be waited for.
    pub fn status(&self) -> watch::Receiver<ClientStatus> {
        self.queries.status.clone()
    }
}

fn outcome(status: &ClientStatus, tracker: &TrackerUrl, hash: &FileHash) -> Option<Result<(), CallError>> {
    status.trackers.get(tracker)?.announced(hash)
}
