//! What a peer has to remember of its downloads over a restart, beside the job itself: one small JSON file in the data folder.
//!
//! Promises that a note is on disk when it was said to be made, and that a damaged file is named and not overwritten.
//! Decides nothing: a note about something that is gone does no harm, and goes at the next start.

use super::lock::write_private;
use crate::error::Failure;
use p2p_shared::id::FileHash;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A note `V` for each of some downloads. Clones are the same book.
#[derive(Debug, Clone)]
pub(super) struct Book<V> {
    path: PathBuf,
    /// Not shared with any actor: orders write it one at a time.
    notes: Arc<Mutex<BTreeMap<FileHash, V>>>,
}

impl<V: Clone + PartialEq + Serialize + DeserializeOwned> Book<V> {
    /// The book in this file of `data`; empty if there is none.
    pub(super) fn open(data: &Path, file_name: &str) -> Result<Self, Failure> {
        let path = data.join(file_name);
        let notes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(Failure::io("read", &path, &error)),
            Ok(text) => serde_json::from_slice(&text).map_err(|error| {
                Failure::disk(format!(
                    "{} is damaged ({error}); remove it, and repeat what it was about (`get` or `pause` of a download)",
                    path.display()
                ))
            })?,
        };
        Ok(Self {
            path,
            notes: Arc::new(Mutex::new(notes)),
        })
    }

    /// The note about this one.
    pub(super) fn of(&self, hash: &FileHash) -> Option<V> {
        self.lock().get(hash).cloned()
    }

    /// Makes a note, or strikes it out.
    pub(super) fn set(&self, hash: FileHash, note: Option<V>) -> Result<(), Failure> {
        self.change(|notes| match note {
            Some(note) => drop(notes.insert(hash, note)),
            None => drop(notes.remove(&hash)),
        })
    }

    /// Strikes out what is about none of these.
    pub(super) fn keep_only(&self, hashes: &[FileHash]) -> Result<(), Failure> {
        self.change(|notes| notes.retain(|hash, _| hashes.contains(hash)))
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<FileHash, V>)) -> Result<(), Failure> {
        let mut notes = self.lock();
        let mut changed = notes.clone();
        change(&mut changed);
        if changed == *notes {
            return Ok(());
        }
        let failed = |error: io::Error| Failure::io("write", &self.path, &error);
        let text = serde_json::to_vec_pretty(&changed).map_err(|error| failed(error.into()))?;
        write_private(&self.path, &text).map_err(failed)?;
        *notes = changed;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<FileHash, V>> {
        // Replaced whole, so a panic in between leaves the notes before or after.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: FileHash = FileHash([1; 32]);
    const TWO: FileHash = FileHash([2; 32]);
    const THREE: FileHash = FileHash([3; 32]);
    const NAME: &str = "notes.json";

    #[test]
    fn what_was_noted_is_noted_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path(), NAME).unwrap();
        for hash in [ONE, TWO, THREE] {
            book.set(hash, Some(hash.0[0])).unwrap();
        }
        book.set(TWO, None).unwrap();
        book.keep_only(&[ONE, TWO]).unwrap();
        let again = Book::<u8>::open(folder.path(), NAME).unwrap();
        assert_eq!(
            [ONE, TWO, THREE].map(|hash| again.of(&hash)),
            [Some(1), None, None]
        );
    }

    #[test]
    fn what_cannot_be_written_is_not_noted() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path(), NAME).unwrap();
        // A folder where the file would be: nobody may write that, root neither.
        fs::create_dir(folder.path().join(NAME)).unwrap();
        assert_eq!(book.set(ONE, Some(true)).unwrap_err().exit_code(), 7);
        assert_eq!(book.of(&ONE), None);
    }

    #[test]
    fn a_damaged_book_is_named_and_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        fs::write(&path, "[1").unwrap();
        let failure = Book::<bool>::open(folder.path(), NAME).unwrap_err();
        assert_eq!(failure.exit_code(), 7);
        assert!(failure.message.contains(NAME), "{failure}");
        assert_eq!(fs::read(&path).unwrap(), b"[1");
    }
}
