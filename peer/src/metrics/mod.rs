//! What a peer counts of itself, as Prometheus reads it.
//!
//! Counters and histograms are told what happens where it happens (functions here, one each); gauges are set by a look at the peer when
//! somebody asks ([`look`]). Promises that labels are words of this program, never what comes from outside, so that the number of series is
//! bounded; that nothing here waits; and that no secret, no name of a file and no key of a peer is in it.
//!
//! There is one set of numbers a process: a process that runs several peers counts them together.

mod look;
mod names;
mod rounds;

pub(crate) use look::{Watch, text};
pub(crate) use rounds::{PunchRounds, punch_rounds};

use crate::event::PathKind;
use metrics::{counter, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

/// Where chunks go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From another peer.
    In,
    /// To another peer.
    Out,
}

/// What is done with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskWork {
    /// A chunk that is sent.
    Read,
    /// A chunk that came.
    Write,
}

/// Starts counting, if nobody did in this process.
pub(crate) fn start() {
    recorder();
}

/// None if somebody else's recorder is installed in this process: then that one has the numbers.
fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let installed = RECORDER.get_or_init(|| {
        let recorder = names::buckets(PrometheusBuilder::new()).build_recorder();
        let handle = recorder.handle();
        if let Err(error) = metrics::set_global_recorder(recorder) {
            tracing::warn!(%error, "nothing is counted");
            return None;
        }
        names::describe();
        Some(handle)
    });
    installed.as_ref()
}

/// Bytes of chunks went over a path.
pub(crate) fn chunk_bytes(path: PathKind, direction: Direction, bytes: u64) {
    let path = path.as_str();
    match direction {
        Direction::In => counter!(names::RECEIVED, "path" => path).increment(bytes),
        Direction::Out => counter!(names::SENT, "path" => path).increment(bytes),
    }
}

/// Compares a chunk that came with its hash.
pub(crate) fn chunk_checked<T, E>(check: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let begun = Instant::now();
    let checked = check();
    let result = if checked.is_ok() { "verified" } else { "failed" };
    counter!(names::CHUNKS, "result" => result).increment(1);
    histogram!(names::HASH).record(begun.elapsed());
    checked
}

/// Reads or writes a chunk.
pub(crate) fn disk<T>(work: DiskWork, work_on_it: impl FnOnce() -> T) -> T {
    let operation = match work {
        DiskWork::Read => "read",
        DiskWork::Write => "write",
    };
    let begun = Instant::now();
    let done = work_on_it();
    histogram!(names::DISK, "operation" => operation).record(begun.elapsed());
    done
}

/// A round of hole punching ended.
pub(crate) fn punched(outcome: &'static str) {
    rounds::count(outcome);
    counter!(names::PUNCHES, "outcome" => outcome).increment(1);
}

/// The bytes of a file go by another path to a peer from now on, or by a first one.
pub(crate) fn path_taken(path: PathKind, reason: &'static str) {
    counter!(names::PATHS_TAKEN, "path" => path.as_str(), "reason" => reason).increment(1);
}

/// How long the way to a peer and back is.
fn round_trip(path: PathKind, round_trip: Duration) {
    histogram!(names::ROUND_TRIP, "path" => path.as_str()).record(round_trip);
}
