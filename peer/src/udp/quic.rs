//! QUIC on the peer's socket: one connection a punched path, one stream a connection.
//!
//! Promises that a connection exists only between two that showed each other the certificates of their sealed offers, that whoever is
//! not expected gets no answer, and that both ends have heard each other on the stream when [`dial`](Line::dial) or [`take`] returns.
//! Decides nothing about whom to talk to.

use super::{
    Fingerprint,
    bind::{plain, wired},
    certificate::{Credentials, TlsError},
    guests::{Admission, Expected, Guests},
    socket::Socket,
    stream,
};
use crate::p2p::wire::Wire;
use quinn::{
    ClientConfig, ConnectError, Connecting, Connection, ConnectionError, Endpoint, EndpointConfig,
    IdleTimeout, Incoming, ReadExactError, RecvStream, SendStream, ServerConfig, TokioRuntime,
    TransportConfig, VarInt, WriteError, congestion::ControllerFactory,
};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio_util::task::TaskTracker;

/// What may be under way: 100 MB/s at 160 ms. As much is buffered at most for a connection, each way.
const WINDOW: u32 = 16 << 20;
/// The shortest life of an idle NAT mapping that is met in practice is 30 s, RFC 4787 wants 120; five also notices in time that a path died.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A path that said nothing for so long, asked twice, is dead.
const IDLE: Duration = Duration::from_secs(10);
/// The smallest datagram that every QUIC path carries. Larger ones are found out.
const FIRST_MTU: u16 = 1200;
/// Datagrams under way before anything is known of the path: what browsers begin with. With the ten of RFC 9002 a first chunk takes two round
/// trips more.
const FIRST_DATAGRAMS: u64 = 32;
/// Said first on the stream, by both: the other one is there, and reads what we read.
const HELLO: [u8; 1] = [1];
/// Whatever stands here is not looked at: the certificate is pinned.
const SERVER_NAME: &str = "p2p.invalid";

/// A socket and QUIC on it.
#[derive(Debug)]
pub(super) struct Line {
    pub socket: Arc<Socket>,
    pub guests: Arc<Guests>,
    pub credentials: Credentials,
    pub endpoint: Endpoint,
    transport: Arc<TransportConfig>,
    /// Connections whose last bytes are still being delivered.
    pub farewells: TaskTracker,
}

/// A connection and its stream, both ends of which have spoken.
pub(super) type Connected = (Connection, SendStream, RecvStream);

/// Why there is no QUIC connection.
#[derive(Debug, thiserror::Error)]
pub enum QuicError {
    /// Not even begun.
    #[error("cannot connect: {0}")]
    Connect(#[from] ConnectError),
    /// It broke, or was refused.
    #[error("the QUIC connection failed: {0}")]
    Connection(#[from] ConnectionError),
    /// The other side took its leave before it said anything.
    #[error("the QUIC stream ended early: {0}")]
    Read(#[from] ReadExactError),
    /// The other side does not want to hear us.
    #[error("the QUIC stream ended early: {0}")]
    Write(#[from] WriteError),
    /// No TLS.
    #[error("{0}")]
    Tls(String),
    /// Our socket cannot send there.
    #[error("this socket does not reach that kind of address")]
    WrongFamily,
    /// It is from an address that is no guest (any more).
    #[error("the QUIC connection is from a stranger")]
    Stranger,
}

impl From<TlsError> for QuicError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error.to_string())
    }
}

impl Line {
    /// QUIC on this socket, driven by tasks of the current runtime.
    pub(super) fn open(socket: std::net::UdpSocket) -> io::Result<Self> {
        let guests = Arc::new(Guests::default());
        let socket = Arc::new(Socket::new(socket, Arc::clone(&guests))?);
        let credentials = Credentials::new().map_err(io::Error::other)?;
        let mut config = EndpointConfig::default();
        // Or a packet of ours could not be told from a probe.
        config.grease_quic_bit(false);
        let transport = Arc::new(transport());
        // Answers nobody: who is expected is let in with a configuration of its own.
        let nobody = server(&credentials, Fingerprint::default(), &transport).map_err(io::Error::other)?;
        let endpoint = Endpoint::new_with_abstract_socket(
            config,
            Some(nobody),
            Arc::clone(&socket) as _,
            Arc::new(TokioRuntime),
        )?;
        Ok(Self {
            socket,
            guests,
            credentials,
            endpoint,
            transport,
            farewells: TaskTracker::new(),
        })
    }

