//! The relay: passes sealed bytes between peers that cannot reach each other.
//!
//! Reading order: [`hub`] (who is connected), [`session`] (one connection) with [`state`] (what its frames mean), `tunnel` (two ends),
//! `outbox` (what waits for a peer), `socket` (what comes from it); `credit`, `limits`, `routes` decide, `counters` count.
//!
//! Bytes go from the socket of one peer into the outbox of the other; neither hub nor registry sees them, and nobody can read them. What
//! a peer can make the tracker keep is what it granted itself, and at most [`outbox::WAITING`]. The frames are
//! [`p2p_shared::protocol::relay`].

mod counters;
mod credit;
mod hub;
mod limits;
mod outbox;
mod routes;
mod session;
mod share;
mod socket;
mod state;
mod tunnel;

pub(crate) use counters::Counters;
pub(crate) use hub::RelayHub;
pub use limits::RelayLimits;
pub(crate) use limits::month_of;
pub(crate) use outbox::Outgoing;
pub(crate) use share::{Share, ShareLimits, Taken};
pub(crate) use socket::Incoming;

use crate::{
    access::Grant,
    clock::Clock,
    registry::{RegistryHandle, token::Session},
};
use actix::StreamHandler as _;
use actix_web::{error::PayloadError, web::Bytes};
use counters::Counted;
use futures_util::Stream;
use hub::{FindPeer, Join, Leave};
use outbox::Outbox;
use p2p_shared::{
    id::PublicKey,
    protocol::relay::{EndReason, RefuseReason, RelayFrame},
    supervision::{CallError, ChildSpec, Handle, Incarnation, Restart, supervise},
};
use routes::ConnectionNumber;
use session::{Link, RelaySession, SessionParts};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// Messages of others that may wait for a session: tunnels that are offered to it.
const SESSION_PERMITS: usize = 128;

/// The relay. Clones share it.
#[derive(Clone)]
pub(crate) struct RelayHandle {
    hub: Handle<RelayHub>,
    registry: RegistryHandle,
    clock: Clock,
    limits: RelayLimits,
    /// Milliseconds.
    lease: u64,
    url: Arc<str>,
    counters: Arc<Counters>,
    numbers: Arc<AtomicU64>,
    drain: Arc<watch::Sender<bool>>,
    draining: watch::Receiver<bool>,
}

impl RelayHandle {
    pub(crate) fn new(
        hub: Handle<RelayHub>,
        registry: RegistryHandle,
        clock: Clock,
        (limits, lease): (RelayLimits, Duration),
        url: Arc<str>,
    ) -> Self {
        let (drain, draining) = watch::channel(false);
        Self {
            hub,
            registry,
            clock,
            limits,
            lease: u64::try_from(lease.as_millis()).unwrap_or(u64::MAX),
            url,
            counters: Arc::default(),
            numbers: Arc::default(),
            drain: Arc::new(drain),
            draining,
        }
    }

    /// The same, counting here.
    pub(crate) fn counting(mut self, counters: Arc<Counters>) -> Self {
        self.counters = counters;
        self
    }

    /// Where it is, as peers are told.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What it has done and does.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Tells every peer that the relay stops. Their sessions end when their tunnels have, after eight seconds at the latest.
    pub(crate) fn go_away(&self) {
        self.drain.send_replace(true);
    }

    /// Takes a connection of a registered peer, on the thread that serves it: reads from `payload`, and gives back what is
    /// to be sent. When this comes back, others can reach the peer. The connection ends with what `grant` holds; `taken` counts it.
    ///
    /// # Errors
    /// When the hub cannot be reached; nothing is left of the connection then.
    pub(crate) async fn connect<P>(
        &self,
        peer: PublicKey,
        registration: Session,
        (grant, taken): (Grant, Taken),
        payload: P,
    ) -> Result<Outgoing, CallError>
    where
        P: Stream<Item = Result<Bytes, PayloadError>> + Unpin + 'static,
    {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (outbox, hangup, outgoing) = Outbox::new(&self.counters);
        let parts = SessionParts {
            relay: self.clone(),
            peer,
            number,
            registration,
            grant: grant.clone(),
            taken,
            outbox: outbox.clone(),
            hangup,
        };
        let incoming = Incoming::new(payload, (self.limits.rate, grant.share), self.clock);
        let session = self.start_session(parts, incoming);
        let link = Link::new(session, outbox);
        let seen = self.hub.incarnation();
        if let Err(error) = self.join(peer, number, link.clone()).await {
            link.hang_up(EndReason::Fault);
            return Err(error);
        }
        actix_web::rt::spawn(self.clone().stay_joined(peer, number, link.clone(), seen));
        if let Err(error) = self.registry.set_relayed(registration, true).await {
            // Its registration is looked at again soon.
            tracing::debug!(%error, "the registry does not know of a relay connection yet");
        }
        if link.is_over() {
            // So soon that the registry may have heard of its end before.
            self.note_end(peer, registration).await;
        }
        Ok(outgoing)
    }

