//! One peer as a source of one download: what it holds, how much it may be asked for, how it behaved.
//!
//! Owns the counts of that peer; which chunk it is asked for is decided in [`super::state`].

use super::score::{Score, Standing};
use crate::p2p::session::window::FIRST_WINDOW;
use p2p_shared::{bitfield::Bitfield, chunker::CHUNK_SIZE};
use std::time::Duration;

/// How much more a session can be asked for, as it said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Chunks that may be asked for at once, over all files of the session.
    pub free: u32,
    /// Chunks that may be outstanding in all.
    pub window: u32,
    /// Bytes per second that the peer delivers; 0 while unknown.
    pub rate: u64,
}

/// Requests wait until this part of the window is free, so that they travel in batches: a message for each chunk
/// would cost both sides a wake-up a chunk.
const BATCH: u32 = 8;

/// A peer whose rate is unknown is taken to deliver this much (1 MB/s), until it is measured.
const UNKNOWN_RATE: u64 = 1_000_000;

/// A connected peer of the file.
#[derive(Debug)]
pub struct Source {
    /// What it says it holds; all, while that is presumed.
    pub bits: Bitfield,
    /// Others say that it shares the file, and it has not been heard yet.
    pub presumed: bool,
    /// Whether it was whole when it came: then the picker did not count it.
    pub was_whole: bool,
    /// What its session said last.
    pub room: Room,
    /// It does not answer requests now.
    pub choked: bool,
    /// We told it that we want something.
    pub interested: bool,
    /// Chunks of this download asked of it and not answered.
    pub asked: u32,
    /// How it behaved.
    pub score: Score,
}

impl Source {
    /// A peer that holds `bits`, choked until it says otherwise.
    pub fn new(bits: Bitfield, score: Score) -> Self {
        Self {
            was_whole: bits.is_full(),
            bits,
            presumed: false,
            room: Room::default(),
            choked: true,
            interested: false,
            asked: 0,
            score,
        }
    }

    /// A peer that is asked before it has said anything: for as much as a session begins with.
    pub fn presumed(chunks: u32, score: Score) -> Self {
        Self {
            presumed: true,
            choked: false,
            room: Room {
                free: FIRST_WINDOW,
                window: FIRST_WINDOW,
                rate: 0,
            },
            ..Self::new(Bitfield::full(chunks), score)
        }
    }

    /// How many more chunks it may be asked for now.
    pub fn free(&self) -> u32 {
        if self.choked || self.score.standing() >= Standing::Dropped {
            return 0;
        }
        // What was sent and not yet counted by the session is in `asked` already.
        self.room.free.min(self.room.window.saturating_sub(self.asked))
    }

    /// How many chunks to ask for now: none until a batch is worth a message.
    pub fn batch(&self) -> u32 {
        let free = self.free();
        let worth = free > 0 && (self.asked == 0 || free >= self.room.window / BATCH);
        if worth { free } else { 0 }
    }

    /// Nothing is asked of it and it could be.
    pub fn is_idle(&self) -> bool {
        self.asked == 0 && self.free() > 0
    }

    /// How long it takes until it has delivered `more` chunks on top of what it was asked for.
    pub fn wait(&self, more: u32) -> Duration {
        let rate = if self.room.rate == 0 {
            UNKNOWN_RATE
        } else {
            self.room.rate
        };
        let bytes = u64::from(self.asked + more) * u64::from(CHUNK_SIZE);
        Duration::from_secs_f64(bytes as f64 / rate as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(free: u32, window: u32, asked: u32) -> Source {
        let mut source = Source::new(Bitfield::full(8), Score::default());
        source.choked = false;
        source.room = Room {
            free,
            window,
            rate: 0,
        };
        source.asked = asked;
        source
    }

    #[test]
    fn requests_that_the_session_has_not_counted_yet_are_not_asked_for_twice() {
        assert_eq!(source(10, 10, 8).free(), 2);
    }

    #[test]
    fn requests_travel_in_batches_but_never_wait_when_nothing_is_under_way() {
        assert_eq!(source(7, 64, 57).batch(), 0);
        assert_eq!(source(8, 64, 56).batch(), 8);
        assert_eq!(source(1, 64, 0).batch(), 1);
        assert_eq!(source(1, 4, 3).batch(), 1);
    }

    #[test]
    fn a_choking_or_banned_peer_has_no_room() {
        let mut choking = source(10, 10, 0);
        choking.choked = true;
        assert_eq!(choking.free(), 0);
        let mut banned = source(10, 10, 0);
        banned.score.on_bad(p2p_shared::id::ChunkIndex(0));
        banned.score.on_bad(p2p_shared::id::ChunkIndex(1));
        assert_eq!(banned.free(), 0);
    }

    #[test]
    fn the_wait_is_what_was_asked_over_the_rate() {
        let mut source = source(10, 10, 3);
        source.room.rate = u64::from(CHUNK_SIZE);
        assert_eq!(source.wait(1), Duration::from_secs(4));
    }
}
