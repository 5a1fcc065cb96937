//! A running peer: what it consists of, in which order that starts, and how it ends.
//!
//! | child | restart | rebuilt from |
//! |---|---|---|
//! | ChunkStore | permanent | the catalogue in the data folder |
//! | TrackerClient | permanent | what the trackers shall know, kept beside it |
//! | UdpKeeper | permanent | (the UDP port, with every connection on it, outlives it) |
//! | ConnectionManager | permanent | its roster of sessions, dials and bans; what is wanted is told again |
//! | PeerSession* | temporary | (the manager redials) |
//! | DownloadCoordinator* | transient | the job on disk |
//! | RelaySession* | transient, one for each relay in use | (it connects again) |
//! | LocalApi | last up, first to stop | |
//!
//! [`Peer::start`] starts them in that order; [`PeerHandle::shutdown`] drains and stops them in reverse. A permanent child
//! that crashes again and again ends the peer ([`PeerHandle::failed`]), and the program exits with 70.

mod copy;
mod doctor;
mod door;
mod downloads;
mod failure;
mod fetch;
mod files;
mod follow;
pub mod identity;
mod keeper;
pub mod lock;
mod meter;
mod note;
mod orders;
mod pause;
mod policies;
mod resume;
mod share;
mod sought;
mod tickets;
mod trackers;
mod verify;
mod watch;

pub use orders::Orders;

