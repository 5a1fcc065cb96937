//! Tunnels between two peers' relay sessions, through the relay of a real tracker.

mod ends;
mod foreign;
mod node;
mod proxies;

use node::{Node, relay_at, tunnel};
use p2p_peer::relay::{OpenError, RelayNews, SignalError, TunnelEnd};
use p2p_shared::protocol::relay::{MAX_SIGNAL, RefuseReason};
use p2p_shared::supervision::system;
use p2p_tests::lab::Lab;
use p2p_tests::programs::Tracker;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Runs on an actors' thread, as a peer does, within a minute and a half.
fn run(test: impl Future<Output = ()>) {
    let system = system(2).unwrap();
    let within = async { tokio::time::timeout(Duration::from_secs(90), test).await };
    system.block_on(within).expect("an event that does not come");
}

/// `len` bytes that differ from one seed to another.
fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

#[test]
fn sixty_four_mebibytes_go_both_ways_at_once_and_arrive_as_they_were() {
    const LEN: usize = 64 << 20;
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let url = tracker.url();
    run(async {
        let (anna, mut bob) = (Node::start(1, &url), Node::start(2, &url));
        bob.connected().await;
        let (near, far) = tunnel(&anna, &mut bob, &url).await;
        let exchange = |tunnel, seed: u64| async move {
            let (mut source, mut sink) = tokio::io::split(tunnel);
            let writing = tokio::spawn(async move {
                let bytes = content(seed, LEN);
                // Pieces of lengths that no frame has.
                for piece in bytes.chunks(100_003) {
                    sink.write_all(piece).await.unwrap();
                }
                sink
            });
            let mut read = vec![0; LEN];
            source.read_exact(&mut read).await.unwrap();
            assert!(read == content(3 - seed, LEN), "other bytes than were sent");
            let sink = writing.await.unwrap();
            source.unsplit(sink)
        };
        let begin = std::time::Instant::now();
        let (near, far) = tokio::join!(tokio::spawn(exchange(near, 1)), tokio::spawn(exchange(far, 2)));
        println!("2 × 64 MiB in {:?}", begin.elapsed());
        let (near, mut far) = (near.unwrap(), far.unwrap());
        drop(near);
        assert_eq!(
            far.read(&mut [0; 10]).await.unwrap(),
            0,
            "the end of a tunnel that was closed"
        );
        assert_eq!(anna.connected().await.tunnels, 0);
    });
}

#[test]
fn who_is_not_there_is_refused_as_offline() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let url = tracker.url();
    run(async {
        let anna = Node::start(1, &url);
        let nobody = Node::start(9, "http://127.0.0.1:1").key;
        let refused = anna.relays.open(&relay_at(&url), nobody).await;
        let offline = OpenError::Ended(TunnelEnd::Refused(RefuseReason::Offline));
        assert_eq!(refused.err(), Some(offline));
    });
}

#[test]
fn a_signal_arrives_as_it_was_sent_and_one_to_nobody_comes_back() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let url = tracker.url();
    run(async {
        let (mut anna, mut bob) = (Node::start(1, &url), Node::start(2, &url));
        bob.connected().await;
        let at = relay_at(&url);
        for len in [1, MAX_SIGNAL] {
            let sent = content(7, len);
            anna.relays.signal(&at, bob.key, sent.clone()).await.unwrap();
            match bob.news.recv().await {
                Some(RelayNews::Signal {
                    from,
                    at: through,
                    sealed,
                }) => assert!(from == anna.key && through == at && sealed == sent),
                other => panic!("a signal was to come, not {other:?}"),
            }
        }
        for len in [0, MAX_SIGNAL + 1] {
            let refused = anna.relays.signal(&at, bob.key, content(7, len)).await;
            assert_eq!(refused, Err(SignalError::Length(len)));
        }
        let nobody = Node::start(9, "http://127.0.0.1:1").key;
        anna.relays.signal(&at, nobody, vec![1]).await.unwrap();
        match anna.news.recv().await {
            Some(RelayNews::Undelivered { peer, at: through }) => assert!(peer == nobody && through == at),
            other => panic!("it was to come back, not {other:?}"),
        }
    });
}
