//! Where connections become sessions: attempts of ours, and whoever knocks.
//!
//! Promises that a peer which was greeted has its session, whatever becomes of the table of connections meanwhile; that a
//! attempt which ended is not taken to be under way; and that the table hears of both. Sessions begin on the actors' thread, dials
//! are tasks beside it. Decides nothing: the table says whom to dial and which sessions to keep.

use super::{
    actor::ConnectionManager,
    companion::{accompany, insist},
    direct::{Caller, DialError, dial},
    hint::RelayAddress,
    messages::AttemptFailed,
    path::Attempt,
    policy::Policy,
    punching::{NoHole, Puncher},
    relayed::{self, TunnelError},
    roster::{Origin, SharedRoster},
    state::Dialler,
};
use crate::{
    p2p::{
        greeting::Greeted,
        listener::accept,
        session::{self, SessionParts, close::CloseReason},
    },
    relay::RelayHandle,
};
use actix_rt::ArbiterHandle;
use p2p_shared::{id::PublicKey, supervision::Handle};
use std::{fmt, net::SocketAddr, sync::Arc, time::Instant};
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    task::AbortHandle,
    time,
};

/// The host of a peer's sessions. Clones are the same one.
#[derive(Clone)]
pub(super) struct Host {
    pub caller: Caller,
    pub sessions: SessionParts,
    /// Where sessions live.
    pub actors: ArbiterHandle,
    pub roster: SharedRoster,
    /// How peers are to be reached.
    pub policy: Policy,
    /// The way to relays, if there are any.
    pub relays: Option<RelayHandle>,
    /// Who talks about punching, if there is a UDP port.
    pub puncher: Option<Puncher>,
    /// The table, for what it has to know. Empty until it was started.
    pub table: watch::Receiver<Option<Handle<ConnectionManager>>>,
}

/// Whom to reach, and how.
#[derive(Debug)]
pub(super) struct Target {
    pub attempt: Attempt,
    pub key: PublicKey,
    pub addresses: Vec<SocketAddr>,
    pub relays: Vec<RelayAddress>,
    /// What holds for this peer.
    pub policy: Policy,
    /// What it leads to is not used before this.
    pub not_before: Option<Instant>,
}

/// Why an attempt led to nobody.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttemptError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
    #[error(transparent)]
    Punch(#[from] NoHole),
    #[error("there is no way to try this")]
    NoWay,
}

impl Host {
    /// Lets in whoever knocks, until aborted.
    pub(super) fn accept(&self, listener: Arc<TcpListener>) -> AbortHandle {
        let host = self.clone();
        let welcome = move |greeted| {
            let host = host.clone();
            async move { host.begin(greeted, Dialler::Them).await }
        };
        tokio::spawn(accept(listener, self.caller.clone(), welcome)).abort_handle()
    }

    /// Tries to reach a peer.
    pub(super) fn reach(&self, target: Target) {
        let Target { attempt, key, .. } = target;
        self.roster.look().on_try(key, attempt);
        let host = self.clone();
        tokio::spawn(async move {
            let trying = host.clone();
            // In a task of its own: should it panic, the attempt has failed like any other.
            match tokio::spawn(async move { trying.attempt(target).await }).await {
                Ok(Ok((greeted, dialler))) => host.begin(greeted, dialler).await,
                Ok(Err(error)) => host.on_failed(key, attempt, error).await,
                Err(panicked) => host.on_failed(key, attempt, panicked).await,
            }
        });
    }

    async fn attempt(&self, target: Target) -> Result<(Greeted, Dialler), AttemptError> {
        let Target {
            attempt,
            key,
            addresses,
            relays,
            policy,
            not_before,
        } = target;
        let ours = |greeted| (greeted, Dialler::Us);
        match (attempt, &self.relays, &self.puncher) {
            (Attempt::Dial, ..) => Ok(ours(dial(&self.caller, &key, &addresses).await?)),
            (Attempt::Tunnel, Some(way), _) => {
                let greeted = relayed::reach(way, &self.caller, key, &relays, policy).await?;
                if let Some(time) = not_before {
                    // A direct session that is there by then makes this one redundant.
                    time::sleep_until(time.into()).await;
                }
                Ok(ours(greeted))
            }
            (Attempt::Punch, _, Some(puncher)) => Ok(puncher.reach(&self.caller, key, &relays).await?),
            (Attempt::Tunnel | Attempt::Punch, ..) => Err(AttemptError::NoWay),
        }
    }

    async fn on_failed(&self, key: PublicKey, attempt: Attempt, error: impl fmt::Display + Send) {
        tracing::debug!(peer = %key, ?attempt, %error, "a peer cannot be reached");
        self.roster.look().on_failed(key, attempt);
        if let Some(table) = self.table() {
            insist(|| table.call(AttemptFailed { key, attempt })).await;
        }
    }

    /// Begins a session over a greeted connection; returns when the table has decided about it. That it goes on does not depend
    /// on the caller's patience.
    pub(super) async fn begin(&self, greeted: Greeted, dialler: Dialler) {
        let (introduced, heard) = oneshot::channel();
        let host = self.clone();
        let begun = self.actors.spawn_fn(move || {
            let id = host.roster.look().next_session();
            let origin = Origin {
                peer: greeted.remote,
                dialler,
                path: greeted.path,
            };
            let started = session::start(greeted, id, dialler, &host.sessions);
            let session = started.session.clone();
            let closed = host.roster.look().on_begun(id, &origin, session.clone());
            if let Some(reason) = closed {
                session.close(reason);
            }
            if let Some(table) = host.table() {
                tokio::spawn(accompany(table, host.roster, started, introduced));
            }
        });
        if begun {
            // An error means that the program ends.
            heard.await.ok();
        }
    }

    fn table(&self) -> Option<Handle<ConnectionManager>> {
        self.table.borrow().clone()
    }

    /// Ends every session, and lets nobody in any more.
    pub(super) fn close(&self, reason: &CloseReason) {
        let sessions = self.roster.look().close(reason.clone());
        for session in sessions {
            session.close(reason.clone());
        }
    }
}
