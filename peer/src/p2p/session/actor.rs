//! The actor of one session: carries out what [`SessionState`] decides.
//!
//! Promises one end: whatever happens, [`PeerSession::close`] is called once or the actor is dropped by a panic, and
//! both ways its [`Farewell`] tells everybody. Owns the three tasks of the connection (reader, writer, server); they end
//! with it. Never restarted: whoever wants the peer dials it again.

use super::{
    close::{CloseReason, Violation},
    farewell::Farewell,
    handle::About,
    messages::{
        AnnounceChunk, AttachFile, CancelChunk, CloseSession, DescribeSession, DetachFile, NamePeers,
        RequestChunks, RequestHashes, RetireSession, ServeFile, SetInterest,
    },
    news::{ChunkNews, SessionInfo, SessionNews},
    server::Order,
    state::{Action, Delivery, SessionState},
    tasks::{Ends, Tasks},
    traffic::Traffic,
};
use crate::{
    connection::state::Dialler,
    p2p::{
        shelf::{Shared, Shelf},
        wire::{Heard, Owing, Record, Stalled},
    },
    storage::ReceivedChunk,
};
use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, Handler, StreamHandler,
    WrapFuture as _,
};
use fail::fail_point;
use p2p_shared::{
    bitfield::Bitfield,
    id::{ChunkIndex, FileHash},
    protocol::{DetachReason, MAX_BITFIELD, PeerMessage},
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// How often a session looks at the clock: lateness and silence are told apart in seconds.
const TICK: Duration = Duration::from_millis(250);

/// A session with one peer.
pub(super) struct PeerSession {
    pub about: Arc<About>,
    pub state: SessionState,
    pub tasks: Tasks,
    pub shelf: Arc<dyn Shelf>,
    /// What this session serves from.
    pub opened: HashMap<FileHash, Arc<dyn Shared>>,
    pub farewell: Farewell,
    pub reports: mpsc::Sender<SessionNews>,
    pub traffic: Arc<Traffic>,
    /// The reader waits for a free buffer.
    pub stalled: Stalled,
    /// Tells the reader whether something was asked of the peer.
    pub owing: Owing,
    /// What the reader has read.
    pub heard: Heard,
    /// When it looked at the clock last.
    pub ticked: Option<Instant>,
}

/// The clock of sessions: monotonic, and tokio's, so that tests can hold it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Actor for PeerSession {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // The first ping, before anything else could hold up its answer.
        self.tick(ctx);
        ctx.run_interval(TICK, |session, ctx| {
            fail_point!("PeerSession::Tick");
            session.tick(ctx);
            for file in session.farewell.abandoned(now()) {
                let actions = session.state.detach(file, false, DetachReason::Stopped);
                session.carry_out(actions, ctx);
            }
        });
    }
}

impl PeerSession {
    fn tick(&mut self, ctx: &mut Context<Self>) {
        let now = now();
        let since = self.ticked.replace(now).unwrap_or(now);
        let missed = now.saturating_duration_since(since).saturating_sub(2 * TICK);
        if self.stalled.is_set() {
            self.state.on_own_pause(TICK);
        } else if !missed.is_zero() {
            // This process stood still, or its machine slept: not a word about the other side.
            self.state.on_own_pause(missed);
        }
        self.state.on_bytes(self.heard.bytes(), now);
        let actions = self.state.on_tick(self.traffic.answered(), now);
        self.carry_out(actions, ctx);
    }

    fn carry_out(&mut self, actions: Vec<Action>, ctx: &mut Context<Self>) {
        // Before the question goes out, so that its answer is not taken for something unasked.
        self.owing.set(self.state.is_owed());
        for action in actions {
            match action {
                Action::Send(message) => self.send(message, ctx),
                Action::SendBitfield(file) => self.send_bitfield(file, ctx),
                Action::Open(file) => self.open(file, ctx),
                Action::Serve(file, chunk) => self.serve(file, chunk, ctx),
                Action::Withdraw(file, chunk) => self.order(Order::Withdraw(file, chunk), ctx),
                Action::WithdrawAll(file) => {
                    self.opened.remove(&file);
                    self.order(Order::WithdrawAll(file), ctx);
                }
                Action::ServeHashes { file, first, count } => {
                    let shared = self.opened.get(&file).cloned();
                    self.order(Order::Hashes(shared, file, first, count), ctx);
                }
                Action::Tell(file, news) => self.farewell.tell(file, news),
                Action::Report(news) => self.report(news, ctx),
                Action::Close(reason) => return self.close(reason, ctx),
            }
        }
    }

    fn send(&mut self, message: PeerMessage, ctx: &mut Context<Self>) {
        if self.tasks.messages.try_send(message).is_err() {
            // As many messages as may wait do: the peer does not read what we say.
            self.close(CloseReason::Silent, ctx);
        }
    }

