//! Registry and store at work, without the HTTP server: for what only shows when they act together.

use crate::{
    access::{Access, AccessLimits},
    api::Api,
    clock::Clock,
    events::{
        EventsHandle,
        hub::{EventHub, HubParts},
    },
    metrics::Metrics,
    registry::{
        RegistryHandle,
        actor::{RegistryParts, TrackerRegistry},
        token::{Session, Tokens},
    },
    relay::{Counters, RelayHandle, RelayHub, RelayLimits},
    storage::{
        Contact, Store, StoredPeer, Write,
        sqlite::Sqlite,
        writer::{StoreWriter, StoreWriterHandle},
    },
};
use p2p_shared::{
    id::PublicKey,
    supervision::{ChildSpec, Supervisor},
};
use std::{net::Ipv4Addr, sync::Arc, time::Duration};
use tempfile::TempDir;

/// Nobody's lease runs out during a test.
pub(crate) const LEASE: Duration = Duration::from_secs(3600);

/// Registry and writer over an SQLite file of their own. Only inside of an actix system.
pub(crate) struct Live {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) writer: StoreWriterHandle,
    pub(crate) registry: RegistryHandle,
    pub(crate) clock: Clock,
    relay: RelayHandle,
    events: EventsHandle,
    /// Keeps them alive.
    _supervisor: Supervisor,
    _folder: TempDir,
}

impl Live {
    /// Starts them on a store in which these writes were done before.
    pub(crate) async fn start(before: Vec<Write>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(&folder.path().join("tracker.db")).unwrap());
        store.commit(before).await.unwrap();
        let clock = Clock::start();
        let mut supervisor = Supervisor::new();
        let written = Arc::clone(&store);
        let spec = ChildSpec::new("StoreWriter", move |_| {
            StoreWriter::new(Arc::clone(&written), clock)
        });
        let writer = StoreWriterHandle::new(supervisor.start(spec));
        let counters = Arc::<Counters>::default();
        let parts = HubParts {
            feed: Arc::default(),
            clock,
            metrics: Metrics::default(),
            relay: Arc::clone(&counters),
        };
        let feed = Arc::clone(&parts.feed);
        let spec = ChildSpec::new("EventHub", move |_| EventHub::new(parts.clone()));
        let events = EventsHandle::new(supervisor.start(spec), feed);
        let parts = RegistryParts {
            store: Arc::clone(&store),
            writer: writer.clone(),
            clock,
            lease: LEASE,
            relay_url: "ws://test/relay".into(),
            events: events.clone(),
        };
        let relay_url = Arc::clone(&parts.relay_url);
        let spec = ChildSpec::new("TrackerRegistry", move |_| TrackerRegistry::new(parts.clone()));
        let registry = RegistryHandle::new(supervisor.start(spec));
        registry.up().await.unwrap();
        let hub = supervisor.start(ChildSpec::new("RelayHub", |_| RelayHub::default()));
        let limits = (RelayLimits::default(), LEASE);
        let relay = RelayHandle::new(hub, registry.clone(), clock, limits, relay_url).counting(counters);
        Self {
            store,
            writer,
            registry,
            clock,
            relay,
            events,
            _supervisor: supervisor,
            _folder: folder,
        }
    }

    /// Registers the peer of this key, as the API does once it has proved its key.
    pub(crate) async fn register(&self, key: PublicKey) -> Session {
        let peer = peer(key, self.clock.now());
        let session = Session {
            peer: peer.peer_id(),
            number: peer.session,
        };
        self.writer.commit(Write::PutPeer(peer.clone())).await.unwrap();
        self.registry.register(peer).await.unwrap();
        session
    }

    /// What the handlers work with, without any keys.
    pub(crate) fn api(&self) -> Api {
        Api::new(
            self.registry.clone(),
            self.relay.clone(),
            self.writer.clone(),
            Arc::clone(&self.store),
            (
                Tokens::new().unwrap(),
                Access::new(Vec::new(), true, AccessLimits::default(), self.clock),
            ),
            (self.clock, LEASE),
            self.events.clone(),
        )
    }

    /// Comes back when the store has everything that the registry knew.
    pub(crate) async fn save(&self) {
        self.registry.clone().flush().await;
        self.writer.clone().flush().await;
    }
}

/// A peer that registered at `now`.
pub(crate) fn peer(key: PublicKey, now: u64) -> StoredPeer {
    StoredPeer {
        public_key: key,
        session: now,
        contact: Contact {
            observed: Ipv4Addr::LOCALHOST.into(),
            port: 6881,
            listed: Box::default(),
        },
        bandwidth: None,
        agent: "test".to_owned(),
        registered_at: now,
        last_seen: now,
        online: true,
    }
}
