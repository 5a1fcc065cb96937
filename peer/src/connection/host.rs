//! Where connections become sessions: dials, and whoever knocks.
//!
//! Promises that a peer which was greeted has its session, whatever becomes of the table of connections meanwhile; that a
//! dial which ended is not taken to be under way; and that the table hears of both. Sessions begin on the actors' thread, dials
//! are tasks beside it. Decides nothing: the table says whom to dial and which sessions to keep.

use super::{
    actor::ConnectionManager,
    companion::{accompany, insist},
    direct::{Caller, dial},
    messages::DialFailed,
    roster::SharedRoster,
    state::Dialler,
};
use crate::p2p::{
    greeting::Greeted,
    listener::accept,
    session::{self, SessionParts, close::CloseReason},
};
use actix_rt::ArbiterHandle;
use p2p_shared::{id::PublicKey, supervision::Handle};
use std::{fmt, net::SocketAddr, sync::Arc};
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    task::AbortHandle,
};

/// The host of a peer's sessions. Clones are the same one.
#[derive(Clone)]
pub(super) struct Host {
    pub caller: Caller,
    pub sessions: SessionParts,
    /// Where sessions live.
    pub actors: ArbiterHandle,
    pub roster: SharedRoster,
    /// The table, for what it has to know. Empty until it was started.
    pub table: watch::Receiver<Option<Handle<ConnectionManager>>>,
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

    /// Dials `key` at these addresses.
    pub(super) fn dial(&self, key: PublicKey, addresses: Vec<SocketAddr>) {
        self.roster.look().on_dial(key);
        let host = self.clone();
        tokio::spawn(async move {
            let caller = host.caller.clone();
            // In a task of its own: should it panic, the dial has failed like any other.
            match tokio::spawn(async move { dial(&caller, &key, &addresses).await }).await {
                Ok(Ok(greeted)) => host.begin(greeted, Dialler::Us).await,
                Ok(Err(error)) => host.on_dial_failed(key, error).await,
                Err(panicked) => host.on_dial_failed(key, panicked).await,
            }
        });
    }

    async fn on_dial_failed(&self, key: PublicKey, error: impl fmt::Display + Send) {
        tracing::debug!(peer = %key, %error, "a peer cannot be reached");
        self.roster.look().on_dial_failed(&key);
        if let Some(table) = self.table() {
            insist(|| table.call(DialFailed(key))).await;
        }
    }

    /// Begins a session over a greeted connection; returns when the table has decided about it. That it goes on does not depend
    /// on the caller's patience.
    async fn begin(&self, greeted: Greeted, dialler: Dialler) {
        let (introduced, heard) = oneshot::channel();
        let host = self.clone();
        let begun = self.actors.spawn_fn(move || {
            let id = host.roster.look().next_session();
            let peer = greeted.remote;
            let started = session::start(greeted, id, dialler, &host.sessions);
            let session = started.session.clone();
            let closed = host.roster.look().on_begun(id, &peer, session.clone());
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