    fn send_bitfield(&mut self, file: FileHash, ctx: &mut Context<Self>) {
        let held = self.opened.get(&file).map(|shared| shared.held());
        let nothing = || {
            self.state
                .layout(&file)
                .map(|layout| Bitfield::new(layout.chunks()))
        };
        let bytes = held
            .or_else(nothing)
            .map(|bits| bits.to_bytes())
            .unwrap_or_default();
        let mut first_byte = 0;
        // One message even for a file without chunks: it says that the bitfield is complete.
        loop {
            let end = bytes.len().min(first_byte + MAX_BITFIELD);
            let part = PeerMessage::Bitfield {
                file,
                first_byte: first_byte as u32,
                bits: bytes[first_byte..end].to_vec(),
            };
            self.send(part, ctx);
            first_byte = end;
            if first_byte >= bytes.len() {
                return;
            }
        }
    }

    fn open(&self, file: FileHash, ctx: &mut Context<Self>) {
        let opening = self.shelf.open(file).into_actor(self);
        ctx.spawn(opening.map(move |shared, session: &mut Self, ctx| {
            fail_point!("PeerSession::FileOpened");
            let layout = shared.as_ref().map(|shared| shared.layout());
            session.opened.extend(shared.map(|shared| (file, shared)));
            let actions = session.state.on_opened(file, layout, session.traffic.answered());
            session.carry_out(actions, ctx);
        }));
    }

    fn serve(&mut self, file: FileHash, chunk: ChunkIndex, ctx: &mut Context<Self>) {
        match self.opened.get(&file) {
            Some(shared) => {
                let order = Order::Serve(Arc::clone(shared), file, chunk);
                self.order(order, ctx);
            }
            None => self.order(Order::Refuse(file, chunk), ctx),
        }
    }

    fn order(&mut self, order: Order, ctx: &mut Context<Self>) {
        if self.tasks.orders.try_send(order).is_err() {
            let violation = Violation::TooMany("requests and cancellations");
            self.close(CloseReason::Violation(violation), ctx);
        }
    }

    fn report(&mut self, news: SessionNews, ctx: &mut Context<Self>) {
        if self.reports.try_send(news).is_err() {
            let violation = Violation::TooMany("files and peers named");
            self.close(CloseReason::Violation(violation), ctx);
        }
    }

    /// The one end. Whatever comes after it is ignored.
    fn close(&mut self, reason: CloseReason, ctx: &mut Context<Self>) {
        let goodbye = reason.goodbye();
        let Some(reason) = self.farewell.set_reason(reason) else {
            return;
        };
        let peer = self.about.peer;
        tracing::debug!(%peer, session = self.about.session.0, %reason, "session ends");
        for action in self.state.on_close(&reason) {
            if let Action::Tell(file, news) = action {
                self.farewell.tell(file, news);
            }
        }
        self.tasks.end(goodbye);
        ctx.stop();
    }
}

impl StreamHandler<Result<Record, CloseReason>> for PeerSession {
    fn handle(&mut self, record: Result<Record, CloseReason>, ctx: &mut Context<Self>) {
        fail_point!("PeerSession::Record");
        match record {
            Ok(Record::Message(message)) => {
                let actions = self.state.on_message(message, self.traffic.answered(), now());
                self.carry_out(actions, ctx);
            }
            Ok(Record::Chunk(header, bytes)) => {
                let received = ReceivedChunk {
                    peer: self.about.peer,
                    file: header.file,
                    chunk: header.chunk,
                    bytes,
                };
                self.on_chunk(received, ctx);
            }
            Err(reason) => self.close(reason, ctx),
        }
    }

    fn finished(&mut self, ctx: &mut Context<Self>) {
        // The reader ends with an error, so this is its panic.
        self.close(CloseReason::Crashed, ctx);
    }
}

impl PeerSession {
    fn on_chunk(&mut self, received: ReceivedChunk, ctx: &mut Context<Self>) {
        let (file, chunk, bytes) = (received.file, received.chunk, received.bytes.len());
        self.traffic.on_received(bytes as u64);
        match self.state.on_chunk(file, chunk, bytes, now()) {
            Ok((delivery, actions)) => {
                if let Delivery::Deliver(room) = delivery {
                    let chunk = received;
                    self.farewell.tell(file, ChunkNews::Received { chunk, room });
                }
                self.carry_out(actions, ctx);
            }
            Err(violation) => self.close(CloseReason::Violation(violation), ctx),
        }
    }
}

/// A task of the connection ended.
impl StreamHandler<Ends> for PeerSession {
    fn handle(&mut self, end: Ends, ctx: &mut Context<Self>) {
        fail_point!("PeerSession::TaskEnded");
        self.close(end.0, ctx);
    }

    fn finished(&mut self, _ctx: &mut Context<Self>) {}
}

