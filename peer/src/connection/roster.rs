//! What a crash of the table of connections must not cost: the sessions that run, the dials under way, who was banned.
//!
//! Promises that everything is written down here before the table is told of it, so that a table which was rebuilt finds
//! all of it as it is, whatever message the crash took with it. Decides nothing: who is kept, dialled and turned away is the
//! table's business. Outlives every life of the table; held by the [`Host`](super::host::Host), locked for a look only.

use super::{
    path::Attempt,
    state::{Dialler, SessionId},
};
use crate::{
    event::PathKind,
    p2p::session::{SessionHandle, close::CloseReason, news::SessionNews},
};
use p2p_shared::id::{FileHash, PublicKey};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The roster of running sessions. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedRoster(Arc<Mutex<Roster<SessionHandle>>>);

impl SharedRoster {
    pub(super) fn look(&self) -> MutexGuard<'_, Roster<SessionHandle>> {
        // Entries are put in and taken out whole, so a panic elsewhere leaves the roster right.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who is here, on the way, or not let in. `S` is the way to a session.
#[derive(Debug)]
pub(super) struct Roster<S> {
    /// In the order in which they began.
    sessions: BTreeMap<SessionId, Guest<S>>,
    attempts: BTreeSet<(PublicKey, Attempt)>,
    banned: BTreeSet<PublicKey>,
    /// Who is not to learn where we are.
    hidden: BTreeSet<PublicKey>,
    last: SessionId,
    /// Why nobody is let in any more.
    closed: Option<CloseReason>,
}

/// A running session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guest<S> {
    /// The way to it.
    pub session: S,
    /// The files that its peer attached.
    pub attached: BTreeSet<FileHash>,
}

/// How a session came about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub peer: PublicKey,
    pub dialler: Dialler,
    pub path: PathKind,
}

/// Everything that a rebuilt table has to know.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Muster<S> {
    pub guests: Vec<Guest<S>>,
    pub attempts: Vec<(PublicKey, Attempt)>,
    pub banned: Vec<PublicKey>,
    /// Who is not to learn where we are.
    pub hidden: Vec<PublicKey>,
}

impl<S> Default for Roster<S> {
    fn default() -> Self {
        Self {
            sessions: BTreeMap::new(),
            attempts: BTreeSet::new(),
            banned: BTreeSet::new(),
            hidden: BTreeSet::new(),
            last: SessionId(0),
            closed: None,
        }
    }
}

impl<S: Clone> Roster<S> {
    /// A name for a session that is about to begin; later ones are greater.
    pub(super) fn next_session(&mut self) -> SessionId {
        self.last.0 += 1;
        self.last
    }

    /// A session runs, and the attempt of ours that led to it, if any, has come to its end with that. Nobody is let in any
    /// more: why.
    pub(super) fn on_begun(&mut self, id: SessionId, origin: &Origin, session: S) -> Option<CloseReason> {
        let Origin { peer, dialler, path } = *origin;
        // A hole is punched from both sides, whoever speaks first.
        if dialler == Dialler::Us || path == PathKind::Punched {
            self.attempts.remove(&(peer, Attempt::to(path)));
        }
        let attached = BTreeSet::new();
        self.sessions.insert(id, Guest { session, attached });
        self.closed.clone()
    }

    /// A session reports.
    pub(super) fn on_news(&mut self, id: SessionId, news: &SessionNews) {
        match (news, self.sessions.get_mut(&id)) {
            (SessionNews::Closed(_), _) => drop(self.sessions.remove(&id)),
            (SessionNews::Attached(file), Some(guest)) => drop(guest.attached.insert(*file)),
            (SessionNews::Detached(file), Some(guest)) => drop(guest.attached.remove(file)),
            // Nothing that a rebuilt table would have to know.
            (
                SessionNews::Useful
                | SessionNews::Learned { .. }
                | SessionNews::Quiet(_)
                | SessionNews::HeardAgain,
                _,
            )
            | (_, None) => {}
        }
    }

    /// An attempt begins.
    pub(super) fn on_try(&mut self, peer: PublicKey, attempt: Attempt) {
        self.attempts.insert((peer, attempt));
    }

    /// An attempt led to nothing.
    pub(super) fn on_failed(&mut self, peer: PublicKey, attempt: Attempt) {
        self.attempts.remove(&(peer, attempt));
    }

    /// Whether an attempt is under way.
    pub(super) fn is_trying(&self, peer: PublicKey, attempt: Attempt) -> bool {
        self.attempts.contains(&(peer, attempt))
    }

    /// Nobody deals with this peer any more.
    pub(super) fn ban(&mut self, peer: PublicKey) {
        self.banned.insert(peer);
    }

    /// This peer does not learn where we are, until the program ends: something is wanted of it through relays only.
    pub(super) fn hide_from(&mut self, peer: PublicKey) {
        self.hidden.insert(peer);
    }

