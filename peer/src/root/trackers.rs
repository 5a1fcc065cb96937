//! Which trackers are told of which file.
//!
//! A share is told to the trackers of this peer's configuration and to those that were named when it was made. A
//! download is told to the trackers of its ticket, or those named with it: nobody else learns what is fetched here. The
//! choice is kept in `DIR/trackers.json`, so that it holds after a restart.
//!
//! Trackers that a person named, and not just a ticket, are told the API key; which those are is kept in
//! `DIR/named-trackers.json`.

use super::note::{Book, Note};
use crate::{client::TrackerUrl, error::Failure};
use p2p_shared::id::FileHash;
use std::{collections::BTreeSet, path::Path};

/// What to do when one of the files is damaged.
const ADVICE: &str = "name the trackers again with --tracker";

/// The trackers of each file. Clones are the same book.
#[derive(Debug, Clone)]
pub(super) struct TrackerBook(Book<Vec<TrackerUrl>>);

impl TrackerBook {
    /// The book in `data`; empty if there is none.
    pub(super) fn open(data: &Path) -> Result<Self, Failure> {
        Ok(Self(Book::open(data, "trackers.json", ADVICE)?))
    }

    /// The trackers written down for `hash`.
    pub(super) fn of(&self, hash: &FileHash) -> Vec<TrackerUrl> {
        self.0.of(hash).unwrap_or_default()
    }

    /// Strikes out what is not of `keep`, on disk with the next change: trackers of what is neither shared nor fetched are asked nothing.
    pub(super) async fn let_go(
        &self,
        keep: impl Fn(&FileHash) -> bool + Send + 'static,
    ) -> Result<(), Failure> {
        self.0.let_go(keep).await
    }

    /// Writes down the trackers of `hash`; none forgets it.
    pub(super) async fn set(&self, hash: FileHash, trackers: &[TrackerUrl]) -> Result<(), Failure> {
        let note = (!trackers.is_empty()).then(|| trackers.to_vec());
        self.0.set(hash, note).await
    }
}

/// The trackers that a person named.
#[derive(Debug)]
pub(super) struct NamedTrackers(Note<BTreeSet<TrackerUrl>>);

impl NamedTrackers {
    /// Those of `data`; none if there is no such file.
    pub(super) fn open(data: &Path) -> Result<Self, Failure> {
        Ok(Self(Note::open(data, "named-trackers.json", ADVICE)?))
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<TrackerUrl> {
        self.0.read(|urls| urls.iter().cloned().collect())
    }

    /// Writes down more of them.
    pub(super) async fn add(&self, trackers: &[TrackerUrl]) -> Result<(), Failure> {
        let more = trackers.to_vec();
        self.0.change(move |urls| urls.extend(more)).await
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

    #[tokio::test]
    async fn what_was_written_down_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (FileHash([1; 32]), FileHash([2; 32]));
        let book = TrackerBook::open(folder.path()).unwrap();
        book.set(one, &[url("http://a:1")]).await.unwrap();
        book.set(two, &[url("http://b:1")]).await.unwrap();
        book.set(two, &[]).await.unwrap();
        let again = TrackerBook::open(folder.path()).unwrap();
        assert_eq!(again.of(&one), [url("http://a:1")]);
        assert_eq!(again.of(&two), []);
    }

    #[test]
    fn each_tracker_is_told_once() {
        let (a, b) = (url("http://a:1"), url("http://b:1"));
        assert_eq!(
            union(&[&[a.clone(), b.clone()], std::slice::from_ref(&a)]),
            [a, b]
        );
    }

    #[tokio::test]
    async fn trackers_that_a_person_named_are_known_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let named = NamedTrackers::open(folder.path()).unwrap();
        assert_eq!(named.all(), []);
        let trackers = ["http://a:1", "http://b:1"].map(|url| url.parse().unwrap());
        named.add(&trackers).await.unwrap();
        named.add(&trackers).await.unwrap();
        assert_eq!(NamedTrackers::open(folder.path()).unwrap().all(), trackers);
    }
}
