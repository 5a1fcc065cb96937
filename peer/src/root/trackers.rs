//! Which trackers are told of which file.
//!
//! A share is told to the trackers of this peer's configuration and to those that were named when it was made. A
//! download is told to the trackers of its ticket, or those named with it: nobody else learns what is fetched here. The
//! choice is kept in `DIR/trackers.json`, so that it holds after a restart.
//!
//! Trackers that a person named, and not just a ticket, are told the API key; which those are is kept in
//! `DIR/named-trackers.json`.

use super::lock::write_private;
use crate::{client::TrackerUrl, error::Failure};
use p2p_shared::id::FileHash;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The trackers of each file, in the data folder.
const FILE_NAME: &str = "trackers.json";

/// The trackers that a person named, in the data folder.
const NAMED_FILE: &str = "named-trackers.json";

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
        Ok(Self {
            files: Arc::new(Mutex::new(read(&path)?)),
            path,
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
        write(&self.path, &*files)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<FileHash, Vec<TrackerUrl>>> {
        // A panic in between leaves a map that is still a map.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The trackers that a person named.
#[derive(Debug)]
pub(super) struct NamedTrackers {
    path: PathBuf,
    /// Not shared with any actor: orders write it one at a time.
    urls: Mutex<BTreeSet<TrackerUrl>>,
}

impl NamedTrackers {
    /// Those of `data`; none if there is no such file.
    pub(super) fn open(data: &Path) -> Result<Self, Failure> {
        let path = data.join(NAMED_FILE);
        Ok(Self {
            urls: Mutex::new(read(&path)?),
            path,
        })
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<TrackerUrl> {
        self.lock().iter().cloned().collect()
    }

    /// Writes down more of them.
    pub(super) fn add(&self, trackers: &[TrackerUrl]) -> Result<(), Failure> {
        let mut urls = self.lock();
        let before = urls.len();
        urls.extend(trackers.iter().cloned());
        match urls.len() == before {
            true => Ok(()),
            false => write(&self.path, &*urls),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<TrackerUrl>> {
        // A panic in between leaves a set that is still a set.
        self.urls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was written there; the default if nothing was.
fn read<T: DeserializeOwned + Default>(path: &Path) -> Result<T, Failure> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(Failure::io("read", path, &error)),
        Ok(text) => serde_json::from_slice(&text).map_err(|error| {
            Failure::disk(format!(
                "{} is damaged ({error}); remove it, and name the trackers again with --tracker",
                path.display()
            ))
        }),
    }
}

fn write(path: &Path, what: &impl Serialize) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::io("write", path, &error);
    let text = serde_json::to_vec_pretty(what).map_err(|error| failed(error.into()))?;
    write_private(path, &text).map_err(failed)
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

    #[test]
    fn trackers_that_a_person_named_are_known_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let named = NamedTrackers::open(folder.path()).unwrap();
        assert_eq!(named.all(), []);
        let trackers = ["http://a:1", "http://b:1"].map(|url| url.parse().unwrap());
        named.add(&trackers).unwrap();
        named.add(&trackers).unwrap();
        assert_eq!(NamedTrackers::open(folder.path()).unwrap().all(), trackers);
    }
}
