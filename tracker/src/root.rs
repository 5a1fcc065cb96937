//! Brings the tracker up in order and takes it down in reverse.
//!
//! `TrackerRoot`: data folder → database → store → keys → socket → [`StoreWriter`] → [`TrackerRegistry`] → [`RelayHub`] → [`Rendezvous`] → [`AccessKeeper`] → HTTP server.
//! On the way down: not ready → relayed peers are told, no new connections, requests in flight finish (10 s) → registry hands over what it knows → writer
//! flushes. A part that crashes again and again takes the tracker down, for the service manager to start it anew.

use crate::{
    access::{
        Access, AccessLimits,
        keeper::{AccessKeeper, Keeper},
        key::{self, NewKey},
    },
    api::Api,
    clock::Clock,
    config::{Config, Database},
    data::{self, DataError, DataFolder, DatabaseLock},
    events::{
        EventsHandle,
        hub::{EventHub, HubParts},
    },
    metrics::{Metrics, store::Measured},
    registry::{
        RegistryHandle,
        actor::{RegistryParts, TrackerRegistry},
        token::Tokens,
    },
    relay::{Counters, RelayHandle, RelayHub, ShareLimits},
    rendezvous::{Rendezvous, Sockets},
    server,
    storage::{
        Scope, Store, StoreError, StoredKey, Write,
        postgres::{Postgres, Replica},
        sqlite::Sqlite,
        writer::{CommitError, StoreWriter, StoreWriterHandle},
    },
    tls::{self, Certificates, TlsError},
};
use actix_web::dev::ServerHandle;
use p2p_shared::supervision::{ChildSpec, Handle, Supervisor};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    num::NonZeroU32,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{sync::oneshot, task::JoinHandle};

/// Messages that may wait for the registry: it handles that many in a few milliseconds.
const REGISTRY_PERMITS: usize = 4096;

/// Batches of events that may wait for the hub. Where there is no room, who watches begins anew.
const EVENTS_PERMITS: usize = 1024;

/// Messages that may wait for the relay's hub.
const HUB_PERMITS: usize = 4096;

/// Writes that may wait for the store: two groups.
const WRITER_PERMITS: usize = 8192;

/// How long a call waits for registry or store: whoever calls the tracker has an answer within 3 s, if only that it is
/// busy.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// How often a tracker says to the others that it is there.
const BEAT: Duration = Duration::from_secs(2);

/// How long the actors have for ending. Together with the server's time less than the 15 s of a clean stop.
const ACTORS_END: Duration = Duration::from_secs(4);

/// Why a tracker did not start. The text says what happened, to what, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The database cannot be used.
    #[error("cannot use the database {database}: {error}")]
    Database {
        /// Its file, or its name and hosts.
        database: String,
        /// What is wrong.
        error: String,
    },
    /// There are no certificates for its TLS.
    #[error("no TLS: {0}")]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}; {advice}", advice = advice(.error))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// An address for the rendezvous cannot be had.
    #[error("cannot answer on UDP at {address}: {error}; choose other addresses with --udp-listen")]
    ListenUdp {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The system gives no threads or no randomness, or a part crashed at once.
    #[error("cannot start: {0}")]
    System(String),
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "stop the program that has it, or choose another address with --listen",
        io::ErrorKind::PermissionDenied => "choose a port above 1023 with --listen",
        _ => "choose an address of this machine with --listen",
    }
}

/// How a tracker ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It was told to.
    Stopped,
    /// A part of it crashes again and again.
    Failed(String),
}

/// What there is to know about a tracker that has started.
pub(crate) struct Started {
    pub(crate) address: SocketAddr,
    /// The URL of that.
    pub(crate) url: String,
    /// Those of its own TLS.
    pub(crate) certificates: Option<Arc<Certificates>>,
    /// The admin key, if this start made it: shown once, never stored.
    pub(crate) admin_key: Option<String>,
}

/// A tracker that runs.
pub(crate) struct TrackerRoot {
    supervisor: Supervisor,
    api: Api,
    server: ServerHandle,
    served: JoinHandle<io::Result<()>>,
    upkeep: Vec<JoinHandle<()>>,
    beating: JoinHandle<()>,
    _data: (DataFolder, Option<DatabaseLock>),
}

