//! Strangers at the door.

use super::*;
use crate::{
    connection::direct::{DialError, dial},
    p2p::{
        greeting::{GreetingError, hello},
        testing::{identity, pool},
    },
};
use p2p_shared::{
    crypto::{
        handshake::{Responder, Unproven},
        record::RECORD_HEADER,
    },
    id::PublicKey,
    protocol::{PeerMessage, encode},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc,
};

fn caller(seed: u8) -> Caller {
    Caller {
        identity: identity(seed),
        hello: hello(Vec::new()),
        receiving: pool(4),
    }
}

/// A listener with identity 2: where it is, and whom it let in.
fn open_door() -> (
    SocketAddr,
    mpsc::UnboundedReceiver<PublicKey>,
    tokio::task::JoinHandle<()>,
) {
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, welcomed) = mpsc::unbounded_channel();
    let welcome = move |greeted: Greeted| {
        let sender = sender.clone();
        async move { sender.send(greeted.remote).unwrap() }
    };
    (
        address,
        welcomed,
        tokio::spawn(accept(listener, caller(2), welcome)),
    )
}

#[tokio::test]
async fn who_knows_the_key_is_let_in_under_its_own() {
    let (address, mut welcomed, _door) = open_door();
    let greeted = dial(&caller(1), &identity(2).public_key(), &[address])
        .await
        .unwrap();
    assert_eq!(greeted.remote, identity(2).public_key());
    assert_eq!(welcomed.recv().await, Some(identity(1).public_key()));
}

#[tokio::test]
async fn who_dials_another_key_is_refused_and_hears_nothing() {
    let (address, _welcomed, _door) = open_door();
    let refused = dial(&caller(1), &identity(3).public_key(), &[address]).await;
    assert!(matches!(
        refused,
        Err(DialError::Failed {
            error: GreetingError::Io(_),
            ..
        })
    ));
}

#[tokio::test]
async fn a_dead_address_and_a_stranger_do_not_keep_a_dial_from_the_right_one() {
    let (address, mut welcomed, _door) = open_door();
    let closed = bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .unwrap()
        .local_addr()
        .unwrap();
    let mute = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let addresses = [closed, mute.local_addr().unwrap(), address];
    dial(&caller(1), &identity(2).public_key(), &addresses)
        .await
        .unwrap();
    assert!(welcomed.recv().await.is_some());
}

#[tokio::test]
async fn a_prober_gets_no_byte_back() {
    let (address, _welcomed, _door) = open_door();
    let probes: [&[u8]; 4] = [b"GET / HTTP/1.1\r\n\r\n", &[0; 98], &[0xff; 200], b"\0\x60short"];
    for probe in probes {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(probe).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end, too.
        stream.read_to_end(&mut answer).await.ok();
        assert_eq!(answer, b"", "{probe:?}");
    }
}

#[tokio::test]
async fn a_crowd_of_stalling_strangers_keeps_nobody_out() {
    let (address, mut welcomed, _door) = open_door();
    let mut crowd = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&[0]).await.unwrap();
        crowd.push(stream);
    }
    dial(&caller(1), &identity(2).public_key(), &[address])
        .await
        .unwrap();
    assert_eq!(welcomed.recv().await, Some(identity(1).public_key()));
    // All but the last few were sent away to make room.
    let mut rest = Vec::new();
    crowd[0].read_to_end(&mut rest).await.ok();
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn a_stranger_that_stalls_is_sent_away_in_time() {
    let (address, _welcomed, _door) = open_door();
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The listener has taken it in when it answers somebody who came later.
    dial(&caller(1), &identity(2).public_key(), &[address])
        .await
        .unwrap();
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.ok();
    assert!(began.elapsed() <= DEADLINE, "{:?}", began.elapsed());
    assert_eq!(rest, b"");
}

/// Answers a dialler at `listener`, up to where it says who it is.
async fn half_greeted(listener: &TcpListener) -> (TcpStream, Unproven) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut responder = Responder::new(&identity(2), Carrier::Tcp).unwrap();
    let mut first = vec![0; stream.read_u16().await.unwrap().into()];
    stream.read_exact(&mut first).await.unwrap();
    responder.read_first(&first).unwrap();
    let (second, keys) = responder.finish().unwrap();
    stream.write_u16(second.len() as u16).await.unwrap();
    stream.write_all(&second).await.unwrap();
    (stream, keys)
}

/// A session begins there over each connection on which it hears `Hello`, and the last one counts: two would end both.
#[tokio::test]
async fn a_peer_that_answers_at_two_addresses_hears_hello_at_one() {
    let doors = [(); 2].map(|()| bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap());
    let addresses = doors.each_ref().map(|door| door.local_addr().unwrap());
    let dialling = tokio::spawn(async move { dial(&caller(1), &identity(2).public_key(), &addresses).await });
    let one = half_greeted(&doors[0]).await;
    let other = half_greeted(&doors[1]).await;
    let (mut said, mut unsaid) = (one, other);
    let (mut here, mut there) = ([0], [0]);
    tokio::select! {
        first = said.0.peek(&mut here) => assert_eq!(first.unwrap(), 1),
        second = unsaid.0.peek(&mut there) => {
            assert_eq!(second.unwrap(), 1);
            std::mem::swap(&mut said, &mut unsaid);
        }
    }
    let mut record = vec![0; RECORD_HEADER];
    encode(&PeerMessage::Hello(hello(Vec::new())), &mut record).unwrap();
    said.1.sealer.seal(&mut record).unwrap();
    said.0.write_all(&record).await.unwrap();
    dialling.await.unwrap().unwrap();
    let mut heard = Vec::new();
    // A reset is an end, too.
    unsaid.0.read_to_end(&mut heard).await.ok();
    assert_eq!(heard, b"");
}
