//! The socket that QUIC sends and receives on, with what is not QUIC taken out on the way.
//!
//! Promises quinn datagrams of admitted addresses only ([`Guests`]), STUN and probes to who waits for them, and that no datagram from
//! a stranger is ever the reason to send one. Offloads (many datagrams a system call, both ways) are quinn-udp's and stay in use.

use super::{
    bind::{plain, wired},
    guests::Guests,
    sort::{Kind, take_out},
};
use quinn::{AsyncUdpSocket, UdpPoller};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use std::{
    fmt,
    future::Future,
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{io::Interest, net::UdpSocket};

/// Failed reads in a row after which the socket is given up, and another one bound.
const FAILURES: usize = 16;

/// The peer's UDP socket.
#[derive(Debug)]
pub(super) struct Socket {
    io: UdpSocket,
    offload: UdpSocketState,
    is_v6: bool,
    guests: Arc<Guests>,
}

impl Socket {
    /// Takes the socket over. Within a runtime.
    pub(super) fn new(socket: std::net::UdpSocket, guests: Arc<Guests>) -> io::Result<Self> {
        Ok(Self {
            is_v6: socket.local_addr()?.is_ipv6(),
            offload: UdpSocketState::new((&socket).into())?,
            io: UdpSocket::from_std(socket)?,
            guests,
        })
    }

    /// Whether this socket can send there.
    pub(super) fn reaches(&self, address: SocketAddr) -> bool {
        wired(address, self.is_v6).is_some()
    }

    /// Sends one datagram that is not QUIC.
    pub(super) async fn send(&self, to: SocketAddr, datagram: &[u8]) -> io::Result<()> {
        let to = wired(to, self.is_v6).ok_or(io::ErrorKind::Unsupported)?;
        self.io.send_to(datagram, to).await?;
        Ok(())
    }

    /// Leaves in a buffer what QUIC may see.
    fn sort(&self, buffer: &mut [u8], meta: &mut RecvMeta) {
        let from = plain(meta.addr);
        let stride = meta.stride;
        let kept = take_out(&mut buffer[..meta.len], stride, |kind, datagram| match kind {
            Kind::Stun => self.guests.on_stun(from, datagram),
            Kind::Probe | Kind::Quic => self.guests.on_probe(from, datagram),
        });
        meta.len = kept;
        if kept > 0 && !self.guests.is_admitted(&from) {
            self.guests.turn_away();
            meta.len = 0;
        }
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(WhenWritable {
            socket: self,
            waiting: None,
        })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.io.try_io(Interest::WRITABLE, || {
            self.offload.send((&self.io).into(), transmit)
        })
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut failures = 0;
        loop {
            ready!(self.io.poll_recv_ready(cx))?;
            let received = self.io.try_io(Interest::READABLE, || {
                self.offload.recv((&self.io).into(), buffers, meta)
            });
            match received {
                Ok(count) => {
                    for (buffer, meta) in buffers.iter_mut().zip(meta).take(count) {
                        self.sort(buffer, meta);
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // One path's trouble, told once by the kernel, is not the socket's.
                Err(_) if failures < FAILURES => failures += 1,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.offload.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.offload.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.offload.may_fragment()
    }
}

type Writable = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>;

/// Tells one task when the socket takes more.
struct WhenWritable {
    socket: Arc<Socket>,
    waiting: Option<Writable>,
}

impl UdpPoller for WhenWritable {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = Arc::clone(&self.socket);
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(async move { socket.io.writable().await }));
        let ready = ready!(waiting.as_mut().poll(cx));
        // Made anew when it is waited for again.
        self.waiting = None;
        Poll::Ready(ready)
    }
}

impl fmt::Debug for WhenWritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WhenWritable").finish_non_exhaustive()
    }
}
