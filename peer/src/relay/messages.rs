//! What a relay's session is told, and what it tells.

use super::{
    address::{RelayAddress, RelayUrl},
    dial::{DialError, Dialled},
    link::{Heard, Link},
    places::Place,
    tunnel::Tunnel,
};
use crate::client::TrackerUrl;
use actix::Message;
use p2p_shared::id::PublicKey;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Something came through a relay.
#[derive(Debug)]
pub enum RelayNews {
    /// Somebody wants to talk to this peer, and has a tunnel to it.
    Incoming(Incoming),
    /// Somebody has something to say without a tunnel.
    Signal {
        /// Who says so: the relay knows its key, and nobody else has checked it.
        from: PublicKey,
        /// Through which relay.
        at: RelayAddress,
        /// Sealed for this peer.
        sealed: Vec<u8>,
    },
    /// What this peer had to say to somebody found nobody.
    Undelivered {
        /// To whom.
        peer: PublicKey,
        /// Through which relay.
        at: RelayAddress,
    },
}

/// A tunnel that another peer opened.
#[derive(Debug)]
pub struct Incoming {
    /// Who, as the relay says; the handshake proves it.
    pub peer: PublicKey,
    /// Through which relay.
    pub at: RelayAddress,
    /// The way to it.
    pub tunnel: Tunnel,
    /// One of the places for those that have not proved who they are: to be dropped when this one has.
    pub place: Place,
}

/// How a relay stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayStatus {
    /// Where it is.
    pub url: RelayUrl,
    /// Whether it is kept connected.
    pub is_home: bool,
    /// Whether it is connected.
    pub state: RelayState,
    /// To it and back, once that was measured.
    pub rtt: Option<Duration>,
    /// Tunnels that are open.
    pub tunnels: usize,
    /// Bytes of tunnels that came over this connection.
    pub received: u64,
    /// Bytes of tunnels that went over this connection.
    pub sent: u64,
}

/// Whether a relay is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayState {
    /// There is no registration to show.
    Unregistered,
    /// On the way.
    Connecting,
    /// It is.
    Connected,
    /// Connected to one that stops: there are no new tunnels.
    GoingAway,
    /// To be tried again in a while.
    BackingOff {
        /// What went wrong.
        why: String,
    },
}

/// What a session is to do, kept outside of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Wish {
    /// To be kept connected.
    pub(super) is_home: bool,
    /// Whose registrations open it.
    pub(super) trackers: Vec<TrackerUrl>,
    /// How many wait for a tunnel.
    pub(super) waiting: usize,
}

/// What a session publishes of itself.
#[derive(Clone)]
pub(super) struct Standing {
    pub(super) state: RelayState,
    /// While it is connected and takes new tunnels, or has old ones.
    pub(super) link: Option<Arc<Link>>,
    /// How often connecting failed.
    pub(super) failures: u64,
    /// Until when it is left alone.
    pub(super) paused: Option<Instant>,
}

impl Standing {
    /// The connection, if it is not over.
    pub(super) fn live(&self) -> Option<Arc<Link>> {
        self.link.clone().filter(|link| !link.is_over())
    }

    /// Why there will be no connection before `deadline`, if that is certain.
    pub(super) fn hopeless(&self, deadline: Instant) -> Option<&str> {
        match &self.state {
            RelayState::BackingOff { why } if self.paused > Some(deadline) => Some(why),
            _ => None,
        }
    }
}

/// Look at what is wanted, and at the clock.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Look;

/// Connecting came to its end.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct DialEnded {
    pub(super) result: Result<Dialled, DialError>,
}

/// A connection, this many connections after the first, heard something.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct LinkHeard {
    pub(super) connection: u64,
    pub(super) heard: Heard,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_that_is_left_alone_for_longer_is_not_waited_for_and_one_that_is_tried_sooner_is() {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let why = "it refuses".to_owned();
        let mut standing = Standing {
            state: RelayState::BackingOff { why },
            link: None,
            failures: 1,
            paused: Some(after(60)),
        };
        assert_eq!(standing.hopeless(after(10)), Some("it refuses"));
        standing.paused = Some(after(8));
        assert_eq!(standing.hopeless(after(10)), None);
        standing.paused = Some(after(60));
        standing.state = RelayState::Connecting;
        assert_eq!(standing.hopeless(after(10)), None);
    }
}
