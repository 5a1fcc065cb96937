//! Each chunk of a download in exactly one state.
//!
//! ```text
//!              ask            on_received         on_stored
//!   missing ────────▶ asked ─────────────▶ storing ────────▶ held
//!      ▲   ◀────────        ◀ ─ ─ ─ ─ ─ ─           on_bad, on_not_stored: back to missing
//!      │     on_given_up
//!   skipped (not selected; a selection may bring it back)
//! ```
//!
//! Promises that these moves are the only ones, and that a chunk asked of a peer is known by that peer's key, so that
//! nothing is forgotten when it goes. Owns no bytes, decides nothing about order ([`super::picker`]) or blame
//! ([`super::score`]).

use p2p_shared::{
    bitfield::Bitfield,
    id::{ChunkIndex, PublicKey},
};
use std::collections::{HashMap, HashSet};

/// Where a chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkState {
    /// Not selected.
    Skipped,
    /// Wanted, and nobody was asked.
    Missing,
    /// Asked of one peer, or of two when the first one is late.
    Asked(Asked),
    /// Here, being verified and written.
    Storing,
    /// Verified and on disk.
    Held,
}

/// Who was asked for a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    first: PublicKey,
    second: Option<PublicKey>,
}

impl Asked {
    /// The peers asked, one or two.
    pub fn peers(&self) -> impl Iterator<Item = PublicKey> + use<> {
        std::iter::once(self.first).chain(self.second)
    }

    /// Whether `peer` was asked.
    pub fn of(&self, peer: &PublicKey) -> bool {
        self.first == *peer || self.second == Some(*peer)
    }

    /// Who is left when `peer` drops out.
    fn without(self, peer: &PublicKey) -> Option<Self> {
        let mut left = self.peers().filter(|other| other != peer);
        left.next().map(|first| Self {
            first,
            second: left.next(),
        })
    }
}

/// What a chunk that came is to us.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Arrival {
    /// Verify and store it; the other peer asked for it, if any, may stop.
    Store {
        /// Who else was asked and is cancelled.
        loser: Option<PublicKey>,
    },
    /// We have it, or are storing it already.
    Superfluous,
}

/// The states of all chunks of one file.
#[derive(Debug)]
pub struct Chunks {
    missing: Bitfield,
    asked: HashMap<ChunkIndex, Asked>,
    storing: HashSet<ChunkIndex>,
    held: Bitfield,
    wanted: Bitfield,
    /// No missing chunk has a lower index.
    front: u32,
}

impl Chunks {
    /// A download that has `held` and is to get `wanted` (of the same length).
    pub fn new(held: Bitfield, wanted: Bitfield) -> Self {
        let mut chunks = Self {
            missing: Bitfield::new(held.len()),
            asked: HashMap::new(),
            storing: HashSet::new(),
            held,
            wanted: Bitfield::new(wanted.len()),
            front: 0,
        };
        chunks.select(wanted);
        chunks
    }

    /// Number of chunks of the file.
    pub fn len(&self) -> u32 {
        self.held.len()
    }

    /// Whether the file has no chunks at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is verified and on disk.
    pub fn held(&self) -> &Bitfield {
        &self.held
    }

    /// What nobody was asked for yet.
    pub fn missing(&self) -> &Bitfield {
        &self.missing
    }

    /// No missing chunk lies before this one.
    pub fn front(&self) -> ChunkIndex {
        ChunkIndex(self.front)
    }

    /// Where `chunk` is.
    pub fn state(&self, chunk: ChunkIndex) -> ChunkState {
        if self.held.has(chunk) {
            ChunkState::Held
        } else if self.storing.contains(&chunk) {
            ChunkState::Storing
        } else if let Some(asked) = self.asked.get(&chunk) {
            ChunkState::Asked(*asked)
        } else if self.missing.has(chunk) {
            ChunkState::Missing
        } else {
            ChunkState::Skipped
        }
    }

