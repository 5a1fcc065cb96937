//! Questions that a download asks, put to several trackers: the first good answer counts, or all of them do.

use super::{CallError, TrackerUrl, calls, http::Http, status::ClientStatus};
use crate::{
    connection::Hint,
    error::{Failure, FailureKind},
    relay::RelayAddress,
};
use futures_util::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use p2p_shared::{
    id::{ChunkHash, FileHash},
    manifest::Manifest,
    merkle::merkle_root,
    tracker_api::{MAX_CHUNK_HASHES, PeerRecord},
};
use std::{fmt, time::Duration};
use tokio::sync::watch;

/// No tracker gave what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryError {
    /// There is no tracker to ask.
    NoTracker,
    /// What each of them said; never empty.
    Trackers(Vec<CallError>),
    /// The chunk hashes that this tracker sent do not lead to the file's Merkle root.
    WrongHashes(TrackerUrl, FileHash),
}

/// Peers of a file, from every tracker that answered.
#[derive(Debug, Clone, Default)]
pub struct HandOut {
    /// Each peer once, with every address that a tracker knew.
    pub peers: Vec<Hint>,
    /// How long to wait before asking again.
    pub interval: Duration,
}

impl QueryError {
    /// Whether every tracker answered, and none knows the file.
    pub fn is_file_unknown(&self) -> bool {
        matches!(self, Self::Trackers(errors) if errors.iter().all(CallError::is_file_unknown))
    }

    /// Whether the same question may be answered later: somebody was not reached.
    pub fn is_worth_retrying(&self) -> bool {
        let unreachable = |error: &CallError| Failure::from(error).kind == FailureKind::Unreachable;
        matches!(self, Self::Trackers(errors) if errors.iter().any(unreachable))
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTracker => f.write_str("there is no tracker to ask"),
            Self::Trackers(errors) => {
                let texts: Vec<_> = errors.iter().map(CallError::to_string).collect();
                f.write_str(&texts.join("; "))
            }
            Self::WrongHashes(tracker, hash) => {
                write!(
                    f,
                    "the chunk hashes of {hash} that tracker {tracker} sent are wrong"
                )
            }
        }
    }
}

impl std::error::Error for QueryError {}

impl From<&QueryError> for Failure {
    fn from(error: &QueryError) -> Self {
        match error {
            QueryError::NoTracker => Self::usage("there is no tracker to ask; name one with --tracker URL"),
            QueryError::WrongHashes(..) => {
                Self::integrity(format!("{error}; nothing was written, try another tracker"))
            }
            // A refusal can be acted on, an unreachable tracker may have known the file: they say more than "unknown".
            QueryError::Trackers(errors) => {
                let failures: Vec<Self> = errors.iter().map(Self::from).collect();
                let kinds = [
                    FailureKind::Refused,
                    FailureKind::Unreachable,
                    FailureKind::NotFound,
                ];
                let kind = kinds
                    .into_iter()
                    .find(|kind| failures.iter().any(|f| f.kind == *kind));
                let texts: Vec<_> = failures.into_iter().map(|failure| failure.message).collect();
                Self {
                    kind: kind.unwrap_or(FailureKind::Unreachable),
                    message: texts.join("; "),
                }
            }
        }
    }
}

/// Asks trackers; works with and without a registration.
#[derive(Debug, Clone)]
pub(crate) struct Queries {
    pub(crate) http: Http,
    pub(crate) status: watch::Receiver<ClientStatus>,
}

