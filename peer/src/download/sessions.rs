//! The sessions of a download, and what they say: who is joined, which of a peer's sessions is used, what each of them
//! is listened to for.
//!
//! Promises that a chunk is taken whichever session brought it; that of all else only the session in use decides what is
//! asked; and that the owner hears of every change of path, with its reason. Which session is used is decided in
//! [`super::lines`].

use super::{
    actor::DownloadCoordinator,
    kept::now,
    lines::{Joined, Known, Line, Role},
};
use crate::{
    connection::{SwarmEvent, state::SessionId},
    event::{Event, PathKind, PathLine},
    p2p::session::{
        SessionHandle,
        attachment::Wanted,
        news::{ChunkEvent, ChunkNews, Detached},
    },
};
use actix::Handler;
use fail::fail_point;
use p2p_shared::{
    bitfield::Bitfield,
    id::{ChunkIndex, PublicKey},
    protocol::DetachReason,
};
use std::time::Duration;

impl Handler<SwarmEvent> for DownloadCoordinator {
    type Result = ();
    fn handle(&mut self, event: SwarmEvent, _ctx: &mut Self::Context) {
        fail_point!("DownloadCoordinator::SwarmEvent");
        let SwarmEvent::Session { session, why, .. } = event;
        self.join(&session, why.as_str());
    }
}

impl Handler<ChunkEvent> for DownloadCoordinator {
    type Result = ();
    fn handle(&mut self, event: ChunkEvent, _ctx: &mut Self::Context) {
        fail_point!("DownloadCoordinator::ChunkEvent");
        let ChunkEvent {
            session,
            peer,
            path,
            news,
            ..
        } = event;
        let role = self.lines.role(&peer, session);
        match news {
            // A chunk is a chunk, also over a session that was replaced meanwhile.
            ChunkNews::Received { chunk, room } => {
                self.on_received(chunk, path, Some(room).filter(|_| role == Role::Used));
            }
            ChunkNews::Detached { reason, .. } => self.on_line_detached(peer, session, &reason),
            news => match role {
                Role::Used => self.on_news(peer, session, news),
                Role::Coming | Role::Going => self.on_news_beside(peer, session, role, news),
                Role::Unknown => {}
            },
        }
    }
}

impl DownloadCoordinator {
    /// A session is to be used from now on. Said again whenever more is known of its peer; joining anew would drop the
    /// questions under way.
    fn join(&mut self, session: &SessionHandle, reason: &'static str) {
        let about = session.about();
        let (peer, id, path) = (about.peer, about.session, about.path);
        let line = Line {
            id,
            session: session.clone(),
            path,
            reason,
            known: Known::default(),
        };
        match self.lines.join(peer, line) {
            Joined::Known => {}
            Joined::First => {
                self.tell_path(peer, path, None, reason);
                self.unmeasured.insert(id);
                self.attach(session);
                self.ask_early(peer);
            }
            Joined::Next => self.attach(session),
            Joined::Back => {
                // What it holds may have come while it was going, and nobody told its peer that we want something.
                self.show_interest(peer, id, Role::Coming);
                self.switch(peer);
            }
        }
    }

    /// Whom the ticket names shares the file, most likely: it is asked behind the `Attach`, and not a round trip or two later.
    fn ask_early(&mut self, peer: PublicKey) {
        if self.spec.seeders.iter().any(|seeder| seeder.key == peer) {
            let actions = self.state.on_named(peer);
            self.carry_out(actions);
        }
    }

    fn attach(&self, session: &SessionHandle) {
        let manifest = &self.spec.manifest;
        let wanted = Wanted {
            file: manifest.hash,
            layout: manifest.layout(),
            root: manifest.merkle_root,
        };
        let shared = self.job.as_ref().and_then(|job| job.shared.clone());
        session.attach(wanted, shared, self.itself.clone().recipient::<ChunkEvent>());
    }

    /// Uses the session that is coming, if it is time for that.
    fn switch(&mut self, peer: PublicKey) {
        let last = self.state.known(&peer);
        let Some(from) = self.lines.switch(&peer, last) else {
            return;
        };
        let Some(Line {
            id,
            path,
            reason,
            known,
            ..
        }) = self.lines.used(&peer)
        else {
            return;
        };
        let (to, path, reason, known) = (*id, *path, *reason, known.clone());
        self.tell_path(peer, path, known.round_trip, reason);
        if known.round_trip.is_none() {
            self.unmeasured.insert(to);
        }
        let is_attached = known.bits.is_some();
        let actions = self.state.on_moved(peer, from, to, known);
        self.carry_out(actions);
        self.ask_elsewhere(&peer);
        if is_attached {
            self.ask_for_hashes(peer);
        }
    }

    /// What `peer` was asked for hashes is asked of somebody else: the session by which it was asked may be gone.
    fn ask_elsewhere(&mut self, peer: &PublicKey) {
        let quest = self.quest.as_mut();
        let ask = quest.and_then(|quest| quest.on_peer_gone(peer, now()));
        self.ask_hashes(ask);
    }

    /// `peer` may be asked for hashes from now on, over the session in use.
    fn ask_for_hashes(&mut self, peer: PublicKey) {
        let ask = self.quest.as_mut().and_then(|quest| quest.on_peer(peer, now()));
        self.ask_hashes(ask);
    }

    fn tell_path(&self, peer: PublicKey, path: PathKind, round_trip: Option<Duration>, reason: &'static str) {
        self.spec.sink.send(Event::Path(PathLine {
            peer,
            path,
            rtt_ms: round_trip.map(|time| time.as_secs_f64() * 1000.0),
            reason: reason.into(),
        }));
    }

