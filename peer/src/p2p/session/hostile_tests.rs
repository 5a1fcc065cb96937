//! Running sessions with peers that mean harm, or that are told why they are left.

use super::start;
use crate::{
    connection::state::{Dialler, SessionId},
    p2p::{
        greeting::{answer, greet, hello},
        testing::{Heard, MemoryFile, MemoryShelf, Puppet, connection, identity, parts, pool, session},
        wire::Wire,
    },
};
use p2p_shared::{
    chunker::CHUNK_SIZE,
    crypto::{handshake::Carrier, record::RECORD_HEADER},
    id::ChunkIndex,
    protocol::{GoodbyeReason, MAX_BITFIELD, PeerMessage, encode},
};
use std::net::Ipv4Addr;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpSocket},
    task::yield_now,
};

const KERNEL: usize = 1 << 20;
const CHUNK: usize = CHUNK_SIZE as usize;

/// Begins a record that is as long as a chunk, and says no more.
async fn begin_a_large_record(puppet: &mut Puppet) {
    let mut record = vec![0; RECORD_HEADER];
    let bitfield = PeerMessage::Bitfield {
        file: MemoryFile::new(9, 1).file,
        first_byte: 0,
        bits: vec![0; MAX_BITFIELD],
    };
    encode(&bitfield, &mut record).unwrap();
    puppet.sealer.seal(&mut record).unwrap();
    puppet.sink.write_all(&record[..1000]).await.unwrap();
}

#[actix_rt::test]
async fn strangers_who_begin_to_talk_and_stop_hold_up_nobody_who_delivers() {
    let receiving = pool(2);
    let aside = receiving.aside().unwrap().clone();
    let mut strangers = Vec::new();
    for _ in 0..2 * aside.buffers() {
        let (near, far) = connection(KERNEL, receiving.clone()).await;
        let mut puppet = Puppet::new(far);
        begin_a_large_record(&mut puppet).await;
        strangers.push((session(near, MemoryShelf::default()), puppet));
    }
    while aside.available() > 0 {
        yield_now().await;
    }
    let content = MemoryFile::new(1, 4 * CHUNK + 7);
    let (near, far) = connection(KERNEL, receiving.clone()).await;
    let near = session(near, MemoryShelf::default());
    let _far = session(far, MemoryShelf::with([MemoryFile::new(1, 4 * CHUNK + 7)]));
    let mut heard = Heard::of(&near.session, content.wanted());
    near.session.set_interest(content.file, true);
    heard.unchoked().await;
    near.session
        .request(content.file, vec![ChunkIndex(0), ChunkIndex(4)]);
    assert_eq!(heard.chunk().await, (0, content.chunk(0).to_vec()));
    assert_eq!(heard.chunk().await, (4, content.chunk(4).to_vec()));
    assert_eq!(receiving.available(), 2, "and the strangers have none of these");
}

#[actix_rt::test]
async fn who_begins_a_record_unasked_has_seconds_to_end_it() {
    let (near, far) = connection(KERNEL, pool(2)).await;
    let near = session(near, MemoryShelf::default());
    let mut puppet = Puppet::new(far);
    begin_a_large_record(&mut puppet).await;
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    near.closed.await.unwrap();
    assert!(began.elapsed().as_secs() <= 6, "{:?}", began.elapsed());
}

/// Both ends of a TCP connection through which little fits: the one that dialled cannot take in a chunk at once, nor can
/// the other one get rid of it.
async fn narrow_connection() -> (Wire, Wire) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let dialling = socket.connect(listener.local_addr().unwrap());
    let (dialled, accepted) = tokio::join!(dialling, listener.accept());
    let accepted = accepted.unwrap().0;
    socket2::SockRef::from(&accepted)
        .set_send_buffer_size(64 * 1024)
        .unwrap();
    (Wire::tcp(dialled.unwrap()).unwrap(), Wire::tcp(accepted).unwrap())
}

#[actix_rt::test]
async fn who_misbehaved_is_told_so_whatever_it_still_has_to_say() {
    let (far, near) = narrow_connection().await;
    let (dialler, listener) = (identity(1), identity(2));
    let key = listener.public_key();
    let (far, near) = tokio::join!(
        greet(far, &dialler, &key, Carrier::Tcp, hello(Vec::new()), pool(8)),
        answer(near, &listener, Carrier::Tcp, hello(Vec::new()), pool(8)),
    );
    let content = MemoryFile::new(1, 4 * CHUNK);
    let (file, chunk) = (content.file, ChunkIndex(0));
    let parts = parts(MemoryShelf::with([MemoryFile::new(1, 4 * CHUNK)]));
    let near = start(near.unwrap(), SessionId(1), Dialler::Them, &parts);
    let mut puppet = Puppet::new(far.unwrap());
    puppet.say(&PeerMessage::Attach { file }).await;
    puppet.say(&PeerMessage::Interested { file }).await;
    puppet
        .find(|message| matches!(message, PeerMessage::Unchoke).then_some(()))
        .await;
    puppet.say(&PeerMessage::Request { file, chunk }).await;
    // Its chunk is on the way, and more than fits lies between us.
    while near.session.describe().await.is_none_or(|info| info.sent == 0) {
        yield_now().await;
    }
    puppet.send_chunk(file, 3, content.chunk(3)).await;
    for nonce in 0..2000 {
        puppet.say(&PeerMessage::Pong { nonce }).await;
    }
    let told = puppet.find(|message| match message {
        PeerMessage::Goodbye { reason } => Some(*reason),
        _ => None,
    });
    assert_eq!(told.await, GoodbyeReason::Misbehaved);
}