impl Queries {
    /// What `trackers` know about `hash`; the first who knows it answers.
    pub(crate) async fn file(
        &self,
        hash: &FileHash,
        trackers: &[TrackerUrl],
    ) -> Result<Manifest, QueryError> {
        let mut asked: FuturesUnordered<_> = trackers
            .iter()
            .map(|tracker| self.manifest(tracker, hash))
            .collect();
        let mut errors = Vec::new();
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(manifest) => return Ok(manifest),
                Err(error) => errors.push(error),
            }
        }
        Err(none_answered(errors))
    }

    async fn manifest(&self, tracker: &TrackerUrl, hash: &FileHash) -> Result<Manifest, CallError> {
        let record = calls::file(&self.http, tracker, hash).await?;
        Manifest::try_from(record.file).map_err(|error| CallError::NotATracker {
            tracker: tracker.clone(),
            reason: format!("its record of {hash} is not a valid one ({error})"),
        })
    }

    /// The hashes of all chunks of `manifest`, checked against its Merkle root; from the first tracker that has them.
    pub(crate) async fn chunk_hashes(
        &self,
        manifest: &Manifest,
        trackers: &[TrackerUrl],
    ) -> Result<Vec<ChunkHash>, QueryError> {
        let (mut errors, mut wrong) = (Vec::new(), None);
        for tracker in trackers {
            match self.all_chunk_hashes(manifest, tracker).await {
                Ok(hashes) if merkle_root(manifest.layout(), &hashes) == manifest.merkle_root => {
                    return Ok(hashes);
                }
                Ok(_) => wrong = Some(QueryError::WrongHashes(tracker.clone(), manifest.hash)),
                Err(error) => errors.push(error),
            }
        }
        Err(wrong.unwrap_or_else(|| none_answered(errors)))
    }

    async fn all_chunk_hashes(
        &self,
        manifest: &Manifest,
        tracker: &TrackerUrl,
    ) -> Result<Vec<ChunkHash>, CallError> {
        let chunks = manifest.layout().chunks();
        let mut hashes = Vec::new();
        for first in (0..chunks).step_by(MAX_CHUNK_HASHES) {
            // Cannot overflow in earnest: a file has at most 2^32 chunks, and `first` is one of them.
            let end = first.saturating_add(MAX_CHUNK_HASHES as u32).min(chunks);
            hashes.extend(calls::chunk_hashes(&self.http, tracker, &manifest.hash, first..end).await?);
        }
        Ok(hashes)
    }

    /// Peers of `hash` from all `trackers` together. An error only if none of them answered.
    pub(crate) async fn peers(
        &self,
        hash: &FileHash,
        trackers: &[TrackerUrl],
    ) -> Result<HandOut, QueryError> {
        let asked = trackers.iter().map(|tracker| async move {
            let token = self.token(tracker);
            let answer = calls::peers(&self.http, tracker, token.as_deref(), hash).await;
            (tracker, answer)
        });
        let (mut hand_out, mut errors, mut answered) = (HandOut::default(), Vec::new(), false);
        for (tracker, answer) in join_all(asked).await {
            match answer {
                Ok(answer) => {
                    answered = true;
                    let interval = Duration::from_secs(answer.interval.into());
                    hand_out.add(tracker, answer.peers, interval);
                }
                Err(error) => errors.push(error),
            }
        }
        if answered {
            Ok(hand_out)
        } else {
            Err(none_answered(errors))
        }
    }

    fn token(&self, tracker: &TrackerUrl) -> Option<std::sync::Arc<str>> {
        self.status.borrow().trackers.get(tracker)?.token.clone()
    }
}

impl HandOut {
    fn add(&mut self, tracker: &TrackerUrl, peers: Vec<PeerRecord>, interval: Duration) {
        self.interval = match self.interval {
            Duration::ZERO => interval,
            shortest => shortest.min(interval),
        };
        for peer in peers {
            let relay = relay_of(tracker, &peer);
            match self.peers.iter_mut().find(|known| known.key == peer.public_key) {
                Some(known) => {
                    let new = peer
                        .addresses
                        .into_iter()
                        .filter(|address| !known.addresses.contains(address));
                    let new: Vec<_> = new.collect();
                    known.addresses.extend(new);
                    known.relays.extend(relay);
                }
                None => self.peers.push(Hint {
                    key: peer.public_key,
                    addresses: peer.addresses,
                    relays: relay.into_iter().collect(),
                }),
            }
        }
    }
}

/// The relay that a peer is connected to, as `tracker` says.
fn relay_of(tracker: &TrackerUrl, peer: &PeerRecord) -> Option<RelayAddress> {
    let relay = RelayAddress::of(Some(peer.relay_url.as_deref()?), tracker);
    relay
        .inspect_err(|error| tracing::debug!(%tracker, %error, "a peer's relay cannot be used"))
        .ok()
}

fn none_answered(errors: Vec<CallError>) -> QueryError {
    if errors.is_empty() {
        QueryError::NoTracker
    } else {
        QueryError::Trackers(errors)
    }
}
