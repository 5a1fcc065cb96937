//! The way to one download.

use super::{
    actor::DownloadCoordinator,
    messages::{MorePeers, PauseDownload, ResumeDownload, StopDownload},
    status::{DownloadStatus, Stage},
};
use crate::{error::Failure, event::Done};
use p2p_shared::{
    id::FileHash,
    protocol::PeerHint,
    supervision::{CallError, Handle, Life, Outcome},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, watch},
    task::spawn_blocking,
};

/// How long a download that is told to stop may take.
const STOP: Duration = Duration::from_secs(5);

/// The way to one download. Clones lead to the same one.
#[derive(Clone)]
pub struct DownloadHandle {
    file: FileHash,
    handle: Handle<DownloadCoordinator>,
    life: Arc<Mutex<Option<Life>>>,
    status: watch::Receiver<DownloadStatus>,
}

impl DownloadHandle {
    pub(super) fn new(
        file: FileHash,
        handle: Handle<DownloadCoordinator>,
        life: Life,
        status: watch::Receiver<DownloadStatus>,
    ) -> Self {
        Self {
            file,
            handle,
            life: Arc::new(Mutex::new(Some(life))),
            status,
        }
    }

    /// Which file.
    pub fn file(&self) -> FileHash {
        self.file
    }

    /// How it stands; changes can be waited for.
    pub fn status(&self) -> watch::Receiver<DownloadStatus> {
        self.status.clone()
    }

    /// Waits until it is done or has failed. A download that nobody can be reached for goes on waiting: who wants to give up
    /// watches [`Self::status`].
    pub async fn finished(&self) -> Result<Done, Failure> {
        let mut status = self.status.clone();
        let last = status.wait_for(|status| status.stage.is_over()).await;
        match last.map(|status| status.stage.clone()) {
            Ok(Stage::Done(done)) => Ok(done),
            Ok(Stage::Failed(failure)) => Err(failure),
            Ok(_) | Err(_) => Err(Failure::interrupted(
                "the download was stopped before it was done: it was removed, or another `get` of it selects other files",
            )),
        }
    }

    /// Tells it of peers that are said to have it.
    pub async fn more_peers(&self, peers: Vec<PeerHint>) -> Result<(), CallError> {
        self.handle.call(MorePeers(peers)).await
    }

    /// Stands still until told to go on.
    pub async fn pause(&self) -> Result<(), CallError> {
        self.handle.call(PauseDownload).await
    }

    /// Goes on.
    pub async fn resume(&self) -> Result<(), CallError> {
        self.handle.call(ResumeDownload).await
    }

    /// Ends it. What was fetched stays on disk, durable; trackers are told that nothing of it is here any more if `leave`.
    pub async fn stop(&self, leave: bool) {
        // No answer: it is down, or over already.
        let job = self.handle.call(StopDownload { leave }).await.ok().flatten();
        if let Some(job) = job {
            let flushed = spawn_blocking(move || job.flush()).await;
            if let Ok(Err(error)) = flushed {
                tracing::warn!(file = %self.file, %error, "what was fetched could not be made durable");
            }
        }
        if let Some(life) = self.life.lock().await.take() {
            let outcome = life.stop(STOP).await;
            if let Outcome::Stopped { forced: true } = outcome {
                tracing::warn!(file = %self.file, "a download had to be cut off");
            }
        }
    }
}
