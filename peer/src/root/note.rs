//! What a peer has to remember over a restart, beside shares and jobs: small JSON files in the data folder, one a [`Note`].
//!
//! Promises that what was changed is on disk when it was said to be, in the order of the changes, and that a damaged file is
//! named and not overwritten. Syncing takes as long as the disk likes, so it is done on a blocking thread: whoever waits
//! for it holds up nobody else. Decides nothing: a note about something that is gone does no harm.

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

/// One value in one file. Clones are the same note.
#[derive(Debug)]
pub(super) struct Note<T>(Arc<Kept<T>>);

#[derive(Debug)]
struct Kept<T> {
    path: PathBuf,
    /// What is on disk, without what was let go of. Locked for moments only.
    value: Mutex<T>,
    /// Held while the file is written. Not shared with any actor.
    writing: Mutex<()>,
}

impl<T> Clone for Note<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Note<T>
where
    T: Clone + Default + PartialEq + Serialize + DeserializeOwned + Send + 'static,
{
    /// The note in this file of `data`, with the default value if there is none. `advice` says what to do about a damaged
    /// one.
    pub(super) fn open(data: &Path, file_name: &str, advice: &str) -> Result<Self, Failure> {
        let path = data.join(file_name);
        let value = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => T::default(),
            Err(error) => return Err(Failure::io("read", &path, &error)),
            Ok(text) => serde_json::from_slice(&text).map_err(|error| {
                Failure::disk(format!(
                    "{} is damaged ({error}); remove it, and {advice}",
                    path.display()
                ))
            })?,
        };
        Ok(Self(Arc::new(Kept {
            path,
            value: Mutex::new(value),
            writing: Mutex::default(),
        })))
    }

    /// Looks at it.
    pub(super) fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.0.value())
    }

    /// Changes it, here and on disk; nowhere, if it cannot be written. It is carried out also if nobody waits for it any more.
    pub(super) async fn change(&self, change: impl FnOnce(&mut T) + Send + 'static) -> Result<(), Failure> {
        self.with(move |kept| kept.change(change)).await
    }

    /// Changes it here; on disk with the next change, or never, if the process ends before.
    async fn change_here(&self, change: impl FnOnce(&mut T) + Send + 'static) -> Result<(), Failure> {
        self.with(move |kept| {
            kept.change_here(change);
            Ok(())
        })
        .await
    }

    async fn with(
        &self,
        work: impl FnOnce(&Kept<T>) -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        let kept = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&kept))
            .await
            .map_err(|error| Failure::internal(format!("noting crashed: {error}")))?
    }
}

impl<T: Clone + PartialEq + Serialize> Kept<T> {
    fn change(&self, change: impl FnOnce(&mut T)) -> Result<(), Failure> {
        // Nothing is left half done by a panic while it is held: the file is replaced whole, then the value.
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.value().clone();
        let mut after = before.clone();
        change(&mut after);
        if after == before {
            return Ok(());
        }
        let failed = |error: io::Error| Failure::io("write", &self.path, &error);
        let text = serde_json::to_vec_pretty(&after).map_err(|error| failed(error.into()))?;
        write_private(&self.path, &text).map_err(failed)?;
        *self.value() = after;
        Ok(())
    }

    fn change_here(&self, change: impl FnOnce(&mut T)) {
        // Else a change that is being written would undo it.
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut self.value());
    }
}

