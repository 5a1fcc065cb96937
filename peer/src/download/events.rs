//! What happens to a download, each kind of event in its handler.

use super::{
    actor::DownloadCoordinator,
    aim::standing,
    chunks::Arrival,
    kept::now,
    messages::{HashesFound, JobFinished, JobOpened, MorePeers, PeersFound, StopDownload, WantAgain},
    source::Room,
    state::Action,
    status::Stage,
    storing::{ChunkStored, Stored},
};
use crate::{
    error::Failure,
    event::PathKind,
    storage::{CommitError, FinishError, Job, ReceivedChunk, StoreError},
};
use actix::{AsyncContext as _, Context, Handler, MessageResult};
use fail::fail_point;
use p2p_shared::{
    id::{ChunkHash, ChunkIndex, PublicKey},
    protocol::{DetachReason, RejectReason},
};
use std::{collections::HashSet, sync::Arc, time::Duration};

/// Pause before a store that did not answer is asked again: it is being rebuilt.
const STORE_AGAIN: Duration = Duration::from_millis(500);

/// Peers remembered from tickets: some tickets' worth.
const MAX_SEEDERS: usize = 64;

impl DownloadCoordinator {
    pub(super) fn on_source_changed(&mut self, peer: PublicKey) {
        if self.changed.insert(peer) {
            let name = self.spec.manifest.name.as_str();
            let message = format!(
                "{name} cannot be read any more where peer {peer} shares it: it has changed or is gone; what is left of it is \
                 fetched, and the rest from whoever else turns up"
            );
            self.trouble("changed", message);
        }
    }

    pub(super) fn on_rejected(
        &mut self,
        peer: PublicKey,
        chunk: ChunkIndex,
        reason: RejectReason,
        room: Room,
    ) -> Vec<Action> {
        if reason == RejectReason::Unreadable {
            self.on_source_changed(peer);
        }
        let empty_claim = matches!(reason, RejectReason::NotHeld | RejectReason::Unreadable);
        self.state.on_rejected(&peer, chunk, empty_claim, room)
    }

    pub(super) fn on_hashes(&mut self, peer: PublicKey, first: u32, hashes: &[ChunkHash]) {
        let quest = self.quest.as_mut();
        let ask = quest.and_then(|quest| quest.on_hashes(&peer, first, hashes, now()));
        self.ask_hashes(ask);
        if let Some(hashes) = self.quest.as_mut().and_then(|quest| quest.take()) {
            self.have_hashes(hashes);
        }
    }

    /// A chunk came by `path`; `room` if that is the session in use.
    pub(super) fn on_received(&mut self, received: ReceivedChunk, path: PathKind, room: Option<Room>) {
        let (arrival, actions) = self.state.on_received(&received.peer, received.chunk, room);
        // First the next requests, so that the peer is busy while this one is stored.
        self.carry_out(actions);
        match (arrival, &self.job) {
            (Arrival::Store { .. }, Some(job)) => job.storing.put(received, path),
            (Arrival::Store { .. }, None) => self.state.on_not_stored(received.chunk),
            (Arrival::Superfluous, _) => {
                tracing::debug!(peer = %received.peer, chunk = %received.chunk, "a chunk came that is here already");
            }
        }
    }
}

impl Handler<ChunkStored> for DownloadCoordinator {
    type Result = ();
    fn handle(&mut self, stored: ChunkStored, ctx: &mut Self::Context) {
        fail_point!("DownloadCoordinator::ChunkStored");
        let ChunkStored {
            peer,
            path,
            chunk,
            outcome,
        } = stored;
        let actions = match outcome {
            Stored::Yes => self.on_stored(peer, path, chunk),
            Stored::Bad(bad) => {
                self.trouble("bad-chunk", bad.to_string());
                self.state.on_bad(&peer, chunk)
            }
            Stored::No(error) => {
                self.state.on_not_stored(chunk);
                return self.on_not_written(error, ctx);
            }
            Stored::Panicked => {
                self.state.on_not_stored(chunk);
                let failure = Failure::internal(format!("storing chunk {chunk} crashed; the log says where"));
                return self.fail(failure, ctx);
            }
        };
        self.carry_out(actions);
        self.finish_if_complete();
    }
}

impl DownloadCoordinator {
    fn on_stored(&mut self, peer: PublicKey, path: PathKind, chunk: ChunkIndex) -> Vec<Action> {
        let bytes = self.spec.manifest.layout().length(chunk);
        // Known by now, if it completed a folder's index together with another one.
        if !self.state.chunks().held().has(chunk) {
            self.progress.on_stored(bytes, now());
        }
        self.kept.on_fetched(path, bytes);
        self.stored = Some(now());
        if let Some(job) = self
            .job
            .as_ref()
            .filter(|job| !job.job.wanted_first().contains(&chunk.0))
        {
            self.state.prefer(job.job.wanted_first());
        }
        let mut actions = self.state.on_stored(&peer, chunk, now());
        actions.extend(self.look_again());
        actions
    }

