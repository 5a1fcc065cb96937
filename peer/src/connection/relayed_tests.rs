//! Those who come through a relay.

use super::*;
use crate::{
    connection::roster::SharedRoster,
    p2p::{
        greeting,
        testing::{MemoryShelf, identity, parts, pool},
    },
};
use tokio::sync::watch;

/// A host with identity 2 that listens somewhere.
fn host() -> Host {
    Host {
        caller: Caller {
            identity: identity(2),
            hello: greeting::hello(vec![([192, 0, 2, 1], 7).into()]),
            receiving: pool(4),
        },
        sessions: parts(MemoryShelf::default()),
        actors: actix_rt::Arbiter::current(),
        roster: SharedRoster::default(),
        policy: Policy::Auto,
        relays: None,
        puncher: None,
        table: watch::channel(None).1,
    }
}

/// What somebody with identity 1 hears, whom the relay takes for `taken_for`.
async fn heard(host: &Host, taken_for: PublicKey) -> Hello {
    let (near, far) = tokio::io::duplex(4096);
    let (caller, key) = (identity(1), identity(2).public_key());
    let wire = Wire::new(near, None);
    let greeting = greet(
        wire,
        &caller,
        &key,
        Carrier::Relay,
        greeting::hello(Vec::new()),
        pool(4),
    );
    let relay = "ws://relay.example/relay".parse().unwrap();
    let coming = host.let_in(taken_for, relay, Wire::new(far, None), ());
    let (greeted, ()) = tokio::join!(greeting, coming);
    greeted.unwrap().hello
}

#[actix_rt::test]
async fn who_is_not_to_learn_where_we_are_does_not_when_it_comes_by_itself() {
    let (host, peer) = (host(), identity(1).public_key());
    assert_eq!(heard(&host, peer).await.listen, host.caller.hello.listen);
    host.roster.look().hide_from(peer);
    assert!(heard(&host, peer).await.listen.is_empty());
}

#[actix_rt::test]
async fn somebody_else_than_the_relay_says_has_no_session() {
    let host = host();
    heard(&host, identity(3).public_key()).await;
    assert_eq!(host.roster.look().muster().guests.len(), 0);
    heard(&host, identity(1).public_key()).await;
    assert_eq!(host.roster.look().muster().guests.len(), 1);
}
