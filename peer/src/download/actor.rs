//! The actor of one download: carries out what [`Download`] decides, and runs its errands.
//!
//! Owns the sessions that it fetches over, the job on disk and what is told about it. A crash loses what is under way and
//! nothing else: the job is opened again, the table of connections offers the sessions again, and they tell what they
//! hold. [`Kept`] is what outlives a crash.

use super::{
    DownloadParts, DownloadSpec,
    aim::{Aim, standing},
    halt::Halt,
    hashes::{Ask, HashQuest},
    kept::{Kept, Opened, now, total},
    lines::Lines,
    messages::{HashesFound, JobOpened, OpenJob, PeersFound},
    progress::Progress,
    state::{Action, Download},
    status::Stage,
    storing::{ChunkStored, Storing},
};
use crate::{
    client::{HandOut, QueryError},
    connection::{SwarmEvent, state::SessionId},
    event::{self, Phase},
    p2p::{
        session::{SessionHandle, close::CloseReason},
        shelf::Shared,
    },
    storage::{Job, JobSpec},
};
use actix::{Actor, ActorFutureExt as _, Addr, AsyncContext as _, Context, WrapFuture as _};
use fail::fail_point;
use p2p_shared::{
    bitfield::Bitfield,
    id::{ChunkHash, FileHash, PublicKey},
    supervision::CallError,
};
use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

/// How often a download looks at the clock and reports.
const TICK: Duration = Duration::from_millis(250);
/// How long the answer of a swarm that was asked for peers is waited for before it is asked again.
const NO_ANSWER: Duration = Duration::from_secs(60);
/// How soon the swarm is asked for peers again while none is connected: whoever restarted is back there in seconds.
const LONELY: Duration = Duration::from_secs(3);

/// When for so long no chunk has come from a source that has changed, none does.
const QUIET: Duration = Duration::from_secs(2);

/// The actor.
pub(super) struct DownloadCoordinator {
    pub parts: DownloadParts,
    pub spec: DownloadSpec,
    pub kept: Arc<Kept>,
    pub itself: Addr<Self>,
    pub state: Download,
    pub progress: Progress,
    /// While the list of hashes is not complete.
    pub quest: Option<HashQuest>,
    /// Once it is open.
    pub job: Option<Opened>,
    pub lines: Lines<SessionHandle>,
    /// Peers whose source is not what it was.
    pub changed: HashSet<PublicKey>,
    /// When a chunk came last.
    pub stored: Option<Instant>,
    /// Sessions in use whose round trip has not been told of yet.
    pub unmeasured: HashSet<SessionId>,
    /// Why nothing is asked for.
    pub halt: Halt,
    next_poll: Option<Instant>,
    pub finishing: bool,
    /// The folder's index has been told of.
    pub index_is_known: bool,
}

impl Actor for DownloadCoordinator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let phase = Phase::Connecting;
        self.spec.sink.phase(phase);
        self.want();
        let connections = self.parts.connections.clone();
        connections.follow(ctx, |download: &mut Self, _, _| {
            fail_point!("DownloadCoordinator::TableRebuilt");
            download.want();
            // The peers that it was told of are forgotten with it.
            download.next_poll = None;
        });
        self.heed_owner();
        self.find_hashes();
        ctx.run_interval(TICK, |download, ctx| {
            fail_point!("DownloadCoordinator::Tick");
            download.tick(ctx);
        });
        self.tick(ctx);
    }
}

impl DownloadCoordinator {
    pub(super) fn new(
        parts: DownloadParts,
        spec: DownloadSpec,
        kept: Arc<Kept>,
        ctx: &Context<Self>,
    ) -> Self {
        let layout = spec.manifest.layout();
        let seed = RandomState::new().hash_one(spec.manifest.hash);
        let nothing = Bitfield::new(layout.chunks());
        let mut state = Download::new(nothing, Bitfield::full(layout.chunks()), seed);
        // Until the job is open, nothing that comes could be stored.
        state.pause();
        Self {
            progress: Progress::new(0, total(&spec), now()),
            itself: ctx.address(),
            parts,
            spec,
            kept,
            state,
            quest: None,
            job: None,
            lines: Lines::default(),
            changed: HashSet::new(),
            stored: None,
            unmeasured: HashSet::new(),
            halt: Halt::default(),
            next_poll: None,
            finishing: false,
            index_is_known: false,
        }
    }

    pub(super) fn file(&self) -> FileHash {
        self.spec.manifest.hash
    }

    /// Tells the table of connections what we want, until it has heard.
    pub(super) fn want(&self) {
        let (connections, file) = (self.parts.connections.clone(), self.file());
        let policy = self.kept.wish.policy();
        let (hints, owner) = (
            self.spec.seeders.clone(),
            self.itself.clone().recipient::<SwarmEvent>(),
        );
        tokio::spawn(async move {
            // Down: it is being rebuilt, and says so when it is there again.
            while let Err(CallError::Busy | CallError::Timeout) =
                connections.want(file, policy, hints.clone(), owner.clone()).await
            {
                tokio::time::sleep(TICK).await;
            }
        });
    }

