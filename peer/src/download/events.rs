//! What happens to a download, each kind of event in its handler.

use super::{
    actor::DownloadCoordinator,
    aim::standing,
    chunks::Arrival,
    kept::now,
    messages::{HashesFound, JobFinished, JobOpened, MorePeers, PeersFound, StopDownload},
    source::Room,
    state::Action,
    status::Stage,
    storing::{ChunkStored, Stored},
};
use crate::{
    connection::SwarmEvent,
    error::Failure,
    event::{Event, PathLine},
    p2p::session::{
        SessionHandle,
        news::{ChunkEvent, ChunkNews, Detached},
    },
    storage::{CommitError, FinishError, Job, ReceivedChunk, StoreError},
};
use actix::{AsyncContext as _, Context, Handler, MessageResult};
use fail::fail_point;
use p2p_shared::{
    bitfield::Bitfield,
    id::{ChunkIndex, PublicKey},
    protocol::{DetachReason, RejectReason},
};
use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// Pause before a store that did not answer is asked again: it is being rebuilt.
const STORE_AGAIN: Duration = Duration::from_millis(500);

/// Peers remembered from tickets: some tickets' worth.
const MAX_SEEDERS: usize = 64;

impl Handler<SwarmEvent> for DownloadCoordinator {
    type Result = ();
    fn handle(&mut self, event: SwarmEvent, _ctx: &mut Self::Context) {
        fail_point!("DownloadCoordinator::SwarmEvent");
        let SwarmEvent::Session { session, path, .. } = event;
        // Said again whenever more is known of its peers; joining anew would drop the questions under way.
        if self.is_joined(&session) {
            return;
        }
        self.spec.sink.send(Event::Path(PathLine {
            peer: session.about().peer,
            path,
            rtt_ms: None,
            reason: "reached at one of its addresses".into(),
        }));
        self.unmeasured.insert(session.about().peer, path);
        self.join(&session);
    }
}

impl Handler<ChunkEvent> for DownloadCoordinator {
    type Result = ();
    fn handle(&mut self, event: ChunkEvent, _ctx: &mut Self::Context) {
        fail_point!("DownloadCoordinator::ChunkEvent");
        let ChunkEvent {
            session, peer, news, ..
        } = event;
        let current = self
            .sessions
            .get(&peer)
            .is_some_and(|kept| kept.about().session == session);
        match news {
            // A chunk is a chunk, also over a session that was replaced meanwhile.
            ChunkNews::Received { chunk, room } => self.on_received(chunk, room),
            news if current => self.on_news(peer, news),
            _ => {}
        }
    }
}

impl DownloadCoordinator {
    fn is_joined(&self, session: &SessionHandle) -> bool {
        let known = self.sessions.get(&session.about().peer);
        known.is_some_and(|known| known.about().session == session.about().session)
    }

    fn on_news(&mut self, peer: PublicKey, news: ChunkNews) {
        let actions = match news {
            ChunkNews::Attached(bits) => self.on_attached(peer, bits),
            ChunkNews::Has(chunk) => self.state.on_has(&peer, chunk),
            ChunkNews::Room(room) => self.state.on_room(&peer, room),
            ChunkNews::Choked { choked, room } => self.state.on_choke(&peer, choked, room),
            ChunkNews::NotAsked { chunks, room } => self.state.on_refused(&peer, &chunks, room),
            ChunkNews::Rejected { chunk, reason, room } => self.on_rejected(peer, chunk, reason, room),
            ChunkNews::Late { chunks, room } => self.state.on_late(&peer, &chunks, room),
            ChunkNews::Hashes { first, hashes } => {
                let quest = self.quest.as_mut();
                let ask = quest.and_then(|quest| quest.on_hashes(&peer, first, &hashes, now()));
                self.ask_hashes(ask);
                if let Some(hashes) = self.quest.as_mut().and_then(|quest| quest.take()) {
                    self.have_hashes(hashes);
                }
                Vec::new()
            }
            ChunkNews::RoundTrip(time) => return self.on_round_trip(peer, time),
            ChunkNews::Detached { reason, .. } => {
                if matches!(reason, Detached::Theirs(DetachReason::Changed)) {
                    self.on_source_changed(peer);
                }
                return self.part(&peer);
            }
            // Taken care of by the caller.
            ChunkNews::Received { .. } => Vec::new(),
        };
        self.carry_out(actions);
    }

    fn on_source_changed(&mut self, peer: PublicKey) {
        if self.changed.insert(peer) {
            let name = self.spec.manifest.name.as_str();
            let message = format!(
                "{name} cannot be read any more where peer {peer} shares it: it has changed or is gone; what is left of it is \
                 fetched, and the rest from whoever else turns up"
            );
            self.trouble("changed", message);
        }
    }

    /// The path is told of again, with its round trip.
    fn on_round_trip(&mut self, peer: PublicKey, time: Duration) {
        if let Some(path) = self.unmeasured.remove(&peer) {
            self.spec.sink.send(Event::Path(PathLine {
                peer,
                path,
                rtt_ms: Some(time.as_secs_f64() * 1000.0),
                reason: "its round trip was measured".into(),
            }));
        }
    }

    fn on_attached(&mut self, peer: PublicKey, bits: Bitfield) -> Vec<Action> {
        let ask = self.quest.as_mut().and_then(|quest| quest.on_peer(peer, now()));
        self.ask_hashes(ask);
        self.state.on_attached(peer, bits)
    }

    fn on_rejected(
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

    fn on_received(&mut self, received: ReceivedChunk, room: Room) {
        let (arrival, actions) = self.state.on_received(&received.peer, received.chunk, room);
        // First the next requests, so that the peer is busy while this one is stored.
        self.carry_out(actions);
        match (arrival, &self.job) {
            (Arrival::Store { .. }, Some(job)) => job.storing.put(received),
            (Arrival::Store { .. }, None) => self.state.on_not_stored(received.chunk),
            (Arrival::Superfluous, _) => {}
        }
    }
}

impl Handler<ChunkStored> for DownloadCoordinator {
    type Result = ();
    fn handle(&mut self, ChunkStored { peer, chunk, outcome }: ChunkStored, ctx: &mut Self::Context) {
        fail_point!("DownloadCoordinator::ChunkStored");
        let actions = match outcome {
            Stored::Yes => self.on_stored(peer, chunk),
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
    fn on_stored(&mut self, peer: PublicKey, chunk: ChunkIndex) -> Vec<Action> {
        let bytes = self.spec.manifest.layout().length(chunk);
        // Known by now, if it completed a folder's index together with another one.
        if !self.state.chunks().held().has(chunk) {
            self.progress.on_stored(bytes, now());
        }
        self.kept.fetched.fetch_add(bytes.into(), Ordering::Relaxed);
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