impl Handler<AttachFile> for PeerSession {
    type Result = ();
    fn handle(&mut self, message: AttachFile, ctx: &mut Self::Context) {
        fail_point!("PeerSession::AttachFile");
        let AttachFile {
            wanted,
            shared,
            owner,
        } = message;
        if let Some(owner) = owner.read() {
            self.farewell.attach(wanted.file, owner);
        }
        self.opened.extend(shared.map(|shared| (wanted.file, shared)));
        let actions = self.state.attach(wanted);
        self.carry_out(actions, ctx);
    }
}

/// What we hold of a file can be read from now on.
impl Handler<ServeFile> for PeerSession {
    type Result = ();
    fn handle(&mut self, ServeFile { file, shared }: ServeFile, _ctx: &mut Self::Context) {
        fail_point!("PeerSession::ServeFile");
        let held = shared.held();
        self.opened.insert(file, shared);
        self.state.have_all(file, held.ones());
    }
}

impl Handler<DetachFile> for PeerSession {
    type Result = ();
    fn handle(&mut self, message: DetachFile, ctx: &mut Self::Context) {
        fail_point!("PeerSession::DetachFile");
        let actions = self.state.detach(message.file, message.serving, message.reason);
        self.carry_out(actions, ctx);
    }
}

impl Handler<RequestChunks> for PeerSession {
    type Result = ();
    fn handle(&mut self, RequestChunks { file, chunks }: RequestChunks, ctx: &mut Self::Context) {
        fail_point!("PeerSession::RequestChunks");
        let actions = self.state.request(file, chunks, now());
        self.carry_out(actions, ctx);
    }
}

impl Handler<CancelChunk> for PeerSession {
    type Result = ();
    fn handle(&mut self, CancelChunk { file, chunk }: CancelChunk, ctx: &mut Self::Context) {
        fail_point!("PeerSession::CancelChunk");
        let actions = self.state.cancel(file, chunk);
        self.carry_out(actions, ctx);
    }
}

impl Handler<RequestHashes> for PeerSession {
    type Result = ();
    fn handle(&mut self, message: RequestHashes, ctx: &mut Self::Context) {
        fail_point!("PeerSession::RequestHashes");
        let actions = self.state.get_hashes(message.file, message.first, message.count);
        self.carry_out(actions, ctx);
    }
}

impl Handler<SetInterest> for PeerSession {
    type Result = ();
    fn handle(&mut self, SetInterest { file, interested }: SetInterest, ctx: &mut Self::Context) {
        fail_point!("PeerSession::SetInterest");
        let actions = self.state.set_interest(file, interested);
        self.carry_out(actions, ctx);
    }
}

impl Handler<AnnounceChunk> for PeerSession {
    type Result = ();
    fn handle(&mut self, AnnounceChunk { file, chunk }: AnnounceChunk, ctx: &mut Self::Context) {
        fail_point!("PeerSession::AnnounceChunk");
        let actions = self.state.have(file, chunk);
        self.carry_out(actions, ctx);
    }
}

impl Handler<NamePeers> for PeerSession {
    type Result = ();
    fn handle(&mut self, NamePeers { file, peers }: NamePeers, ctx: &mut Self::Context) {
        fail_point!("PeerSession::NamePeers");
        let actions = self.state.name_peers(file, peers);
        self.carry_out(actions, ctx);
    }
}

impl Handler<RetireSession> for PeerSession {
    type Result = ();
    fn handle(&mut self, _: RetireSession, _ctx: &mut Self::Context) {
        fail_point!("PeerSession::RetireSession");
        self.state.retire(now());
    }
}

impl Handler<CloseSession> for PeerSession {
    type Result = ();
    fn handle(&mut self, CloseSession(reason): CloseSession, ctx: &mut Self::Context) {
        fail_point!("PeerSession::CloseSession");
        self.close(reason, ctx);
    }
}

impl Handler<DescribeSession> for PeerSession {
    type Result = actix::MessageResult<DescribeSession>;
    fn handle(&mut self, _: DescribeSession, _ctx: &mut Self::Context) -> Self::Result {
        fail_point!("PeerSession::DescribeSession");
        let about = &self.about;
        actix::MessageResult(SessionInfo {
            session: about.session,
            peer: about.peer,
            path: about.path,
            address: about.address,
            relay: about.relay.clone(),
            listen: about.listen.clone(),
            dialled: about.dialler == Dialler::Us,
            agent: about.agent.clone(),
            files: self.state.their_files().collect(),
            received: self.traffic.received(),
            sent: self.traffic.sent(),
            retired: self.state.is_retired(),
            // The table of connections knows.
            reason: None,
            round_trip_ms: self
                .state
                .window()
                .round_trip()
                .map(|time| time.as_secs_f64() * 1000.0),
        })
    }
}
