//! Dialling a peer at its addresses, over TCP.
//!
//! Promises an answer within [`LIMIT`]: the first address at which the peer proved who it is. Addresses of the same
//! network are tried at once, others [`STAGGER`] apart, so that one that does not answer costs the next one little; whoever
//! answers with another key is one more address that failed. Nothing of the losers is left behind, here or there: the peer hears
//! `Hello` over one connection at a time.

use crate::{
    p2p::{
        greeting::{Greeted, GreetingError, greet_in_turn},
        wire::Wire,
    },
    storage::BufferPool,
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use p2p_shared::{
    crypto::{handshake::Carrier, identity::Identity},
    id::PublicKey,
    protocol::Hello,
};
use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpStream, sync::Mutex, time};

/// How long a dial may take, over all addresses.
const LIMIT: Duration = Duration::from_secs(5);
/// Time between the beginnings of two attempts (RFC 8305 names 250 ms).
const STAGGER: Duration = Duration::from_millis(250);
/// How long an address that answered is waited for, when another one did before: two of the longest round trips.
const TURN: Duration = Duration::from_secs(1);

/// What a dial needs to know of ourselves.
#[derive(Clone)]
pub struct Caller {
    /// Who we are.
    pub identity: Arc<Identity>,
    /// What we say of ourselves.
    pub hello: Hello,
    /// Buffers for chunks that come in.
    pub receiving: BufferPool,
}

/// Why a peer could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// None of its addresses led to it; the last failure.
    #[error("{address}: {error}")]
    Failed {
        /// The address that failed last.
        address: SocketAddr,
        /// How.
        error: GreetingError,
    },
    /// There is no address.
    #[error("no address is known")]
    NoAddress,
    /// No answer in time.
    #[error("no answer within {} s", LIMIT.as_secs())]
    TimedOut,
}

/// Dials `key` at all `addresses`.
pub async fn dial(caller: &Caller, key: &PublicKey, addresses: &[SocketAddr]) -> Result<Greeted, DialError> {
    let turns = Mutex::new(());
    let turns = &turns;
    let attempts = staggered(addresses)
        .into_iter()
        .map(|(address, delay)| async move {
            time::sleep(delay).await;
            let greeted = attempt(caller, key, address, turns).await;
            greeted.map_err(|error| DialError::Failed { address, error })
        });
    let race = first_success(attempts.collect());
    time::timeout(LIMIT, race)
        .await
        .unwrap_or(Err(DialError::TimedOut))
}

/// The first that succeeds; the last error, if none does. The others are dropped.
async fn first_success<F>(mut attempts: FuturesUnordered<F>) -> Result<Greeted, DialError>
where
    F: Future<Output = Result<Greeted, DialError>>,
{
    let mut last = DialError::NoAddress;
    while let Some(outcome) = attempts.next().await {
        match outcome {
            Ok(greeted) => return Ok(greeted),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn attempt(
    caller: &Caller,
    key: &PublicKey,
    address: SocketAddr,
    turns: &Mutex<()>,
) -> Result<Greeted, GreetingError> {
    let stream = TcpStream::connect(address).await?;
    let wire = Wire::tcp(stream)?;
    let Caller {
        identity,
        hello,
        receiving,
    } = caller;
    greet_in_turn(
        wire,
        identity,
        key,
        Carrier::Tcp,
        hello.clone(),
        receiving.clone(),
        // Late: the one before is stuck, and this one goes on beside it.
        time::timeout(TURN, turns.lock()),
    )
    .await
}

/// When to begin with which address: near ones at once, then one of each family every [`STAGGER`].
fn staggered(addresses: &[SocketAddr]) -> Vec<(SocketAddr, Duration)> {
    let (mut v4, mut v6) = (0, 0);
    let delays = addresses.iter().map(|address| {
        let turn = match address.ip() {
            ip if is_near(&ip) => return (*address, Duration::ZERO),
            IpAddr::V4(_) => &mut v4,
            IpAddr::V6(_) => &mut v6,
        };
        *turn += 1;
        (*address, STAGGER * (*turn - 1))
    });
    delays.collect()
}

/// This machine or its own network: an answer takes milliseconds, or there is none.
fn is_near(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_addresses_are_tried_at_once_and_others_one_after_the_other_in_each_family() {
        let addresses = [
            "127.0.0.1:1",
            "192.0.2.1:1",
            "10.0.0.1:1",
            "192.0.2.2:1",
            "[2001:db8::1]:1",
            "[fd00::1]:1",
        ];
        let delays: Vec<_> = staggered(&addresses.map(|address| address.parse().unwrap()))
            .into_iter()
            .map(|(_, delay)| delay.as_millis())
            .collect();
        assert_eq!(delays, [0, 0, 0, 250, 0, 0]);
    }
}
