//! A peer that shares one file and keeps to the protocol as far as its script says.
//!
//! Promises real handshakes, records and messages, so that what a test shows about a liar is not an accident of a fake wire.
//! The script sees every request before it is answered. What the other side did is kept and can be waited for.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use p2p_shared::bitfield::Bitfield;
use p2p_shared::crypto::handshake::PROTOCOL_VERSION;
use p2p_shared::crypto::identity::Identity;
use p2p_shared::id::ChunkIndex;
use p2p_shared::protocol::{
    ChunkHeader, DetachReason, GoodbyeReason, Hello, MAX_BITFIELD, PeerMessage, RejectReason,
};
use p2p_shared::ticket::Seeder;

use crate::content::Content;
use crate::process::PATIENCE;
use crate::wire::{Received, Wire};

/// One request, as the script sees it.
#[derive(Debug)]
pub struct Asked<'a> {
    /// How many were asked before it, over all sessions.
    pub before: usize,
    /// Which chunk.
    pub chunk: ChunkIndex,
    /// What will be sent; the script may change it.
    pub bytes: &'a mut Vec<u8>,
}

/// What the script does about a request.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// Sends the bytes, as they are now.
    Send,
    /// Sends the bytes as if they were another chunk's.
    SendAs(ChunkIndex),
    /// Says nothing.
    Stall,
    /// Says no.
    Reject(RejectReason),
    /// Closes the connection.
    Hangup,
}

/// What the other side did.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Sessions that finished their handshake.
    pub sessions: usize,
    /// Sessions that have ended.
    pub ended: usize,
    /// Chunks asked for, in order, over all sessions.
    pub requests: Vec<ChunkIndex>,
    /// Times that others who share the file were named.
    pub introductions: usize,
    /// Chunks withdrawn.
    pub cancelled: Vec<ChunkIndex>,
    /// Reasons given for ending.
    pub goodbyes: Vec<GoodbyeReason>,
}

/// A running fake. Its threads end with their connections.
#[derive(Debug)]
pub struct FakePeer {
    seeder: Seeder,
    state: Arc<State>,
}

struct State {
    identity: Identity,
    address: SocketAddr,
    content: Arc<Content>,
    claims: Bitfield,
    script: Box<dyn Fn(&mut Asked<'_>) -> Answer + Send + Sync>,
    told: Mutex<Told>,
    changed: Condvar,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}

impl FakePeer {
    /// Listens on a free port of loopback, with the identity of `seed`; claims to hold these chunks.
    pub fn start(
        seed: u8,
        content: &Arc<Content>,
        claims: Bitfield,
        script: impl Fn(&mut Asked<'_>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let identity = Identity::from_secret([seed; 32]);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let address = listener.local_addr().expect("its address");
        let seeder = Seeder {
            key: identity.public_key(),
            addresses: vec![address],
        };
        let state = Arc::new(State {
            identity,
            address,
            content: Arc::clone(content),
            claims,
            script: Box::new(script),
            told: Mutex::default(),
            changed: Condvar::new(),
        });
        let ours = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let ours = Arc::clone(&ours);
                thread::spawn(move || ours.serve(stream));
            }
        });
        Self { seeder, state }
    }

    /// One that claims the whole file.
    pub fn with_all(
        seed: u8,
        content: &Arc<Content>,
        script: impl Fn(&mut Asked<'_>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start(seed, content, Bitfield::full(content.layout().chunks()), script)
    }

    /// One that does as it should.
    pub fn honest(seed: u8, content: &Arc<Content>) -> Self {
        Self::with_all(seed, content, |_| Answer::Send)
    }

    /// Its entry in a ticket.
    pub fn seeder(&self) -> Seeder {
        self.seeder.clone()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.seeder.addresses[0]
    }

    /// What the other side did so far.
    pub fn told(&self) -> Told {
        self.state.told().clone()
    }

    /// Waits until the other side has done something.
    #[track_caller]
    pub fn wait(&self, what: &str, done: impl Fn(&Told) -> bool) -> Told {
        self.watch().wait(what, done)
    }

    /// Sees what it is told from elsewhere: from another fake's script.
    pub fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.state))
    }
}

/// A view of what a fake is told.
#[derive(Debug, Clone)]
pub struct Watch(Arc<State>);

impl Watch {
    /// Waits until the other side has done something.
    #[track_caller]
    pub fn wait(&self, what: &str, done: impl Fn(&Told) -> bool) -> Told {
        let deadline = Instant::now() + PATIENCE;
        let mut told = self.0.told();
        while !done(&told) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "the other side never did: {what}; it did {told:?}"
            );
            told = self
                .0
                .changed
                .wait_timeout(told, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        told.clone()
    }
}

