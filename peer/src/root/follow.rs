//! Waiting for a download: until its first peer is reached, and until it is over or cannot go on.
//!
//! Decides when waiting has lost its sense, and words that for the person. Never touches the download itself.

use super::{downloads::Fetch, sought::Sought};
use crate::{
    download::{DownloadStatus, Pause, Stage},
    error::Failure,
    event::Done,
};
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{timeout, timeout_at},
};

/// Waits for the end of a download, but not longer than until `deadline` for the first peer, nor for room on the disk.
pub(super) async fn follow(fetch: &Fetch, sought: &Sought) -> Result<Done, Failure> {
    wait_for_peer(fetch, sought).await?;
    let (name, patience) = (sought.manifest.name.as_str(), sought.patience);
    let mut status = fetch.handle.status();
    tokio::select! {
        // An error means that the download is gone; `finished` then says so.
        _ = status.wait_for(has_stopped) => (),
        () = lasts(fetch.handle.status(), patience, |status| status.reach.is_banned()) => {
            return Err(lied_to(name));
        }
        () = lasts(fetch.handle.status(), patience, |status| status.source_changed) => {
            return Err(changed(name, patience));
        }
    }
    let full = match &status.borrow().stage {
        Stage::Paused(Pause::NoSpace(failure)) => Some(failure.clone()),
        _ => None,
    };
    match full {
        Some(failure) => Err(failure),
        None => fetch.handle.finished().await,
    }
}

/// Waits for the first peer, or for the download's end.
pub(super) async fn wait_for_peer(fetch: &Fetch, sought: &Sought) -> Result<(), Failure> {
    let mut status = fetch.handle.status();
    let mut reached = fetch.reached.clone();
    let settled = async {
        tokio::select! {
            // An error means that the download is gone; `finished` says so afterwards.
            _ = reached.wait_for(|reached| *reached) => (),
            _ = status.wait_for(has_stopped) => (),
        }
    };
    let in_time = timeout_at(sought.deadline, settled).await;
    in_time.map_err(|_| nobody(&status.borrow(), sought))
}

/// Whether there is nothing more to wait for.
fn has_stopped(status: &DownloadStatus) -> bool {
    status.stage.is_over() || matches!(status.stage, Stage::Paused(Pause::NoSpace(_)))
}

/// Waits until `is_so` has been so for as long as `patience`.
async fn lasts(
    mut status: watch::Receiver<DownloadStatus>,
    patience: Duration,
    is_so: impl Fn(&DownloadStatus) -> bool,
) {
    loop {
        if status.wait_for(&is_so).await.is_err() {
            // The download is gone, which somebody else says.
            return std::future::pending().await;
        }
        let is_over = status.wait_for(|status| !is_so(status));
        if timeout(patience, is_over).await.is_err() {
            return;
        }
    }
}

fn changed(name: &str, patience: Duration) -> Failure {
    Failure::unreachable(format!(
        "{name} has changed where it was shared, and nobody else who has it as it was turned up within {} s; ask for a new \
         ticket, or find somebody else who seeds it and run the same command again",
        patience.as_secs()
    ))
}

fn lied_to(name: &str) -> Failure {
    Failure::integrity(format!(
        "every peer that is known to have {name} sent chunks that are not what their hashes say, and is not asked again; \
         nothing wrong was stored, find somebody else who seeds it and run the same command again"
    ))
}

fn nobody(status: &DownloadStatus, sought: &Sought) -> Failure {
    let known = match status.reach.known + status.reach.pending + status.reach.backing_off {
        0 => "nobody is known to have it".to_owned(),
        1 => "one peer is known to have it and does not answer".to_owned(),
        peers => format!("{peers} peers are known to have it and none answers"),
    };
    let trouble = status
        .trouble
        .as_ref()
        .map(|trouble| format!(" ({trouble})"))
        .unwrap_or_default();
    Failure::unreachable(format!(
        "nobody could be reached for {} within {} s: {known}{trouble}; check that somebody seeds it, and run the same \
         command again",
        sought.manifest.name,
        sought.patience.as_secs()
    ))
}
