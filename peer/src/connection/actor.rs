//! The actor of the table of connections: carries out what [`Connections`] decides.
//!
//! Owns the table and the listener's task; sessions are started here and live on their own, so a crash loses the table
//! and nothing else: it is rebuilt empty, sessions introduce themselves again, and whoever wants a file wants it again.

use super::{
    companion::accompany,
    direct::{Caller, dial},
    gossip::Introduction,
    messages::{
        Accepted, Ban, CloseAll, DescribeReach, Dialled, Introduce, ListSessions, Report, SwarmEvent, Unwant,
        Want,
    },
    state::{Action, Connections, Dialler, Limits, NewSession, Refusal, SessionId},
};
use crate::{
    event::PathKind,
    p2p::{
        greeting::Greeted,
        listener::accept,
        session::{self, SessionHandle, SessionParts, close::CloseReason, news::SessionNews},
    },
};
use actix::{Actor, AsyncContext as _, Context, Handler, MessageResult, Recipient};
use fail::fail_point;
use p2p_shared::{
    id::{FileHash, PublicKey},
    protocol::GoodbyeReason,
    supervision::Handle,
};
use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, sync::watch, task::AbortHandle};

/// How often pauses are looked at: the shortest is 200 ms.
const TICK: Duration = Duration::from_millis(100);

/// What the table works with; the same for all its lives.
#[derive(Clone)]
pub(super) struct Parts {
    /// The table itself, for those who report to it. Empty until it was started.
    pub table: watch::Receiver<Option<Handle<ConnectionManager>>>,
    pub caller: Caller,
    pub sessions: SessionParts,
    pub listener: Option<Arc<TcpListener>>,
    /// Numbers sessions, over all lives.
    pub next_session: Arc<AtomicU64>,
}

/// The actor.
pub(super) struct ConnectionManager {
    parts: Parts,
    table: Connections,
    sessions: HashMap<SessionId, SessionHandle>,
    /// Lets in whoever knocks; ends with this life of the table.
    accepting: Option<AbortOnDrop>,
    owners: HashMap<FileHash, Recipient<SwarmEvent>>,
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Actor for ConnectionManager {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.accepting = self.accept();
        ctx.run_interval(TICK, |manager, _| {
            fail_point!("ConnectionManager::Tick");
            let actions = manager.table.on_tick(now());
            manager.carry_out(actions);
            manager.introduce_peers();
        });
    }
}

impl ConnectionManager {
    pub(super) fn new(parts: Parts) -> Self {
        let me = parts.caller.identity.public_key();
        let table = Connections::new(me, Limits::default(), RandomState::new().hash_one(me));
        Self {
            parts,
            table,
            sessions: HashMap::new(),
            accepting: None,
            owners: HashMap::new(),
        }
    }

    fn accept(&self) -> Option<AbortOnDrop> {
        let listener = self.parts.listener.clone()?;
        let table = self.parts.table.clone();
        let welcome = move |greeted| {
            let table = table.borrow().clone();
            async move {
                if let Some(table) = table {
                    // No answer: the table is down, and the peer will dial again.
                    table.call(Accepted(greeted)).await.ok();
                }
            }
        };
        let accepting = tokio::spawn(accept(listener, self.parts.caller.clone(), welcome));
        Some(AbortOnDrop(accepting.abort_handle()))
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Dial { key, addresses } => self.dial(key, addresses),
                Action::Close { session, why } => self.close(session, why),
                Action::Offer { file, session } => self.offer(file, session),
            }
        }
    }

    fn dial(&self, key: PublicKey, addresses: Vec<SocketAddr>) {
        let (caller, table) = (self.parts.caller.clone(), self.parts.table.clone());
        tokio::spawn(async move {
            let outcome = dial(&caller, &key, &addresses).await;
            if let Err(error) = &outcome {
                tracing::debug!(peer = %key, %error, "a peer cannot be reached");
            }
            let Some(table) = table.borrow().clone() else {
                return;
            };
            let greeted = outcome.ok();
            // No answer: the table crashed, and will want and dial anew.
            table.call(Dialled { key, greeted }).await.ok();
        });
    }

    fn close(&mut self, session: SessionId, why: Refusal) {
        if let Some(session) = self.sessions.remove(&session) {
            session.close(match why {
                Refusal::Redundant => CloseReason::Redundant,
                Refusal::Full => CloseReason::Ours(GoodbyeReason::Full),
                Refusal::Banned => CloseReason::Ours(GoodbyeReason::Misbehaved),
            });
        }
    }

    fn offer(&self, file: FileHash, session: SessionId) {
        if let (Some(owner), Some(session)) = (self.owners.get(&file), self.sessions.get(&session)) {
            let (session, path) = (session.clone(), PathKind::Direct);
            // Bounded by the number of sessions.
            owner.do_send(SwarmEvent::Session { file, session, path });
        }
    }

    fn introduce_peers(&mut self) {
        for Introduction { session, file, peers } in self.table.introductions(now()) {
            if let Some(session) = self.sessions.get(&session) {
                session.name_peers(file, peers);
            }
        }
    }

    fn begin(&mut self, greeted: Greeted, dialler: Dialler) {
        let Some(table) = self.parts.table.borrow().clone() else {
            return;
        };
        let id = SessionId(self.parts.next_session.fetch_add(1, Ordering::Relaxed));
        let started = session::start(greeted, id, dialler, &self.parts.sessions);
        let session = started.session.clone();
        let seen = table.incarnation();
        tokio::spawn(accompany(table, seen, started));
        self.take_in(session);
    }

    fn take_in(&mut self, session: SessionHandle) {
        let about = session.about();
        let new = NewSession {
            session: about.session,
            key: about.peer,
            dialler: about.dialler,
            listen: about.listen.clone(),
        };
        self.sessions.insert(new.session, session);
        let actions = self.table.on_session(new, now());
        self.carry_out(actions);
    }
}

