//! The names of all numbers, what they mean, and how finely they are told apart.

use super::Metrics;
use metrics::{KeyName, Label, Recorder as _, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use p2p_shared::tracker_api::PunchReport;

pub(super) const REQUESTS: &str = "p2p_tracker_http_requests_total";
pub(super) const REQUEST_SECONDS: &str = "p2p_tracker_http_request_duration_seconds";
pub(super) const REFUSALS: &str = "p2p_tracker_refusals_total";
pub(super) const ANNOUNCES: &str = "p2p_tracker_announces_total";
pub(super) const PUNCHES: &str = "p2p_tracker_peer_punch_rounds_total";
pub(super) const PEERS: &str = "p2p_tracker_peers_online";
pub(super) const FILES: &str = "p2p_tracker_files";
pub(super) const SWARMS: &str = "p2p_tracker_swarms";
pub(super) const SEEDERS: &str = "p2p_tracker_seeders";
pub(super) const LEECHERS: &str = "p2p_tracker_leechers";
pub(super) const SHARED: &str = "p2p_tracker_shared_bytes";
pub(super) const RELAY_CONNECTIONS: &str = "p2p_tracker_relay_connections";
pub(super) const RELAY_TUNNELS: &str = "p2p_tracker_relay_tunnels";
pub(super) const RELAY_BYTES: &str = "p2p_tracker_relay_bytes_total";
pub(super) const RELAY_SIGNALS: &str = "p2p_tracker_relay_signals_total";
pub(super) const RELAY_REFUSALS: &str = "p2p_tracker_relay_refusals_total";
pub(super) const STORE_SECONDS: &str = "p2p_tracker_store_duration_seconds";
pub(super) const STORE_ERRORS: &str = "p2p_tracker_store_errors_total";
pub(super) const BATCH: &str = "p2p_tracker_store_commit_writes";
pub(super) const POOL: &str = "p2p_tracker_store_pool_connections";
pub(super) const POOL_MOST: &str = "p2p_tracker_store_pool_limit";
pub(super) const POOL_WAITING: &str = "p2p_tracker_store_pool_waiting";
pub(super) const RESTARTS: &str = "p2p_tracker_actor_restarts_total";
pub(super) const MAILBOX_WAIT: &str = "p2p_tracker_actor_mailbox_wait_seconds";
pub(super) const WATCHERS: &str = "p2p_tracker_event_watchers";
pub(super) const EVENTS: &str = "p2p_tracker_events_total";
pub(super) const BUILD: &str = "p2p_tracker_build_info";
pub(super) const UPTIME: &str = "p2p_tracker_uptime_seconds";

/// Answers from memory take tens of microseconds, those of a database milliseconds, and 3 s is what is promised.
const REQUEST: [f64; 11] = [
    0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 3.0, 10.0,
];

/// A read from a page cache, a commit with `fsync`, a database that is far away or busy.
const STORE: [f64; 9] = [0.000_1, 0.000_5, 0.002, 0.005, 0.02, 0.1, 0.5, 1.0, 3.0];

/// From an idle thread to the time after which an actor counts as dead.
const WAIT: [f64; 7] = [0.000_1, 0.001, 0.01, 0.1, 0.5, 2.0, 10.0];

/// From one write to a whole group.
const WRITES: [f64; 8] = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 2048.0, 4096.0];

pub(super) fn buckets(builder: PrometheusBuilder) -> PrometheusBuilder {
    [
        (REQUEST_SECONDS, REQUEST.as_slice()),
        (STORE_SECONDS, &STORE),
        (MAILBOX_WAIT, &WAIT),
        (BATCH, &WRITES),
    ]
    .into_iter()
    .fold(builder, |builder, (name, buckets)| {
        let matcher = Matcher::Full(name.to_owned());
        #[expect(
            clippy::expect_used,
            reason = "it fails for no buckets only, and each of these has some"
        )]
        builder
            .set_buckets_for_metric(matcher, buckets)
            .expect("there are buckets")
    })
}