    /// Whether everything wanted is held.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.asked.is_empty() && self.storing.is_empty()
    }

    /// Whether everything wanted that is not held was asked for: the endgame.
    pub fn is_endgame(&self) -> bool {
        self.missing.is_empty() && !self.asked.is_empty()
    }

    /// Everything under way, in no order.
    pub fn asked(&self) -> impl Iterator<Item = (ChunkIndex, Asked)> + '_ {
        self.asked.iter().map(|(chunk, asked)| (*chunk, *asked))
    }

    /// Whether a peer that holds `theirs` has something that we still want.
    pub fn wants_of(&self, theirs: &Bitfield) -> bool {
        let asked = self.asked.keys().any(|chunk| theirs.has(*chunk));
        asked || self.missing_of(theirs).next().is_some()
    }

    /// What nobody was asked for yet of what a holder of `theirs` has, in order.
    pub fn missing_of<'a>(&'a self, theirs: &'a Bitfield) -> impl Iterator<Item = ChunkIndex> + 'a {
        self.missing.common(theirs, self.front())
    }

    /// Changes what is wanted. What is under way already comes all the same.
    pub fn select(&mut self, wanted: Bitfield) {
        for chunk in (0..self.len()).map(ChunkIndex) {
            let idle = matches!(self.state(chunk), ChunkState::Skipped | ChunkState::Missing);
            if idle && wanted.has(chunk) {
                self.missing.set(chunk);
            } else {
                self.missing.clear(chunk);
            }
        }
        self.wanted = wanted;
        self.front = 0;
        self.advance();
    }

    fn advance(&mut self) {
        while self.front < self.len() && !self.missing.has(ChunkIndex(self.front)) {
            self.front += 1;
        }
    }

    fn put_back(&mut self, chunk: ChunkIndex) {
        if self.wanted.has(chunk) && !self.held.has(chunk) {
            self.missing.set(chunk);
            self.front = self.front.min(chunk.0);
        }
    }

    /// Asks `peer` for a missing chunk; false if it was not missing.
    pub fn ask(&mut self, chunk: ChunkIndex, peer: PublicKey) -> bool {
        if !self.missing.has(chunk) {
            return false;
        }
        self.missing.clear(chunk);
        self.advance();
        self.asked.insert(
            chunk,
            Asked {
                first: peer,
                second: None,
            },
        );
        true
    }

    /// Asks a second peer for a chunk that one other peer was asked for; false if that is not so.
    pub fn ask_again(&mut self, chunk: ChunkIndex, peer: PublicKey) -> bool {
        match self.asked.get_mut(&chunk) {
            Some(asked) if asked.second.is_none() && asked.first != peer => {
                asked.second = Some(peer);
                true
            }
            _ => false,
        }
    }

    /// `chunk` came from `from`, asked of it now or earlier.
    pub fn on_received(&mut self, chunk: ChunkIndex, from: &PublicKey) -> Arrival {
        if self.held.has(chunk) || self.storing.contains(&chunk) || chunk.0 >= self.len() {
            return Arrival::Superfluous;
        }
        let loser = self
            .asked
            .remove(&chunk)
            .and_then(|asked| asked.peers().find(|peer| peer != from));
        if self.missing.has(chunk) {
            self.missing.clear(chunk);
            self.advance();
        }
        self.storing.insert(chunk);
        Arrival::Store { loser }
    }

    /// `chunk` is verified and written; false if it was not on the way to that.
    pub fn on_stored(&mut self, chunk: ChunkIndex) -> bool {
        self.storing.remove(&chunk) && self.held.set(chunk)
    }

    /// What came was not what its hash says, or could not be written.
    pub fn on_not_stored(&mut self, chunk: ChunkIndex) {
        if self.storing.remove(&chunk) {
            self.put_back(chunk);
        }
    }

    /// `peer` will not send `chunk`.
    pub fn on_given_up(&mut self, chunk: ChunkIndex, peer: &PublicKey) {
        let Some(asked) = self.asked.get(&chunk).filter(|asked| asked.of(peer)) else {
            return;
        };
        match asked.without(peer) {
            Some(left) => {
                self.asked.insert(chunk, left);
            }
            None => {
                self.asked.remove(&chunk);
                self.put_back(chunk);
            }
        }
    }

    /// `peer` is gone: whatever it was asked for is missing again, unless another was asked too.
    pub fn on_peer_gone(&mut self, peer: &PublicKey) {
        let theirs: Vec<_> = self
            .asked()
            .filter(|(_, asked)| asked.of(peer))
            .map(|(chunk, _)| chunk)
            .collect();
        for chunk in theirs {
            self.on_given_up(chunk, peer);
        }
    }

    /// A chunk that was held is not (the disk lost it): fetch it again.
    pub fn on_lost(&mut self, chunk: ChunkIndex) {
        if self.held.clear(chunk) {
            self.put_back(chunk);
        }
    }
}

#[cfg(test)]
#[path = "chunks_tests.rs"]
mod tests;