    fn start_session<P>(&self, parts: SessionParts, incoming: Incoming<P>) -> Handle<RelaySession>
    where
        P: Stream<Item = Result<Bytes, PayloadError>> + Unpin + 'static,
    {
        let (relay, peer, number, registration) =
            (self.clone(), parts.peer, parts.number, parts.registration);
        let connected = Counted::new(Arc::clone(&self.counters), |counters| &counters.connections);
        let mut begin = Some((parts, incoming));
        let spec = ChildSpec::new("RelaySession", move |ctx| {
            #[expect(
                clippy::expect_used,
                reason = "a temporary child is built once, and a panic here is a crash of this session alone"
            )]
            let (parts, incoming) = begin.take().expect("built once");
            RelaySession::add_stream(incoming, ctx);
            RelaySession::new(parts)
        });
        let spec = spec
            .restart(Restart::Temporary)
            .permits(SESSION_PERMITS)
            .on_end(move |_| {
                drop(connected);
                actix_web::rt::spawn(async move { relay.leave(peer, number, registration).await });
            });
        // The keeper goes on by itself.
        let (session, _life) = supervise(spec);
        session
    }

    async fn join(&self, peer: PublicKey, number: ConnectionNumber, link: Link) -> Result<(), CallError> {
        self.hub.call(Join { peer, number, link }).await
    }

    /// Introduces a session again to each later life of the hub.
    async fn stay_joined(self, peer: PublicKey, number: ConnectionNumber, link: Link, mut seen: Incarnation) {
        loop {
            let later = tokio::select! {
                () = link.over() => return,
                later = self.hub.rebuilt_since(seen) => later,
            };
            let Ok(later) = later else {
                // There will be no hub: the tracker ends.
                return;
            };
            seen = later;
            if let Err(error) = self.join(peer, number, link.clone()).await {
                tracing::warn!(%error, "a relay session cannot be found by others");
                link.hang_up(EndReason::Fault);
            }
        }
    }

    async fn leave(&self, peer: PublicKey, number: ConnectionNumber, registration: Session) {
        if let Err(error) = self.hub.call(Leave { peer, number }).await {
            // What it has is known to be over.
            tracing::debug!(%error, "the end of a relay connection was not told");
        }
        self.note_end(peer, registration).await;
    }

    /// The registry hears that a peer is not connected, if no other connection of it is there.
    async fn note_end(&self, peer: PublicKey, registration: Session) {
        let is_connected = self.find(peer).await.is_ok();
        if !is_connected && let Err(error) = self.registry.set_relayed(registration, false).await {
            tracing::debug!(%error, "the registry does not know of the end of a relay connection");
        }
    }

    async fn find(&self, peer: PublicKey) -> Result<Link, RefuseReason> {
        match self.hub.call(FindPeer(peer)).await {
            Ok(found) => found.ok_or(RefuseReason::Offline),
            Err(error) => {
                tracing::warn!(%error, "the relay's hub did not answer");
                Err(RefuseReason::Busy)
            }
        }
    }

    /// Ends the connection of a peer, if it has one: it may not take part any more.
    pub(crate) async fn expel(&self, peer: PublicKey) {
        if let Ok(link) = self.find(peer).await {
            link.hang_up(EndReason::LeaseOver);
        }
    }

    /// Passes a signal on. `false`: it found nobody.
    async fn signal(&self, from: PublicKey, to: PublicKey, bytes: Vec<u8>) -> bool {
        let Ok(link) = self.find(to).await else {
            return false;
        };
        let delivered = link.signal(&RelayFrame::Signal { peer: from, bytes });
        if delivered {
            self.counters.signals.fetch_add(1, Ordering::Relaxed);
        }
        delivered
    }
}
