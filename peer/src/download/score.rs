//! What one peer's behaviour in one download earned it.
//!
//! Promises that a peer which sends a wrong chunk is asked only where nobody else can be, is never asked again after
//! a second one or after somebody else showed that the first was wrong, and that a peer which claims and does not
//! deliver is demoted, then dropped. Owns the counts of one peer. Decides about nobody else.

use p2p_shared::id::ChunkIndex;
use std::time::{Duration, Instant};

/// Wrong chunks after which a peer is banned, whoever else may have the right ones.
const BAD_CHUNKS: usize = 2;
/// Rejections of chunks that it claimed to hold, with nothing delivered between them: demoted.
const EMPTY_CLAIMS_DEMOTE: u32 = 4;
/// The same: dropped.
const EMPTY_CLAIMS_DROP: u32 = 32;
/// Asked, and nothing delivered for this long: demoted.
const STALL_DEMOTE: Duration = Duration::from_secs(6);
/// The same: dropped; dialling it again is cheaper than waiting.
const STALL_DROP: Duration = Duration::from_secs(30);

/// How a peer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Asked for anything.
    Good,
    /// Asked only for what no good peer can be asked for.
    Demoted,
    /// Its session is to be closed; it may come back.
    Dropped,
    /// Never asked again.
    Banned,
}

/// The record of one peer.
#[derive(Debug, Default)]
pub struct Score {
    bad: Vec<ChunkIndex>,
    confirmed: bool,
    empty_claims: u32,
    /// Since when it owes something and delivered nothing.
    owes_since: Option<Instant>,
    stalled: Duration,
}

impl Score {
    /// A chunk came and was right.
    pub fn on_good(&mut self, now: Instant) {
        self.empty_claims = 0;
        self.stalled = Duration::ZERO;
        self.owes_since = self.owes_since.map(|_| now);
    }

    /// A chunk came and was wrong.
    pub fn on_bad(&mut self, chunk: ChunkIndex) {
        self.bad.push(chunk);
    }

    /// Somebody else delivered `chunk` and it was right; true if this peer's was wrong and that is now beyond doubt.
    pub fn on_proved_elsewhere(&mut self, chunk: ChunkIndex) -> bool {
        let news = !self.confirmed && self.bad.contains(&chunk);
        self.confirmed |= news;
        news
    }

    /// It does not hold what it claimed, or cannot read it.
    pub fn on_empty_claim(&mut self) {
        self.empty_claims += 1;
    }

    /// Time passed; `owes` says whether something was asked of it and is outstanding.
    pub fn on_tick(&mut self, owes: bool, now: Instant) {
        self.owes_since = match (owes, self.owes_since) {
            (false, _) => None,
            (true, None) => Some(now),
            (true, since) => since,
        };
        self.stalled = self
            .owes_since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
    }

    /// Time in which this side took nothing in: not the peer's fault.
    pub fn on_own_pause(&mut self) {
        self.owes_since = None;
    }

    /// How many wrong chunks it sent.
    pub fn bad_chunks(&self) -> usize {
        self.bad.len()
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        if self.confirmed || self.bad.len() >= BAD_CHUNKS {
            Standing::Banned
        } else if self.empty_claims >= EMPTY_CLAIMS_DROP || self.stalled >= STALL_DROP {
            Standing::Dropped
        } else if !self.bad.is_empty()
            || self.empty_claims >= EMPTY_CLAIMS_DEMOTE
            || self.stalled >= STALL_DEMOTE
        {
            Standing::Demoted
        } else {
            Standing::Good
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: u32) -> ChunkIndex {
        ChunkIndex(index)
    }

    #[test]
    fn a_first_wrong_chunk_demotes_and_its_proof_bans() {
        let mut score = Score::default();
        score.on_bad(at(3));
        assert_eq!(score.standing(), Standing::Demoted);
        assert!(!score.on_proved_elsewhere(at(4)));
        assert_eq!(score.standing(), Standing::Demoted);
        assert!(score.on_proved_elsewhere(at(3)));
        assert_eq!(score.standing(), Standing::Banned);
        assert!(!score.on_proved_elsewhere(at(3)), "said once");
    }

    #[test]
    fn a_second_wrong_chunk_bans_without_a_witness() {
        let mut score = Score::default();
        score.on_bad(at(3));
        score.on_bad(at(3));
        assert_eq!(score.standing(), Standing::Banned);
    }

    #[test]
    fn right_chunks_do_not_wash_a_wrong_one_away() {
        let mut score = Score::default();
        score.on_bad(at(3));
        score.on_good(Instant::now());
        assert_eq!(score.standing(), Standing::Demoted);
    }

    #[test]
    fn claims_without_chunks_demote_then_drop_and_a_chunk_forgives_them() {
        let mut score = Score::default();
        let standings: Vec<_> = (0..EMPTY_CLAIMS_DROP)
            .map(|_| {
                score.on_empty_claim();
                score.standing()
            })
            .collect();
        assert_eq!(standings[2], Standing::Good);
        assert_eq!(standings[3], Standing::Demoted);
        assert_eq!(standings[30], Standing::Demoted);
        assert_eq!(standings[31], Standing::Dropped);
        score.on_good(Instant::now());
        assert_eq!(score.standing(), Standing::Good);
    }

    #[test]
    fn a_debt_that_is_not_paid_demotes_then_drops() {
        let mut score = Score::default();
        let start = Instant::now();
        score.on_tick(true, start);
        score.on_tick(true, start + Duration::from_secs(5));
        assert_eq!(score.standing(), Standing::Good);
        score.on_tick(true, start + Duration::from_secs(7));
        assert_eq!(score.standing(), Standing::Demoted);
        score.on_tick(true, start + Duration::from_secs(31));
        assert_eq!(score.standing(), Standing::Dropped);
    }

    #[test]
    fn a_peer_that_owes_nothing_or_pays_slowly_is_not_stalled() {
        let mut score = Score::default();
        let start = Instant::now();
        for second in 0..100 {
            score.on_tick(true, start + Duration::from_secs(second));
            if second % 5 == 0 {
                score.on_good(start + Duration::from_secs(second));
            }
            assert_eq!(score.standing(), Standing::Good);
        }
        score.on_tick(false, start + Duration::from_secs(200));
        score.on_tick(true, start + Duration::from_secs(300));
        assert_eq!(score.standing(), Standing::Good);
    }
}
