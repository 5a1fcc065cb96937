//! What registry and store come to together.

use super::{SignOfLife, token::Session};
use crate::{
    storage::Write,
    testing::live::{Live, peer},
};
use p2p_shared::id::PublicKey;
use std::net::Ipv4Addr;

const ANNA: PublicKey = PublicKey([1; 32]);

fn sign() -> SignOfLife {
    SignOfLife {
        observed: Ipv4Addr::LOCALHOST.into(),
        port: None,
        listed: None,
    }
}

#[actix_rt::test]
async fn who_left_and_came_back_at_once_is_online_for_the_store_too() {
    let live = Live::start(Vec::new()).await;
    let session = live.register(ANNA).await;
    live.save().await;
    live.registry.leave(session).await.unwrap();
    live.register(ANNA).await;
    live.save().await;
    let snapshot = live.store.snapshot(0).await.unwrap();
    assert_eq!(snapshot.peers.len(), 1);
}

#[actix_rt::test]
async fn a_peer_registers_with_a_tracker_whose_clock_was_ahead_in_its_last_run() {
    let ahead = crate::clock::Clock::start().now() + 3_600_000;
    let live = Live::start(vec![Write::PutPeer(peer(ANNA, ahead))]).await;
    let session = live.register(ANNA).await;
    live.registry.heartbeat(session, sign()).await.unwrap();
    let earlier = Session {
        number: ahead,
        ..session
    };
    live.registry.heartbeat(earlier, sign()).await.unwrap_err();
}