use crate::{
    api::{self, LocalApi},
    client::{self, Told, TrackerClientHandle},
    config::{Config, Mode},
    connection::{self, ConnectionParts, Policy, PunchParts, Relays, direct::Caller},
    download::DownloadParts,
    error::Failure,
    p2p::{greeting::hello, session::SessionParts},
    relay::{self, RelayParts},
    storage::{self, BufferPool, DEFAULT_POOL},
    udp::{self, mapping::Mapper},
};
use actix_rt::Arbiter;
use downloads::Downloads;
use keeper::Keeper;
use lock::DataLock;
use p2p_shared::supervision::Supervisor;
use std::{io, net::SocketAddr, ops::Deref, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

/// How long a peer may take to end. The service manager waits 15 s (promises.md), so this leaves some.
const DRAIN: Duration = Duration::from_secs(10);

/// Starts peers.
#[derive(Debug)]
pub struct Peer {}

/// A running peer, as its owner sees it: takes [`Orders`], tells when it failed, and ends when told to.
#[derive(Debug)]
pub struct PeerHandle {
    orders: Orders,
    keeper: Keeper,
    _lock: DataLock,
}

impl Peer {
    /// Starts a peer on its data folder, which no other one may be using. Everything is up when this returns.
    ///
    /// Runs on the thread of a [`system`](p2p_shared::supervision::system).
    ///
    /// # Errors
    /// Usage if a port is taken or another peer runs on the data folder, disk if the data folder cannot be used.
    pub async fn start(config: Config) -> Result<PeerHandle, Failure> {
        let lock = DataLock::acquire(&config.data)?;
        Self::start_locked(config, lock).await
    }

    /// Starts a peer on a data folder that the caller has locked.
    pub async fn start_locked(config: Config, lock: DataLock) -> Result<PeerHandle, Failure> {
        let mut supervisor = Supervisor::new();
        let started = start_children(&config, &mut supervisor).await;
        let (orders, api) = match started {
            Ok(started) => started,
            Err(failure) => {
                supervisor.stop(DRAIN).await;
                return Err(failure);
            }
        };
        let peer = PeerHandle {
            keeper: Keeper::start(supervisor, api, orders.clone()),
            orders,
            _lock: lock,
        };
        if config.mode == Mode::Resume
            && let Err(failure) = peer.orders.resume().await
        {
            peer.shutdown().await?;
            return Err(failure);
        }
        Ok(peer)
    }
}

impl PeerHandle {
    /// Waits until the peer cannot go on, because a permanent actor crashes again and again; for ever while all is well.
    pub async fn failed(&self) -> Failure {
        self.keeper.failed().await
    }

    /// Ends the peer: takes no more orders, finishes what is under way, takes its leave of trackers and peers, leaves
    /// everything on disk. Takes 10 s at most.
    pub async fn shutdown(self) -> Result<(), Failure> {
        self.keeper.stop().await;
        Ok(())
    }
}

impl Deref for PeerHandle {
    type Target = Orders;

    fn deref(&self) -> &Orders {
        &self.orders
    }
}

async fn start_children(
    config: &Config,
    supervisor: &mut Supervisor,
) -> Result<(Orders, Option<LocalApi>), Failure> {
    // Ports first: what is taken is said before anything is done.
    let doors = match config.mode {
        Mode::Offline => None,
        Mode::Resume | Mode::OnDemand => {
            Some((door::open(config.listen, &config.data)?, api::bind(config.api)?))
        }
    };
    let store = storage::start(supervisor, &config.data)?;
    let Some(((listener, listen), api)) = doors else {
        return Ok((Orders::new(config, store, None)?, None));
    };
    let identity = Arc::new(identity::load_or_create(&config.data)?);
    let is_hidden = config.policy == Policy::RelayOnly;
    let told = Told::of(listen, &config.announce, config.policy);
    let client = client::start(supervisor, &config.tracker, identity.clone(), told.clone())?;
    // Who hides has no port to be let in at.
    let mapper = (config.udp.port_mapping && !is_hidden).then(Mapper::default);
    let udp = udp::start(supervisor, Some(listen).filter(|_| !is_hidden), mapper);
    let receiving = BufferPool::new(DEFAULT_POOL);
    let reachable = told.addresses(&config.tracker.urls).await;
    let relays = start_relays(config, &client);
    let relay_handle = relays.handle.clone();
    let connections = connection::start(
        supervisor,
        ConnectionParts {
            caller: Caller {
                identity: Arc::clone(&identity),
                hello: hello(reachable),
                receiving: receiving.clone(),
            },
            sessions: SessionParts {
                shelf: Arc::new(store.clone()),
                serving: BufferPool::new(DEFAULT_POOL),
                goodbyes: TaskTracker::new(),
            },
            // Who hides lets nobody in who guesses where it is.
            listener: Some(listener).filter(|_| !is_hidden),
            policy: config.policy,
            relays: Some(relays),
            punching: (!is_hidden).then(|| PunchParts {
                udp: udp.clone(),
                client: client.clone(),
                stun: config.udp.stun.clone(),
            }),
        },
    );
    let parts = DownloadParts {
        store: store.clone(),
        connections: connections.clone(),
        receiving,
    };
    let online = orders::Online {
        identity,
        listen,
        told,
        client,
        connections,
        relays: relay_handle,
        downloads: Downloads::new(parts, Arbiter::current()),
        udp: udp.clone(),
        stun: config.udp.stun.clone(),
        policy: config.policy,
        proxy: config.tracker.proxy.clone(),
    };
    let orders = Orders::new(config, store, Some(online))?;
    if !config.api.ip().is_loopback() {
        tracing::warn!(address = %config.api, "others can reach the local API; only its token keeps them out");
    }
    orders.tidy().await?;
    let api = LocalApi::start(api, &config.data, orders.clone())?;
    tracing::info!(peers = %listen, udp = ?udp.address(), api = %api.address(), data = %config.data.display(), "listening");
    Ok((orders, Some(api)))
}

/// What may wait to be looked at of what came through relays: more than there may be strangers, so that signals find room.
const RELAY_NEWS: usize = 512;

fn start_relays(config: &Config, client: &TrackerClientHandle) -> Relays {
    let (told, news) = mpsc::channel(RELAY_NEWS);
    let handle = relay::start(RelayParts {
        client: client.clone(),
        proxy: config.tracker.proxy.clone(),
        news: told,
    });
    Relays { handle, news }
}

/// A listener that cannot be had is mostly a port that is taken.
pub(crate) fn cannot_listen(for_whom: &str, flag: &str, address: SocketAddr, error: &io::Error) -> Failure {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => "another program has that port".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege".to_owned(),
        _ => error.to_string(),
    };
    Failure::usage(format!(
        "cannot listen for {for_whom} on {address}: {why}; choose another address with {flag}"
    ))
}

#[cfg(test)]
mod tests;