    fn find_hashes(&mut self) {
        if let Some(hashes) = self.kept.hashes.get().cloned() {
            return self.open_job(hashes);
        }
        let mut quest = HashQuest::new(self.spec.manifest.layout());
        if let Some(hashes) = quest.take() {
            return self.have_hashes(hashes);
        }
        self.quest = Some(quest);
        let asked = self.spec.swarm.chunk_hashes(Arc::clone(&self.spec.manifest));
        let itself = self.itself.clone();
        tokio::spawn(async move {
            // One answer to one question.
            itself.do_send(HashesFound(asked.await));
        });
    }

    pub(super) fn have_hashes(&mut self, hashes: Vec<ChunkHash>) {
        self.quest = None;
        let hashes = self.kept.hashes.get_or_init(|| hashes.into());
        self.open_job(Arc::clone(hashes));
    }

    pub(super) fn ask_hashes(&self, ask: Option<Ask>) {
        if let Some(Ask { peer, first, count }) = ask
            && let Some(line) = self.lines.used(&peer)
        {
            line.session.get_hashes(self.file(), first, count);
        }
    }

    pub(super) fn open_again(&mut self) {
        if let Some(hashes) = self.kept.hashes.get().cloned() {
            self.open_job(hashes);
        }
    }

    fn open_job(&self, hashes: Arc<[ChunkHash]>) {
        let spec = JobSpec {
            manifest: (*self.spec.manifest).clone(),
            hashes,
            output: self.spec.output.clone(),
            selection: self.spec.aim.selection(),
        };
        let (store, itself, file) = (self.parts.store.clone(), self.itself.clone(), self.file());
        let is_glance = self.spec.aim == Aim::Index;
        let wish = Arc::clone(&self.kept.wish);
        tokio::spawn(async move {
            if is_glance {
                let opened = Job::glance(spec).map(|job| OpenJob { job, shared: None });
                return itself.do_send(JobOpened(opened));
            }
            // Stopped before it began: what is removed must not come back.
            let Some(_opening) = wish.begin_opening().await else {
                return;
            };
            let opened = match store.open_job(spec).await {
                Ok(job) => {
                    // What is stored of it can be served from now on; if not, it is fetched all the same.
                    let served = store.open(file).await.ok().flatten();
                    let shared = served.map(|served| served as Arc<dyn Shared>);
                    Ok(OpenJob { job, shared })
                }
                Err(error) => Err(error),
            };
            itself.do_send(JobOpened(opened));
        });
    }

    pub(super) fn begin(&mut self, OpenJob { job, shared }: OpenJob) {
        let (held, wanted) = (job.held(), job.wanted());
        let (bytes, total) = standing(&job);
        self.progress = Progress::new(bytes, total, now());
        self.note_index(&job);
        self.state.prefer(job.wanted_first());
        let storing = Storing::new(Arc::clone(&job), self.itself.clone().recipient::<ChunkStored>());
        if self.spec.aim != Aim::Index {
            self.spec.swarm.announce(&self.spec.manifest, job.hashes(), false);
        }
        if let Some(shared) = &shared {
            for session in self.lines.all() {
                session.serve(self.file(), Arc::clone(shared));
            }
        }
        self.job = Some(Opened { job, shared, storing });
        let actions = self.state.restart(held, wanted);
        self.carry_out(actions);
        self.heed();
    }

    pub(super) fn carry_out(&mut self, actions: Vec<Action>) {
        let file = self.file();
        for action in actions {
            match action {
                Action::Request { peer, chunks } => match self.lines.used(&peer) {
                    Some(line) => {
                        line.session.request(file, chunks);
                        self.enter(Stage::Downloading);
                    }
                    None => self.lose(&peer),
                },
                // It may have been asked over one that is not used any more.
                Action::Cancel { peer, chunk } => {
                    self.lines
                        .of(&peer)
                        .for_each(|session| session.cancel(file, chunk));
                }
                Action::Interest { peer, interested } => {
                    if let Some(line) = self.lines.used(&peer) {
                        line.session.set_interest(file, interested);
                    }
                }
                Action::Have(chunk) => self.lines.all().for_each(|session| session.have(file, chunk)),
                Action::Ban(peer) => self.ban(peer),
                Action::Drop(peer) => {
                    self.lines
                        .of(&peer)
                        .for_each(|session| session.close(CloseReason::Silent));
                    self.part(&peer);
                }
            }
        }
    }

