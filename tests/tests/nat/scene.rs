//! A transfer between two NATs, with a tracker on the internet: what tests do something to while it goes on.

use p2p_tests::fixtures;
use p2p_tests::lab::Lab;
use p2p_tests::netlab::cast::{PlacedPeer, PublicTracker};
use p2p_tests::netlab::{Net, Plan};
use p2p_tests::process::Program;
use p2p_tests::programs::Sharing;
use p2p_tests::tree;
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub(crate) const MIB: u64 = 1 << 20;

/// Somebody who fetches a file of somebody else, each behind a NAT.
pub(crate) struct Scene {
    pub(crate) net: Net,
    pub(crate) tracker: Option<PublicTracker>,
    _sharing: Sharing,
    pub(crate) get: Program,
    source: PathBuf,
    output: PathBuf,
    _lab: Lab,
}

impl Scene {
    /// Sharer behind the first kind, fetcher behind the second; behind the others is nobody.
    pub(crate) fn new(kinds: &[&str], size: u64, tracker_flags: &[&str]) -> Self {
        let lab = Lab::new();
        let net = Plan::named(kinds).rtt(Duration::from_millis(20)).build();
        let tracker = PublicTracker::start_with(&lab, &net, tracker_flags);
        let source = lab.at("content.bin");
        fixtures::write_file(&source, 5, size);
        let sharer = PlacedPeer::new(&lab, "sharer", &tracker, (&net, 0, 0));
        let fetcher = PlacedPeer::new(&lab, "fetcher", &tracker, (&net, 1, 0));
        let sharing = Sharing::wait(sharer.share(&source).start());
        let output = lab.folder("output");
        Self {
            get: fetcher.get(&sharing.ticket, &output).start(),
            tracker: Some(tracker),
            _sharing: sharing,
            net,
            source,
            output,
            _lab: lab,
        }
    }

    /// Waits until the sharer is reached by `path`; the line after that.
    pub(crate) fn wait_path(&self, from: usize, path: &str) -> usize {
        let found = |line: &str| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["event"] == "path" && event["path"] == path).then_some(())
        };
        self.get.wait_out(from, path, found).1
    }

    /// Waits until so many bytes are there.
    pub(crate) fn wait_bytes(&self, bytes: u64) {
        let enough = |line: &str| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["event"] == "progress" && event["bytes"].as_u64()? >= bytes).then_some(())
        };
        self.get.wait_out(0, "progress", enough);
    }

    /// The file is right, and nothing of it came twice. Bytes by path.
    pub(crate) fn check(self) -> Value {
        let ended = self.get.end().expect_code(0);
        tree::assert_same(&self.source, &self.output.join("content.bin"));
        let again = ended.err.matches("a chunk came that is here already").count();
        assert_eq!(again, 0, "chunks that were fetched twice");
        let events = ended.events();
        let done = events.iter().find(|event| event["event"] == "done");
        done.expect("the end")["bytes_by_path"].clone()
    }

    /// Waits until so many bytes more than now are there; the longest time for which no more came meanwhile.
    pub(crate) fn longest_pause(&self, more: u64) -> Duration {
        let (mut line, mut last, mut first) = (self.get.lines().0, 0, None);
        let (mut since, mut longest) = (Instant::now(), Duration::ZERO);
        loop {
            let progress = |line: &str| {
                let event: Value = serde_json::from_str(line).ok()?;
                (event["event"] == "progress")
                    .then(|| event["bytes"].as_u64())
                    .flatten()
            };
            let (bytes, next) = self.get.wait_out(line, "progress", progress);
            line = next;
            if bytes > last {
                longest = longest.max(since.elapsed());
                (since, last) = (Instant::now(), bytes);
            }
            if bytes >= *first.get_or_insert(bytes) + more {
                return longest;
            }
        }
    }
}
