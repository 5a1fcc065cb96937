//! Who is connected, who is to be, and who never again.
//!
//! In reading order: the words ([`policy`], [`hint`], `terms`), the ways to one peer ([`path`], [`redial`]), the sessions with one
//! peer ([`links`]), the table of all ([`state`], `peers`, [`dialling`]), why a path is used ([`reason`]), peers that peers
//! name ([`gossip`]), dialling itself ([`direct`]), what goes through relays ([`relayed`]), where we are to be found (`whereabouts`, `moves`) and how holes
//! are punched ([`punching`], `manners`). Around that: the ConnectionManager actor, permanent, which is rebuilt
//! from what no crash of it can take (`roster`: sessions, dials, bans), and the `host`, who begins sessions beside it.

mod actor;
mod companion;
pub mod dialling;
pub mod direct;
pub mod gossip;
mod handle;
pub mod hint;
mod host;
pub mod links;
mod manners;
mod messages;
mod moves;
pub mod path;
mod peers;
pub mod policy;
pub mod punching;
pub mod reason;
pub mod redial;
pub mod relayed;
mod roster;
pub mod state;
mod terms;
mod whereabouts;

pub use handle::ConnectionManagerHandle;
pub use hint::{Hint, RelayAddress};
pub use messages::SwarmEvent;
pub use policy::Policy;
pub use punching::PunchParts;
pub use relayed::Relays;

use crate::p2p::session::{SessionParts, close::CloseReason};
use actix_rt::Arbiter;
use actor::ConnectionManager;
use direct::Caller;
use host::Host;
use p2p_shared::{
    protocol::GoodbyeReason,
    supervision::{ChildSpec, Supervisor},
};
use punching::Puncher;
use roster::SharedRoster;
use std::{sync::Arc, time::Duration};
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
    /// How peers are to be reached, whatever is wanted of them.
    pub policy: Policy,
    /// The relays, and what comes through them; nothing, if there are none.
    pub relays: Option<Relays>,
    /// The UDP port, and who says how others see it; nothing: no hole is punched.
    pub punching: Option<PunchParts>,
}

/// Starts the table of connections under `supervisor`. Whoever knocks at the listener is let in from now on.
///
/// # Panics
/// Outside of the actors' thread (that of a [`system`](p2p_shared::supervision::system)).
pub fn start(supervisor: &mut Supervisor, parts: ConnectionParts) -> ConnectionManagerHandle {
    let (table, itself) = watch::channel(None);
    let goodbyes = parts.sessions.goodbyes.clone();
    let roster = SharedRoster::default();
    let relays = parts.relays.as_ref().map(|relays| relays.handle.clone());
    let puncher = parts.punching.zip(relays.clone());
    let puncher = puncher.map(|(parts, relays)| Puncher::start(parts, relays));
    let host = Host {
        caller: parts.caller,
        sessions: parts.sessions,
        actors: Arbiter::current(),
        roster: roster.clone(),
        table: itself,
        policy: parts.policy,
        relays,
        puncher,
    };
    let (for_table, at_end) = (host.clone(), host.clone());
    let spec = ChildSpec::new("ConnectionManager", move |_| {
        ConnectionManager::new(for_table.clone())
    });
    let doors = parts.listener.map(|listener| host.accept(listener)).into_iter();
    let doors = doors.chain(parts.relays.map(|relays| host.attend(relays.news)));
    let doors: Vec<_> = doors.collect();
    let spec = spec.permits(PERMITS).before_stop(|_| async move {
        for door in doors {
            door.abort();
        }
        at_end.close(&CloseReason::Ours(GoodbyeReason::Stopped));
        // Too late for a goodbye: the other side finds out.
        goodbyes.close();
        timeout(GOODBYES, goodbyes.wait()).await.ok();
    });
    let handle = supervisor.start(spec);
    table.send_replace(Some(handle.clone()));
    ConnectionManagerHandle { handle, roster }
}

#[cfg(test)]
mod choice_tests;
#[cfg(test)]
mod connection_tests;
