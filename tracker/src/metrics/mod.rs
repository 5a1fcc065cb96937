//! What a tracker counts of itself, as Prometheus reads it.
//!
//! Counters and histograms are told what happens where it happens (a verb each, here and in [`store`]); gauges are set by a look at the
//! tracker when somebody asks ([`look`]). Promises that labels are words of this program, never what comes from outside, so that the number
//! of series is bounded; that nothing here waits; and that no key, address, hash or name is in it.
//!
//! Every tracker has its own numbers, in a recorder of its own, and no global one: several trackers run in one process (tests do it), and
//! each is asked for its own. So the macros of the crate `metrics`, which go to the global recorder, are not used here.

mod look;
mod names;
pub(crate) mod store;

pub(crate) use look::text;

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use p2p_shared::{supervision::Observer, tracker_api::PunchReport};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// How often what histograms have taken in is put together: until then every value takes memory (8 bytes).
const UPKEEP: Duration = Duration::from_secs(5);

/// Rounds of punching of one outcome that one heartbeat may tell: more than a peer makes between two, so that a lying one shifts the
/// numbers little.
const MOST_ROUNDS: u32 = 1000;

const METADATA: Metadata<'static> = Metadata::new("p2p_tracker", Level::INFO, None);

/// The numbers of one tracker. Clones share them.
#[derive(Clone)]
pub(crate) struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    totals: Arc<Totals>,
}

/// What is told as rates, beside the numbers for Prometheus, which cannot be read back.
#[derive(Default)]
struct Totals {
    requests: AtomicU64,
    announces: AtomicU64,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let recorder = names::buckets(PrometheusBuilder::new()).build_recorder();
        let metrics = Self {
            handle: recorder.handle(),
            recorder: Arc::new(recorder),
            totals: Arc::default(),
        };
        names::describe(&metrics);
        metrics
    }
}

impl Metrics {
    /// Puts histograms together from time to time, for as long as the task is left alone.
    pub(crate) async fn keep_up(self) {
        loop {
            tokio::time::sleep(UPKEEP).await;
            self.handle.run_upkeep();
        }
    }

    /// A request was answered. `route` is the pattern, never the path.
    pub(crate) fn answered(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        self.totals.requests.fetch_add(1, Relaxed);
        let method = Label::from_static_parts("method", method);
        let route = Label::new("route", route.to_owned());
        let status = Label::new("status", status.to_string());
        self.histogram(names::REQUEST_SECONDS, vec![method.clone(), route.clone()])
            .record(took);
        self.counter(names::REQUESTS, vec![method, route, status])
            .increment(1);
    }

    /// A request was refused, with this slug as the kind of problem.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.count(names::REFUSALS, "reason", reason);
    }

    /// A peer announced a file; `result` is what came of it.
    pub(crate) fn announced(&self, result: &'static str) {
        self.totals.announces.fetch_add(1, Relaxed);
        self.count(names::ANNOUNCES, "result", result);
    }

    /// Requests and announcements since the start.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let Totals { requests, announces } = &*self.totals;
        (requests.load(Relaxed), announces.load(Relaxed))
    }

    /// A peer told how its rounds of hole punching ended since it told last.
    pub(crate) fn punched(&self, report: &PunchReport) {
        for (outcome, rounds) in report.by_outcome() {
            let rounds = rounds.min(MOST_ROUNDS);
            if rounds > 0 {
                let label = Label::from_static_parts("outcome", outcome);
                self.counter(names::PUNCHES, vec![label]).increment(rounds.into());
            }
        }
    }

    fn count(&self, name: &'static str, label: &'static str, value: &'static str) {
        self.counter(name, vec![Label::from_static_parts(label, value)])
            .increment(1);
    }

    fn counter(&self, name: &'static str, labels: Vec<Label>) -> Counter {
        self.recorder
            .register_counter(&Key::from_parts(name, labels), &METADATA)
    }

    fn gauge(&self, name: &'static str, labels: Vec<Label>) -> Gauge {
        self.recorder
            .register_gauge(&Key::from_parts(name, labels), &METADATA)
    }

    fn histogram(&self, name: &'static str, labels: Vec<Label>) -> Histogram {
        self.recorder
            .register_histogram(&Key::from_parts(name, labels), &METADATA)
    }
}

impl Observer for Metrics {
    fn on_start(&self, actor: &'static str) {
        let label = Label::from_static_parts("actor", actor);
        self.counter(names::RESTARTS, vec![label]).absolute(0);
    }

    fn on_restart(&self, actor: &'static str) {
        self.count(names::RESTARTS, "actor", actor);
    }

    fn on_answer(&self, actor: &'static str, waited: Duration) {
        let label = Label::from_static_parts("actor", actor);
        self.histogram(names::MAILBOX_WAIT, vec![label]).record(waited);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_trackers_in_one_process_do_not_count_for_each_other() {
        let (one, other) = (Metrics::default(), Metrics::default());
        one.refused("busy");
        assert!(
            one.handle
                .render()
                .contains("p2p_tracker_refusals_total{reason=\"busy\"} 1")
        );
        assert!(!other.handle.render().contains("reason=\"busy\""));
    }

    #[test]
    fn a_peer_that_tells_of_endless_rounds_shifts_the_numbers_little() {
        let metrics = Metrics::default();
        let report = PunchReport {
            punched: 2,
            busy: u32::MAX,
            ..PunchReport::default()
        };
        metrics.punched(&report);
        let text = metrics.handle.render();
        for (outcome, rounds) in [("punched", 2), ("busy", 1000), ("no-way", 0)] {
            let sample = format!("p2p_tracker_peer_punch_rounds_total{{outcome=\"{outcome}\"}} {rounds}\n");
            assert!(text.contains(&sample), "{sample}{text}");
        }
    }
}
