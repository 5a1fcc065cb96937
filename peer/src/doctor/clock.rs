//! This machine's clock beside a tracker's, by the `Date` of its answers (RFC 9110, section 6.6.1). Pure.
//!
//! That header has whole seconds, and servers write it anew up to a second late: closer than a second and a half nothing is said.

use super::{Check, Finding};
use std::time::{Duration, SystemTime};

/// A difference that an exchange of signals or a young certificate does not notice.
const UNNOTICED: u64 = 30;

/// What a `Date` header cannot tell.
const COARSE: u64 = 2;

/// Seconds that `theirs`, written down while it was `ours` here, is ahead.
fn ahead(theirs: SystemTime, ours: SystemTime) -> i64 {
    // Whole seconds are cut off, not rounded.
    let theirs = theirs + Duration::from_millis(500);
    let seconds =
        |difference: Duration| i64::try_from((difference.as_millis() + 500) / 1000).unwrap_or(i64::MAX);
    match theirs.duration_since(ours) {
        Ok(ahead) => seconds(ahead),
        Err(behind) => -seconds(behind.duration()),
    }
}

/// What to say of a tracker whose `Date` this is, `ours` being the time here when it was written.
pub(super) fn compare(theirs: Option<SystemTime>, ours: SystemTime) -> Finding {
    let Some(theirs) = theirs else {
        return Finding::skipped(Check::Clock, "the tracker does not say what time it is");
    };
    let ahead = ahead(theirs, ours);
    let apart = ahead.unsigned_abs();
    let mut finding = if apart <= COARSE {
        Finding::ok(Check::Clock, "the same time as the tracker's")
    } else {
        let where_to = if ahead > 0 { "behind" } else { "ahead of" };
        let message = format!("this machine's clock is {apart} s {where_to} the tracker's");
        match apart < UNNOTICED {
            true => Finding::ok(Check::Clock, message),
            false => Finding::warning(Check::Clock, message).advice(
                "Find out which of the two is wrong and have it follow a time server (`timedatectl set-ntp true`): with a wrong \
                 clock certificates look expired or not valid yet, and logs cannot be compared.",
            ),
        }
    };
    finding.clock_ahead = Some(ahead);
    finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    fn compared(ahead: i64) -> Finding {
        let ours = SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_400);
        let theirs =
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000_i64.saturating_add(ahead) as u64);
        compare(Some(theirs), ours)
    }

    #[test]
    fn thirty_seconds_are_worth_a_warning_either_way_and_less_are_not() {
        for (ahead, state) in [
            (0, State::Ok),
            (-29, State::Ok),
            (29, State::Ok),
            (30, State::Warning),
            (-30, State::Warning),
            (86_400, State::Warning),
            (-1_000_000_000, State::Warning),
        ] {
            let finding = compared(ahead);
            assert_eq!(
                (finding.state, finding.clock_ahead),
                (state, Some(ahead)),
                "{finding:?}"
            );
            assert_eq!(finding.advice.is_some(), state == State::Warning);
        }
    }

    #[test]
    fn it_is_said_which_clock_is_behind() {
        assert!(compared(120).message.contains("120 s behind the tracker's"));
        assert!(compared(-120).message.contains("120 s ahead of the tracker's"));
    }

    #[test]
    fn a_tracker_without_a_clock_is_no_fault() {
        assert_eq!(compare(None, SystemTime::now()).state, State::Skipped);
    }
}