impl TrackerRoot {
    /// Brings everything up. On the thread of the actors.
    pub(crate) async fn start(config: Config) -> Result<(Self, Started), StartError> {
        let data = DataFolder::take(&config.data)?;
        let database = lock_database(&config)?;
        let metrics = Metrics::default();
        let certificates = config
            .tls
            .clone()
            .map(Certificates::load)
            .transpose()?
            .map(Arc::new);
        let listener = listen(config.listen)?;
        let address = listener.local_addr().map_err(system)?;
        let store = open(&config, address).await?;
        let store: Arc<dyn Store> = Arc::new(Measured::new(store, metrics.clone()));
        let clock = clock_of(&config, &store).await?;
        let sockets = udp(&config, address)?;

        let mut supervisor = Supervisor::new().observed_by(Arc::new(metrics.clone()));
        let writer = start_writer(&mut supervisor, Arc::clone(&store), clock);
        let (access, stored_keys, new_key) = access(&config, &store, clock).await?;
        let counters = Arc::<Counters>::default();
        let parts = HubParts {
            feed: Arc::default(),
            clock,
            metrics: metrics.clone(),
            relay: Arc::clone(&counters),
        };
        let events = start_events(&mut supervisor, parts);
        let parts = RegistryParts {
            store: Arc::clone(&store),
            writer: writer.clone(),
            clock,
            lease: config.lease,
            relay_url: config.relay_url(address).into(),
            events: events.clone(),
        };
        let relay_url = Arc::clone(&parts.relay_url);
        let registry = start_registry(&mut supervisor, parts);
        registry.up().await.map_err(system)?;
        let hub = start_hub(&mut supervisor);
        let udp_ports = sockets.as_ref().map_or_else(Vec::new, Sockets::ports);
        if let Some(sockets) = sockets {
            start_rendezvous(&mut supervisor, sockets, clock);
        }
        let limits = (config.relay, config.lease);
        let relay = RelayHandle::new(hub, registry.clone(), clock, limits, relay_url).counting(counters);

        let tokens = Tokens::new().map_err(system)?;
        let beaten = Arc::clone(&store);
        let mut api = Api::new(
            registry,
            relay,
            writer.clone(),
            store,
            (tokens, access),
            (clock, config.lease),
            events,
        );
        api.udp_ports = udp_ports.into();
        api.metrics = metrics.clone();
        api.public_host = config.public_host();
        api.proxies = Arc::new(config.trusted_proxies.clone());
        api.base_path = Arc::from(&*config.base_path);
        begin(&config, &api.keeper, stored_keys).await?;
        let server = server::start(listener, api.clone(), config.workers, certificates.clone());
        let server = server.map_err(system)?;
        let mut root = Self {
            supervisor,
            api,
            server: server.handle(),
            served: actix_rt::spawn(server),
            upkeep: upkeep(metrics, certificates.clone()),
            beating: actix_rt::spawn(keep_beating(beaten)),
            _data: (data, database),
        };
        // Last: a key that was made for a start which then failed would be known to nobody, and be the only one.
        let admin_key = match new_key {
            None => None,
            Some((text, key)) => match keep(&config, &writer, key).await {
                Ok(()) => Some(text),
                Err(error) => {
                    root.stop().await;
                    return Err(error);
                }
            },
        };
        // Behind that: before, it would not find the key in the store.
        start_keeper(&mut root.supervisor, root.api.keeper.clone());
        let started = Started {
            address,
            url: config.url(address),
            admin_key,
            certificates,
        };
        Ok((root, started))
    }

    /// Runs until `stop` comes (or whoever held its other end is gone), or until a part cannot go on.
    pub(crate) async fn run(mut self, stop: oneshot::Receiver<()>) -> Ending {
        let ending = tokio::select! {
            // An error means that nobody holds the handle any more: the same as being told to stop.
            _ = stop => Ending::Stopped,
            escalation = self.supervisor.escalated() => Ending::Failed(escalation.to_string()),
            end = &mut self.served => Ending::Failed(format!("the HTTP server ended: {end:?}")),
        };
        tracing::info!(?ending, "tracker stopping");
        self.stop().await;
        tracing::info!("tracker stopped");
        ending
    }

