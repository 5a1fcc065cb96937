//! What becomes of relays that stop, are killed, forget a peer; and of readers that stop.

use crate::node::{Node, relay_at, tunnel};
use crate::{content, run};
use p2p_peer::relay::{OpenError, RelayState, Tunnel, TunnelEnd};
use p2p_shared::crypto::identity::Identity;
use p2p_shared::protocol::relay::{FIRST_CREDIT, RefuseReason};
use p2p_tests::lab::Lab;
use p2p_tests::programs::Tracker;
use p2p_tests::tracker_caller::Caller;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn say(near: &mut Tunnel, far: &mut Tunnel, what: &[u8]) {
    let mut read = vec![0; what.len()];
    let (written, came) = tokio::join!(near.write_all(what), far.read_exact(&mut read));
    written.unwrap();
    came.unwrap();
    assert!(read == what);
}

#[test]
fn a_reader_that_stops_stops_itself_alone_and_costs_no_more_than_its_window() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let url = tracker.url();
    run(async {
        let (anna, mut bob) = (Node::start(1, &url), Node::start(2, &url));
        bob.connected().await;
        let (mut stuck, mut unread) = tunnel(&anna, &mut bob, &url).await;
        let (mut near, mut far) = tunnel(&anna, &mut bob, &url).await;
        let written = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&written);
        let all = content(1, 4 << 20);
        let sent = all.clone();
        let writing = tokio::spawn(async move {
            for piece in sent.chunks(10_000) {
                stuck.write_all(piece).await.unwrap();
                count.fetch_add(piece.len(), Ordering::SeqCst);
            }
            stuck
        });
        for _ in 0..8 {
            say(&mut near, &mut far, &content(2, 2 << 20)).await;
        }
        assert!(!writing.is_finished());
        let written = written.load(Ordering::SeqCst);
        assert!(
            written <= FIRST_CREDIT as usize,
            "{written} bytes that nobody reads"
        );
        let mut read = vec![0; all.len()];
        unread.read_exact(&mut read).await.unwrap();
        assert!(read == all);
        drop(writing.await.unwrap());
    });
}

#[test]
fn a_relay_that_is_killed_ends_its_tunnels_and_is_connected_again_when_it_is_back() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let url = tracker.url();
    run(async {
        let (anna, mut bob) = (Node::start(1, &url), Node::start(2, &url));
        bob.connected().await;
        let (mut near, mut far) = tunnel(&anna, &mut bob, &url).await;
        let tracker = tracker.restart();
        for end in [&mut near, &mut far] {
            assert!(end.read(&mut [0; 10]).await.is_err(), "an end that was none");
            assert!(end.write(b"x").await.is_err());
        }
        drop((near, far));
        anna.connected().await;
        bob.connected().await;
        let (mut near, mut far) = tunnel(&anna, &mut bob, &tracker.url()).await;
        say(&mut near, &mut far, b"again").await;
    });
}

#[test]
fn a_relay_that_stops_lets_what_is_under_way_end_and_is_connected_again_when_it_is_back() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let url = tracker.url();
    run(async {
        let (anna, mut bob) = (Node::start(1, &url), Node::start(2, &url));
        bob.connected().await;
        let (mut near, mut far) = tunnel(&anna, &mut bob, &url).await;
        tracker.program.terminate();
        anna.becomes(|status| status.state == RelayState::GoingAway).await;
        let refused = anna.relays.open(&relay_at(&url), bob.key).await;
        let going = OpenError::Ended(TunnelEnd::Refused(RefuseReason::GoingAway));
        assert_eq!(refused.err(), Some(going));
        say(&mut near, &mut far, b"last words").await;
        drop(near);
        assert_eq!(far.read(&mut [0; 10]).await.unwrap(), 0);
        drop(far);
        let away =
            |state: &RelayState| matches!(state, RelayState::BackingOff { .. } | RelayState::Connecting);
        anna.becomes(|status| away(&status.state)).await;
        let tracker = tracker.restart();
        anna.connected().await;
        bob.connected().await;
        let (mut near, mut far) = tunnel(&anna, &mut bob, &tracker.url()).await;
        say(&mut near, &mut far, b"again").await;
    });
}

#[test]
fn a_peer_whose_registration_is_over_registers_anew_and_connects_with_its_new_token() {
    let lab = Lab::new();
    let tracker = Tracker::start_with(&lab, |launch| launch.args(["--lease", "4"]));
    let url = tracker.url();
    run(async {
        let (anna, mut bob) = (Node::start(1, &url), Node::start(2, &url));
        bob.connected().await;
        let (_near, mut far) = tunnel(&anna, &mut bob, &url).await;
        // Another registration of the same key: the first one is over.
        let by_hand = url.clone();
        let registered = std::thread::spawn(move || {
            Caller::new(&by_hand)
                .register(&Identity::from_secret([1; 32]), 6881)
                .is_ok()
        });
        // Anna's connection is ended with it.
        assert!(far.read(&mut [0; 10]).await.is_err());
        assert!(registered.join().unwrap());
        drop(far);
        anna.becomes(|status| status.state == RelayState::Connected && status.tunnels == 0)
            .await;
        let (mut near, mut far) = tunnel(&anna, &mut bob, &url).await;
        say(&mut near, &mut far, b"again").await;
    });
}
