//! How long to wait before a tracker is called again.

use crate::client::CallError;
use p2p_shared::backoff::Backoff;
use std::time::Duration;

/// A tracker that comes back is noticed within the longest pause (promises.md: a transfer goes on at most 10 s later).
pub(super) const RETRIES: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(8));

/// A refusal lasts until somebody changes a key; asked again now and then all the same.
pub(super) const RETRY_AFTER_REFUSAL: Duration = Duration::from_secs(60);

/// A tracker may ask to be left alone, but not for longer than this.
pub(super) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(120);

/// How long to wait after a call failed with `error`, `failures` calls in a row having failed before it.
pub(super) fn pause_after(error: &CallError, failures: u32, chance: u32) -> Duration {
    let asked = error.retry_after().unwrap_or_default().min(LONGEST_RETRY_AFTER);
    let own = match error {
        _ if error.is_refusal() => spread(RETRY_AFTER_REFUSAL, chance),
        CallError::Problem { problem, .. } if problem.status < 500 => spread(RETRY_AFTER_REFUSAL, chance),
        _ => RETRIES.delay(failures.saturating_add(1), chance),
    };
    own.max(asked)
}

/// Half of `pause` to all of it: peers that lost a tracker together do not come back together.
pub(super) fn spread(pause: Duration, chance: u32) -> Duration {
    Backoff::new(pause, pause).delay(1, chance)
}
