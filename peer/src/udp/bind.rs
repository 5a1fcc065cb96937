//! The UDP port beside the TCP port.
//!
//! Promises the number that the TCP listener has, if nobody else has it for UDP; else any, and says so. What the listener's address is,
//! the UDP socket's is: one IPv4 or IPv6 address, all of IPv4 (`0.0.0.0`), or all of both on one socket (`[::]`).

use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{SocketAddr, UdpSocket},
};

/// What the kernel is asked to buffer each way: 40 ms at 100 MB/s. It gives what `net.core.rmem_max` and `wmem_max` allow.
const BUFFER: usize = 4 << 20;

/// A socket on the address of the TCP listener.
pub(super) fn beside(listener: SocketAddr) -> io::Result<UdpSocket> {
    bind(listener).or_else(|error| {
        tracing::warn!(address = %listener, %error, "the UDP port beside the TCP port cannot be had; taking another");
        bind(SocketAddr::new(listener.ip(), 0))
    })
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // As the TCP listener has it, whatever `net.ipv6.bindv6only` says.
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    // Small buffers make it slow, not wrong.
    if let Err(error) = socket
        .set_recv_buffer_size(BUFFER)
        .and_then(|()| socket.set_send_buffer_size(BUFFER))
    {
        tracing::debug!(%error, "the UDP buffers stay as they are");
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// The address as everybody else writes it: a dual socket sees IPv4 as `::ffff:192.0.2.1`.
pub(super) fn plain(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        // Left as it is, for its zone.
        ip if ip.is_ipv6() => address,
        ip => SocketAddr::new(ip, address.port()),
    }
}

/// The address as a socket wants it that is on IPv6, or is not. `None`: it cannot reach that.
pub(super) fn wired(address: SocketAddr, is_v6: bool) -> Option<SocketAddr> {
    match (plain(address), is_v6) {
        (SocketAddr::V4(v4), true) => Some((v4.ip().to_ipv6_mapped(), v4.port()).into()),
        (SocketAddr::V6(_), false) => None,
        (address, _) => Some(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_beside_the_listener_is_had_if_it_is_free() {
        let first = beside("127.0.0.1:0".parse().unwrap()).unwrap();
        let taken = first.local_addr().unwrap();
        let other = beside(taken).unwrap().local_addr().unwrap();
        assert_ne!(other, taken);
        assert_eq!(other.ip(), taken.ip());
        drop(first);
        assert_eq!(beside(taken).unwrap().local_addr().unwrap(), taken);
    }

    #[test]
    fn a_socket_on_all_addresses_is_heard_over_both_families() {
        let Ok(dual) = beside("[::]:0".parse().unwrap()) else {
            eprintln!("skipped: this machine has no IPv6");
            return;
        };
        let port = dual.local_addr().unwrap().port();
        dual.set_nonblocking(false).unwrap();
        for ip in ["127.0.0.1", "::1"] {
            let to = SocketAddr::new(ip.parse().unwrap(), port);
            let sender = beside(SocketAddr::new(to.ip(), 0)).unwrap();
            sender.send_to(b"here", to).unwrap();
            let (_, from) = dual.recv_from(&mut [0; 8]).unwrap();
            assert_eq!(plain(from), sender.local_addr().unwrap());
        }
    }

    #[test]
    fn addresses_are_written_as_each_side_wants_them() {
        let v4: SocketAddr = "192.0.2.1:7".parse().unwrap();
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:7".parse().unwrap();
        let v6: SocketAddr = "[2001:db8::1]:7".parse().unwrap();
        assert_eq!((plain(mapped), plain(v6)), (v4, v6));
        assert_eq!((wired(v4, true), wired(v4, false)), (Some(mapped), Some(v4)));
        assert_eq!((wired(v6, true), wired(v6, false)), (Some(v6), None));
    }
}
