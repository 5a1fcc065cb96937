//! What is not counted but is so at the moment: looked at when somebody asks, and every few seconds for what has to be sampled.

use super::{names, recorder, round_trip};
use crate::{
    error::Failure,
    operation::{PeerStatus, ShareState, TrackerInfo},
    relay::{RelayState, RelayStatus},
    root::Orders,
};
use metrics::gauge;
use metrics_exporter_prometheus::PrometheusHandle;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often round trips are sampled, and what histograms have taken in is put together: until then every value takes memory.
const EVERY: Duration = Duration::from_secs(5);

/// Samples a peer, as long as it is held.
pub(crate) struct Watch(JoinHandle<()>);

impl Watch {
    /// From now on.
    pub(crate) fn start(orders: Orders) -> Self {
        super::start();
        Self(tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                sample(&orders).await;
            }
        }))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn sample(orders: &Orders) {
    // A part that does not answer is being rebuilt; the next look finds it.
    for session in orders.sessions().await.unwrap_or_default() {
        if let Some(milliseconds) = session.rtt_ms {
            round_trip(
                session.path,
                Duration::from_secs_f64(milliseconds.max(0.0) / 1000.0),
            );
        }
    }
    if let Some(recorder) = recorder() {
        recorder.run_upkeep();
    }
}

/// All numbers as text, in Prometheus's format (version 0.0.4), those of the moment as they are now.
pub(crate) async fn text(orders: &Orders) -> Result<String, Failure> {
    set(&orders.status().await?, &orders.relays()?);
    Ok(recorder().map(PrometheusHandle::render).unwrap_or_default())
}

fn set(status: &PeerStatus, relays: &[RelayStatus]) {
    let count = |of: usize| of as f64;
    for path in names::PATHS {
        let with = status.sessions.iter().filter(|session| session.path == path);
        gauge!(names::SESSIONS, "path" => path.as_str()).set(count(with.count()));
    }
    for (name, state) in SHARE_STATES {
        let with = status.shares.iter().filter(|share| share.state == state);
        gauge!(names::SHARES, "state" => name).set(count(with.count()));
    }
    for name in ["registered", "registering", "failing"] {
        let with = status
            .trackers
            .iter()
            .filter(|tracker| tracker_state(tracker) == name);
        gauge!(names::TRACKERS, "state" => name).set(count(with.count()));
    }
    for name in [
        "connected",
        "going-away",
        "connecting",
        "backing-off",
        "unregistered",
    ] {
        let with = relays.iter().filter(|relay| relay_state(&relay.state) == name);
        gauge!(names::RELAYS, "state" => name).set(count(with.count()));
    }
    gauge!(names::TUNNELS).set(count(relays.iter().map(|relay| relay.tunnels).sum()));
    gauge!(names::BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    gauge!(names::UPTIME).set(status.uptime_seconds as f64);
}

/// As `list --json` has them; the one that needs no peer to be running is not here.
const SHARE_STATES: [(&str, ShareState); 5] = [
    ("seeding", ShareState::Seeding),
    ("downloading", ShareState::Downloading),
    ("waiting", ShareState::Waiting),
    ("paused", ShareState::Paused),
    ("changed", ShareState::Changed),
];

fn tracker_state(tracker: &TrackerInfo) -> &'static str {
    match (&tracker.error, tracker.registered) {
        (Some(_), _) => "failing",
        (None, true) => "registered",
        (None, false) => "registering",
    }
}

fn relay_state(state: &RelayState) -> &'static str {
    match state {
        RelayState::Connected => "connected",
        RelayState::GoingAway => "going-away",
        RelayState::Connecting => "connecting",
        RelayState::BackingOff { .. } => "backing-off",
        RelayState::Unregistered => "unregistered",
    }
}
