//! The peer protocol spoken by hand: the project's own handshake, records and messages over a plain blocking socket.
//!
//! Promises to send what it is told, also what no honest peer would, and to open only what the other side sealed. It is what
//! fakes are made of; it decides nothing.

use std::io::{self, Read, Write};
use std::mem;
use std::net::{SocketAddr, TcpStream};

use p2p_shared::crypto::handshake::{
    Carrier, Initiator, MAX_HANDSHAKE_MESSAGE, Responder, SessionKeys, Unproven,
};
use p2p_shared::crypto::identity::Identity;
use p2p_shared::crypto::record::{RECORD_HEADER, body_length};
use p2p_shared::id::PublicKey;
use p2p_shared::protocol::{self, ChunkHeader, Incoming, PeerMessage};

use crate::process::PATIENCE;

/// A session with one peer, after the handshake.
pub struct Wire {
    stream: TcpStream,
    keys: Keys,
}

/// What we know of who is there. Unproven until its first record was opened; nothing after a failure.
enum Keys {
    Proven(SessionKeys),
    Unproven(Unproven),
    None,
}

/// What a record held, with its bytes taken out.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// A control message.
    Message(PeerMessage),
    /// A chunk, not verified.
    Chunk(ChunkHeader, Vec<u8>),
}

impl Wire {
    /// Connects to a peer and proves who we are.
    pub fn dial(address: SocketAddr, identity: &Identity, remote: &PublicKey) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut initiator = Initiator::new(identity, remote, Carrier::Tcp).map_err(io::Error::other)?;
        let first = initiator.first_message().map_err(io::Error::other)?;
        write_handshake(&mut stream, &first)?;
        let answer = read_handshake(&mut stream)?;
        let keys = initiator.finish(&answer).map_err(io::Error::other)?;
        let keys = Keys::Proven(keys);
        Ok(Self { stream, keys })
    }

    /// Takes a connection and lets the other side prove who it is.
    pub fn accept(mut stream: TcpStream, identity: &Identity) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut responder = Responder::new(identity, Carrier::Tcp).map_err(io::Error::other)?;
        responder
            .read_first(&read_handshake(&mut stream)?)
            .map_err(io::Error::other)?;
        let (answer, keys) = responder.finish().map_err(io::Error::other)?;
        write_handshake(&mut stream, &answer)?;
        let keys = Keys::Unproven(keys);
        Ok(Self { stream, keys })
    }

    /// Who the other side is, once it has sent something.
    pub fn remote(&self) -> Option<PublicKey> {
        match &self.keys {
            Keys::Proven(keys) => Some(keys.remote),
            _ => None,
        }
    }

    /// Sends a message.
    pub fn send(&mut self, message: &PeerMessage) -> io::Result<()> {
        let mut plaintext = Vec::new();
        protocol::encode(message, &mut plaintext).map_err(io::Error::other)?;
        self.send_plaintext(&plaintext)
    }

    /// Sends a chunk; nothing checks that it is one.
    pub fn send_chunk(&mut self, header: &ChunkHeader, bytes: &[u8]) -> io::Result<()> {
        let mut plaintext = Vec::with_capacity(bytes.len() + 64);
        plaintext.extend_from_slice(&protocol::chunk_prefix(header));
        plaintext.extend_from_slice(bytes);
        self.send_plaintext(&plaintext)
    }

    /// Seals and sends whatever this is.
    pub fn send_plaintext(&mut self, plaintext: &[u8]) -> io::Result<()> {
        let mut record = vec![0; RECORD_HEADER];
        record.extend_from_slice(plaintext);
        let sealer = match &mut self.keys {
            Keys::Proven(keys) => &mut keys.sealer,
            Keys::Unproven(keys) => &mut keys.sealer,
            Keys::None => return Err(io::ErrorKind::BrokenPipe.into()),
        };
        sealer.seal(&mut record).map_err(io::Error::other)?;
        self.stream.write_all(&record)
    }

    /// Sends bytes that are no record.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next record. An error is the end of the session, whatever the reason.
    pub fn receive(&mut self) -> io::Result<Received> {
        let mut header = [0; RECORD_HEADER];
        self.stream.read_exact(&mut header)?;
        let mut body = vec![0; body_length(header).map_err(io::Error::other)?];
        self.stream.read_exact(&mut body)?;
        let plaintext = self.open(header, &mut body)?;
        Ok(match protocol::decode(plaintext).map_err(io::Error::other)? {
            Incoming::Message(message) => Received::Message(message),
            Incoming::Chunk { header, bytes } => Received::Chunk(header, bytes.to_vec()),
        })
    }

    fn open<'a>(&mut self, header: [u8; RECORD_HEADER], body: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let (keys, plaintext) = match mem::replace(&mut self.keys, Keys::None) {
            Keys::Proven(mut keys) => {
                let plaintext = keys.opener.open(header, body).map_err(io::Error::other)?;
                (keys, plaintext)
            }
            Keys::Unproven(keys) => keys.open_first(header, body).map_err(io::Error::other)?,
            Keys::None => return Err(io::ErrorKind::BrokenPipe.into()),
        };
        self.keys = Keys::Proven(keys);
        Ok(plaintext)
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

fn write_handshake(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], message].concat())
}

fn read_handshake(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let length = usize::from(u16::from_be_bytes(length));
    if length > MAX_HANDSHAKE_MESSAGE {
        return Err(io::Error::other(format!("a handshake message of {length} bytes")));
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message)?;
    Ok(message)
}
