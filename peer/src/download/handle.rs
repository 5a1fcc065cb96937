//! The way to one download.

use super::{
    actor::DownloadCoordinator,
    messages::{MorePeers, PauseDownload, ResumeDownload, StopDownload, WantAgain},
    status::{DownloadStatus, Stage},
    wish::Wish,
};
use crate::{
    connection::{Hint, Policy},
    error::Failure,
    event::Done,
};
use p2p_shared::{
    id::FileHash,
    supervision::{CallError, Handle, Life, Outcome},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, watch},
    task::spawn_blocking,
    time::timeout,
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
    wish: Arc<Wish>,
}

impl DownloadHandle {
    pub(super) fn new(
        file: FileHash,
        handle: Handle<DownloadCoordinator>,
        life: Life,
        status: watch::Receiver<DownloadStatus>,
        wish: Arc<Wish>,
    ) -> Self {
        Self {
            file,
            handle,
            life: Arc::new(Mutex::new(Some(life))),
            status,
            wish,
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
        let mut status = self.status();
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
    pub async fn more_peers(&self, peers: Vec<Hint>) -> Result<(), CallError> {
        self.handle.call(MorePeers(peers)).await
    }

    /// Comes by paths that `policy` allows from now on; across crashes of its actor, too.
    pub async fn set_policy(&self, policy: Policy) -> Result<(), CallError> {
        self.wish.set_policy(policy);
        heard(self.handle.call(WantAgain).await)
    }

    /// Stands still until told to go on; across crashes of its actor, too.
    pub async fn pause(&self) -> Result<(), CallError> {
        self.wish.set_paused(true);
        heard(self.handle.call(PauseDownload).await)
    }

    /// Goes on.
    pub async fn resume(&self) -> Result<(), CallError> {
        self.wish.set_paused(false);
        heard(self.handle.call(ResumeDownload).await)
    }

    /// Ends it. What was fetched stays on disk, durable; trackers are told that nothing of it is here any more if `leave`,
    /// and the job on disk is nobody's when this returns.
    pub async fn stop(&self, leave: bool) {
        self.wish.stop();
        let mut answer = self.handle.call(StopDownload { leave }).await;
        if let Err(CallError::Crashed) = answer {
            // The next life does what this one could not.
            answer = self.handle.call(StopDownload { leave }).await;
        }
        // No answer: it is down, or over already.
        let job = answer.ok().flatten();
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
        if leave && timeout(STOP, self.wish.opened()).await.is_err() {
            tracing::debug!(file = %self.file, "still being opened; whoever removes it waits its turn");
        }
    }
}

/// An actor that crashed over it heeds it in its next life.
fn heard(answer: Result<(), CallError>) -> Result<(), CallError> {
    match answer {
        Err(CallError::Crashed) => Ok(()),
        answer => answer,
    }
}