impl State {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.told());
        self.changed.notify_all();
    }

    /// One connection, to its end. Its errors are how the other side, or the script, ended it.
    fn serve(&self, stream: TcpStream) {
        let Ok(mut wire) = Wire::accept(stream, &self.identity) else {
            return;
        };
        self.tell(|told| told.sessions += 1);
        let hello = Hello {
            version: PROTOCOL_VERSION,
            features: 0,
            listen: vec![self.address],
            agent: "fake".to_owned(),
        };
        let mut open = wire.send(&PeerMessage::Hello(hello)).is_ok();
        while open {
            open = match wire.receive() {
                Ok(Received::Message(message)) => self.on_message(&mut wire, &message).unwrap_or(false),
                Ok(Received::Chunk(..)) => true,
                Err(_) => false,
            };
        }
        self.tell(|told| told.ended += 1);
    }

    /// Whether the session goes on.
    fn on_message(&self, wire: &mut Wire, message: &PeerMessage) -> std::io::Result<bool> {
        let ours = self.content.manifest.hash;
        match *message {
            PeerMessage::Attach { file } if file == ours => self.attach(wire)?,
            PeerMessage::Attach { file } => {
                wire.send(&PeerMessage::Detach {
                    file,
                    reason: DetachReason::NotShared,
                })?;
            }
            PeerMessage::Interested { .. } => wire.send(&PeerMessage::Unchoke)?,
            PeerMessage::Request { file, chunk } if file == ours => return self.on_request(wire, chunk),
            PeerMessage::PeerExchange { .. } => self.tell(|told| told.introductions += 1),
            PeerMessage::Cancel { chunk, .. } => self.tell(|told| told.cancelled.push(chunk)),
            PeerMessage::GetHashes { first, count, .. } => self.hashes(wire, first, count)?,
            PeerMessage::Ping { nonce } => wire.send(&PeerMessage::Pong { nonce })?,
            PeerMessage::Goodbye { reason } => {
                self.tell(|told| told.goodbyes.push(reason));
                return Ok(false);
            }
            _ => {}
        }
        Ok(true)
    }

    fn attach(&self, wire: &mut Wire) -> std::io::Result<()> {
        let file = self.content.manifest.hash;
        wire.send(&PeerMessage::Attach { file })?;
        for (part, bits) in self.claims.to_bytes().chunks(MAX_BITFIELD).enumerate() {
            let first_byte = u32::try_from(part * MAX_BITFIELD).expect("a bitfield has fewer bytes");
            wire.send(&PeerMessage::Bitfield {
                file,
                first_byte,
                bits: bits.to_vec(),
            })?;
        }
        Ok(())
    }

    fn on_request(&self, wire: &mut Wire, chunk: ChunkIndex) -> std::io::Result<bool> {
        let mut bytes = self.content.piece(chunk).to_vec();
        let before = self.told().requests.len();
        self.tell(|told| told.requests.push(chunk));
        let file = self.content.manifest.hash;
        match (self.script)(&mut Asked {
            before,
            chunk,
            bytes: &mut bytes,
        }) {
            Answer::Send => wire.send_chunk(&ChunkHeader { file, chunk }, &bytes)?,
            Answer::SendAs(other) => wire.send_chunk(&ChunkHeader { file, chunk: other }, &bytes)?,
            Answer::Stall => {}
            Answer::Reject(reason) => wire.send(&PeerMessage::Reject { file, chunk, reason })?,
            Answer::Hangup => return Ok(false),
        }
        Ok(true)
    }

    fn hashes(&self, wire: &mut Wire, first: u32, count: u32) -> std::io::Result<()> {
        let file = self.content.manifest.hash;
        let (first, hashes, proof) = self.content.hashes(first, count);
        wire.send(&PeerMessage::Hashes {
            file,
            first,
            hashes,
            proof,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Lab;
    use p2p_shared::hash::HashAlgorithm;

    #[test]
    fn a_fake_shakes_hands_says_what_it_holds_and_answers_as_its_script_says() {
        let lab = Lab::new();
        let path = lab.at("file");
        crate::fixtures::write_file(&path, 1, 300_000);
        let content = Arc::new(Content::of(&path, HashAlgorithm::Sha256));
        assert_eq!(content.manifest.hash.to_string(), crate::fixtures::sha256(&path));
        let file = content.manifest.hash;
        let fake = FakePeer::with_all(1, &content, |asked| {
            asked.bytes[0] ^= u8::from(asked.before == 1);
            if asked.before == 2 {
                Answer::Hangup
            } else {
                Answer::Send
            }
        });

        let us = Identity::from_secret([9; 32]);
        let mut wire = Wire::dial(fake.address(), &us, &fake.seeder().key).unwrap();
        assert!(matches!(
            wire.receive().unwrap(),
            Received::Message(PeerMessage::Hello(_))
        ));
        wire.send(&PeerMessage::Attach { file }).unwrap();
        assert_eq!(
            wire.receive().unwrap(),
            Received::Message(PeerMessage::Attach { file })
        );
        let bits = PeerMessage::Bitfield {
            file,
            first_byte: 0,
            bits: vec![0b1100_0000],
        };
        assert_eq!(wire.receive().unwrap(), Received::Message(bits));

        let chunk = ChunkIndex(1);
        let mut answers = Vec::new();
        for _ in 0..3 {
            wire.send(&PeerMessage::Request { file, chunk }).unwrap();
            answers.push(wire.receive());
        }
        let right = content.piece(chunk).to_vec();
        let mut wrong = right.clone();
        wrong[0] ^= 1;
        assert_eq!(
            answers[0].as_ref().unwrap(),
            &Received::Chunk(ChunkHeader { file, chunk }, right)
        );
        assert_eq!(
            answers[1].as_ref().unwrap(),
            &Received::Chunk(ChunkHeader { file, chunk }, wrong)
        );
        assert!(answers[2].is_err());
        assert_eq!(fake.wait("end", |told| told.ended == 1).requests, [chunk; 3]);
    }
}
