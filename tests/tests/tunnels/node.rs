//! A peer's relays without the rest of the peer: registered with a tracker, and who asks is let in.

use p2p_peer::client::{self, TrackerUrl};
use p2p_peer::config::TrackerConfig;
use p2p_peer::proxy::ProxySetting;
use p2p_peer::relay::{
    self, Incoming, RelayAddress, RelayHandle, RelayNews, RelayParts, RelayState, RelayStatus, Tunnel,
};
use p2p_shared::crypto::identity::Identity;
use p2p_shared::id::PublicKey;
use p2p_shared::supervision::Supervisor;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// One peer.
pub(crate) struct Node {
    pub(crate) key: PublicKey,
    pub(crate) relays: RelayHandle,
    pub(crate) news: mpsc::Receiver<RelayNews>,
    _supervisor: Supervisor,
}

impl Node {
    /// Registers with the tracker at `url`.
    pub(crate) fn start(seed: u8, url: &str) -> Self {
        Self::start_with(seed, url, TrackerConfig::default())
    }

    /// The same through a proxy.
    pub(crate) fn start_with(seed: u8, url: &str, config: TrackerConfig) -> Self {
        let mut supervisor = Supervisor::new();
        let proxy: Option<ProxySetting> = config.proxy.clone();
        let config = TrackerConfig {
            urls: vec![url.parse().unwrap()],
            ..config
        };
        let identity = Arc::new(Identity::from_secret([seed; 32]));
        let key = identity.public_key();
        let told = client::Told::Found("127.0.0.1:6881".parse().unwrap());
        let client = client::start(&mut supervisor, &config, identity, told).unwrap();
        let (tell, news) = mpsc::channel(512);
        let relays = relay::start(RelayParts {
            client,
            proxy,
            news: tell,
        });
        Self {
            key,
            relays,
            news,
            _supervisor: supervisor,
        }
    }

    /// Waits until its relay is connected.
    pub(crate) async fn connected(&self) -> RelayStatus {
        self.becomes(|status| status.state == RelayState::Connected).await
    }

    /// Waits until its only relay is as wanted.
    pub(crate) async fn becomes(&self, wanted: impl Fn(&RelayStatus) -> bool) -> RelayStatus {
        let begin = Instant::now();
        loop {
            let all = self.relays.status();
            if let [status] = &all[..]
                && wanted(status)
            {
                return status.clone();
            }
            assert!(begin.elapsed() < Duration::from_secs(40), "it stays at {all:?}");
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The next peer that wants to talk.
    pub(crate) async fn incoming(&mut self) -> Incoming {
        match self.news.recv().await {
            Some(RelayNews::Incoming(incoming)) => incoming,
            other => panic!("somebody was to come, not {other:?}"),
        }
    }
}

/// The relay of the tracker at `url`.
pub(crate) fn relay_at(url: &str) -> RelayAddress {
    let tracker: TrackerUrl = url.parse().unwrap();
    RelayAddress::of(None, &tracker).unwrap()
}

/// A tunnel from one to the other: both ends.
pub(crate) async fn tunnel(from: &Node, to: &mut Node, url: &str) -> (Tunnel, Tunnel) {
    let at = relay_at(url);
    let key = to.key;
    let incoming = async { Ok(to.incoming().await) };
    let both = tokio::try_join!(from.relays.open(&at, key), incoming);
    let (near, far) = both.expect("a tunnel");
    assert_eq!(far.peer, from.key);
    (near, far.tunnel)
}
