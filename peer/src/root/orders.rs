//! What a running peer can be told to do. Cheap to clone, usable from any thread; each verb's longer ones live in files
//! of their own.

use super::{
    copy::Copies,
    downloads::{Downloads, Fetch},
    note::Book,
    policies::{self, Policies},
    tickets::Maker,
    trackers::{NamedTrackers, TrackerBook},
};
use crate::{
    client::{ClientStatus, Told, TrackerClientHandle, TrackerUrl},
    config::{Config, Mode},
    connection::{ConnectionManagerHandle, Policy},
    error::Failure,
    operation::{self, IdentityInfo, PeerStatus, SessionLine, ShareInfo, ShareState, TrackerInfo},
    p2p::session::news::SessionInfo,
    proxy::ProxySetting,
    relay::{RelayHandle, RelayStatus},
    storage::{ChunkStoreHandle, JobInfo, Served},
    udp::{StunServer, UdpHandle},
};
use p2p_shared::{
    crypto::identity::Identity,
    id::{FileHash, PublicKey},
    manifest::Manifest,
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// What to do when the notes about downloads are damaged.
const AGAIN: &str = "repeat what it was about (`get` or `pause` of a download)";

/// The verbs of a running peer.
#[derive(Clone)]
pub struct Orders {
    pub(super) parts: Arc<Parts>,
}

/// What the verbs work with.
pub(super) struct Parts {
    pub(super) mode: Mode,
    pub(super) started: Instant,
    pub(super) store: ChunkStoreHandle,
    pub(super) book: TrackerBook,
    named: NamedTrackers,
    /// The data folder: what is in it is nobody else's.
    pub(super) data: PathBuf,
    /// The downloads that are to stand still.
    pub(super) paused: Book<bool>,
    pub(super) copies: Copies,
    /// Whom the tickets of downloads named.
    pub(super) seeders: Book<Vec<(PublicKey, Vec<SocketAddr>)>>,
    /// By which paths single files are fetched.
    pub(super) policies: Policies,
    /// What is seeded. Kept open, for the store forgets of a closed share that its source was found to have changed.
    seeded: Mutex<HashMap<FileHash, Arc<Served>>>,
    /// None in a peer that only looks into its data folder.
    pub(super) online: Option<Online>,
}

/// What connects a peer with others.
pub(super) struct Online {
    pub(super) identity: Arc<Identity>,
    /// Where its listener is bound.
    pub(super) listen: SocketAddr,
    /// Where others are told that it is.
    pub(super) told: Told,
    pub(super) client: TrackerClientHandle,
    pub(super) connections: ConnectionManagerHandle,
    pub(super) relays: RelayHandle,
    pub(super) downloads: Downloads,
    pub(super) udp: UdpHandle,
    /// STUN servers beside the trackers.
    pub(super) stun: Vec<StunServer>,
    /// How this peer may reach others, unless a download says otherwise.
    pub(super) policy: Policy,
    /// What the owner says of proxies.
    pub(super) proxy: Option<ProxySetting>,
}

impl std::fmt::Debug for Orders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Orders({:?})", self.parts.mode)
    }
}

impl Online {
    /// What tickets say of this peer.
    pub(super) fn maker(&self) -> Maker {
        let status = self.client.status();
        let observed = status
            .borrow()
            .trackers
            .values()
            .filter_map(|tracker| tracker.observed)
            .collect();
        Maker {
            key: self.identity.public_key(),
            told: self.told.clone(),
            observed,
        }
    }
}

impl Orders {
    pub(super) fn new(
        config: &Config,
        store: ChunkStoreHandle,
        online: Option<Online>,
    ) -> Result<Self, Failure> {
        let named = NamedTrackers::open(&config.data)?;
        if let Some(online) = &online {
            online.client.name(&named.all());
        }
        let parts = Parts {
            mode: config.mode,
            started: Instant::now(),
            store,
            book: TrackerBook::open(&config.data)?,
            named,
            data: config.data.clone(),
            paused: Book::open(&config.data, "paused.json", AGAIN)?,
            seeders: Book::open(&config.data, "seeders.json", AGAIN)?,
            policies: policies::open(&config.data)?,
            copies: Copies::default(),
            seeded: Mutex::default(),
            online,
        };
        Ok(Self {
            parts: Arc::new(parts),
        })
    }

    pub(super) fn online(&self) -> Result<&Online, Failure> {
        self.parts
            .online
            .as_ref()
            .ok_or_else(|| Failure::internal("a peer that is offline was told to connect"))
    }

    /// A person named these trackers: they are told the API key, also after a restart.
    pub(super) async fn trust(&self, trackers: &[TrackerUrl]) -> Result<(), Failure> {
        self.parts.named.add(trackers).await?;
        self.online()?.client.name(trackers);
        Ok(())
    }

    /// Who this peer is.
    pub fn id(&self) -> Result<IdentityInfo, Failure> {
        let identity = &self.online()?.identity;
        Ok(IdentityInfo {
            peer_id: identity.peer_id(),
            public_key: identity.public_key(),
        })
    }

    /// All shares, then all downloads that are not whole.
    pub async fn list(&self) -> Result<Vec<ShareInfo>, Failure> {
        let shares = self.parts.store.shares().await?;
        let jobs = self.parts.store.jobs().await?;
        let shares = shares.into_iter().map(|share| {
            let state = match (&share.changed, self.parts.mode) {
                (Some(_), _) => ShareState::Changed,
                (None, Mode::Offline) => ShareState::Idle,
                (None, _) => ShareState::Seeding,
            };
            let bytes = share.manifest.size;
            info(&share.manifest, share.path, bytes, state)
        });
        Ok(shares.chain(jobs.iter().map(|job| self.job_info(job))).collect())
    }

