//! A STUN client with a plain socket: asks once, waits a little.

use p2p_shared::holepunch::stun::{self, BindingError, Reply};
use std::{
    io,
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

/// An answer on one machine takes microseconds; on a loaded one not as long as this. Longer, and there is none.
const PATIENCE: Duration = Duration::from_secs(2);

/// A socket that asks.
pub fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a UDP socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

/// Sends these bytes and waits for what comes back.
pub fn ask(socket: &UdpSocket, at: SocketAddr, bytes: &[u8]) -> io::Result<Vec<u8>> {
    socket.send_to(bytes, at)?;
    let mut buffer = [0; 1500];
    let (len, from) = socket.recv_from(&mut buffer)?;
    assert_eq!(from, at, "who was asked answers");
    Ok(buffer[..len].to_vec())
}

/// Where a server sees a new socket of this machine.
pub fn binding(at: SocketAddr) -> io::Result<Result<Reply, BindingError>> {
    let id = *b"a test asks.";
    let answer = ask(&socket(), at, &stun::request(id))?;
    Ok(stun::read_reply(&answer, id))
}
