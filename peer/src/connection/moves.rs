//! Whether we are somewhere else than before, so that what led nowhere is worth another try.
//!
//! Promises that an address of our own, or one that the router promised, is a move whenever it comes; and that a NAT which shows
//! us at another port each time it is asked, or at each of its addresses in turn, is none: nothing that failed behind it works
//! because of that. Pure.

use p2p_shared::holepunch::candidate::{Candidate, CandidateKind};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

/// Addresses outside that count as ours, at most: so many does no provider have for one customer, and whoever shows us more makes
/// them up.
const MOST_OUTSIDE: usize = 16;

/// Where we were.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Our own addresses, and what the router promised, as of now. Nothing before it was looked at in full.
    own: Option<BTreeSet<SocketAddr>>,
    /// Where we were seen from outside, since our own addresses are what they are.
    outside: BTreeSet<IpAddr>,
}

impl Places {
    /// Others may find us at these; `is_whole`: no more are to be expected soon. True if we had moved.
    pub(super) fn on_look(&mut self, candidates: &[Candidate], is_whole: bool) -> bool {
        let is_outside = |candidate: &&Candidate| candidate.kind == CandidateKind::Reflexive;
        let outside = candidates.iter().filter(is_outside);
        let outside: BTreeSet<_> = outside.map(|candidate| candidate.address.ip()).collect();
        let own = candidates.iter().filter(|candidate| !is_outside(candidate));
        let own: BTreeSet<_> = own.map(|candidate| candidate.address).collect();
        let Some(before) = &self.own else {
            if is_whole {
                (self.own, self.outside) = (Some(own), outside);
            }
            return false;
        };
        if !own.is_subset(before) {
            (self.own, self.outside) = (Some(own), outside);
            return true;
        }
        self.own = Some(own);
        let new: Vec<_> = outside.difference(&self.outside).copied().collect();
        let room = MOST_OUTSIDE.saturating_sub(self.outside.len());
        let has_news = room > 0 && !new.is_empty();
        self.outside.extend(new.into_iter().take(room));
        has_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CandidateKind::{Lan, Mapped, Reflexive};

    fn at(candidates: &[(CandidateKind, &str)]) -> Vec<Candidate> {
        let candidates = candidates.iter().map(|(kind, address)| Candidate {
            kind: *kind,
            address: address.parse().unwrap(),
        });
        candidates.collect()
    }

    #[test]
    fn we_moved_when_an_address_came_and_not_when_one_went_or_was_looked_for_the_first_time() {
        let one = at(&[(Lan, "192.168.0.1:1")]);
        let two = at(&[(Lan, "192.168.0.1:1"), (Mapped, "192.0.2.2:1")]);
        let mut places = Places::default();
        assert!(!places.on_look(&one, false));
        assert!(
            !places.on_look(&two, true),
            "nothing is known that it could be compared with"
        );
        assert!(!places.on_look(&one, true));
        assert!(places.on_look(&two, true), "it came back");
        assert!(!places.on_look(&two, true));
    }

    #[test]
    fn a_nat_that_forgets_its_ports_moves_us_nowhere_and_another_one_does() {
        let mut places = Places::default();
        let behind = |outside: &str| at(&[(Lan, "192.168.0.1:1"), (Reflexive, outside)]);
        assert!(!places.on_look(&behind("192.0.2.1:1000"), true));
        for port in 2000..2100 {
            assert!(!places.on_look(&behind(&format!("192.0.2.1:{port}")), true));
        }
        assert!(places.on_look(&behind("192.0.2.2:1000"), true));
        assert!(!places.on_look(&behind("192.0.2.1:1000"), true), "it has both");
        let elsewhere = at(&[(Lan, "10.0.0.1:1"), (Reflexive, "192.0.2.1:1000")]);
        assert!(places.on_look(&elsewhere, true));
    }

    #[test]
    fn whoever_shows_us_somewhere_else_each_time_is_believed_a_few_times() {
        let mut places = Places::default();
        let moves = (0..=255u8).filter(|n| {
            let outside = format!("198.51.100.{n}:1");
            places.on_look(&at(&[(Reflexive, outside.as_str())]), true)
        });
        assert_eq!(moves.count(), MOST_OUTSIDE - 1);
    }
}
