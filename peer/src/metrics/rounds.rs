//! How rounds of hole punching ended, as the trackers are told: beside the counters for Prometheus, because those cannot be read back.

use p2p_shared::tracker_api::PunchReport;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How a round can end, in the order in which they are counted.
pub(super) const OUTCOMES: [&str; 5] = ["punched", "no-way", "no-connection", "no-socket", "busy"];

/// One set a process, like all numbers of a peer.
static ROUNDS: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];

/// Rounds since the start of the process, by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PunchRounds([u64; 5]);

/// The rounds so far.
pub(crate) fn punch_rounds() -> PunchRounds {
    PunchRounds(ROUNDS.each_ref().map(|rounds| rounds.load(Relaxed)))
}

pub(super) fn count(outcome: &'static str) {
    let rounds = OUTCOMES.iter().position(|name| *name == outcome);
    if let Some(rounds) = rounds.and_then(|at| ROUNDS.get(at)) {
        rounds.fetch_add(1, Relaxed);
    }
}

impl PunchRounds {
    /// What came between `earlier` and this; `None` if nothing did.
    pub(crate) fn since(&self, earlier: &Self) -> Option<PunchReport> {
        let new = |at: usize| u32::try_from(self.0[at].saturating_sub(earlier.0[at])).unwrap_or(u32::MAX);
        let report = PunchReport {
            punched: new(0),
            no_way: new(1),
            no_connection: new(2),
            no_socket: new(3),
            busy: new(4),
        };
        (report != PunchReport::default()).then_some(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracker_is_told_what_it_does_not_know_yet_under_the_name_of_the_outcome() {
        let (before, now) = (PunchRounds([1, 0, 2, 0, 0]), PunchRounds([3, 1, 2, 0, 5]));
        let report = now.since(&before).unwrap();
        let told = report.by_outcome();
        assert_eq!(told.map(|(name, _)| name), OUTCOMES);
        assert_eq!(told.map(|(_, rounds)| rounds), [2, 1, 0, 0, 5]);
        assert_eq!(now.since(&now), None);
    }
}
