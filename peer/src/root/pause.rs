//! `pause` and `resume`: a download stands still, and goes on.

use super::Orders;
use crate::{
    error::Failure,
    operation::{ShareInfo, ShareState},
};
use p2p_shared::id::FileHash;

impl Orders {
    /// Has the download that a person means by `id` ask for nothing until it is resumed, also after a restart. What is here of it
    /// is still served. Twice is once.
    ///
    /// # Errors
    /// Not found if there is no such share; usage if it is whole.
    pub async fn pause(&self, id: &str) -> Result<ShareInfo, Failure> {
        self.set_paused(id, true).await
    }

    /// Has the download that a person means by `id` go on. One that is not under way (it had failed, say) is taken up again.
    ///
    /// # Errors
    /// As [`Self::pause`].
    pub async fn go_on(&self, id: &str) -> Result<ShareInfo, Failure> {
        self.set_paused(id, false).await
    }

    /// Whether its owner wants this download to stand still.
    pub(super) fn is_paused(&self, file: &FileHash) -> bool {
        self.parts.paused.of(file).unwrap_or_default()
    }

    async fn set_paused(&self, id: &str, paused: bool) -> Result<ShareInfo, Failure> {
        let share = self.find(id).await?;
        if !is_unfinished(share.state) {
            return Err(Failure::usage(format!(
                "{} is here as a whole; only a download can be paused and resumed, and `p2p-peer remove` ends a share",
                share.name
            )));
        }
        self.parts.paused.set(share.hash, paused.then_some(true)).await?;
        self.heed_pause(&share.hash, paused).await?;
        // As it is now; one that has become whole meanwhile is a share.
        self.find(&share.hash.to_string()).await
    }

    /// Tells a download under way what its owner wants.
    async fn heed_pause(&self, file: &FileHash, paused: bool) -> Result<(), Failure> {
        let Some(online) = &self.parts.online else {
            return Ok(());
        };
        let told = match (online.downloads.find(file), paused) {
            (Some(fetch), true) => fetch.handle.pause().await,
            (Some(fetch), false) => fetch.handle.resume().await,
            (None, true) => return Ok(()),
            (None, false) => return self.resume_job(*file).await,
        };
        told.map_err(|error| {
            Failure::internal(format!(
                "the download does not answer ({error}); run the command again"
            ))
        })
    }
}

fn is_unfinished(state: ShareState) -> bool {
    match state {
        ShareState::Downloading | ShareState::Waiting | ShareState::Paused => true,
        ShareState::Seeding | ShareState::Idle | ShareState::Changed => false,
    }
}
