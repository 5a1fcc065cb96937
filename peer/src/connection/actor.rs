//! The actor of the table of connections: carries out what [`Connections`] decides.
//!
//! Owns the table and nothing else: sessions and dials live on their own, and the roster knows them all. So a crash loses the
//! table only; it is rebuilt from the roster before it dials anybody, and whoever wants a file wants it again.

use super::{
    gossip::Introduction,
    host::{Host, Target},
    messages::{
        AttemptFailed, Ban, DescribeReach, Introduce, ListSessions, Report, SwarmEvent, Unwant, Want,
    },
    path::TUNNEL_AFTER,
    punching::Puncher,
    reason::Why,
    roster::Muster,
    state::{Action, Connections, Limits, NewSession, Refusal, SessionId},
};
use crate::{
    metrics,
    orphan::Orphans,
    p2p::session::{SessionHandle, close::CloseReason, news::SessionNews},
};
use actix::{Actor, AsyncContext as _, Context, Handler, MessageResult, Recipient};
use fail::fail_point;
use p2p_shared::{id::FileHash, protocol::GoodbyeReason};
use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    time::{Duration, Instant},
};

/// How often pauses are looked at: the shortest is 200 ms.
const TICK: Duration = Duration::from_millis(100);

/// The actor.
pub(super) struct ConnectionManager {
    host: Host,
    table: Connections,
    sessions: HashMap<SessionId, SessionHandle>,
    owners: HashMap<FileHash, Recipient<SwarmEvent>>,
    orphans: Orphans,
    /// How often we had been found somewhere else when it was looked last.
    moves: u64,
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// How often others found us at an address that was new.
fn moves(host: &Host) -> u64 {
    host.puncher.as_ref().map_or(0, Puncher::moves)
}

impl Actor for ConnectionManager {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.adopt();
        ctx.run_interval(TICK, |manager, _| {
            fail_point!("ConnectionManager::Tick");
            manager.notice_move();
            let actions = manager.table.on_tick(now());
            manager.carry_out(actions);
            manager.introduce_peers();
            manager.forget_orphans();
        });
    }
}

impl ConnectionManager {
    pub(super) fn new(host: Host) -> Self {
        let me = host.caller.identity.public_key();
        let seed = RandomState::new().hash_one(me);
        let mut table = Connections::new(me, Limits::default(), host.policy, seed);
        table.set_udp(host.puncher.is_some());
        Self {
            moves: moves(&host),
            host,
            table,
            sessions: HashMap::new(),
            owners: HashMap::new(),
            orphans: Orphans::default(),
        }
    }

