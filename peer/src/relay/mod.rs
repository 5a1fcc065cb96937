//! Relays: how two peers talk that cannot reach each other.
//!
//! A RelaySession actor keeps one WebSocket to each relay in use: to the *home* relays, those of the trackers where this peer is
//! registered, always; to any other while somebody uses it. A [`Tunnel`] is a duplex of bytes to another peer that is connected to the
//! same relay, with credit both ways; signals are short words without one. What goes through is sealed for the other peer:
//! nothing here looks into it, and nothing that comes is believed before the handshake.
//!
//! In reading order: where a relay is ([`address`]), when it is connected to (`state`, pure), how (`dial`, `reach`, `through`, `handshake`), the
//! connection (`link`, `inlet`, `outbox`, `legs`), a tunnel (`tunnel`, `credit`), who may come through one (`places`), and the way to all of it ([`RelayHandle`]).

mod actor;
pub mod address;
mod credit;
mod dial;
mod handle;
mod handshake;
mod inlet;
mod legs;
mod link;
mod messages;
mod outbox;
mod places;
mod reach;
mod state;
mod through;
mod tunnel;

pub use address::{BadRelayUrl, RelayAddress, RelayUrl};
pub use handle::{OpenError, RelayHandle, SignalError};
pub use messages::{Incoming, RelayNews, RelayState, RelayStatus};
pub use places::Place;
pub(crate) use through::name as proxy_name;
pub use tunnel::{Tunnel, TunnelEnd};

use crate::{
    client::{ClientStatus, TrackerClientHandle},
    proxy::{Proxies, ProxySetting},
};
use actix_rt::Arbiter;
use dial::Dialler;
use handle::Relays;
use p2p_shared::supervision::keep;
use places::Places;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::task::TaskTracker;

/// How often it is seen to that every home relay has its session, whatever became of it.
const LOOK: Duration = Duration::from_secs(60);

/// What the relays are started with.
pub struct RelayParts {
    /// Where the registrations are.
    pub client: TrackerClientHandle,
    /// What the owner says of proxies.
    pub proxy: Option<ProxySetting>,
    /// Who hears what comes. When that is full, tunnels are refused and signals dropped.
    pub news: mpsc::Sender<RelayNews>,
}

/// Connects to the home relays from now on, and to others when asked.
///
/// # Panics
/// Outside of the actors' thread (that of a [`system`](p2p_shared::supervision::system)).
pub fn start(parts: RelayParts) -> RelayHandle {
    let registrations = parts.client.status();
    let handle = RelayHandle::new(Relays {
        client: parts.client,
        dialler: Arc::new(Dialler::new(Proxies::new(parts.proxy.as_ref()))),
        news: parts.news,
        strangers: Places::default(),
        goodbyes: TaskTracker::new(),
        actors: Arbiter::current(),
        sessions: std::sync::Mutex::default(),
    });
    let relays = handle.clone();
    keep("relays of the registrations", move || {
        follow(relays.clone(), registrations.clone())
    });
    handle
}

/// Keeps the relays of all registrations, as long as there can be any.
async fn follow(relays: RelayHandle, mut registrations: watch::Receiver<ClientStatus>) {
    let mut kept = Vec::new();
    loop {
        let homes = homes(&registrations.borrow_and_update());
        if homes != kept {
            relays.keep(&homes).await;
            kept = homes;
        }
        match timeout(LOOK, registrations.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => relays.keep(&kept).await,
        }
    }
}

fn homes(status: &ClientStatus) -> Vec<RelayAddress> {
    let trackers = status.trackers.values();
    trackers.filter_map(|tracker| tracker.relay.clone()).collect()
}
