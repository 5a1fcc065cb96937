//! The files that stay open between two reads, so that a folder of thousands of files costs neither an `open` a chunk
//! nor thousands of descriptors.
//!
//! Promise: at most `capacity` files are kept open here (readers hold on to theirs a moment longer); what is kept is
//! what was used last. One table serves all shares and jobs. Never opens anything itself.

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Descriptors kept for reading and writing shares: far below the 1,024 that a process gets by default, most of
/// which belong to sockets.
pub(super) const DEFAULT_OPEN_FILES: usize = 192;

/// Whose file, and which of its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) owner: Owner,
    pub(super) file: u32,
}

/// A share or job that keeps files here; every one has its own, so a share that is opened anew never meets the
/// descriptors of its predecessor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Owner(u64);

impl Owner {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The table. Clones share it.
#[derive(Clone)]
pub(super) struct OpenFiles {
    table: Arc<Mutex<Table>>,
}

struct Table {
    capacity: usize,
    /// Counts uses, so that the least recent one is known.
    uses: u64,
    open: HashMap<Key, (Arc<File>, u64)>,
}

impl OpenFiles {
    pub(super) fn new(capacity: usize) -> Self {
        let table = Table {
            capacity: capacity.max(1),
            uses: 0,
            open: HashMap::new(),
        };
        Self {
            table: Arc::new(Mutex::new(table)),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Entries are put in and taken out whole, so a panic elsewhere leaves the table right.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: Key) -> Option<Arc<File>> {
        let mut table = self.table();
        table.uses += 1;
        let uses = table.uses;
        let (file, used) = table.open.get_mut(&key)?;
        *used = uses;
        Some(Arc::clone(file))
    }

    /// Keeps `file`, and lets go of what was not used for longest if that is one too many.
    pub(super) fn keep(&self, key: Key, file: &Arc<File>) {
        let mut table = self.table();
        table.uses += 1;
        let uses = table.uses;
        table.open.insert(key, (Arc::clone(file), uses));
        if table.open.len() > table.capacity {
            // A walk over a few hundred entries, beside an `open` that costs more.
            let oldest = table
                .open
                .iter()
                .min_by_key(|(_, (_, used))| *used)
                .map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                table.open.remove(&oldest);
            }
        }
    }

    /// Lets go of one file.
    pub(super) fn forget(&self, key: Key) {
        self.table().open.remove(&key);
    }

    /// Lets go of everything that `owner` kept.
    pub(super) fn forget_all(&self, owner: Owner) {
        self.table().open.retain(|key, _| key.owner != owner);
    }
}

impl fmt::Debug for OpenFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table();
        write!(f, "OpenFiles({} of {})", table.open.len(), table.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Arc<File> {
        Arc::new(tempfile::tempfile().unwrap())
    }

    #[test]
    fn what_was_used_last_is_what_is_kept() {
        let files = OpenFiles::new(2);
        let owner = Owner::new();
        let key = |file| Key { owner, file };
        files.keep(key(0), &file());
        files.keep(key(1), &file());
        assert!(files.get(key(0)).is_some());
        files.keep(key(2), &file());
        assert!(files.get(key(1)).is_none());
        assert!(files.get(key(0)).is_some() && files.get(key(2)).is_some());
    }

    #[test]
    fn letting_go_closes_the_descriptor() {
        let files = OpenFiles::new(2);
        let owner = Owner::new();
        let kept = file();
        files.keep(Key { owner, file: 0 }, &kept);
        files.keep(Key { owner, file: 1 }, &kept);
        files.forget(Key { owner, file: 0 });
        assert_eq!(Arc::strong_count(&kept), 2);
        files.forget_all(owner);
        assert_eq!(Arc::strong_count(&kept), 1);
    }

    #[test]
    fn owners_do_not_meet() {
        let files = OpenFiles::new(2);
        let (one, other) = (Owner::new(), Owner::new());
        files.keep(Key { owner: one, file: 0 }, &file());
        assert!(
            files
                .get(Key {
                    owner: other,
                    file: 0
                })
                .is_none()
        );
        files.forget_all(other);
        assert!(files.get(Key { owner: one, file: 0 }).is_some());
    }
}