    fn ban(&mut self, peer: PublicKey) {
        let message =
            format!("peer {peer} sent chunks that are not what their hashes say; it is not asked again");
        match self.kept.is_first_ban(peer) {
            true => self.trouble("peer-banned", message),
            // It came back, or others proved more of it wrong: no news, but still what the trouble is.
            false => self.note_trouble(message),
        }
        let connections = self.parts.connections.clone();
        tokio::spawn(async move {
            // No answer: should it come back, this download remembers.
            connections.ban(peer).await.ok();
        });
        self.part(&peer);
    }

    pub(super) fn trouble(&self, code: &'static str, message: String) {
        let file = self.file();
        tracing::warn!(%file, code, message);
        let news = self.kept.status.borrow().trouble.as_ref() != Some(&message);
        if news {
            self.spec.sink.warning(code, message.clone());
            self.note_trouble(message);
        }
    }

    fn note_trouble(&self, message: String) {
        let status = &self.kept.status;
        status.send_modify(|status| status.trouble = Some(message));
    }

    /// Goes over to another stage and says so.
    pub(super) fn enter(&self, stage: Stage) {
        let phase = match &stage {
            Stage::Connecting => Some(Phase::Connecting),
            Stage::Downloading => Some(Phase::Downloading),
            Stage::Verifying => Some(Phase::Verifying),
            Stage::Paused(_) | Stage::Done(_) | Stage::Failed(_) => None,
        };
        if self.kept.set_stage(stage)
            && let Some(phase) = phase
        {
            self.spec.sink.phase(phase);
        }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let now = now();
        if !self.halt.agrees_with(self.kept.wish.is_paused()) {
            // A message about it that was lost.
            self.heed_owner();
        }
        if self.halt.on_tick(now) {
            self.heed();
        }
        let own_pause = self.parts.receiving.available() == 0;
        let actions = self.state.on_tick(own_pause, now);
        self.carry_out(actions);
        let ask = self.quest.as_mut().and_then(|quest| quest.on_tick(now));
        self.ask_hashes(ask);
        if self.next_poll.is_none_or(|at| at <= now) {
            self.poll_peers();
        }
        self.look_around(ctx);
        if self.state.peers() == 0 && !self.finishing && !self.halt.is_on() {
            self.enter(Stage::Connecting);
        }
        self.report(now);
    }

    fn report(&mut self, now: Instant) {
        let Some(report) = self.progress.on_tick(now) else {
            return;
        };
        let peers = self.state.peers();
        self.spec.sink.progress(event::Progress {
            bytes: report.bytes,
            total: report.total,
            rate: report.rate,
            eta: report.eta.map(|eta| eta.as_secs()),
            peers: self.state.busy_peers() as u32,
        });
        self.kept.status.send_modify(|status| {
            status.report = report;
            status.peers = peers;
        });
    }

    /// How the peers that are known stand, for the status.
    fn look_around(&self, ctx: &mut Context<Self>) {
        let (connections, file) = (self.parts.connections.clone(), self.file());
        let source_changed = self.is_source_changed(now());
        self.kept.status.send_if_modified(|status| {
            std::mem::replace(&mut status.source_changed, source_changed) != source_changed
        });
        let asked = async move { connections.reach(file).await }.into_actor(self);
        ctx.spawn(asked.map(|reach, download, _| {
            // No answer: as it was.
            let Ok(reach) = reach else { return };
            download
                .kept
                .status
                .send_if_modified(|status| std::mem::replace(&mut status.reach, reach) != reach);
        }));
    }

    fn is_source_changed(&self, now: Instant) -> bool {
        let is_quiet = self.stored.is_none_or(|at| at + QUIET <= now);
        let nobody_else = self.lines.peers().all(|peer| self.changed.contains(peer));
        !self.changed.is_empty() && is_quiet && nobody_else
    }

    fn poll_peers(&mut self) {
        // Until the answer comes.
        self.next_poll = Some(now() + NO_ANSWER);
        let (asked, itself) = (self.spec.swarm.peers(self.file()), self.itself.clone());
        tokio::spawn(async move {
            itself.do_send(PeersFound(asked.await));
        });
    }

    pub(super) fn on_peers(&mut self, found: Result<HandOut, QueryError>) {
        let lonely = self.state.peers() == 0;
        let interval = match found {
            Ok(HandOut { peers, interval }) => {
                let (connections, file) = (self.parts.connections.clone(), self.file());
                tokio::spawn(async move {
                    // No answer: the next hand-out comes soon.
                    connections.hint(file, peers).await.ok();
                });
                interval
            }
            Err(error) => {
                self.trouble("tracker-unreachable", error.to_string());
                LONELY
            }
        };
        let wait = if lonely {
            interval.min(LONELY)
        } else {
            interval.max(LONELY)
        };
        self.next_poll = Some(now() + wait);
    }
}
