//! Sessions through relays: tunnels that we open, and those that others open to us.
//!
//! Promises that whoever is at the other end of a tunnel proves its key before anything else is said, within
//! [`DEADLINE`], that those who have not are limited in number (their place is given back when they have), and that
//! over a tunnel whose policy hides addresses none of ours is named.

use super::{direct::Caller, hint::RelayAddress, host::Host, policy::Policy, state::Dialler};
use crate::{
    p2p::{
        greeting::{Greeted, GreetingError, answer, greet},
        wire::Wire,
    },
    relay::{Incoming, OpenError, RelayHandle, RelayNews, RelayUrl},
};
use p2p_shared::{crypto::handshake::Carrier, id::PublicKey, protocol::Hello};
use std::time::Duration;
use tokio::{sync::mpsc, task::AbortHandle, time};

/// How long the other end may take to prove who it is.
const DEADLINE: Duration = Duration::from_secs(5);

/// The relays, and what comes through them.
pub struct Relays {
    /// The way to them.
    pub handle: RelayHandle,
    /// What comes.
    pub news: mpsc::Receiver<RelayNews>,
}

/// Why a tunnel led to no session.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// There is none.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Whoever is there is not who it should be, or says nothing.
    #[error(transparent)]
    Greeting(#[from] GreetingError),
    /// No answer in time.
    #[error("no answer through the relay within {} s", DEADLINE.as_secs())]
    TimedOut,
    /// No relay is known where it could be met.
    #[error("no relay of it is known")]
    NoRelay,
}

/// Reaches `key` through one of these relays, the first that leads to it.
pub(super) async fn reach(
    relays: &RelayHandle,
    caller: &Caller,
    key: PublicKey,
    at: &[RelayAddress],
    policy: Policy,
) -> Result<Greeted, TunnelError> {
    let mut last = TunnelError::NoRelay;
    for relay in at {
        match through(relays, caller, key, relay, policy).await {
            Ok(greeted) => return Ok(greeted),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn through(
    relays: &RelayHandle,
    caller: &Caller,
    key: PublicKey,
    at: &RelayAddress,
    policy: Policy,
) -> Result<Greeted, TunnelError> {
    let wire = Wire::new(relays.open(at, key).await?, None);
    let hello = hello(caller, policy);
    let greeting = greet(
        wire,
        &caller.identity,
        &key,
        Carrier::Relay,
        hello,
        caller.receiving.clone(),
    );
    let greeted = time::timeout(DEADLINE, greeting).await;
    Ok(Greeted {
        relay: Some(at.url.clone()),
        ..greeted.map_err(|_| TunnelError::TimedOut)??
    })
}

/// What we say of ourselves.
fn hello(caller: &Caller, policy: Policy) -> Hello {
    let mut hello = caller.hello.clone();
    if policy == Policy::RelayOnly {
        hello.listen.clear();
    }
    hello
}

impl Host {
    /// Lets in whoever comes through a relay, until aborted.
    pub(super) fn attend(&self, mut news: mpsc::Receiver<RelayNews>) -> AbortHandle {
        let host = self.clone();
        let attending = async move {
            while let Some(news) = news.recv().await {
                match news {
                    RelayNews::Incoming(incoming) => host.meet(incoming),
                    RelayNews::Signal { from, at, sealed } => host.on_signal(from, at, &sealed),
                    RelayNews::Undelivered { peer, at } => {
                        tracing::debug!(%peer, relay = %at, "a signal found nobody");
                    }
                }
            }
        };
        tokio::spawn(attending).abort_handle()
    }

    /// What holds for a peer that comes to us.
    fn policy_towards(&self, peer: &PublicKey) -> Policy {
        match self.roster.look().is_hidden_from(peer) {
            true => Policy::RelayOnly,
            false => self.policy,
        }
    }

    /// As many at a time as there are places for strangers.
    fn meet(&self, incoming: Incoming) {
        let host = self.clone();
        if !host.policy.allows(crate::event::PathKind::Relayed) {
            // Dropped, which the other end sees.
            return;
        }
        let Incoming {
            peer,
            at,
            tunnel,
            place,
        } = incoming;
        let wire = Wire::new(tunnel, None);
        tokio::spawn(async move { host.let_in(peer, at.url, wire, place).await });
    }

    /// Whoever proves to be `peer` at the other end of `wire`, through `relay`, has a session, and gives its `place` among strangers back.
    async fn let_in<P>(&self, peer: PublicKey, relay: RelayUrl, wire: Wire, place: P) {
        let Caller {
            identity, receiving, ..
        } = &self.caller;
        let hello = hello(&self.caller, self.policy_towards(&peer));
        let greeting = answer(wire, identity, Carrier::Relay, hello, receiving.clone());
        match time::timeout(DEADLINE, greeting).await {
            Ok(Ok(greeted)) if greeted.remote == peer => {
                drop(place);
                let relay = Some(relay);
                self.begin(Greeted { relay, ..greeted }, Dialler::Them).await;
            }
            Ok(Ok(_)) => tracing::warn!(%peer, "a relay takes another peer for this one"),
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a tunnel did not become a session"),
            Err(_) => tracing::debug!(%peer, "a tunnel stalled before it became a session"),
        }
    }
}

#[cfg(test)]
#[path = "relayed_tests.rs"]
mod tests;
