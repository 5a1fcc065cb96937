//! The peer's one UDP socket, and what is done on it: asking how others see us, punching, QUIC.
//!
//! In reading order: the socket beside the TCP listener (`bind`), what its datagrams are (`sort`) and who may be heard
//! (`guests`), the socket that quinn is given (`socket`), QUIC with the certificates that the sealed offers name (`certificate`, `randomness`, `quic`) and
//! its stream as a wire (`stream`), rounds of punching (`punch`); STUN ([`StunServer`], `observe`); the router's port ([`mapping`]). [`UdpHandle`] is the way to all
//! of it; the `port` holds it, and the UdpKeeper actor, permanent, keeps it going.

mod bind;
mod certificate;
mod guests;
mod handle;
mod keeper;
pub mod mapping;
mod observe;
mod port;
mod punch;
mod quic;
mod randomness;
mod server;
mod socket;
mod sort;
mod stream;
#[cfg(test)]
mod tests;

pub use handle::UdpHandle;
pub use observe::{Observation, ObserveError};
pub use punch::{PunchError, PunchedPath};
pub use quic::QuicError;
pub use server::{BadStunServer, StunServer};

use keeper::UdpKeeper;
use mapping::Mapper;
use p2p_shared::supervision::{ChildSpec, Supervisor};
use port::Port;
use std::{net::SocketAddr, sync::Arc};

/// SHA-256 of a certificate in DER.
type Fingerprint = [u8; 32];

/// Opens the UDP port beside the TCP listener, under `supervisor`, and has `mapper` ask the router for both. When it is stopped, what
/// was said last is delivered and the router gets its ports back. Without a listener there is no port either: who hides has none.
///
/// # Panics
/// Outside of the actors' thread (that of a [`system`](p2p_shared::supervision::system)).
pub fn start(supervisor: &mut Supervisor, listener: Option<SocketAddr>, mapper: Option<Mapper>) -> UdpHandle {
    let port = Arc::new(Port::open(listener, mapper));
    let (kept, at_end) = (Arc::clone(&port), Arc::clone(&port));
    let spec = ChildSpec::new("UdpKeeper", move |_| UdpKeeper::new(Arc::clone(&kept)));
    supervisor.start(spec.before_stop(|_| async move { at_end.close().await }));
    UdpHandle { port }
}
