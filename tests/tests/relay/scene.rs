//! What the tests of the relay have in common: a tracker, and peers that are registered there.

use p2p_shared::crypto::identity::Identity;
use p2p_tests::lab::Lab;
use p2p_tests::process::Launch;
use p2p_tests::programs::Tracker;
use p2p_tests::relay_client::Registered;
use p2p_tests::tracker_caller::Caller;
use serde_json::Value;
use std::time::{Duration, Instant};

/// A tracker and registered peers.
pub(crate) struct Scene {
    _lab: Lab,
    pub(crate) tracker: Tracker,
    pub(crate) caller: Caller,
    runtime: tokio::runtime::Runtime,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with(|launch| launch)
    }

    pub(crate) fn with(more: impl FnOnce(Launch) -> Launch) -> Self {
        let lab = Lab::new();
        let tracker = Tracker::start_with(&lab, more);
        let caller = Caller::new(&tracker.url());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self {
            _lab: lab,
            tracker,
            caller,
            runtime: runtime.unwrap(),
        }
    }

    pub(crate) fn peer(&self, seed: u8) -> Registered {
        let identity = Identity::from_secret([seed; 32]);
        let session = self.caller.register(&identity, 6881).unwrap();
        let (key, token) = (identity.public_key(), session.token);
        Registered { key, token }
    }

    pub(crate) fn stats(&self) -> Value {
        self.caller.get("/api/stats").unwrap().1["relay"].clone()
    }

    /// Asks for the numbers until they are as wanted.
    #[track_caller]
    pub(crate) fn stats_become(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let stats = self.stats();
            if wanted(&stats) {
                return stats;
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "it stays at {stats}");
            std::thread::yield_now();
        }
    }

    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.run_for(Duration::from_secs(60), future)
    }

    /// As [`Scene::run`], for what takes longer.
    pub(crate) fn run_for<T>(&self, patience: Duration, future: impl Future<Output = T>) -> T {
        let within = async { tokio::time::timeout(patience, future).await };
        self.runtime
            .block_on(within)
            .expect("an event that does not come")
    }
}