    /// What the session in use says.
    fn on_news(&mut self, peer: PublicKey, session: SessionId, news: ChunkNews) {
        let actions = match news {
            ChunkNews::Attached(bits) => self.on_attached(peer, bits),
            ChunkNews::Has(chunk) => self.state.on_has(&peer, chunk),
            ChunkNews::Room(room) => self.state.on_room(&peer, room),
            ChunkNews::Choked { choked, room } => self.state.on_choke(&peer, choked, room),
            ChunkNews::NotAsked { chunks, room } => self.state.on_refused(&peer, &chunks, room),
            ChunkNews::Rejected { chunk, reason, room } => self.on_rejected(peer, chunk, reason, room),
            ChunkNews::Late { chunks, room } => self.state.on_late(&peer, &chunks, room),
            ChunkNews::Hashes { first, hashes } => return self.on_hashes(peer, first, &hashes),
            ChunkNews::RoundTrip(time) => return self.on_round_trip(peer, session, time),
            // Taken care of by the caller.
            ChunkNews::Received { .. } | ChunkNews::Detached { .. } => return,
        };
        self.carry_out(actions);
    }

    /// What a session says that is not the one in use: it is remembered, and what it will not bring is asked for again.
    fn on_news_beside(&mut self, peer: PublicKey, session: SessionId, role: Role, news: ChunkNews) {
        match news {
            ChunkNews::Has(chunk) => {
                self.lines.on_has(&peer, session, chunk);
                return self.show_interest(peer, session, role);
            }
            ChunkNews::Hashes { first, hashes } => return self.on_hashes(peer, first, &hashes),
            ChunkNews::NotAsked { chunks, room } => {
                self.note(peer, session, |known| known.room = room);
                self.give_back(peer, &chunks);
            }
            ChunkNews::Rejected { chunk, room, .. } => {
                self.note(peer, session, |known| known.room = room);
                self.give_back(peer, &[chunk]);
            }
            ChunkNews::Late { chunks, .. } => {
                let (file, lines) = (self.file(), &self.lines);
                for chunk in &chunks {
                    // Over the one in use they are not asked yet.
                    lines.of(&peer).for_each(|session| session.cancel(file, *chunk));
                }
                self.give_back(peer, &chunks);
            }
            ChunkNews::Attached(bits) => {
                self.note(peer, session, |known| known.bits = Some(bits));
                self.show_interest(peer, session, role);
            }
            ChunkNews::Room(room) => self.note(peer, session, |known| known.room = room),
            ChunkNews::Choked { choked, room } => {
                self.note(peer, session, |known| (known.choked, known.room) = (choked, room));
            }
            ChunkNews::RoundTrip(time) => {
                self.note(peer, session, |known| known.round_trip = Some(time));
            }
            ChunkNews::Received { .. } | ChunkNews::Detached { .. } => {}
        }
        if role == Role::Coming {
            self.switch(peer);
        }
    }

    fn note(&mut self, peer: PublicKey, session: SessionId, change: impl FnOnce(&mut Known)) {
        if let Some(known) = self.lines.known_mut(&peer, session) {
            change(known);
        }
    }

    /// Who is not told that we want something does not let us ask.
    fn show_interest(&mut self, peer: PublicKey, id: SessionId, role: Role) {
        let file = self.file();
        let known = self.lines.known_mut(&peer, id);
        let bits = known.and_then(|known| known.bits.clone());
        if role == Role::Coming && bits.is_some_and(|bits| self.state.wants_of(&bits)) {
            let lines = self.lines.of(&peer);
            lines
                .filter(|session| session.about().session == id)
                .for_each(|session| session.set_interest(file, true));
        }
    }

    fn give_back(&mut self, peer: PublicKey, chunks: &[ChunkIndex]) {
        let actions = self.state.on_given_back(&peer, chunks);
        self.carry_out(actions);
    }

    /// The path is told of again, with its round trip.
    fn on_round_trip(&mut self, peer: PublicKey, session: SessionId, time: Duration) {
        if let Some(line) = self.lines.used(&peer)
            && self.unmeasured.remove(&session)
        {
            self.tell_path(peer, line.path, Some(time), "its round trip was measured");
        }
    }

    fn on_attached(&mut self, peer: PublicKey, bits: Bitfield) -> Vec<super::state::Action> {
        self.ask_for_hashes(peer);
        self.state.on_attached(peer, bits)
    }

    fn on_line_detached(&mut self, peer: PublicKey, session: SessionId, reason: &Detached) {
        self.unmeasured.remove(&session);
        let role = self.lines.end(&peer, session);
        if role != Role::Unknown && matches!(reason, Detached::Theirs(DetachReason::Changed)) {
            self.on_source_changed(peer);
        }
        if role == Role::Used {
            self.lose(&peer);
        }
        let actions = self.state.on_gone(session);
        self.carry_out(actions);
    }

    /// The session by which `peer` was asked is no more. Another one may be there.
    pub(super) fn lose(&mut self, peer: &PublicKey) {
        let actions = self.state.on_detached(peer);
        self.carry_out(actions);
        self.ask_elsewhere(peer);
        self.switch(*peer);
    }

    /// Nothing more of `peer`, over whatever session.
    pub(super) fn part(&mut self, peer: &PublicKey) {
        for line in self.lines.part(peer) {
            self.unmeasured.remove(&line.id);
            let actions = self.state.on_gone(line.id);
            self.carry_out(actions);
        }
        self.lose(peer);
    }

    /// The one end: everybody is told. What is here is still served, if `serving`.
    pub(super) fn detach_all(&mut self, serving: bool, reason: DetachReason) {
        let file = self.file();
        for session in self.lines.drain() {
            session.detach(file, serving, reason);
        }
    }
}