impl Handler<Accepted> for ConnectionManager {
    type Result = ();
    fn handle(&mut self, Accepted(greeted): Accepted, _ctx: &mut Self::Context) {
        fail_point!("ConnectionManager::Accepted");
        self.begin(greeted, Dialler::Them);
    }
}

impl Handler<Dialled> for ConnectionManager {
    type Result = ();
    fn handle(&mut self, Dialled { key, greeted }: Dialled, _ctx: &mut Self::Context) {
        fail_point!("ConnectionManager::Dialled");
        match greeted {
            Some(greeted) => self.begin(greeted, Dialler::Us),
            None => {
                let actions = self.table.on_dial_failed(&key, now());
                self.carry_out(actions);
            }
        }
    }
}

impl Handler<Introduce> for ConnectionManager {
    type Result = ();
    fn handle(&mut self, Introduce { session, files }: Introduce, _ctx: &mut Self::Context) {
        fail_point!("ConnectionManager::Introduce");
        let id = session.about().session;
        self.take_in(session);
        for file in files {
            let actions = self.table.on_attached(id, file);
            self.carry_out(actions);
        }
    }
}

impl Handler<Report> for ConnectionManager {
    type Result = ();
    fn handle(&mut self, Report { session, news }: Report, _ctx: &mut Self::Context) {
        fail_point!("ConnectionManager::Report");
        let actions = match news {
            SessionNews::Attached(file) => self.table.on_attached(session, file),
            SessionNews::Detached(file) => {
                self.table.on_detached(session, &file);
                Vec::new()
            }
            SessionNews::Useful => {
                self.table.on_useful(session);
                Vec::new()
            }
            SessionNews::Learned { file, peers } => self.table.on_named(session, file, peers, now()),
            SessionNews::Closed(reason) => {
                self.sessions.remove(&session);
                self.table.on_closed(session, reason.redial(), now())
            }
        };
        self.carry_out(actions);
    }
}

impl Handler<Want> for ConnectionManager {
    type Result = ();
    fn handle(&mut self, Want { file, hints, owner }: Want, _ctx: &mut Self::Context) {
        fail_point!("ConnectionManager::Want");
        let hints = hints.into_iter().map(|hint| (hint.key, hint.addresses));
        let mut actions = self.table.want(file, hints, now());
        if let Some(owner) = owner {
            self.owners.insert(file, owner);
            actions.extend(self.table.offers(file));
        }
        self.carry_out(actions);
    }
}

impl Handler<Unwant> for ConnectionManager {
    type Result = ();
    fn handle(&mut self, Unwant(file): Unwant, _ctx: &mut Self::Context) {
        fail_point!("ConnectionManager::Unwant");
        self.owners.remove(&file);
        self.table.unwant(&file);
    }
}

impl Handler<Ban> for ConnectionManager {
    type Result = ();
    fn handle(&mut self, Ban(key): Ban, _ctx: &mut Self::Context) {
        fail_point!("ConnectionManager::Ban");
        let actions = self.table.ban(key);
        self.carry_out(actions);
    }
}

impl Handler<DescribeReach> for ConnectionManager {
    type Result = MessageResult<DescribeReach>;
    fn handle(&mut self, DescribeReach(file): DescribeReach, _ctx: &mut Self::Context) -> Self::Result {
        fail_point!("ConnectionManager::DescribeReach");
        MessageResult(self.table.reach(&file))
    }
}

impl Handler<ListSessions> for ConnectionManager {
    type Result = MessageResult<ListSessions>;
    fn handle(&mut self, _: ListSessions, _ctx: &mut Self::Context) -> Self::Result {
        fail_point!("ConnectionManager::ListSessions");
        MessageResult(self.sessions.values().cloned().collect())
    }
}

impl Handler<CloseAll> for ConnectionManager {
    type Result = ();
    fn handle(&mut self, CloseAll(reason): CloseAll, _ctx: &mut Self::Context) {
        fail_point!("ConnectionManager::CloseAll");
        for (_, session) in self.sessions.drain() {
            session.close(reason.clone());
        }
    }
}