    fn job_info(&self, job: &JobInfo) -> ShareInfo {
        let online = self.parts.online.as_ref();
        let fetch = online.and_then(|online| online.downloads.find(&job.manifest.hash));
        let reason = fetch.as_ref().and_then(Fetch::no_space);
        let state = match (self.is_paused(&job.manifest.hash), &fetch) {
            (true, _) => ShareState::Paused,
            (false, Some(_)) if reason.is_some() => ShareState::Paused,
            (false, Some(_)) => ShareState::Downloading,
            (false, None) if self.parts.copies.is_copying(&job.manifest.hash) => ShareState::Downloading,
            (false, None) => ShareState::Waiting,
        };
        let path = job.output.join(job.manifest.name.as_str());
        let bytes = job.held_bytes;
        ShareInfo {
            reason,
            wanted: job.wanted_bytes,
            ..info(&job.manifest, path, bytes, state)
        }
    }

    /// The share or download that a person means by `id` (see [`operation::find`]).
    pub async fn find(&self, id: &str) -> Result<ShareInfo, Failure> {
        let shares = self.list().await?;
        operation::find(&shares, id).cloned()
    }

    /// Forgets a share (its files stay), or gives up a download (what was fetched of it goes).
    pub async fn remove(&self, id: &str) -> Result<ShareInfo, Failure> {
        let share = self.find(id).await?;
        if let Some(online) = &self.parts.online {
            online.downloads.stop(&share.hash, true).await;
            online.client.stop(&share.hash);
        }
        self.seeded().remove(&share.hash);
        self.parts.store.remove(share.hash).await?;
        self.parts.book.set(share.hash, &[]).await?;
        self.parts.paused.set(share.hash, None).await?;
        self.parts.seeders.set(share.hash, None).await?;
        self.parts.policies.set(share.hash, None).await?;
        Ok(share)
    }

    /// How this peer is doing.
    pub async fn status(&self) -> Result<PeerStatus, Failure> {
        let online = self.online()?;
        // On its own line: inside the struct the borrow would last across the awaits, and the client that waits for it to
        // publish would hold up the actors that are awaited.
        let trackers = tracker_lines(&online.client.status().borrow());
        Ok(PeerStatus {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.parts.started.elapsed().as_secs(),
            identity: self.id()?,
            listen: online.listen,
            policy: online.policy,
            trackers,
            sessions: self.sessions().await?,
            shares: self.list().await?,
        })
    }
}

impl Orders {
    /// This is seeded from now on, as long as the peer runs.
    pub(super) fn keep_open(&self, served: Arc<Served>) {
        self.seeded().insert(served.manifest().hash, served);
    }

    /// Whether it is kept open.
    #[cfg(test)]
    pub(super) fn keeps_open(&self, file: &FileHash) -> bool {
        self.seeded().contains_key(file)
    }

    fn seeded(&self) -> MutexGuard<'_, HashMap<FileHash, Arc<Served>>> {
        // A panic in between leaves a map that is still a map.
        self.parts.seeded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peers that this one is connected with.
    pub(crate) async fn sessions(&self) -> Result<Vec<SessionLine>, Failure> {
        let sessions = self.online()?.connections.sessions().await;
        let sessions = sessions.map_err(|error| {
            Failure::internal(format!("the table of connections does not answer: {error}"))
        })?;
        Ok(sessions.iter().map(session_line).collect())
    }

    /// How every relay in use stands.
    pub(crate) fn relays(&self) -> Result<Vec<RelayStatus>, Failure> {
        Ok(self.online()?.relays.status())
    }

    /// Ends what is under way; what it has is on disk.
    pub(super) async fn drain(&self) {
        self.parts.copies.stop();
        if let Some(online) = &self.parts.online {
            online.downloads.stop_all().await;
        }
    }

    /// Leaves the relays, when nobody has anything to say through them any more.
    pub(super) async fn leave_relays(&self, within: Duration) {
        if let Some(online) = &self.parts.online {
            online.relays.stop(within).await;
        }
    }
}

fn session_line(session: &SessionInfo) -> SessionLine {
    SessionLine {
        session: session.session.0,
        peer: session.peer,
        path: session.path,
        reason: session
            .reason
            .unwrap_or("another session with it is used")
            .to_owned(),
        address: session.address,
        relay: session.relay.as_ref().map(ToString::to_string),
        agent: session.agent.clone(),
        files: session.files.len(),
        received: session.received,
        sent: session.sent,
        rtt_ms: session.round_trip_ms,
    }
}

fn info(manifest: &Manifest, path: PathBuf, bytes: u64, state: ShareState) -> ShareInfo {
    ShareInfo {
        hash: manifest.hash,
        name: manifest.name.as_str().to_owned(),
        kind: manifest.kind,
        algorithm: manifest.algorithm,
        size: manifest.size,
        bytes,
        wanted: Some(manifest.size),
        path,
        state,
        reason: None,
    }
}

fn tracker_lines(status: &ClientStatus) -> Vec<TrackerInfo> {
    let lines = status.trackers.iter().map(|(url, tracker)| TrackerInfo {
        url: url.clone(),
        registered: tracker.is_registered(),
        announced: tracker.announced.len(),
        error: tracker.error.as_ref().map(ToString::to_string),
    });
    lines.collect()
}