    /// Lets in who is expected, until the socket is gone.
    pub(super) async fn welcome(&self) {
        while let Some(incoming) = self.endpoint.accept().await {
            self.meet(incoming);
        }
    }

    fn meet(&self, incoming: Incoming) {
        let from = plain(incoming.remote_address());
        let Some(Expected { pin, to }) = self.guests.expected(&from) else {
            self.guests.turn_away();
            return incoming.ignore();
        };
        // One is being tried and one waits: no work for more. An honest client says it again.
        let Ok(place) = to.try_reserve() else {
            self.guests.turn_away();
            return incoming.ignore();
        };
        let begun = server(&self.credentials, pin, &self.transport)
            .map_err(|error| error.to_string())
            .and_then(|config| {
                incoming
                    .accept_with(Arc::new(config))
                    .map_err(|error| error.to_string())
            });
        match begun {
            Ok(connecting) => place.send(connecting),
            Err(error) => tracing::debug!(%from, %error, "a QUIC connection did not begin"),
        }
    }

    /// Connects to an admitted address.
    pub(super) async fn dial(&self, address: SocketAddr, pin: Fingerprint) -> Result<Connected, QuicError> {
        let mut config = ClientConfig::new(Arc::new(self.credentials.client(pin)?));
        config.transport_config(Arc::clone(&self.transport));
        let to = wired(address, self.is_v6()).ok_or(QuicError::WrongFamily)?;
        let connection = self.endpoint.connect_with(config, to, SERVER_NAME)?.await?;
        let (mut send, mut receive) = connection.open_bi().await?;
        greet(&mut send, &mut receive).await?;
        Ok((connection, send, receive))
    }

    /// The wire of a connection; it keeps its address a guest.
    pub(super) fn wire(&self, (connection, send, receive): Connected, guest: Admission) -> Wire {
        stream::wire(connection, send, receive, guest, self.farewells.clone())
    }

    fn is_v6(&self) -> bool {
        self.endpoint.local_addr().is_ok_and(|address| address.is_ipv6())
    }
}

/// Takes a connection that was let in.
pub(super) async fn take(connecting: Connecting) -> Result<Connected, QuicError> {
    let connection = connecting.await?;
    let (mut send, mut receive) = connection.accept_bi().await?;
    greet(&mut send, &mut receive).await?;
    Ok((connection, send, receive))
}

/// Both say a byte. So the stream is there on both sides, whoever talks first, and both certificates were accepted.
async fn greet(send: &mut SendStream, receive: &mut RecvStream) -> Result<(), QuicError> {
    send.write_all(&HELLO).await?;
    receive.read_exact(&mut HELLO.clone()).await?;
    Ok(())
}

fn server(
    credentials: &Credentials,
    pin: Fingerprint,
    transport: &Arc<TransportConfig>,
) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::with_crypto(Arc::new(credentials.server(pin)?));
    config.transport_config(Arc::clone(transport));
    // Packets from an address that was not admitted are not heard anyway; a path that moves is punched anew.
    config.migration(false);
    Ok(config)
}

fn transport() -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(WINDOW.into())
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(IdleTimeout::try_from(IDLE).ok())
        .initial_mtu(FIRST_MTU)
        .congestion_controller_factory(congestion());
    config
}

/// Which it is and why: `docs/adr/0008-congestion-control.md`.
#[cfg(not(feature = "quic-bbr"))]
fn congestion() -> Arc<dyn ControllerFactory + Send + Sync> {
    let mut cubic = quinn::congestion::CubicConfig::default();
    cubic.initial_window(FIRST_DATAGRAMS * u64::from(FIRST_MTU));
    Arc::new(cubic)
}

/// For the comparison.
#[cfg(feature = "quic-bbr")]
fn congestion() -> Arc<dyn ControllerFactory + Send + Sync> {
    let mut bbr = quinn::congestion::BbrConfig::default();
    bbr.initial_window(FIRST_DATAGRAMS * u64::from(FIRST_MTU));
    Arc::new(bbr)
}