/// Says what everything means, and begins every counter that has few labels at 0: Prometheus cannot see the first step of one that
/// appears with it.
pub(super) fn describe(metrics: &Metrics) {
    let recorder = &metrics.recorder;
    for (name, help) in [
        (
            REQUESTS,
            "Requests answered, by method, pattern of the route and status.",
        ),
        (
            REFUSALS,
            "Requests answered with a problem document, by its kind.",
        ),
        (ANNOUNCES, "Announcements of files, by what came of them."),
        (
            PUNCHES,
            "Rounds of hole punching, by outcome, as peers tell with their heartbeats.",
        ),
        (RELAY_SIGNALS, "Signals that the relay passed on between peers."),
        (
            RELAY_REFUSALS,
            "Connections and tunnels that the relay refused or broke off, by reason.",
        ),
        (STORE_ERRORS, "Operations of the store that failed, by operation."),
        (EVENTS, "Events that were told to who watches."),
        (RESTARTS, "Actors that crashed and were started again."),
    ] {
        recorder.describe_counter(KeyName::from_const_str(name), None, help.into());
    }
    let bytes = "Bytes that went through tunnels of the relay.";
    recorder.describe_counter(
        KeyName::from_const_str(RELAY_BYTES),
        Some(Unit::Bytes),
        bytes.into(),
    );
    for (name, unit, help) in GAUGES {
        recorder.describe_gauge(KeyName::from_const_str(name), unit, help.into());
    }
    for (name, unit, help) in HISTOGRAMS {
        recorder.describe_histogram(KeyName::from_const_str(name), unit, help.into());
    }
    let begin = |name, label, value| {
        let label = Label::from_static_parts(label, value);
        metrics.counter(name, vec![label]).absolute(0);
    };
    for result in ["complete", "wanted", "refused"] {
        begin(ANNOUNCES, "result", result);
    }
    for (outcome, _) in PunchReport::default().by_outcome() {
        begin(PUNCHES, "outcome", outcome);
    }
}

const GAUGES: [(&str, Option<Unit>, &str); 14] = [
    (PEERS, None, "Peers whose lease runs."),
    (FILES, None, "Files in the catalogue."),
    (
        SWARMS,
        None,
        "Files that somebody online holds, wholly or in part.",
    ),
    (
        SEEDERS,
        None,
        "Pairs of an online peer and a file that it holds whole.",
    ),
    (
        LEECHERS,
        None,
        "Pairs of an online peer and a file that it holds in part.",
    ),
    (
        SHARED,
        Some(Unit::Bytes),
        "Sizes of all files that somebody online holds whole.",
    ),
    (RELAY_CONNECTIONS, None, "Peers that are connected to the relay."),
    (RELAY_TUNNELS, None, "Tunnels between peers through the relay."),
    (POOL, None, "Connections to the database, by state."),
    (POOL_MOST, None, "Connections to the database that there may be."),
    (
        POOL_WAITING,
        None,
        "Operations that wait for a connection to the database.",
    ),
    (WATCHERS, None, "WebSockets that are told what goes on."),
    (BUILD, None, "1; its labels say which program this is."),
    (UPTIME, Some(Unit::Seconds), "Time since the tracker started."),
];

const HISTOGRAMS: [(&str, Option<Unit>, &str); 4] = [
    (
        REQUEST_SECONDS,
        Some(Unit::Seconds),
        "Time from the head of a request to the head of its answer, by method and pattern of the route.",
    ),
    (
        STORE_SECONDS,
        Some(Unit::Seconds),
        "Time that an operation of the store takes, by operation; the wait for a connection included.",
    ),
    (BATCH, None, "Writes that are committed together."),
    (
        MAILBOX_WAIT,
        Some(Unit::Seconds),
        "Time that a message waits for those before it, looked at every 5 s, by actor.",
    ),
];