    async fn stop(self) {
        self.api.draining.store(true, Ordering::Relaxed);
        self.api.relay.go_away();
        self.api.events.close();
        self.server.stop(true).await;
        self.supervisor.stop(ACTORS_END).await;
        self.upkeep.iter().for_each(JoinHandle::abort);
        self.beating.abort();
        // Unless it hears so, the others find out a few seconds later.
        if let Err(error) = self.api.store.farewell().await {
            tracing::debug!(%error, "no farewell");
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn system(error: impl ToString) -> StartError {
    StartError::System(error.to_string())
}

/// A file belongs to one tracker; PostgreSQL is shared.
fn lock_database(config: &Config) -> Result<Option<DatabaseLock>, StartError> {
    let Some(path) = config.database.path() else {
        return Ok(None);
    };
    let lock = DatabaseLock::take(path).map_err(|error| match error {
        DataError::Io { path, error } => StartError::Database {
            database: path.display().to_string(),
            error: error.to_string(),
        },
        locked => locked.into(),
    })?;
    Ok(Some(lock))
}

async fn open(config: &Config, address: SocketAddr) -> Result<Arc<dyn Store>, StartError> {
    let opened: Result<Arc<dyn Store>, StoreError> = match &config.database {
        Database::Sqlite(path) => {
            let path = path.clone();
            let opened = tokio::task::spawn_blocking(move || Sqlite::open(&path)).await;
            opened.map_err(system)?.map(|store| Arc::new(store) as _)
        }
        Database::Postgres(url) => {
            let replica = Replica {
                name: config.replica_name(address),
                relay_url: config.relay_url(address),
            };
            Postgres::open(url, &replica)
                .await
                .map(|store| Arc::new(store) as _)
        }
    };
    opened.map_err(|error| database(config, &error))
}

/// Opens the store beside the trackers that use it, to do something with keys.
pub(crate) async fn open_beside(config: &Config) -> Result<Arc<dyn Store>, StartError> {
    match &config.database {
        Database::Sqlite(path) => {
            data::make(&config.data, path)?;
            open(config, config.listen).await
        }
        Database::Postgres(url) => match Postgres::open_beside(url).await {
            Ok(store) => Ok(Arc::new(store)),
            Err(error) => Err(database(config, &error)),
        },
    }
}

/// Brings the tables of a database up to date and does nothing else; how many migrations there were to do, if it is one that
/// counts them.
pub(crate) async fn migrate(config: &Config) -> Result<Option<usize>, StartError> {
    match &config.database {
        Database::Sqlite(_) => {
            let _data = DataFolder::take(&config.data)?;
            let _lock = lock_database(config)?;
            open(config, config.listen).await.map(|_| None)
        }
        Database::Postgres(url) => {
            let done = Postgres::migrate(url).await;
            done.map(Some).map_err(|error| database(config, &error))
        }
    }
}

fn database(config: &Config, error: &StoreError) -> StartError {
    StartError::Database {
        database: config.database.to_string(),
        error: error.to_string(),
    }
}

/// The clock that everybody who reads the store goes by.
async fn clock_of(config: &Config, store: &Arc<dyn Store>) -> Result<Clock, StartError> {
    let time = store.beat().await.map_err(|error| database(config, &error))?;
    Ok(time.map_or_else(Clock::start, Clock::showing))
}

/// Tells the other trackers of the database again and again that this one is there.
async fn keep_beating(store: Arc<dyn Store>) {
    if !store.is_shared() {
        return;
    }
    let mut beats = tokio::time::interval(BEAT);
    loop {
        beats.tick().await;
        // That the database is away is said elsewhere.
        store.beat().await.ok();
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    server::bind(address).map_err(|error| StartError::Listen { address, error })
}

/// Who may call: with the keys that are there; of a tracker that others can reach and that has none yet, with a new one for its operator, which
/// is to be kept.
async fn access(
    config: &Config,
    store: &Arc<dyn Store>,
    clock: Clock,
) -> Result<(Access, Vec<StoredKey>, Option<(String, StoredKey)>), StartError> {
    let mut stored = store.keys().await.map_err(|error| database(config, &error))?;
    let is_open = !config.is_public();
    let limits = AccessLimits {
        requests: NonZeroU32::new(config.requests),
        share: ShareLimits {
            connections: config.relay_connections,
            month: config.relay.month,
            ..ShareLimits::default()
        },
    };
    if is_open || !stored.is_empty() {
        let access = Access::new(stored.clone(), is_open, limits, clock);
        return Ok((access, stored, None));
    }
    let new = NewKey {
        name: "made at the first start".to_owned(),
        ..NewKey::default()
    };
    let (text, key) = key::make(new, Scope::Admin, clock.now()).map_err(system)?;
    stored.push(key.clone());
    let access = Access::new(stored.clone(), is_open, limits, clock);
    Ok((access, stored, Some((text, key))))
}

/// Lets keys and bans count before the first request comes.
async fn begin(config: &Config, keeper: &Keeper, keys: Vec<StoredKey>) -> Result<(), StartError> {
    let begun = keeper.begin(keys).await;
    begun.map_err(|error| database(config, &error))
}

/// Keeps a key over restarts.
async fn keep(config: &Config, writer: &StoreWriterHandle, key: StoredKey) -> Result<(), StartError> {
    match writer.commit(Write::AddKey(key)).await {
        Ok(_) => Ok(()),
        Err(CommitError::Store(error)) => Err(database(config, &error)),
        Err(CommitError::Call(error)) => Err(system(error)),
    }
}

fn start_writer(supervisor: &mut Supervisor, store: Arc<dyn Store>, clock: Clock) -> StoreWriterHandle {
    let spec = ChildSpec::new("StoreWriter", move |_| {
        StoreWriter::new(Arc::clone(&store), clock)
    })
    .permits(WRITER_PERMITS)
    .deadline(ANSWER_WITHIN)
    .before_stop(|writer| StoreWriterHandle::new(writer).flush());
    StoreWriterHandle::new(supervisor.start(spec))
}

/// The sockets of the rendezvous. Ports that nobody asked for and that are taken are done without.
fn udp(config: &Config, address: SocketAddr) -> Result<Option<Sockets>, StartError> {
    let addresses = config.udp.unwrap_or_else(|| config.udp_beside(address));
    match Sockets::bind(addresses) {
        Ok(sockets) => {
            let [first, second] = sockets.addresses;
            tracing::info!(%first, %second, "rendezvous answers on UDP");
            Ok(Some(sockets))
        }
        Err((address, error)) if config.udp.is_none() => {
            tracing::warn!(%address, %error, "no rendezvous: choose addresses with --udp-listen");
            Ok(None)
        }
        Err((address, error)) => Err(StartError::ListenUdp { address, error }),
    }
}

fn start_rendezvous(supervisor: &mut Supervisor, sockets: Sockets, clock: Clock) {
    let spec = ChildSpec::new("Rendezvous", move |_| Rendezvous::new(sockets.clone(), clock));
    // Nobody talks to it but over its sockets.
    drop(supervisor.start(spec));
}

/// What is looked after from time to time, by tasks that hold nothing which a crash would lose.
fn upkeep(metrics: Metrics, certificates: Option<Arc<Certificates>>) -> Vec<JoinHandle<()>> {
    let certificates = certificates.map(|certificates| actix_rt::spawn(tls::keep_up(certificates)));
    let metrics = actix_rt::spawn(metrics.keep_up());
    certificates.into_iter().chain([metrics]).collect()
}

fn start_keeper(supervisor: &mut Supervisor, keeper: Keeper) {
    let last = keeper.clone();
    let spec = ChildSpec::new("AccessKeeper", move |_| AccessKeeper::new(keeper.clone()))
        .before_stop(move |_| async move { last.save().await });
    // Nobody talks to it: what it does, handlers do by themselves when they need it at once.
    drop(supervisor.start(spec));
}

fn start_events(supervisor: &mut Supervisor, parts: HubParts) -> EventsHandle {
    let feed = Arc::clone(&parts.feed);
    let spec = ChildSpec::new("EventHub", move |_| EventHub::new(parts.clone()))
        .permits(EVENTS_PERMITS)
        .deadline(ANSWER_WITHIN);
    EventsHandle::new(supervisor.start(spec), feed)
}

fn start_hub(supervisor: &mut Supervisor) -> Handle<RelayHub> {
    let spec = ChildSpec::new("RelayHub", |_| RelayHub::default())
        .permits(HUB_PERMITS)
        .deadline(ANSWER_WITHIN);
    supervisor.start(spec)
}

fn start_registry(supervisor: &mut Supervisor, parts: RegistryParts) -> RegistryHandle {
    let spec = ChildSpec::new("TrackerRegistry", move |_| TrackerRegistry::new(parts.clone()))
        .permits(REGISTRY_PERMITS)
        .deadline(ANSWER_WITHIN)
        .before_stop(|registry| RegistryHandle::new(registry).flush());
    RegistryHandle::new(supervisor.start(spec))
}