    /// Takes over from the life before. What the roster does not show yet comes as a message.
    fn adopt(&mut self) {
        let Muster {
            guests,
            attempts,
            banned,
            hidden,
        } = self.host.roster.look().muster();
        for key in hidden {
            self.table.on_hidden(key);
        }
        for key in banned {
            let actions = self.table.ban(key);
            self.carry_out(actions);
        }
        for (key, attempt) in attempts {
            self.table.on_trying(key, attempt);
        }
        for guest in guests {
            let id = guest.session.about().session;
            self.take_in(guest.session);
            for file in guest.attached {
                let actions = self.table.on_attached(id, file);
                self.carry_out(actions);
            }
        }
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Try {
                    attempt,
                    key,
                    addresses,
                    relays,
                    policy,
                    not_before,
                } => self.host.reach(Target {
                    attempt,
                    key,
                    addresses,
                    relays,
                    policy,
                    not_before,
                }),
                Action::Close { session, why } => self.close(session, why),
                Action::Retire(session) => {
                    if let Some(session) = self.sessions.get(&session) {
                        session.retire();
                    }
                }
                Action::Hide(key) => self.host.roster.look().hide_from(key),
                Action::Show(key) => self.host.roster.look().show_to(&key),
                Action::Offer { file, session, why } => self.offer(file, session, why),
            }
        }
    }

    fn close(&mut self, session: SessionId, why: Refusal) {
        if let Some(session) = self.sessions.remove(&session) {
            session.close(match why {
                Refusal::Redundant => CloseReason::Redundant,
                Refusal::Full => CloseReason::Ours(GoodbyeReason::Full),
                Refusal::Banned => CloseReason::Ours(GoodbyeReason::Misbehaved),
                Refusal::Silent => CloseReason::Silent,
            });
        }
    }

    fn offer(&self, file: FileHash, session: SessionId, why: Why) {
        if let (Some(owner), Some(session)) = (self.owners.get(&file), self.sessions.get(&session)) {
            let session = session.clone();
            metrics::path_taken(session.about().path, why.name());
            // Bounded by the number of sessions.
            owner.do_send(SwarmEvent::Session { file, session, why });
        }
    }

    /// At an address that is new, whatever failed has a new chance.
    fn notice_move(&mut self) {
        let moves = moves(&self.host);
        if std::mem::replace(&mut self.moves, moves) != moves {
            let actions = self.table.on_address_change(now());
            self.carry_out(actions);
        }
    }

    fn introduce_peers(&mut self) {
        for Introduction { session, file, peers } in self.table.introductions(now()) {
            if let Some(session) = self.sessions.get(&session) {
                session.name_peers(file, peers);
            }
        }
    }

    fn take_in(&mut self, session: SessionHandle) {
        let about = session.about();
        let new = NewSession {
            session: about.session,
            key: about.peer,
            dialler: about.dialler,
            path: about.path,
            listen: about.listen.clone(),
        };
        self.sessions.insert(new.session, session);
        let actions = self.table.on_session(new, now());
        self.carry_out(actions);
    }

    /// A download ends with its `Unwant`; should that be lost, with its owner.
    fn forget_orphans(&mut self) {
        let owners = self.owners.iter();
        let owners = owners.map(|(file, owner)| (*file, owner.connected()));
        for file in self.orphans.on_tick(owners, now()) {
            self.forget(&file);
        }
    }

    fn forget(&mut self, file: &FileHash) {
        self.owners.remove(file);
        self.table.unwant(file);
    }
}

impl Handler<AttemptFailed> for ConnectionManager {
    type Result = ();
    fn handle(&mut self, AttemptFailed { key, attempt }: AttemptFailed, _ctx: &mut Self::Context) {
        fail_point!("ConnectionManager::AttemptFailed");
        // If it is being tried, then anew: this one began before the table was rebuilt.
        if !self.host.roster.look().is_trying(key, attempt) {
            let actions = self.table.on_failed(&key, attempt, now());
            self.carry_out(actions);
        }
    }
}

impl Handler<Introduce> for ConnectionManager {
    type Result = ();
    fn handle(&mut self, Introduce(session): Introduce, _ctx: &mut Self::Context) {
        fail_point!("ConnectionManager::Introduce");
        self.take_in(session);
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
                if let Some(handle) = self.sessions.get(&session) {
                    self.table.on_useful(session, handle.about().path);
                }
                Vec::new()
            }
            SessionNews::Quiet(since) => self.table.on_quiet(session, Some(since), now()),
            SessionNews::HeardAgain => self.table.on_quiet(session, None, now()),
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
    fn handle(&mut self, Want { file, hints, owner }: Want, ctx: &mut Self::Context) {
        fail_point!("ConnectionManager::Want");
        let actions = match owner {
            Some((owner, policy)) => {
                // The relay's turn comes then, and not up to a tick later.
                ctx.run_later(TUNNEL_AFTER, |manager, _| {
                    let actions = manager.table.on_tick(now());
                    manager.carry_out(actions);
                });
                self.owners.insert(file, owner);
                let mut actions = self.table.want(file, policy, hints, now());
                actions.extend(self.table.offers(file));
                actions
            }
            None => self.table.hint(file, hints, now()),
        };
        self.carry_out(actions);
    }
}

impl Handler<Unwant> for ConnectionManager {
    type Result = ();
    fn handle(&mut self, Unwant(file): Unwant, _ctx: &mut Self::Context) {
        fail_point!("ConnectionManager::Unwant");
        self.forget(&file);
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
        let sessions = self.sessions.values().map(|session| {
            let about = session.about();
            let reason = self.table.reason(about.session, &about.peer, about.path);
            (session.clone(), reason)
        });
        MessageResult(sessions.collect())
    }
}