    /// This peer may.
    pub(super) fn show_to(&mut self, peer: &PublicKey) {
        self.hidden.remove(peer);
    }

    /// Whether it does not.
    pub(super) fn is_hidden_from(&self, peer: &PublicKey) -> bool {
        self.hidden.contains(peer)
    }

    /// Lets nobody in from now on; the sessions that are to be ended.
    pub(super) fn close(&mut self, reason: CloseReason) -> Vec<S> {
        self.closed = Some(reason);
        self.sessions
            .values()
            .map(|guest| guest.session.clone())
            .collect()
    }

    /// Everything, for a table that begins.
    pub(super) fn muster(&self) -> Muster<S> {
        Muster {
            guests: self.sessions.values().cloned().collect(),
            attempts: self.attempts.iter().copied().collect(),
            banned: self.banned.iter().copied().collect(),
            hidden: self.hidden.iter().copied().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p2p_shared::protocol::GoodbyeReason;

    const PEER: PublicKey = PublicKey([1; 32]);
    const OTHER: PublicKey = PublicKey([2; 32]);
    const FILE: FileHash = FileHash([3; 32]);

    fn from(peer: PublicKey) -> Origin {
        let (dialler, path) = (Dialler::Us, PathKind::Direct);
        Origin { peer, dialler, path }
    }

    fn stopped() -> CloseReason {
        CloseReason::Ours(GoodbyeReason::Stopped)
    }

    #[test]
    fn a_session_is_known_with_what_its_peer_attached_until_it_ends() {
        let mut roster = Roster::default();
        let (one, two) = (roster.next_session(), roster.next_session());
        assert!(one < two);
        assert!(roster.on_begun(one, &from(PEER), "one").is_none());
        assert!(roster.on_begun(two, &from(OTHER), "two").is_none());
        roster.on_news(one, &SessionNews::Attached(FILE));
        roster.on_news(two, &SessionNews::Attached(FILE));
        roster.on_news(two, &SessionNews::Detached(FILE));
        let guest = |session, files: &[FileHash]| Guest {
            session,
            attached: files.iter().copied().collect(),
        };
        assert_eq!(roster.muster().guests, [guest("one", &[FILE]), guest("two", &[])]);
        roster.on_news(one, &SessionNews::Closed(stopped()));
        assert_eq!(roster.muster().guests, [guest("two", &[])]);
    }

    #[test]
    fn a_dial_is_under_way_until_it_led_to_a_session_or_to_nothing() {
        let mut roster = Roster::default();
        let (dial, tunnel) = (Attempt::Dial, Attempt::Tunnel);
        roster.on_try(PEER, dial);
        roster.on_try(PEER, tunnel);
        roster.on_try(OTHER, dial);
        assert_eq!(
            roster.muster().attempts,
            [(PEER, dial), (PEER, tunnel), (OTHER, dial)]
        );
        let session = roster.next_session();
        roster.on_begun(session, &from(PEER), ());
        assert!(!roster.is_trying(PEER, dial) && roster.is_trying(PEER, tunnel));
        let theirs = Origin {
            dialler: Dialler::Them,
            ..from(OTHER)
        };
        let session = roster.next_session();
        roster.on_begun(session, &theirs, ());
        assert!(roster.is_trying(OTHER, dial), "ours goes on");
        roster.on_failed(OTHER, dial);
        // A hole is punched from both sides.
        roster.on_try(OTHER, Attempt::Punch);
        let path = PathKind::Punched;
        let session = roster.next_session();
        roster.on_begun(session, &Origin { path, ..theirs }, ());
        assert!(!roster.is_trying(OTHER, Attempt::Punch));
        roster.on_failed(PEER, tunnel);
        assert_eq!(roster.muster().attempts, []);
    }

    #[test]
    fn who_is_not_to_learn_where_we_are_is_remembered() {
        let mut roster = Roster::<()>::default();
        roster.hide_from(PEER);
        assert!(roster.is_hidden_from(&PEER) && !roster.is_hidden_from(&OTHER));
        assert_eq!(roster.muster().hidden, [PEER]);
        roster.show_to(&PEER);
        assert!(!roster.is_hidden_from(&PEER));
    }

    #[test]
    fn a_ban_is_remembered() {
        let mut roster = Roster::<()>::default();
        roster.ban(PEER);
        assert_eq!(roster.muster().banned, [PEER]);
    }

    #[test]
    fn when_it_is_closed_everybody_is_to_go_and_nobody_is_let_in() {
        let mut roster = Roster::default();
        let (one, two) = (roster.next_session(), roster.next_session());
        roster.on_begun(one, &from(PEER), "one");
        assert_eq!(roster.close(stopped()), ["one"]);
        let why = roster.on_begun(two, &from(OTHER), "two");
        assert!(
            matches!(why, Some(CloseReason::Ours(GoodbyeReason::Stopped))),
            "{why:?}"
        );
        // Both are there until they have ended.
        assert_eq!(roster.muster().guests.len(), 2);
    }
}
