//! Who is connected, who is to be, and who never again.
//!
//! In reading order: the table ([`state`]), peers that peers name ([`gossip`]), when a lost peer is dialled again
//! ([`redial`]), dialling itself ([`direct`]); around that the ConnectionManager actor, permanent and rebuilt empty, which
//! every session introduces itself to again.

mod actor;
mod companion;
pub mod direct;
pub mod gossip;
mod handle;
mod messages;
pub mod redial;
pub mod state;

pub use handle::ConnectionManagerHandle;
pub use messages::SwarmEvent;

use crate::p2p::session::{SessionParts, close::CloseReason};
use actor::{ConnectionManager, Parts};
use direct::Caller;
use messages::CloseAll;
use p2p_shared::{
    protocol::GoodbyeReason,
    supervision::{ChildSpec, Supervisor},
};
use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use tokio::{net::TcpListener, sync::watch, time::timeout};

/// Messages that may wait for the table: each session and each dial has at most one under way.
const PERMITS: usize = 1024;
/// How long goodbyes may take when the program ends.
const GOODBYES: Duration = Duration::from_secs(2);

/// What the table of connections is started with.
pub struct ConnectionParts {
    /// Who we are, what we say of ourselves, and buffers for what comes in.
    pub caller: Caller,
    /// What every session works with.
    pub sessions: SessionParts,
    /// Where peers knock; nowhere, if nobody is to.
    pub listener: Option<Arc<TcpListener>>,
}

/// Starts the table of connections under `supervisor`. Whoever knocks at the listener is let in from now on.
pub fn start(supervisor: &mut Supervisor, parts: ConnectionParts) -> ConnectionManagerHandle {
    let (table, itself) = watch::channel(None);
    let goodbyes = parts.sessions.goodbyes.clone();
    let parts = Parts {
        table: itself,
        caller: parts.caller,
        sessions: parts.sessions,
        listener: parts.listener,
        next_session: Arc::new(AtomicU64::new(1)),
    };
    let spec = ChildSpec::new("ConnectionManager", move |_| {
        ConnectionManager::new(parts.clone())
    });
    let spec = spec.permits(PERMITS).before_stop(|table| async move {
        let stopped = CloseReason::Ours(GoodbyeReason::Stopped);
        // No answer: no time to say goodbye, and the other side finds out.
        table.call(CloseAll(stopped)).await.ok();
        goodbyes.close();
        timeout(GOODBYES, goodbyes.wait()).await.ok();
    });
    let handle = supervisor.start(spec);
    table.send_replace(Some(handle.clone()));
    ConnectionManagerHandle { handle }
}

#[cfg(test)]
mod connection_tests;
