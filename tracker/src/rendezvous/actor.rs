//! The actor that answers. A datagram is a few dozen bytes and an answer takes microseconds, so it decides and sends at once; what
//! the system has no room for is dropped, as UDP may, and asked again.

use super::{Sockets, ration::Ration};
use crate::clock::Clock;
use actix::{Actor, Context, StreamHandler};
use fail::fail_point;
use futures_util::Stream;
use p2p_shared::holepunch::stun;
use std::{hash::RandomState, net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::UdpSocket;

/// Longer datagrams than this are no requests; what is cut off is no STUN.
const LONGEST: usize = 1500;

/// Pause after an error of a socket, so that one that does not go away costs no processor.
const PAUSE: Duration = Duration::from_millis(10);

/// A datagram came.
pub(crate) struct Datagram {
    /// On which of the two sockets.
    socket: usize,
    bytes: Vec<u8>,
    source: SocketAddr,
}

/// Answers on two sockets.
pub(crate) struct Rendezvous {
    sockets: Sockets,
    ration: Ration<RandomState>,
    clock: Clock,
}

impl Rendezvous {
    pub(crate) fn new(sockets: Sockets, clock: Clock) -> Self {
        Self {
            sockets,
            ration: Ration::new(RandomState::new()),
            clock,
        }
    }

    fn answer(
        &mut self,
        Datagram {
            socket,
            bytes,
            source,
        }: &Datagram,
    ) {
        let Some(request) = stun::read_request(bytes) else {
            return;
        };
        let other = self.sockets.addresses[1 - socket];
        let answer = stun::answer(&request, *source, Some(other));
        if answer.amplifies && !self.ration.take(source.ip(), self.clock.now()) {
            return;
        }
        if let Err(error) = self.sockets.pair[*socket].try_send_to(&answer.bytes, *source) {
            tracing::debug!(%error, "an answer was not sent");
        }
    }
}

impl Actor for Rendezvous {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        for (socket, from) in self.sockets.pair.iter().enumerate() {
            Self::add_stream(datagrams(socket, Arc::clone(from)), ctx);
        }
    }
}

impl StreamHandler<Datagram> for Rendezvous {
    fn handle(&mut self, datagram: Datagram, _: &mut Self::Context) {
        fail_point!("Rendezvous::Datagram");
        self.answer(&datagram);
    }
}

fn datagrams(socket: usize, from: Arc<UdpSocket>) -> impl Stream<Item = Datagram> {
    futures_util::stream::unfold(from, move |from| async move {
        let mut buffer = [0; LONGEST];
        loop {
            match from.recv_from(&mut buffer).await {
                Ok((len, source)) => {
                    let bytes = buffer[..len].to_vec();
                    let datagram = Datagram {
                        socket,
                        bytes,
                        source,
                    };
                    return Some((datagram, from));
                }
                Err(error) => {
                    tracing::debug!(%error, "a UDP socket failed");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    })
}
