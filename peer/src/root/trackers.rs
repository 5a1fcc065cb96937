//! Which trackers are told of which file.
//!
//! A share is told to the trackers of this peer's configuration and to those that were named when it was made. A
//! download is told to the trackers of its ticket, or those named with it: nobody else learns what is fetched here. The
//! choice is kept in `DIR/trackers.json`, so that it holds after a restart.

use super::lock::write_private;
use crate::{client::TrackerUrl, error::Failure};
use p2p_shared::id::FileHash;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The file in the data folder.
const FILE_NAME: &str = "trackers.json";

/// The trackers of each file. Clones are the same book.
#[derive(Debug, Clone)]
pub(super) struct TrackerBook {
    path: PathBuf,
    /// Not shared with any actor: orders write it one at a time.
    files: Arc<Mutex<BTreeMap<FileHash, Vec<TrackerUrl>>>>,
}

impl TrackerBook {
    /// The book in `data`; empty if there is none.
    pub(super) fn open(data: &Path) -> Result<Self, Failure> {
        let path = data.join(FILE_NAME);
        let files = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(Failure::io("read", &path, &error)),
            Ok(text) => serde_json::from_slice(&text).map_err(|error| {
                Failure::disk(format!(
                    "{} is damaged ({error}); remove it, and name the trackers again with --tracker",
                    path.display()
                ))
            })?,
        };
        Ok(Self {
            path,
            files: Arc::new(Mutex::new(files)),
        })
    }

    /// The trackers written down for `hash`.
    pub(super) fn of(&self, hash: &FileHash) -> Vec<TrackerUrl> {
        self.lock().get(hash).cloned().unwrap_or_default()
    }

    /// Writes down the trackers of `hash`; none forgets it.
    pub(super) fn set(&self, hash: FileHash, trackers: &[TrackerUrl]) -> Result<(), Failure> {
        let mut files = self.lock();
        let before = match trackers.is_empty() {
            true => files.remove(&hash),
            false => files.insert(hash, trackers.to_vec()),
        };
        if before.unwrap_or_default() == trackers {
            return Ok(());
        }
        let failed = |error: io::Error| Failure::io("write", &self.path, &error);
        let text = serde_json::to_vec_pretty(&*files).map_err(|error| failed(error.into()))?;
        write_private(&self.path, &text).map_err(failed)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<FileHash, Vec<TrackerUrl>>> {
        // A panic in between leaves a map that is still a map.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `lists`, one after the other, each tracker once.
pub(super) fn union(lists: &[&[TrackerUrl]]) -> Vec<TrackerUrl> {
    let mut all: Vec<TrackerUrl> = Vec::new();
    for url in lists.iter().copied().flatten() {
        if !all.contains(url) {
            all.push(url.clone());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> TrackerUrl {
        text.parse().unwrap()
    }

    #[test]
    fn what_was_written_down_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (FileHash([1; 32]), FileHash([2; 32]));
        let book = TrackerBook::open(folder.path()).unwrap();
        book.set(one, &[url("http://a:1")]).unwrap();
        book.set(two, &[url("http://b:1")]).unwrap();
        book.set(two, &[]).unwrap();
        let again = TrackerBook::open(folder.path()).unwrap();
        assert_eq!(again.of(&one), [url("http://a:1")]);
        assert_eq!(again.of(&two), []);
    }

    #[test]
    fn a_damaged_book_is_named_and_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        fs::write(&path, "{").unwrap();
        let failure = TrackerBook::open(folder.path()).unwrap_err();
        assert_eq!(failure.exit_code(), 7);
        assert!(failure.message.contains("trackers.json"), "{failure}");
        assert_eq!(fs::read(&path).unwrap(), b"{");
    }

    #[test]
    fn each_tracker_is_told_once() {
        let (a, b) = (url("http://a:1"), url("http://b:1"));
        assert_eq!(
            union(&[&[a.clone(), b.clone()], std::slice::from_ref(&a)]),
            [a, b]
        );
    }
}
