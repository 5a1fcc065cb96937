//! The socket of an accepted connection: what every one of them gets, and what one gets whose client may read slowly.
//!
//! Promises that a client which is gone is noticed within [`GONE_AFTER`], by the system or, on a relay connection, by its session: there the
//! system alone cannot tell a client that reads slowly from one that is gone.

use actix_web::{dev::Extensions, rt::net::TcpStream};
use socket2::{SockRef, TcpKeepalive};
use std::{
    any::Any,
    io,
    os::fd::{AsRawFd as _, BorrowedFd, RawFd},
    time::Duration,
};

/// A client that acknowledges nothing for this long is gone (`TCP_USER_TIMEOUT`, RFC 5482).
const GONE_AFTER: Duration = Duration::from_secs(20);

/// So long may a client that reads slowly keep its window shut. Linux ends a connection by `TCP_USER_TIMEOUT` also if the client answers that it is
/// there and has no room. It says that it has room when it has read a sixteenth of its buffer or a whole segment (64 KiB on loopback), which at 1 KiB/s
/// takes minutes. Not for ever: the socket of a client that is gone, whose session has ended long ago, is kept as long.
const SHUT_FOR: Duration = Duration::from_secs(300);

/// Bytes that the system takes for a connection before the client's window and the path have room for them. Bounds what a reader that stops
/// pins in the kernel without holding up a fast one far away, as a fixed buffer would (its usual limit is 208 KiB).
const UNSENT: u32 = 256 * 1024;

/// Which socket a request came by; lies in the data of its connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accepted(RawFd);

/// Sets what every accepted connection gets.
pub(crate) fn on_connect(connection: &dyn Any, data: &mut Extensions) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else {
        return;
    };
    data.insert(Accepted(stream.as_raw_fd()));
    if let Err(error) = options(&SockRef::from(stream)) {
        // It is closed already, or the system lacks an option; either way it is served as it is.
        tracing::debug!(%error, "socket options were not set");
    }
}

fn options(socket: &SockRef<'_>) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(GONE_AFTER / 2)
        .with_interval(GONE_AFTER / 4)
        .with_retries(2);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_notsent_lowat(UNSENT)?;
    socket.set_tcp_user_timeout(Some(GONE_AFTER))
}

/// Lets the client of this request read slowly from now on. For who notices by itself when the client is gone. Only to be called while the request is being
/// answered.
pub(crate) fn let_it_read_slowly(request: &actix_web::HttpRequest) {
    let Some(Accepted(socket)) = request.conn_data() else {
        return;
    };
    // SAFETY: requests are answered by the task that owns their connection, on its thread, so the socket is open until the answer is there.
    let socket = unsafe { BorrowedFd::borrow_raw(*socket) };
    if let Err(error) = SockRef::from(&socket).set_tcp_user_timeout(Some(SHUT_FOR)) {
        // It is closed already, or the system lacks the option, and then had none before.
        tracing::debug!(%error, "a socket option was not set");
    }
}
