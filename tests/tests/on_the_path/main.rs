//! What somebody on the path between two peers, or at their door, gets out of it: nothing.

mod relayed;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;

use p2p_shared::crypto::handshake::{Carrier, FIRST_MESSAGE, Initiator, PROTOCOL_VERSION, SECOND_MESSAGE};
use p2p_shared::crypto::identity::Identity;
use p2p_shared::id::PublicKey;
use p2p_shared::protocol::{Hello, PeerMessage};
use p2p_shared::ticket::Ticket;
use p2p_tests::fixtures;
use p2p_tests::lab::Lab;
use p2p_tests::process::PATIENCE;
use p2p_tests::programs::{Peer, Sharing, Tracker};
use p2p_tests::tap::{Kept, Tap, Way};
use p2p_tests::tree;
use p2p_tests::wire::{Received, Wire};

/// Bytes before a handshake message.
const LENGTH: usize = 2;

/// A peer that shares one file.
struct Scene {
    lab: Lab,
    source: PathBuf,
    sharing: Sharing,
    _tracker: Tracker,
}

impl Scene {
    fn new(size: u64) -> Self {
        let lab = Lab::new();
        let tracker = Tracker::start(&lab);
        let source = lab.at("a-telling-name.bin");
        fixtures::write_file(&source, 11, size);
        let sharing = Peer::new(&lab, "sharer").tracker(&tracker).start_sharing(&source);
        Self {
            lab,
            source,
            sharing,
            _tracker: tracker,
        }
    }

    fn ticket(&self) -> Ticket {
        self.sharing.ticket.parse().expect("a ticket")
    }

    fn seeder(&self) -> (PublicKey, SocketAddr) {
        let seeder = &self.ticket().seeders[0];
        (seeder.key, seeder.addresses[0])
    }

    /// Fetches the file from the seeder, which is reached through the tap alone, and checks it.
    fn fetch_through(&self, tap: &Tap) {
        let mut ticket = self.ticket();
        ticket.trackers.clear();
        ticket.seeders.truncate(1);
        ticket.seeders[0].addresses = vec![tap.address()];
        let output = self.lab.folder("output");
        let _ended = Peer::new(&self.lab, "fetcher")
            .get(&ticket.to_string(), &output)
            .run()
            .expect_code(0);
        tree::assert_same(&self.source, &output.join("a-telling-name.bin"));
    }
}

fn hello() -> PeerMessage {
    PeerMessage::Hello(Hello {
        version: PROTOCOL_VERSION,
        features: 0,
        listen: Vec::new(),
        agent: "test".to_owned(),
    })
}

/// Waits until the other side answers a ping.
fn assert_alive(wire: &mut Wire, nonce: u64) {
    wire.send(&PeerMessage::Ping { nonce })
        .expect("a session that is open");
    let pong = Received::Message(PeerMessage::Pong { nonce });
    while wire.receive().expect("a session that is open") != pong {}
}

/// All that comes back to who sends these bytes and then says no more.
fn answer_to(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("a listener");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // It may have closed already: then it has read enough.
    drop(stream.write_all(bytes));
    drop(stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("it waits: {error}"),
        _ => answer,
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("a short message");
    [&length.to_be_bytes()[..], message].concat()
}

#[test]
fn a_prober_that_does_not_know_the_key_hears_nothing() {
    let scene = Scene::new(1000);
    let (key, address) = scene.seeder();
    let us = Identity::generate().unwrap();
    let stranger = Identity::generate().unwrap().public_key();
    let first_message = |to| {
        Initiator::new(&us, &to, Carrier::Tcp)
            .unwrap()
            .first_message()
            .unwrap()
    };
    let mut damaged = first_message(key);
    damaged[FIRST_MESSAGE - 1] ^= 1;
    let probes = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"\x13BitTorrent protocol".to_vec(),
        Vec::new(),
        vec![0],
        vec![0xff; 70_000],
        framed(&[]),
        framed(&[0; FIRST_MESSAGE]),
        framed(&[0x55; FIRST_MESSAGE]),
        framed(&first_message(stranger)),
        framed(&damaged),
    ];
    for probe in probes {
        let answer = answer_to(address, &probe);
        assert!(
            answer.is_empty(),
            "{} bytes to a prober that sent {probe:02x?}",
            answer.len()
        );
    }
    let answer = answer_to(address, &framed(&first_message(key)));
    assert!(
        answer.len() >= LENGTH + SECOND_MESSAGE,
        "who knows the key is answered"
    );
}

/// An observer who sends again what it saw passes for the peer until the first record is due: that must not cost the peer its
/// session.
#[test]
fn a_session_that_is_sent_again_by_an_observer_does_not_disturb_the_genuine_one() {
    let scene = Scene::new(1000);
    let (key, address) = scene.seeder();
    let tap = Tap::to(address);
    let us = Identity::generate().unwrap();
    let mut wire = Wire::dial(tap.address(), &us, &key).expect("a session");
    wire.send(&hello()).expect("a session that is open");
    assert_alive(&mut wire, 1);
    let seen = tap.kept().remove(0).there;
    for length in [LENGTH + FIRST_MESSAGE, LENGTH + FIRST_MESSAGE + 1, seen.len()] {
        let answer = answer_to(address, &seen[..length]);
        assert!(
            answer.len() >= LENGTH + SECOND_MESSAGE,
            "a first message is a first message"
        );
        assert_alive(&mut wire, length as u64);
    }
}

#[test]
fn nothing_of_what_is_shared_can_be_read_on_the_path() {
    let scene = Scene::new(3 * 262_144 + 5);
    let tap = Tap::to(scene.seeder().1);
    scene.fetch_through(&tap);
    let content = std::fs::read(&scene.source).unwrap();
    let ticket = scene.ticket();
    let telling: Vec<Vec<u8>> = vec![
        b"a-telling-name".to_vec(),
        ticket.manifest.hash.as_bytes()[..8].to_vec(),
        ticket.manifest.hash.to_string().into_bytes(),
        ticket.manifest.merkle_root.as_bytes()[..8].to_vec(),
        ticket.seeders[0].key.as_bytes()[..8].to_vec(),
    ];
    let pieces: HashSet<&[u8]> = content.chunks_exact(16).collect();
    let seen = tap.kept();
    let passed: usize = seen
        .iter()
        .map(|Kept { there, back }| there.len() + back.len())
        .sum();
    assert!(passed > content.len(), "the content passed here");
    for stream in seen.iter().flat_map(|Kept { there, back }| [there, back]) {
        for secret in &telling {
            assert!(!stream.windows(secret.len()).any(|window| window == secret));
        }
        assert!(!stream.windows(16).any(|window| pieces.contains(window)));
    }
}

/// A bit in the handshake, in the first records and in the middle of a chunk, one a connection, each way.
#[test]
fn a_bit_that_is_changed_on_the_path_costs_the_session_and_nothing_else() {
    let scene = Scene::new(2 << 20);
    let places = [
        (Way::There, 40),
        (Way::Back, 20),
        (Way::There, LENGTH + FIRST_MESSAGE + 10),
        (Way::Back, 300_000),
    ];
    let tap = Tap::changing(scene.seeder().1, move |passing| {
        let Some(&(way, place)) = places.get(passing.connection) else {
            return;
        };
        let end = passing.before + passing.bytes.len();
        if way == passing.way && (passing.before..end).contains(&place) {
            passing.bytes[place - passing.before] ^= 4;
        }
    });
    scene.fetch_through(&tap);
    assert_eq!(
        tap.kept().len(),
        places.len() + 1,
        "each change ended its session"
    );
}
