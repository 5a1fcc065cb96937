//! From a bare connection to an authenticated one: the handshake, then `Hello` both ways.
//!
//! Promises that who answers has the key that was dialled, that who dials has the key it names, and that a prober which
//! does not know our key gets no byte back. A dialler is believed only when its first record opens (a handshake message
//! alone may be a replay), so a session begins after the `Hello`s, not before. No time limit here: callers set one.

use super::{
    session::close::{CloseReason, Violation},
    wire::{RecordReader, Sink, Source, Wire, reason},
};
use crate::{event::PathKind, relay::RelayUrl, storage::BufferPool};
use p2p_shared::{
    crypto::{
        handshake::{
            Carrier, HandshakeError, Initiator, MAX_HANDSHAKE_MESSAGE, PROTOCOL_VERSION, Responder,
            SessionKeys,
        },
        identity::Identity,
        record::{RECORD_HEADER, RecordError, Sealer, body_length},
    },
    id::PublicKey,
    protocol::{EncodeError, Hello, Incoming, PeerMessage, decode, encode},
};
use std::{io, net::SocketAddr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Bytes of the first record's body, at most: a `Hello` with all its addresses has some 500.
const MAX_HELLO: usize = 4096;

/// Why a connection did not become a session.
#[derive(Debug, thiserror::Error)]
pub enum GreetingError {
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// A first message longer than any is.
    #[error("a first message of {0} bytes")]
    TooLong(usize),
    /// The other side is not who it should be, or speaks something else.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// Our own `Hello` cannot be sent.
    #[error("our own greeting cannot be sent: {0}")]
    Encode(#[from] EncodeError),
    /// Our own `Hello` cannot be sealed.
    #[error("our own greeting cannot be sealed: {0}")]
    Seal(#[from] RecordError),
    /// The first record was no `Hello`, or did not open.
    #[error("no greeting from the other side: {0}")]
    Refused(CloseReason),
}

/// A connection whose other end is known, ready for a session.
pub struct Greeted {
    /// Who is at the other end, proved.
    pub remote: PublicKey,
    /// What it says of itself.
    pub hello: Hello,
    /// Its address, if it has one.
    pub address: Option<SocketAddr>,
    /// By which kind of path.
    pub path: PathKind,
    /// The relay that it is reached through, if it is.
    pub relay: Option<RelayUrl>,
    pub(crate) reader: RecordReader,
    pub(crate) sink: Sink,
    pub(crate) sealer: Sealer,
}

/// What we say of ourselves.
pub fn hello(listen: Vec<SocketAddr>) -> Hello {
    Hello {
        version: PROTOCOL_VERSION,
        features: 0,
        listen,
        agent: concat!("p2p-peer/", env!("CARGO_PKG_VERSION")).to_owned(),
    }
}

/// Our side of a connection that we dialled to `remote`.
pub async fn greet(
    wire: Wire,
    identity: &Identity,
    remote: &PublicKey,
    carrier: Carrier,
    hello: Hello,
    pool: BufferPool,
) -> Result<Greeted, GreetingError> {
    let at_once = std::future::ready(());
    greet_in_turn(wire, identity, remote, carrier, hello, pool, at_once).await
}

/// The same, of several connections to the same peer of which one is to be kept: once the peer is known to be there, it waits for its
/// `turn`, and holds what that brings until it is greeted or not. The peer takes each connection over which we say `Hello` for one that we
/// keep.
pub async fn greet_in_turn<T>(
    mut wire: Wire,
    identity: &Identity,
    remote: &PublicKey,
    carrier: Carrier,
    hello: Hello,
    pool: BufferPool,
    turn: impl Future<Output = T>,
) -> Result<Greeted, GreetingError> {
    let mut initiator = Initiator::new(identity, remote, carrier)?;
    write_message(&mut wire.sink, &initiator.first_message()?).await?;
    let answer = read_message(&mut wire.source).await?;
    let SessionKeys {
        mut sealer,
        mut opener,
        remote,
    } = initiator.finish(&answer)?;
    let _turn = turn.await;
    say_hello(&mut wire.sink, &mut sealer, hello).await?;
    let (header, mut body) = read_first_record(&mut wire.source).await?;
    let plaintext = opener.open(header, &mut body).map_err(not_opened)?;
    let hello = hear_hello(plaintext)?;
    let keys = SessionKeys {
        sealer,
        opener,
        remote,
    };
    Ok(Greeted::new(wire, keys, hello, pool, carrier))
}

/// Our side of a connection that somebody dialled to us.
pub async fn answer(
    mut wire: Wire,
    identity: &Identity,
    carrier: Carrier,
    hello: Hello,
    pool: BufferPool,
) -> Result<Greeted, GreetingError> {
    let mut responder = Responder::new(identity, carrier)?;
    let first = read_message(&mut wire.source).await?;
    responder.read_first(&first)?;
    let (second, mut keys) = responder.finish()?;
    write_message(&mut wire.sink, &second).await?;
    say_hello(&mut wire.sink, &mut keys.sealer, hello).await?;
    let (header, mut body) = read_first_record(&mut wire.source).await?;
    let (keys, plaintext) = keys.open_first(header, &mut body).map_err(not_opened)?;
    let hello = hear_hello(plaintext)?;
    Ok(Greeted::new(wire, keys, hello, pool, carrier))
}

impl Greeted {
    fn new(wire: Wire, keys: SessionKeys, hello: Hello, pool: BufferPool, carrier: Carrier) -> Self {
        Self {
            remote: keys.remote,
            hello,
            address: wire.address,
            path: PathKind::of(carrier),
            relay: None,
            reader: RecordReader::new(wire.source, keys.opener, pool),
            sink: wire.sink,
            sealer: keys.sealer,
        }
    }
}

async fn say_hello(sink: &mut Sink, sealer: &mut Sealer, hello: Hello) -> Result<(), GreetingError> {
    let mut record = vec![0; RECORD_HEADER];
    encode(&PeerMessage::Hello(hello), &mut record)?;
    sealer.seal(&mut record)?;
    Ok(sink.write_all(&record).await?)
}

/// The header and body of the first record, which is never long.
async fn read_first_record(source: &mut Source) -> Result<([u8; RECORD_HEADER], Vec<u8>), GreetingError> {
    let mut header = [0; RECORD_HEADER];
    source.read_exact(&mut header).await?;
    let length = body_length(header).map_err(not_opened)?;
    if length > MAX_HELLO {
        return Err(GreetingError::TooLong(length));
    }
    let mut body = vec![0; length];
    source.read_exact(&mut body).await?;
    Ok((header, body))
}

fn hear_hello(plaintext: &[u8]) -> Result<Hello, GreetingError> {
    match decode(plaintext) {
        Ok(Incoming::Message(PeerMessage::Hello(hello))) if hello.version == PROTOCOL_VERSION => Ok(hello),
        Ok(Incoming::Message(PeerMessage::Hello(hello))) => Err(refused(Violation::Version(hello.version))),
        Ok(_) => Err(refused(Violation::Hello)),
        Err(error) => Err(refused(Violation::Undecodable(error.to_string()))),
    }
}

fn not_opened(error: RecordError) -> GreetingError {
    GreetingError::Refused(reason(error))
}

fn refused(violation: Violation) -> GreetingError {
    GreetingError::Refused(CloseReason::Violation(violation))
}

/// A handshake message: its length in two bytes, then itself.
async fn write_message(sink: &mut Sink, message: &[u8]) -> Result<(), GreetingError> {
    let length = u16::try_from(message.len()).map_err(|_| GreetingError::TooLong(message.len()))?;
    let framed = [&length.to_be_bytes(), message].concat();
    Ok(sink.write_all(&framed).await?)
}

async fn read_message(source: &mut Source) -> Result<Vec<u8>, GreetingError> {
    let length = usize::from(source.read_u16().await?);
    if length > MAX_HANDSHAKE_MESSAGE {
        return Err(GreetingError::TooLong(length));
    }
    let mut message = vec![0; length];
    source.read_exact(&mut message).await?;
    Ok(message)
}
