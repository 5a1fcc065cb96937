//! `get --list`: what is in a share, from its index alone.
//!
//! Promises that nothing is written, and that no more is fetched than the chunks which the index is in: nothing at all of
//! a share that is here, or of a single file. A download of the same folder that is under way tells what it knows; one that stands
//! still before it knows is named instead of waited for.

use super::{
    Orders,
    downloads::Fetch,
    follow::wait_for_peer,
    sought::{Question, Sought},
};
use crate::{
    download::{DownloadStatus, Pause, Stage, aim::Aim},
    error::Failure,
    event::{Event, EventSink, FileLine},
    operation::FilesRequest,
};
use p2p_shared::manifest::{FolderIndex, ShareKind};
use std::{path::PathBuf, sync::Arc};

impl Orders {
    /// Reports each file of a share that `request` selects, in the order of their paths.
    pub async fn files(&self, request: FilesRequest, sink: EventSink) -> Result<(), Failure> {
        let question = Question {
            what: &request.what,
            trackers: &request.trackers,
            timeout: request.timeout,
            policy: request.policy,
            selection: &request.selection,
        };
        let sought = self.seek(question, &sink).await?;
        if sought.manifest.kind == ShareKind::File {
            sink.send(Event::File(FileLine::of_share(&sought.manifest)));
            return Ok(());
        }
        let index = self.index(&sought, &sink).await?;
        for (entry, _) in sought.selection.choose(&index)?.files(&index) {
            sink.send(Event::File(FileLine::of_entry(entry)));
        }
        Ok(())
    }

    async fn index(&self, sought: &Sought, sink: &EventSink) -> Result<Arc<FolderIndex>, Failure> {
        let file = sought.manifest.hash;
        let here = self.parts.store.open(file).await?;
        if let Some(index) = here.and_then(|served| served.index()) {
            return Ok(index);
        }
        loop {
            let fetch = self
                .fetch(sought, PathBuf::new(), Aim::Index, sink.clone())
                .await?;
            let index = sought.wait_unless_halted(&fetch).await;
            if fetch.aim == Aim::Index && index.is_err() {
                self.online()?.downloads.stop(&file, false).await;
            }
            // None: a `get` took its place, and will know.
            if let Some(index) = index? {
                return Ok(index);
            }
        }
    }
}

/// Why a download does not go on, if it does not and the index is not known.
fn why_halted(status: &DownloadStatus) -> Option<&Pause> {
    match &status.stage {
        Stage::Paused(why) if status.index.is_none() => Some(why),
        _ => None,
    }
}

impl Sought {
    /// The index, when a download knows it; none if that was stopped. An error also if it stands still before it knows.
    async fn wait_unless_halted(&self, fetch: &Fetch) -> Result<Option<Arc<FolderIndex>>, Failure> {
        let mut status = fetch.handle.status();
        let halted = async {
            match status.wait_for(|status| why_halted(status).is_some()).await {
                Ok(status) => why_halted(&status).cloned(),
                // It was stopped, which the other says.
                Err(_) => None,
            }
        };
        tokio::select! {
            biased;
            Some(why) = halted => Err(self.halted(why)),
            index = self.wait_for_index(fetch) => index,
        }
    }

    fn halted(&self, why: Pause) -> Failure {
        match why {
            Pause::NoSpace(failure) => failure,
            Pause::Owner => Failure::unreachable(format!(
                "what is in {} is not known yet, and its download is paused; `p2p-peer resume {}` goes on with it",
                self.manifest.name, self.manifest.hash
            )),
        }
    }

    async fn wait_for_index(&self, fetch: &Fetch) -> Result<Option<Arc<FolderIndex>>, Failure> {
        wait_for_peer(fetch, self).await?;
        let mut status = fetch.handle.status();
        let known = status.wait_for(|status| status.index.is_some() || status.stage.is_over());
        // An error: it was stopped.
        let Ok(last) = known.await.map(|status| status.clone()) else {
            return Ok(None);
        };
        match (last.index, last.stage) {
            (Some(index), _) => Ok(Some(index)),
            (None, Stage::Failed(failure)) => Err(failure),
            (None, _) => Ok(None),
        }
    }
}