impl<T> Kept<T> {
    fn value(&self) -> MutexGuard<'_, T> {
        // Replaced whole, so a panic in between leaves the value before or after.
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A note `V` about each of some files.
pub(super) type Book<V> = Note<BTreeMap<FileHash, V>>;

impl<V> Book<V>
where
    V: Clone + PartialEq + Serialize + DeserializeOwned + Send + 'static,
{
    /// What is noted about this one.
    pub(super) fn of(&self, hash: &FileHash) -> Option<V> {
        self.read(|notes| notes.get(hash).cloned())
    }

    /// Makes a note, or strikes it out.
    pub(super) async fn set(&self, hash: FileHash, note: Option<V>) -> Result<(), Failure> {
        self.change(move |notes| match note {
            Some(note) => drop(notes.insert(hash, note)),
            None => drop(notes.remove(&hash)),
        })
        .await
    }

    /// Strikes out the notes that are not of `keep` and that do no harm should they be there again after a restart. They stay in the
    /// file until something else is noted: no disk is waited for.
    pub(super) async fn let_go(
        &self,
        keep: impl Fn(&FileHash) -> bool + Send + 'static,
    ) -> Result<(), Failure> {
        self.change_here(move |notes| notes.retain(|hash, _| keep(hash)))
            .await
    }

    /// Strikes out what is about none of these.
    pub(super) async fn keep_only(&self, hashes: Vec<FileHash>) -> Result<(), Failure> {
        self.change(move |notes| notes.retain(|hash, _| hashes.contains(hash)))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    const ONE: FileHash = FileHash([1; 32]);
    const TWO: FileHash = FileHash([2; 32]);
    const THREE: FileHash = FileHash([3; 32]);
    const NAME: &str = "notes.json";

    fn open<V>(data: &Path) -> Result<Book<V>, Failure>
    where
        V: Clone + PartialEq + Serialize + DeserializeOwned + Send + 'static,
    {
        Book::open(data, NAME, "go on")
    }

    #[tokio::test]
    async fn what_was_noted_is_noted_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let book = open(folder.path()).unwrap();
        for hash in [ONE, TWO, THREE] {
            book.set(hash, Some(hash.0[0])).await.unwrap();
        }
        book.set(TWO, None).await.unwrap();
        book.keep_only(vec![ONE, TWO]).await.unwrap();
        let again = open::<u8>(folder.path()).unwrap();
        assert_eq!(
            [ONE, TWO, THREE].map(|hash| again.of(&hash)),
            [Some(1), None, None]
        );
    }

    #[tokio::test]
    async fn what_was_let_go_of_leaves_the_file_with_the_next_note() {
        let folder = tempfile::tempdir().unwrap();
        let book = open(folder.path()).unwrap();
        book.set(ONE, Some(1)).await.unwrap();
        book.set(TWO, Some(2)).await.unwrap();
        let written = || fs::metadata(folder.path().join(NAME)).unwrap().ino();
        let before = written();
        book.let_go(|hash| *hash != ONE).await.unwrap();
        assert_eq!([ONE, TWO].map(|hash| book.of(&hash)), [None, Some(2)]);
        assert_eq!(written(), before, "nothing was written for it");

        book.set(THREE, Some(3)).await.unwrap();
        let again = open::<u8>(folder.path()).unwrap();
        assert_eq!(
            [ONE, TWO, THREE].map(|hash| again.of(&hash)),
            [None, Some(2), Some(3)]
        );
    }

    #[tokio::test]
    async fn changes_at_once_are_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        let book = open(folder.path()).unwrap();
        let all = (0..32).map(|n| book.set(FileHash([n; 32]), Some(n)));
        for outcome in futures_util::future::join_all(all).await {
            outcome.unwrap();
        }
        let again = open::<u8>(folder.path()).unwrap();
        assert!((0..32).all(|n| again.of(&FileHash([n; 32])) == Some(n)));
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_not_noted() {
        let folder = tempfile::tempdir().unwrap();
        let book = open(folder.path()).unwrap();
        // A folder where the file would be: nobody may write that, root neither.
        fs::create_dir(folder.path().join(NAME)).unwrap();
        assert_eq!(book.set(ONE, Some(true)).await.unwrap_err().exit_code(), 7);
        assert_eq!(book.of(&ONE), None);
    }

    #[test]
    fn a_damaged_note_is_named_and_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        fs::write(&path, "[1").unwrap();
        let failure = open::<bool>(folder.path()).unwrap_err();
        assert_eq!(failure.exit_code(), 7);
        assert!(failure.message.contains(NAME), "{failure}");
        assert!(failure.message.ends_with("and go on"), "{failure}");
        assert_eq!(fs::read(&path).unwrap(), b"[1");
    }
}
