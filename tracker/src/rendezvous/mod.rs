//! The rendezvous: tells a peer over UDP from which address it is seen (STUN Binding, RFC 8489), on two ports, so that a peer finds out
//! whether its NAT gives it another address for each. What is said is decided in [`p2p_shared::holepunch::stun`] and [`ration`].
//!
//! Answers go to whoever a datagram says that it is from, so they are of no use to who forges that: no answer is longer than its
//! request, but for a bare request of a public client, whose answer is rationed by network.

mod actor;
mod ration;

pub(crate) use actor::Rendezvous;

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
};

/// The ports beside a tracker unless told otherwise: that of STUN (RFC 8489) and the next one.
pub(crate) const PORTS: [u16; 2] = [3478, 3479];

/// Two sockets, which outlive the actor that answers on them.
#[derive(Clone)]
pub(crate) struct Sockets {
    pub(crate) pair: [Arc<tokio::net::UdpSocket>; 2],
    pub(crate) addresses: [SocketAddr; 2],
}

impl Sockets {
    /// Opens both. Inside of a runtime.
    ///
    /// # Errors
    /// With the address that cannot be had.
    pub(crate) fn bind(addresses: [SocketAddr; 2]) -> Result<Self, (SocketAddr, io::Error)> {
        let bind = |address: SocketAddr| {
            let open = || {
                let socket = UdpSocket::bind(address)?;
                socket.set_nonblocking(true)?;
                let real = socket.local_addr()?;
                Ok((Arc::new(tokio::net::UdpSocket::from_std(socket)?), real))
            };
            open().map_err(|error| (address, error))
        };
        let ((first, at_first), (second, at_second)) = (bind(addresses[0])?, bind(addresses[1])?);
        Ok(Self {
            pair: [first, second],
            addresses: [at_first, at_second],
        })
    }

    /// Their ports.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.addresses.iter().map(SocketAddr::port).collect()
    }
}
