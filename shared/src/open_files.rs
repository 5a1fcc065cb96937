//! How many files (and so connections) this process may have open.
//!
//! The limit that a program starts with is 1,024 on most systems, for the sake of old ones that use `select`; a
//! tracker needs one for each connection, a peer also for each file that it shares or fetches.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// Enough for a million connections; a limit beyond it says nothing.
const MOST: u64 = 1 << 20;

/// Raises the limit as far as the system lets this process. For a program at its start. An error is what the system says;
/// the limit is as it was then.
pub fn raise_limit() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = Some(maximum.unwrap_or(MOST).min(MOST));
    Ok(setrlimit(Resource::Nofile, Rlimit { current, maximum })?)
}

/// How many files this process may have open.
#[must_use]
pub fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(MOST).min(MOST)
}
