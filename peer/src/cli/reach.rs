//! The peer that a command talks to: the one that runs on the data folder, or one of its own.

use crate::{
    api::client::LocalClient,
    config::{Config, Settings},
    doctor::Verdict,
    error::Failure,
    event::{Done, EventSink},
    operation::{DoctorRequest, FilesRequest, GetRequest, PeerStatus, ShareInfo, ShareRequest, Verified},
    root::{Peer, PeerHandle, lock::DataLock},
};
use std::{path::Path, time::Duration};
use tokio::time::{Instant, sleep};

/// How long a peer that has the lock may take until its local API answers: it is starting, or ending.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// How often to look again meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A peer that takes orders.
pub(super) enum Reached {
    /// Another process runs it.
    Running(LocalClient),
    /// This process runs it, and ends it.
    Own(Box<PeerHandle>),
}

impl Reached {
    /// The running peer of `config`'s data folder, or one of this process, started with `config`.
    pub(super) async fn or_start(config: Config) -> Result<Self, Failure> {
        match running_or_lock(&config.data).await? {
            Ok(client) => Ok(Self::Running(client)),
            Err(lock) => Ok(Self::Own(Box::new(Peer::start_locked(config, lock).await?))),
        }
    }

    /// The running peer of the data folder, or a look at the data folder itself: no connections, nothing announced.
    pub(super) async fn or_open(settings: &Settings) -> Result<Self, Failure> {
        Self::or_start(settings.offline()).await
    }

    pub(super) async fn share(&self, request: ShareRequest, sink: EventSink) -> Result<(), Failure> {
        match self {
            Self::Running(client) => client.share(&request, sink).await,
            Self::Own(peer) => peer.share(request, sink).await,
        }
    }

    pub(super) async fn get(&self, request: GetRequest, sink: EventSink) -> Result<Done, Failure> {
        match self {
            Self::Running(client) => client.get(&request, sink).await,
            Self::Own(peer) => peer.get(request, sink).await,
        }
    }

    pub(super) async fn files(&self, request: FilesRequest, sink: EventSink) -> Result<(), Failure> {
        match self {
            Self::Running(client) => client.files(&request, sink).await,
            Self::Own(peer) => peer.files(request, sink).await,
        }
    }

    pub(super) async fn list(&self) -> Result<Vec<ShareInfo>, Failure> {
        match self {
            Self::Running(client) => client.list().await,
            Self::Own(peer) => peer.list().await,
        }
    }

    /// How the peer is doing; none if none was running.
    pub(super) async fn status(&self) -> Result<Option<PeerStatus>, Failure> {
        match self {
            Self::Running(client) => client.status().await.map(Some),
            Self::Own(_) => Ok(None),
        }
    }

    pub(super) async fn pause(&self, id: &str) -> Result<ShareInfo, Failure> {
        match self {
            Self::Running(client) => client.pause(id).await,
            Self::Own(peer) => peer.pause(id).await,
        }
    }

    pub(super) async fn go_on(&self, id: &str) -> Result<ShareInfo, Failure> {
        match self {
            Self::Running(client) => client.go_on(id).await,
            Self::Own(peer) => peer.go_on(id).await,
        }
    }

    pub(super) async fn remove(&self, id: &str) -> Result<ShareInfo, Failure> {
        match self {
            Self::Running(client) => client.remove(id).await,
            Self::Own(peer) => peer.remove(id).await,
        }
    }

    pub(super) async fn verify(&self, id: &str, sink: EventSink) -> Result<Verified, Failure> {
        match self {
            Self::Running(client) => client.verify(id, sink).await,
            Self::Own(peer) => peer.verify(id, sink).await,
        }
    }

    pub(super) async fn doctor(&self, request: DoctorRequest, sink: EventSink) -> Result<Verdict, Failure> {
        match self {
            Self::Running(client) => client.doctor(&request, sink).await,
            Self::Own(peer) => peer.doctor(request, sink).await,
        }
    }

    /// Whether this process runs it.
    pub(super) fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    /// Waits until a peer of this process cannot go on; for ever while all is well.
    pub(super) async fn failed(&self) -> Failure {
        match self {
            Self::Running(_) => std::future::pending().await,
            Self::Own(peer) => peer.failed().await,
        }
    }

    /// Ends a peer of this process; leaves one that runs elsewhere alone.
    pub(super) async fn end(self) -> Result<(), Failure> {
        match self {
            Self::Running(_) => Ok(()),
            Self::Own(peer) => peer.shutdown().await,
        }
    }
}

/// A client of the running peer, or the lock on its data folder.
async fn running_or_lock(data: &Path) -> Result<Result<LocalClient, DataLock>, Failure> {
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        let holder = match DataLock::acquire(data) {
            Ok(lock) => return Ok(Err(lock)),
            Err(held) if held.is_held() => held,
            Err(other) => return Err(other.into()),
        };
        if let Some(client) = LocalClient::connect(data).await? {
            return Ok(Ok(client));
        }
        if Instant::now() >= deadline {
            return Err(holder.into());
        }
        tracing::debug!(%holder, "it does not answer yet");
        sleep(LOOK_AGAIN).await;
    }
}
