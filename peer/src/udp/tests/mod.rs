//! Sockets on loopback, talking QUIC to each other.

mod observe;
mod port;
mod punch;
mod quic;

use super::{bind, quic::Line};
use std::{net::SocketAddr, sync::Arc};

/// A line on a free port, and its address.
pub(super) fn line() -> (Arc<Line>, SocketAddr) {
    let socket = bind::beside("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let line = Arc::new(Line::open(socket).unwrap());
    let door = Arc::clone(&line);
    tokio::spawn(async move { door.welcome().await });
    (line, address)
}
