//! QUIC between two sockets.

use super::line;
use crate::{
    p2p::wire::Wire,
    udp::{
        Fingerprint, QuicError,
        guests::Expected,
        quic::{Line, take},
    },
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UdpSocket,
    sync::mpsc,
    time::timeout,
};

/// Long enough for any machine; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the wires carry.
const MANY: usize = 64 << 20;

struct End {
    line: Arc<Line>,
    address: SocketAddr,
}

fn ends() -> (End, End) {
    let end = || {
        let (line, address) = line();
        End { line, address }
    };
    (end(), end())
}

impl End {
    fn pin(&self) -> Fingerprint {
        self.line.credentials.fingerprint
    }

    async fn connect(&self, to: &Self, pin: Fingerprint) -> Result<Wire, QuicError> {
        let guest = self.line.guests.admit(to.address);
        let connected = self.line.dial(to.address, pin).await?;
        Ok(self.line.wire(connected, guest))
    }

    async fn accept(&self, from: &Self, pin: Fingerprint) -> Result<Wire, QuicError> {
        let guest = self.line.guests.admit(from.address);
        let (to, mut connections) = mpsc::channel(1);
        guest.expect(Expected { pin, to });
        let connected = take(connections.recv().await.unwrap()).await?;
        Ok(self.line.wire(connected, guest))
    }
}

async fn wires(client: &End, server: &End) -> (Wire, Wire) {
    let (near, far) = tokio::join!(
        client.connect(server, server.pin()),
        server.accept(client, client.pin())
    );
    (near.unwrap(), far.unwrap())
}

fn content() -> Vec<u8> {
    let mut state = 1_u64;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_le_bytes()
    });
    words.take(MANY / 8).flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_mebibytes_arrive_intact_though_both_halves_are_dropped_after_the_last_write() {
    let (client, server) = ends();
    let (mut near, mut far) = wires(&client, &server).await;
    assert_eq!(
        (near.address, far.address),
        (Some(server.address), Some(client.address))
    );
    let sent = content();
    let sending = sent.clone();
    let writer = tokio::spawn(async move {
        near.sink.write_all(&sending).await.unwrap();
        drop(near);
    });
    let mut received = Vec::new();
    timeout(PATIENCE, far.source.read_to_end(&mut received))
        .await
        .unwrap()
        .unwrap();
    writer.await.unwrap();
    assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_before_the_drop_is_there_for_a_reader_that_comes_late() {
    let (client, server) = ends();
    let (mut near, mut far) = wires(&client, &server).await;
    near.sink.write_all(&[7; 100_000]).await.unwrap();
    drop(near);
    client.line.farewells.close();
    timeout(PATIENCE, client.line.farewells.wait()).await.unwrap();
    timeout(PATIENCE, client.line.endpoint.wait_idle()).await.unwrap();
    let mut received = Vec::new();
    timeout(PATIENCE, far.source.read_to_end(&mut received))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(received, vec![7; 100_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn either_side_may_speak_first() {
    let (client, server) = ends();
    let (mut near, mut far) = wires(&client, &server).await;
    far.sink.write_all(b"from who accepted").await.unwrap();
    let mut heard = [0; 17];
    timeout(PATIENCE, near.source.read_exact(&mut heard))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&heard, b"from who accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_certificate_than_the_pinned_one_is_refused_on_either_side() {
    let (client, server) = ends();
    let wrong = [9; 32];
    let (refused, never) = tokio::join!(
        client.connect(&server, wrong),
        server.accept(&client, client.pin())
    );
    assert!(
        matches!(refused, Err(QuicError::Connection(_))),
        "{:?}",
        refused.err()
    );
    assert!(never.is_err());
    let (refused, never) = tokio::join!(
        client.connect(&server, server.pin()),
        server.accept(&client, wrong)
    );
    assert!(refused.is_err());
    assert!(never.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_a_guest_only_as_long_as_its_connection_lives() {
    let (client, server) = ends();
    let (near, far) = wires(&client, &server).await;
    assert!(server.line.guests.is_admitted(&client.address));
    drop((near, far));
    for end in [&client, &server] {
        end.line.farewells.close();
        timeout(PATIENCE, end.line.farewells.wait()).await.unwrap();
    }
    assert!(!server.line.guests.is_admitted(&client.address));
    assert!(!client.line.guests.is_admitted(&server.address));
}

/// A first packet that quinn would answer if it saw it: of an unknown version, and long enough.
fn initial() -> Vec<u8> {
    let mut packet = vec![0_u8; 1200];
    packet[..6].copy_from_slice(&[0xc0, 0x0a, 0x0a, 0x0a, 0x0a, 8]);
    packet
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_no_byte_whatever_it_sends() {
    let (_, server) = ends();
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let sent = [
        initial(),
        vec![0xff; 1200],
        vec![0x80; 64],
        p2p_shared::holepunch::stun::request([1; 12]),
        vec![0; 1],
    ];
    for datagram in &sent {
        stranger.send_to(datagram, server.address).await.unwrap();
    }
    until(|| server.line.guests.turned_away() == sent.len() as u64).await;
    assert_silent(&server, &stranger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_is_not_expected_to_connect_gets_no_byte_either() {
    let (client, server) = ends();
    let _guest = server.line.guests.admit(client.address);
    let refused = timeout(Duration::from_millis(300), client.connect(&server, server.pin())).await;
    assert!(refused.is_err(), "nobody answered");
    assert!(server.line.guests.turned_away() > 0);
    assert_eq!(server.line.endpoint.stats().accepted_handshakes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_while_another_connection_is_tried_gets_its_turn() {
    let (client, server) = ends();
    let guest = server.line.guests.admit(client.address);
    let _server_is_a_guest = client.line.guests.admit(server.address);
    let (to, mut connections) = mpsc::channel(1);
    let pin = client.pin();
    guest.expect(Expected { pin, to: to.clone() });
    let dial = || {
        let (line, address, pin) = (Arc::clone(&client.line), server.address, server.pin());
        tokio::spawn(async move { line.dial(address, pin).await })
    };
    let first = dial();
    until(|| to.capacity() == 0).await;
    let second = dial();
    until(|| server.line.guests.turned_away() > 0).await;
    drop(timeout(PATIENCE, connections.recv()).await.unwrap().unwrap());
    assert!(first.await.unwrap().is_err(), "it was hung up on");
    let again = timeout(PATIENCE, connections.recv()).await.unwrap().unwrap();
    let taken = take(again).await;
    assert!(taken.is_ok() && second.await.unwrap().is_ok());
}

/// Shows that the same bytes get an answer once their sender is a guest: so the silence before was not for want of a reason. What was
/// sent before would have been answered before that.
async fn assert_silent(server: &End, stranger: &UdpSocket) {
    let mut answer = [0; 1500];
    assert!(stranger.try_recv(&mut answer).is_err(), "an answer");
    let _guest = server.line.guests.admit(stranger.local_addr().unwrap());
    stranger.send_to(&initial(), server.address).await.unwrap();
    let (len, _) = timeout(PATIENCE, stranger.recv_from(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(len > 0, "the negotiation of versions");
    assert!(
        stranger.try_recv(&mut answer).is_err(),
        "two answers to one packet"
    );
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap();
}
