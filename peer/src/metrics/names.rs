//! The names of all numbers, what they mean, and how finely times are told apart.

use crate::event::PathKind;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

pub(super) const RECEIVED: &str = "p2p_peer_received_bytes_total";
pub(super) const SENT: &str = "p2p_peer_sent_bytes_total";
pub(super) const CHUNKS: &str = "p2p_peer_chunks_checked_total";
pub(super) const PUNCHES: &str = "p2p_peer_punch_rounds_total";
pub(super) const PATHS_TAKEN: &str = "p2p_peer_paths_taken_total";
pub(super) const HASH: &str = "p2p_peer_chunk_hash_seconds";
pub(super) const DISK: &str = "p2p_peer_chunk_disk_seconds";
pub(super) const ROUND_TRIP: &str = "p2p_peer_session_round_trip_seconds";
pub(super) const SESSIONS: &str = "p2p_peer_sessions";
pub(super) const SHARES: &str = "p2p_peer_shares";
pub(super) const TRACKERS: &str = "p2p_peer_trackers";
pub(super) const RELAYS: &str = "p2p_peer_relays";
pub(super) const TUNNELS: &str = "p2p_peer_relay_tunnels";
pub(super) const BUILD: &str = "p2p_peer_build_info";
pub(super) const UPTIME: &str = "p2p_peer_uptime_seconds";

/// Why a path is taken, as [`Why::name`](crate::connection::reason::Why::name) has it.
const REASONS: [&str; 10] = [
    "answered",
    "punched",
    "policy",
    "silence",
    "direct-lost",
    "punched-lost",
    "relayed-lost",
    "no-address",
    "nothing-direct",
    "they-came",
];

/// All paths.
pub(super) const PATHS: [PathKind; 3] = [PathKind::Direct, PathKind::Punched, PathKind::Relayed];

/// A chunk of 256 KiB is hashed in some 0.1 ms, and comes from a cache or from a disk that turns.
const WORK: [f64; 9] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.025, 0.1, 1.0,
];

/// From the same machine to a satellite.
const WAYS: [f64; 9] = [0.000_5, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

pub(super) fn buckets(builder: PrometheusBuilder) -> PrometheusBuilder {
    let (work, ways) = (WORK.as_slice(), WAYS.as_slice());
    [(HASH, work), (DISK, work), (ROUND_TRIP, ways)]
        .into_iter()
        .fold(builder, |builder, (name, buckets)| {
            let matcher = Matcher::Full(name.to_owned());
            #[expect(
                clippy::expect_used,
                reason = "it fails for no buckets only, and there are nine"
            )]
            builder
                .set_buckets_for_metric(matcher, buckets)
                .expect("nine buckets")
        })
}

/// Says what everything means, and begins every counter at 0: Prometheus cannot see the first step of one that appears with it.
pub(super) fn describe() {
    describe_counter!(
        RECEIVED,
        Unit::Bytes,
        "Bytes of chunks received from other peers, by path."
    );
    describe_counter!(SENT, Unit::Bytes, "Bytes of chunks sent to other peers, by path.");
    describe_counter!(CHUNKS, "Chunks received and compared with their hash, by result.");
    describe_counter!(PUNCHES, "Rounds of hole punching, by outcome.");
    describe_counter!(
        PATHS_TAKEN,
        "Paths to a peer that the transfer of a file went over to, the first one included, by path and reason."
    );
    describe_histogram!(
        HASH,
        Unit::Seconds,
        "Time to compare a received chunk with its hash."
    );
    describe_histogram!(
        DISK,
        Unit::Seconds,
        "Time to read a chunk that is sent, or to write one that came."
    );
    describe_histogram!(
        ROUND_TRIP,
        Unit::Seconds,
        "Round trip of the sessions there are, looked at every 5 s, by path."
    );
    describe_gauge!(SESSIONS, "Sessions with other peers, by path.");
    describe_gauge!(SHARES, "Shares and downloads, by state.");
    describe_gauge!(TRACKERS, "Trackers in use, by state.");
    describe_gauge!(RELAYS, "Relays in use, by state.");
    describe_gauge!(TUNNELS, "Tunnels through relays.");
    describe_gauge!(BUILD, "1; its labels say which program this is.");
    describe_gauge!(UPTIME, Unit::Seconds, "Time since the peer started.");
    for path in PATHS.map(PathKind::as_str) {
        counter!(RECEIVED, "path" => path).absolute(0);
        counter!(SENT, "path" => path).absolute(0);
    }
    for result in ["verified", "failed"] {
        counter!(CHUNKS, "result" => result).absolute(0);
    }
    for (path, reason) in PATHS
        .into_iter()
        .flat_map(|path| REASONS.map(|reason| (path, reason)))
    {
        counter!(PATHS_TAKEN, "path" => path.as_str(), "reason" => reason).absolute(0);
    }
    for outcome in super::rounds::OUTCOMES {
        counter!(PUNCHES, "outcome" => outcome).absolute(0);
    }
}
