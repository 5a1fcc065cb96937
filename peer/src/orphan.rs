//! Work that was begun for somebody who is gone.
//!
//! Promises that whoever crashes and is rebuilt finds what was done for it still being done, and that what nobody comes back
//! for is not done for ever. Pure: who is there and what time it is are arguments.

use p2p_shared::id::FileHash;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// How long an owner may be gone. The longest pause before a restart is 1.6 s, and a loaded machine is slow.
const GRACE: Duration = Duration::from_secs(10);

/// The files whose owners are gone, and since when.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    since: HashMap<FileHash, Instant>,
}

impl Orphans {
    /// Looks at all owners (a file, and whether its owner is there); the files that nobody came back for.
    pub(crate) fn on_tick(
        &mut self,
        owners: impl IntoIterator<Item = (FileHash, bool)>,
        now: Instant,
    ) -> Vec<FileHash> {
        let mut before = std::mem::take(&mut self.since);
        let mut orphans = Vec::new();
        for (file, there) in owners {
            if there {
                continue;
            }
            let since = before.remove(&file).unwrap_or(now);
            if now.saturating_duration_since(since) >= GRACE {
                orphans.push(file);
            } else {
                self.since.insert(file, since);
            }
        }
        orphans
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: FileHash = FileHash([1; 32]);
    const OTHER: FileHash = FileHash([2; 32]);

    #[test]
    fn what_nobody_comes_back_for_is_an_orphan_after_a_while_and_only_then() {
        let (mut orphans, begin) = (Orphans::default(), Instant::now());
        let owners = [(FILE, false), (OTHER, true)];
        assert_eq!(orphans.on_tick(owners, begin), []);
        let almost = begin + GRACE - Duration::from_millis(1);
        assert_eq!(orphans.on_tick(owners, almost), []);
        assert_eq!(orphans.on_tick(owners, begin + GRACE), [FILE]);
    }

    #[test]
    fn an_owner_that_is_back_may_go_again() {
        let (mut orphans, begin) = (Orphans::default(), Instant::now());
        assert_eq!(orphans.on_tick([(FILE, false)], begin), []);
        assert_eq!(orphans.on_tick([(FILE, true)], begin + GRACE / 2), []);
        assert_eq!(orphans.on_tick([(FILE, false)], begin + GRACE), []);
        assert_eq!(orphans.on_tick([(FILE, false)], begin + GRACE * 2), [FILE]);
    }
}