    fn on_not_written(&mut self, error: CommitError, ctx: &mut Context<Self>) {
        if let CommitError::Selection(nothing) = error {
            return self.nothing_chosen(nothing);
        }
        let no_space = matches!(error, CommitError::NoSpace(_));
        let failure = Failure::from(error);
        if no_space {
            self.no_room(failure);
        } else {
            self.fail(failure, ctx);
        }
    }
}

impl Handler<HashesFound> for DownloadCoordinator {
    type Result = ();
    fn handle(&mut self, HashesFound(found): HashesFound, _ctx: &mut Self::Context) {
        fail_point!("DownloadCoordinator::HashesFound");
        match found {
            Ok(hashes) if self.job.is_none() => self.have_hashes(hashes),
            Ok(_) => {}
            // The peers are asked as well; who has neither gets no further than this.
            Err(error) => tracing::info!(file = %self.file(), %error, "no tracker has the chunk hashes"),
        }
    }
}

impl Handler<JobOpened> for DownloadCoordinator {
    type Result = ();
    fn handle(&mut self, JobOpened(opened): JobOpened, ctx: &mut Self::Context) {
        fail_point!("DownloadCoordinator::JobOpened");
        match opened {
            Ok(opened) => self.begin(opened),
            Err(error @ StoreError::Down(_)) => {
                self.trouble("store-down", error.to_string());
                ctx.run_later(STORE_AGAIN, |download, _| download.open_again());
            }
            Err(StoreError::Disk(error)) if error.is_no_space() => {
                self.no_room(Failure::from(&error));
                ctx.run_later(Duration::from_secs(5), |download, _| download.open_again());
            }
            Err(error) => self.fail(error.into(), ctx),
        }
    }
}

impl Handler<PeersFound> for DownloadCoordinator {
    type Result = ();
    fn handle(&mut self, PeersFound(found): PeersFound, _ctx: &mut Self::Context) {
        fail_point!("DownloadCoordinator::PeersFound");
        self.on_peers(found);
    }
}

impl Handler<JobFinished> for DownloadCoordinator {
    type Result = ();
    fn handle(&mut self, JobFinished(finished): JobFinished, ctx: &mut Self::Context) {
        fail_point!("DownloadCoordinator::JobFinished");
        self.finishing = false;
        match finished {
            Ok(path) => self.done(path, ctx),
            Err(error @ (FinishError::Missing(_) | FinishError::Damaged(_))) => {
                self.trouble("damaged", error.to_string());
                self.fetch_again();
            }
            Err(FinishError::NoSpace(error)) => self.no_room(Failure::from(&error)),
            Err(FinishError::Store(error @ StoreError::Down(_))) => {
                self.trouble("store-down", error.to_string());
                ctx.run_later(STORE_AGAIN, |download, _| download.finish_if_complete());
            }
            Err(error) => self.fail(error.into(), ctx),
        }
    }
}

impl DownloadCoordinator {
    /// What was lost on the disk is fetched again.
    fn fetch_again(&mut self) {
        let Some(job) = self.job.as_ref().map(|job| Arc::clone(&job.job)) else {
            return;
        };
        let (bytes, total) = standing(&job);
        self.progress.on_changed(bytes, total, now());
        let actions = self.state.restart(job.held(), job.wanted());
        self.enter(Stage::Connecting);
        self.carry_out(actions);
    }
}

impl Handler<MorePeers> for DownloadCoordinator {
    type Result = ();
    fn handle(&mut self, MorePeers(peers): MorePeers, _ctx: &mut Self::Context) {
        fail_point!("DownloadCoordinator::MorePeers");
        let known: HashSet<PublicKey> = self.spec.seeders.iter().map(|peer| peer.key).collect();
        let room = MAX_SEEDERS.saturating_sub(known.len());
        let new = peers.into_iter().filter(|peer| !known.contains(&peer.key));
        self.spec.seeders.extend(new.take(room));
        self.want();
    }
}

impl Handler<WantAgain> for DownloadCoordinator {
    type Result = ();
    fn handle(&mut self, _: WantAgain, _ctx: &mut Self::Context) {
        fail_point!("DownloadCoordinator::WantAgain");
        self.want();
    }
}

impl Handler<StopDownload> for DownloadCoordinator {
    type Result = MessageResult<StopDownload>;
    fn handle(&mut self, StopDownload { leave }: StopDownload, ctx: &mut Self::Context) -> Self::Result {
        fail_point!("DownloadCoordinator::StopDownload");
        if leave {
            self.spec.swarm.stop(&self.file());
        }
        let job: Option<Arc<Job>> = self.job.as_ref().map(|job| Arc::clone(&job.job));
        self.end(false, DetachReason::Stopped, ctx);
        MessageResult(job)
    }
}
