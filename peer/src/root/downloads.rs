//! The downloads that are under way, and who listens to them.
//!
//! A download belongs to the peer: it goes on when the `get` that began it goes away, and a second `get` of the same
//! file listens to the same one. Not shared with any actor; the lock is held for a look at the map only.

use crate::{
    download::{self, DownloadHandle, DownloadParts, DownloadSpec, Pause, Stage, aim::Aim},
    error::Failure,
    event::{self, Event, EventSink, EventStream, Phase},
};
use actix_rt::ArbiterHandle;
use p2p_shared::id::FileHash;
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{oneshot, watch};

/// The downloads of a running peer.
#[derive(Clone)]
pub(super) struct Downloads {
    parts: DownloadParts,
    /// Where actors are started.
    actors: ArbiterHandle,
    under_way: Arc<Mutex<HashMap<FileHash, Fetch>>>,
}

/// One download with its listeners.
#[derive(Clone)]
pub(super) struct Fetch {
    pub(super) aim: Aim,
    pub(super) handle: DownloadHandle,
    /// The folder that it appears in.
    pub(super) output: PathBuf,
    listeners: Listeners,
    /// Whether a peer that shares the file was connected, ever.
    pub(super) reached: watch::Receiver<bool>,
}

/// Nobody can listen any more once the download has said its last word: whoever came later would wait for ever.
type Listeners = Arc<Mutex<Option<Vec<Listener>>>>;

/// Somebody who follows a download.
struct Listener {
    sink: EventSink,
    /// The phase that it knows of.
    phase: Phase,
}

impl Downloads {
    /// None yet. `actors` is the thread that actors live on.
    pub(super) fn new(parts: DownloadParts, actors: ArbiterHandle) -> Self {
        Self {
            parts,
            actors,
            under_way: Arc::default(),
        }
    }

    /// The download of `file`, if it is under way.
    pub(super) fn find(&self, file: &FileHash) -> Option<Fetch> {
        let mut under_way = lock(&self.under_way);
        under_way.retain(|_, fetch| !fetch.is_over());
        under_way.get(file).cloned()
    }

    /// Starts the download that `spec` makes for a sink, unless one is under way that serves `aim`. One that does not is
    /// stopped first, and this one goes on with what it has: the latest `get` says what is wanted of a share.
    pub(super) async fn start(
        &self,
        file: FileHash,
        aim: Aim,
        spec: impl FnOnce(EventSink) -> DownloadSpec + Send + 'static,
    ) -> Result<Fetch, Failure> {
        while self.find(&file).is_some_and(|fetch| !fetch.aim.serves(&aim)) {
            self.stop(&file, false).await;
        }
        let downloads = self.clone();
        let (tell, told) = oneshot::channel();
        self.actors.spawn_fn(move || {
            let fetch = downloads
                .find(&file)
                .unwrap_or_else(|| downloads.start_here(file, spec));
            // Nobody waits any more: the download goes on all the same.
            tell.send(fetch).ok();
        });
        told.await
            .map_err(|_| Failure::internal("the download could not be started: the peer is stopping"))
    }

    /// On the actors' thread, which is why there is one start at a time.
    fn start_here(&self, file: FileHash, spec: impl FnOnce(EventSink) -> DownloadSpec) -> Fetch {
        let (sink, events) = event::channel();
        let (tell, reached) = watch::channel(false);
        let spec = spec(sink);
        let fetch = Fetch {
            output: spec.output.clone(),
            aim: spec.aim.clone(),
            handle: download::start(self.parts.clone(), spec),
            listeners: Arc::new(Mutex::new(Some(Vec::new()))),
            reached,
        };
        tokio::spawn(pass_on(events, Arc::clone(&fetch.listeners), tell));
        lock(&self.under_way).insert(file, fetch.clone());
        fetch
    }

    /// Stops the download of `file`, if it is under way; `leave`: for good, so that trackers are told.
    pub(super) async fn stop(&self, file: &FileHash, leave: bool) {
        let fetch = lock(&self.under_way).remove(file);
        if let Some(fetch) = fetch {
            fetch.handle.stop(leave).await;
        }
    }

    /// Stops all of them; what they have is on disk.
    pub(super) async fn stop_all(&self) {
        let all: Vec<_> = lock(&self.under_way).drain().map(|(_, fetch)| fetch).collect();
        futures_util::future::join_all(all.iter().map(|fetch| fetch.handle.stop(false))).await;
    }
}

impl Fetch {
    /// Has `sink`, which knows of `phase`, hear what the download reports from now on; it is dropped when that was all, at
    /// once if it is over.
    pub(super) fn listen(&self, sink: EventSink, phase: Phase) {
        listen(&self.listeners, sink, phase);
    }

    /// What the disk said, while the download waits for room on it.
    pub(super) fn no_space(&self) -> Option<String> {
        match &self.handle.status().borrow().stage {
            Stage::Paused(Pause::NoSpace(failure)) => Some(failure.message.clone()),
            _ => None,
        }
    }

    fn is_over(&self) -> bool {
        self.handle.status().borrow().stage.is_over()
    }
}

fn listen(listeners: &Listeners, sink: EventSink, phase: Phase) {
    if let Some(listeners) = &mut *lock(listeners) {
        listeners.push(Listener { sink, phase });
    }
}

/// Passes on what a download reports, except how it ended: whoever waits for it says so.
async fn pass_on(mut events: EventStream, listeners: Listeners, reached: watch::Sender<bool>) {
    while let Some(event) = events.next().await {
        if matches!(event, Event::Path(_)) {
            reached.send_replace(true);
        }
        if matches!(event, Event::Done(_) | Event::Error(_)) {
            continue;
        }
        if let Some(listeners) = &mut *lock(&listeners) {
            listeners.retain(|listener| listener.sink.is_heard());
            listeners.iter_mut().for_each(|listener| listener.hear(&event));
        }
    }
    lock(&listeners).take();
}

impl Listener {
    fn hear(&mut self, event: &Event) {
        if let Event::Phase { phase } = event
            && std::mem::replace(&mut self.phase, *phase) == *phase
        {
            return;
        }
        self.sink.send(event.clone());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in between leaves a collection that is still one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn who_listens_to_a_download_that_is_over_does_not_wait_for_more() {
        let (sink, events) = event::channel();
        let (tell, _reached) = watch::channel(false);
        let listeners: Listeners = Arc::new(Mutex::new(Some(Vec::new())));
        let (early, mut heard_early) = event::channel();
        listen(&listeners, early, Phase::Connecting);
        drop(sink);
        pass_on(events, Arc::clone(&listeners), tell).await;
        assert_eq!(heard_early.next().now_or_never(), Some(None));

        let (late, mut heard_late) = event::channel();
        listen(&listeners, late, Phase::Connecting);
        assert_eq!(heard_late.next().now_or_never(), Some(None));
    }
}
