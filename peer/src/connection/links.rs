//! The sessions with one peer, one a kind of path, and which of them is used.
//!
//! Promises that both sides keep the same one of two of a kind ([`Links::verdict`]), and the new one if the old one is dead; that the best one which is heard is
//! the current one; that a worse one of ours is let go as soon as a better one is well; and that one which the other side
//! opened beside a better one is kept: the other side may know that the better one is broken. Names sessions, and does
//! nothing with them.

use super::{
    path::Holding,
    policy::Policy,
    state::{Dialler, SessionId},
};
use crate::event::PathKind;
use std::collections::BTreeMap;

/// One session with the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Names it.
    pub session: SessionId,
    /// Which side began it.
    pub dialler: Dialler,
    /// Nothing is heard on it, though something is owed.
    pub quiet: bool,
}

/// What to do with a session that was just begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Keep it; the one that it replaces, if any, is closed.
    Keep(Option<SessionId>),
    /// Close it.
    Redundant,
}

/// The sessions with one peer.
#[derive(Debug, Default)]
pub struct Links {
    standing: BTreeMap<PathKind, Link>,
    current: Option<PathKind>,
}

/// What follows when sessions came, went, fell silent or were heard again.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Shift {
    /// The session that is used from now on, if it is another one than before.
    pub current: Option<(SessionId, PathKind)>,
    /// Sessions that are used for nothing new.
    pub retired: Vec<SessionId>,
}

impl Links {
    /// What to do with a new session by `path`. `we_are_smaller`: our key is, compared with the peer's.
    pub fn verdict(&self, path: PathKind, new: Link, we_are_smaller: bool, policy: Policy) -> Verdict {
        if let Some(old) = self.standing.get(&path) {
            let keeps_new = if old.dialler == new.dialler {
                // The same side began twice: it lost the old one.
                old.session < new.session
            } else if old.quiet {
                // Nothing is heard on the old one, and whoever began a new one has none.
                true
            } else {
                // Both began at once: the one that the smaller key began is kept, on both sides.
                (new.dialler == Dialler::Us) == we_are_smaller
            };
            return if keeps_new {
                Verdict::Keep(Some(old.session))
            } else {
                Verdict::Redundant
            };
        }
        let mut better = self.standing.iter().filter(|(kind, _)| **kind < path);
        let better_is_well = better.any(|(kind, old)| policy.allows(*kind) && !old.quiet);
        if better_is_well && new.dialler == Dialler::Us {
            // What we opened is not needed any more.
            return Verdict::Redundant;
        }
        Verdict::Keep(None)
    }

    /// Takes a session in; the one that stood in its place, if any.
    pub fn insert(&mut self, path: PathKind, link: Link) -> Option<SessionId> {
        if self.current == Some(path) {
            // Another one than before.
            self.current = None;
        }
        let old = self.standing.insert(path, link);
        old.map(|old| old.session)
    }

    /// The session by `path`.
    pub fn by(&self, path: PathKind) -> Option<&Link> {
        self.standing.get(&path)
    }

    /// Whether a better one than `path` stands, and nothing is heard on it.
    pub fn is_better_one_quiet(&self, path: PathKind) -> bool {
        let mut better = self.standing.iter().filter(|(kind, _)| **kind < path);
        better.any(|(_, link)| link.quiet)
    }

    /// Takes a session out; its path, if it was there.
    pub fn remove(&mut self, session: SessionId) -> Option<PathKind> {
        let (path, _) = self.standing.iter().find(|(_, link)| link.session == session)?;
        let path = *path;
        self.standing.remove(&path);
        if self.current == Some(path) {
            self.current = None;
        }
        Some(path)
    }

    /// A session fell silent, or was heard again. True if that is news.
    pub fn set_quiet(&mut self, session: SessionId, quiet: bool) -> bool {
        let link = self.standing.values_mut().find(|link| link.session == session);
        link.is_some_and(|link| std::mem::replace(&mut link.quiet, quiet) != quiet)
    }

    /// Whether another session than this one is heard.
    pub fn has_other(&self, session: SessionId, policy: Policy) -> bool {
        let allowed = self.standing.iter().filter(|(path, _)| policy.allows(**path));
        allowed
            .map(|(_, link)| link)
            .any(|link| link.session != session && !link.quiet)
    }

    /// The session that is used.
    pub fn current(&self) -> Option<(SessionId, PathKind)> {
        let path = self.current?;
        Some((self.standing.get(&path)?.session, path))
    }

    /// The path that is used, and whether it is quiet.
    pub fn holding(&self) -> Option<Holding> {
        let path = self.current?;
        let quiet = self.standing.get(&path)?.quiet;
        Some(Holding { path, quiet })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.standing.is_empty()
    }

    /// Which one is used from now on.
    pub fn choose(&mut self, policy: Policy) -> Shift {
        let allowed = self.standing.iter().filter(|(path, _)| policy.allows(**path));
        // The best that is heard; if none is, the best.
        let best = allowed.min_by_key(|(path, link)| (link.quiet, **path));
        let best = best.map(|(path, _)| *path);
        let before = std::mem::replace(&mut self.current, best);
        let Some(best) = best else {
            return Shift::default();
        };
        let current = self.current().filter(|_| before != Some(best));
        let is_well = self.holding().is_some_and(|holding| !holding.quiet);
        let is_over = |path: &PathKind, link: &Link| {
            let ours = link.dialler == Dialler::Us || before == Some(*path);
            is_well && (*path > best && ours || !policy.allows(*path))
        };
        let over = self.standing.iter().filter(|(path, link)| is_over(path, link));
        let over: Vec<_> = over.map(|(path, _)| *path).collect();
        let retired = over.into_iter().filter_map(|path| self.standing.remove(&path));
        let retired = retired.map(|link| link.session).collect();
        Shift { current, retired }
    }
}
