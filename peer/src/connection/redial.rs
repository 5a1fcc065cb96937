//! When a peer that could not be reached, or was lost, is dialled again.
//!
//! Promises that a peer which restarts is back within seconds, that one which stays away costs less and less, and that
//! peers lost together do not come back in the same instant. Pure: chance is an argument.

use std::time::Duration;

/// Whether a peer is worth another dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redial {
    /// As soon as the schedule allows, if a file is wanted of it.
    Soon,
    /// Not within the next minutes: it is there, but does not want us.
    Later,
}

/// Pauses before the first dials, in milliseconds. A process that restarts is back after the first two or three.
const QUICK: [u64; 5] = [200, 500, 1_000, 2_000, 3_000];
/// Then this often for a while: a swarm must go on at most ten seconds after its source came back.
const STEADY: Duration = Duration::from_secs(5);
/// That many failures at the steady pace: two minutes.
const STEADY_ROUNDS: u32 = 24;
/// Afterwards the pause grows by this a failure…
const SLOWER: Duration = Duration::from_secs(15);
/// …up to this.
const SLOWEST: Duration = Duration::from_secs(300);
/// How much of a pause is left to chance, in percent.
const JITTER: u64 = 20;

/// How long to wait after `failures` dials in a row that led to nothing; `chance` is any random number.
pub fn pause(failures: u32, chance: u64) -> Duration {
    let pause = match QUICK.get(failures as usize) {
        Some(milliseconds) => Duration::from_millis(*milliseconds),
        None => later(failures - QUICK.len() as u32),
    };
    // From 100 % down to 80 %: never later than promised.
    pause * (100 - (chance % (JITTER + 1)) as u32) / 100
}

fn later(failures: u32) -> Duration {
    match failures.checked_sub(STEADY_ROUNDS) {
        None => STEADY,
        Some(rounds) => SLOWER.saturating_mul(rounds + 1).min(SLOWEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_within_their_bounds() {
        let pauses: Vec<_> = (0..200).map(|failures| pause(failures, 0)).collect();
        assert!(pauses.is_sorted());
        assert_eq!(pauses[0], Duration::from_millis(200));
        assert_eq!(pauses[199], SLOWEST);
    }

    #[test]
    fn for_the_first_two_minutes_nobody_waits_longer_than_five_seconds() {
        let mut waited = Duration::ZERO;
        let mut failures = 0;
        while waited < Duration::from_secs(120) {
            assert!(pause(failures, 0) <= STEADY);
            waited += pause(failures, 0);
            failures += 1;
        }
    }

    #[test]
    fn chance_makes_a_pause_up_to_a_fifth_shorter() {
        let pauses: Vec<_> = (0..100).map(|chance| pause(10, chance)).collect();
        assert_eq!(pauses.iter().min(), Some(&Duration::from_secs(4)));
        assert_eq!(pauses.iter().max(), Some(&STEADY));
    }

    #[test]
    fn no_number_of_failures_overflows() {
        assert_eq!(pause(u32::MAX, 0), SLOWEST);
    }
}
