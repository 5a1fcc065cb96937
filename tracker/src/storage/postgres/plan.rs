//! Which writes of a group go to the database together.
//!
//! A group holds thousands of small writes, and a round trip for each would be what it costs. In a [`Wave`] those of one
//! kind go in one statement, kinds in a fixed order: ends, registrations, signs of life, files, memberships. A write
//! joins the wave only if everything that came before it and is about the same peer or file still comes before it there;
//! else it begins the next one. What is rare or depends on rows that it has to look at first goes alone. So the outcome is
//! that of one write after the other. Pure.

use crate::storage::Write;
use p2p_shared::id::{FileHash, PeerId};
use std::collections::HashMap;

/// What is done at one time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Some of the frequent kinds.
    Wave(Wave),
    /// The write at this place, by itself.
    Single(usize),
}

/// Places of writes, by kind, in the order in which they are done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wave {
    /// [`Write::EndPeers`].
    pub(super) ends: Vec<usize>,
    /// [`Write::PutPeer`].
    pub(super) puts: Vec<usize>,
    /// [`Write::TouchPeers`].
    pub(super) touches: Vec<usize>,
    /// [`Write::AddFile`].
    pub(super) adds: Vec<usize>,
    /// [`Write::SetHave`].
    pub(super) haves: Vec<usize>,
}

/// The place of a kind in a wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    End,
    Put,
    Touch,
    Add,
    Have,
}

/// What a write is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Subject {
    Peer(PeerId),
    File(FileHash),
    Member(PeerId, FileHash),
}

/// The steps that a group comes to.
pub(super) fn plan(writes: &[Write]) -> Vec<Step> {
    let mut planner = Planner::default();
    for (at, write) in writes.iter().enumerate() {
        planner.add(at, write);
    }
    planner.end_wave();
    planner.steps
}

#[derive(Default)]
struct Planner {
    steps: Vec<Step>,
    wave: Wave,
    /// The last kind in the present wave that is about a subject.
    last: HashMap<Subject, Rank>,
}

impl Planner {
    fn add(&mut self, at: usize, write: &Write) {
        let Some(rank) = rank(write) else {
            self.end_wave();
            self.steps.push(Step::Single(at));
            return;
        };
        let subjects = subjects(write);
        if !subjects
            .iter()
            .all(|(subject, shared)| self.fits(subject, rank, *shared))
        {
            self.end_wave();
        }
        for (subject, _) in subjects {
            self.last.insert(subject, rank);
        }
        let places = match rank {
            Rank::End => &mut self.wave.ends,
            Rank::Put => &mut self.wave.puts,
            Rank::Touch => &mut self.wave.touches,
            Rank::Add => &mut self.wave.adds,
            Rank::Have => &mut self.wave.haves,
        };
        places.push(at);
    }

    /// Whether a write of this rank comes after all that is about the subject. `shared`: it may stand beside its like.
    fn fits(&self, subject: &Subject, rank: Rank, shared: bool) -> bool {
        match self.last.get(subject) {
            Some(last) => *last < rank || (shared && *last == rank),
            None => true,
        }
    }

    fn end_wave(&mut self) {
        let wave = std::mem::take(&mut self.wave);
        self.last.clear();
        if wave != Wave::default() {
            self.steps.push(Step::Wave(wave));
        }
    }
}

fn rank(write: &Write) -> Option<Rank> {
    match write {
        Write::EndPeers(_) => Some(Rank::End),
        Write::PutPeer(_) => Some(Rank::Put),
        Write::TouchPeers(_) => Some(Rank::Touch),
        Write::AddFile { .. } => Some(Rank::Add),
        Write::SetHave { .. } => Some(Rank::Have),
        _ => None,
    }
}

/// What a write is about, and whether others of its kind may be about the same.
fn subjects(write: &Write) -> Vec<(Subject, bool)> {
    match write {
        Write::EndPeers(peers) => peers.iter().map(|peer| (Subject::Peer(*peer), true)).collect(),
        Write::PutPeer(peer) => vec![(Subject::Peer(peer.peer_id()), false)],
        Write::TouchPeers(touches) => touches
            .iter()
            .map(|touch| (Subject::Peer(touch.peer), true))
            .collect(),
        Write::AddFile { file, .. } => vec![(Subject::File(file.hash), false)],
        Write::SetHave { hash, peer, .. } => {
            let peer = PeerId::of(peer);
            vec![
                (Subject::Peer(peer), true),
                (Subject::File(*hash), true),
                (Subject::Member(peer, *hash), false),
            ]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
