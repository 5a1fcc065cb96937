//! What was asked over sessions that go, and is still owed there.
//!
//! Promises that a chunk is owed over one session at a time, so that the end of that session gives up exactly what it
//! owed. Counts nothing else.

use crate::connection::state::SessionId;
use p2p_shared::id::{ChunkIndex, PublicKey};
use std::collections::{BTreeMap, HashSet};

/// Chunks asked over sessions that go.
#[derive(Debug, Default)]
pub struct Owed {
    sessions: BTreeMap<SessionId, (PublicKey, HashSet<ChunkIndex>)>,
}

impl Owed {
    /// `session` goes, and owes these.
    pub fn insert(&mut self, session: SessionId, peer: PublicKey, chunks: HashSet<ChunkIndex>) {
        if !chunks.is_empty() {
            let (_, owed) = self
                .sessions
                .entry(session)
                .or_insert_with(|| (peer, HashSet::new()));
            owed.extend(chunks);
        }
    }

    /// Whether `peer` owes `chunk` over a session that goes.
    pub fn has(&self, peer: &PublicKey, chunk: ChunkIndex) -> bool {
        let mut theirs = self.sessions.values().filter(|(of, _)| of == peer);
        theirs.any(|(_, chunks)| chunks.contains(&chunk))
    }

    /// `peer` does not owe `chunk` any more; false if it did not over a session that goes.
    pub fn remove(&mut self, peer: &PublicKey, chunk: ChunkIndex) -> bool {
        let theirs = self.sessions.values_mut().filter(|(of, _)| of == peer);
        theirs.fold(false, |removed, (_, chunks)| chunks.remove(&chunk) || removed)
    }

    /// `session` ended, or is used again: what it owes.
    pub fn take(&mut self, session: SessionId) -> Option<(PublicKey, HashSet<ChunkIndex>)> {
        self.sessions.remove(&session)
    }

    /// Nothing is owed any more.
    pub fn clear(&mut self) {
        self.sessions.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_goes_twice_owes_what_it_owed_both_times() {
        let (session, peer) = (SessionId(1), PublicKey([1; 32]));
        let mut owed = Owed::default();
        owed.insert(session, peer, HashSet::from([ChunkIndex(1)]));
        owed.insert(session, peer, HashSet::from([ChunkIndex(2)]));
        let both = HashSet::from([ChunkIndex(1), ChunkIndex(2)]);
        assert_eq!(owed.take(session), Some((peer, both)));
        assert_eq!(owed.take(session), None);
    }
}
