//! Whole tables of connections, with real sockets between them.

use super::{ConnectionManagerHandle, ConnectionParts, Hint, Policy, SwarmEvent, direct::Caller, start};
use crate::p2p::{
    greeting::hello,
    listener::bind,
    session::news::SessionInfo,
    testing::{Heard, MemoryFile, MemoryShelf, identity, parts, pool},
};
use actix::{Actor, Context, Handler};
use p2p_shared::{
    chunker::CHUNK_SIZE,
    id::{FileHash, PublicKey},
    supervision::Supervisor,
};
use std::{net::SocketAddr, time::Duration};
use tokio::sync::mpsc;

/// A peer without a store: a table, a listener, files in memory.
struct Node {
    seed: u8,
    address: SocketAddr,
    table: ConnectionManagerHandle,
    supervisor: Supervisor,
}

impl Node {
    fn start(seed: u8, shelf: MemoryShelf) -> Self {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let caller = Caller {
            identity: identity(seed),
            hello: hello(vec![address]),
            receiving: pool(8),
        };
        let mut supervisor = Supervisor::new();
        let parts = ConnectionParts {
            caller,
            sessions: parts(shelf),
            listener: Some(listener),
            policy: Policy::Auto,
            relays: None,
            punching: None,
        };
        let table = start(&mut supervisor, parts);
        Self {
            seed,
            address,
            table,
            supervisor,
        }
    }

    fn key(&self) -> PublicKey {
        identity(self.seed).public_key()
    }

    fn hint(&self) -> Hint {
        Hint {
            key: self.key(),
            addresses: vec![self.address],
            relays: Vec::new(),
        }
    }

    async fn want(&self, file: FileHash, hints: Vec<Hint>) -> Offers {
        let (sender, offers) = mpsc::unbounded_channel();
        let owner = Wanting(sender).start();
        self.table
            .want(file, Policy::Auto, hints, owner.clone().recipient())
            .await
            .unwrap();
        Offers {
            offers,
            _owner: owner,
        }
    }

    /// The sessions, once they are as many as expected and stay so.
    async fn settled(&self, expected: usize) -> Vec<SessionInfo> {
        let mut right = 0;
        loop {
            // A table that crashes just now is asked again.
            let sessions = self.table.sessions().await.unwrap_or_default();
            right = if sessions.len() == expected { right + 1 } else { 0 };
            if right == 5 {
                return sessions;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Hands on what it is offered.
struct Wanting(mpsc::UnboundedSender<SwarmEvent>);

impl Actor for Wanting {
    type Context = Context<Self>;
}

impl Handler<SwarmEvent> for Wanting {
    type Result = ();
    fn handle(&mut self, event: SwarmEvent, _: &mut Self::Context) {
        // The test may be over already.
        self.0.send(event).ok();
    }
}

struct Offers {
    offers: mpsc::UnboundedReceiver<SwarmEvent>,
    _owner: actix::Addr<Wanting>,
}

impl Offers {
    async fn next(&mut self) -> crate::p2p::session::SessionHandle {
        let SwarmEvent::Session { session, .. } = self.offers.recv().await.expect("the owner is held here");
        session
    }
}

fn content() -> MemoryFile {
    MemoryFile::new(9, CHUNK_SIZE as usize + 1)
}

fn file() -> FileHash {
    content().file
}

#[actix_rt::test]
async fn a_wanted_file_leads_to_a_session_and_its_chunks() {
    let seeder = Node::start(1, MemoryShelf::with([content()]));
    let leecher = Node::start(2, MemoryShelf::default());
    let mut offers = leecher.want(file(), vec![seeder.hint()]).await;
    let session = offers.next().await;
    assert_eq!(session.about().peer, seeder.key());
    let mut heard = Heard::of(&session, content().wanted());
    session.set_interest(file(), true);
    heard.unchoked().await;
    session.request(file(), vec![p2p_shared::id::ChunkIndex(1)]);
    assert_eq!(heard.chunk().await, (1, content().chunk(1).to_vec()));
    assert_eq!(seeder.settled(1).await[0].peer, leecher.key());
}

#[actix_rt::test]
async fn two_that_dial_each_other_at_once_end_with_the_same_one_session() {
    let one = Node::start(1, MemoryShelf::default());
    let other = Node::start(2, MemoryShelf::default());
    let _wants = (
        one.want(file(), vec![other.hint()]).await,
        other.want(file(), vec![one.hint()]).await,
    );
    let (here, there) = (one.settled(1).await, other.settled(1).await);
    assert_ne!(here[0].dialled, there[0].dialled, "each keeps another one");
}

#[actix_rt::test]
async fn a_peer_that_restarts_is_connected_again() {
    let seeder = Node::start(1, MemoryShelf::with([content()]));
    let leecher = Node::start(2, MemoryShelf::default());
    let mut offers = leecher.want(file(), vec![seeder.hint()]).await;
    let first = offers.next().await;
    let address = seeder.address;
    drop(seeder.supervisor.stop(Duration::from_secs(5)).await);
    leecher.settled(0).await;
    // The same peer at another address, which somebody tells us.
    let seeder = Node::start(1, MemoryShelf::with([content()]));
    assert_ne!(seeder.address, address);
    leecher.table.hint(file(), vec![seeder.hint()]).await.unwrap();
    let second = offers.next().await;
    assert_ne!(first.about().session, second.about().session);
    assert_eq!(second.about().peer, seeder.key());
}

#[actix_rt::test]
async fn a_banned_peer_is_sent_away_and_does_not_come_back() {
    let seeder = Node::start(1, MemoryShelf::with([content()]));
    let leecher = Node::start(2, MemoryShelf::default());
    let mut offers = leecher.want(file(), vec![seeder.hint()]).await;
    offers.next().await;
    leecher.table.ban(seeder.key()).await.unwrap();
    leecher.settled(0).await;
    let _dials_back = seeder.want(file(), vec![leecher.hint()]).await;
    leecher.table.hint(file(), vec![seeder.hint()]).await.unwrap();
    leecher.settled(0).await;
    assert_eq!(seeder.table.sessions().await.unwrap().len(), 0);
}

#[actix_rt::test]
async fn peers_of_a_file_are_introduced_to_each_other_without_a_tracker() {
    let seeder = Node::start(1, MemoryShelf::with([content()]));
    let (one, other) = (
        Node::start(2, MemoryShelf::default()),
        Node::start(3, MemoryShelf::default()),
    );
    let mut offers = one.want(file(), vec![seeder.hint()]).await;
    let _heard = Heard::of(&offers.next().await, content().wanted());
    let mut others = other.want(file(), vec![seeder.hint()]).await;
    let _heard_too = Heard::of(&others.next().await, content().wanted());
    // The seeder is offered again when it attaches; the other leecher comes by introduction.
    while others.next().await.about().peer != one.key() {}
}

/// Two nodes with a session, seen from the one that dialled, and its number.
#[cfg(feature = "failpoints")]
async fn connected() -> (Node, Node, Offers, crate::connection::state::SessionId) {
    let seeder = Node::start(1, MemoryShelf::with([content()]));
    let leecher = Node::start(2, MemoryShelf::default());
    let mut offers = leecher.want(file(), vec![seeder.hint()]).await;
    let session = offers.next().await.about().session;
    (seeder, leecher, offers, session)
}

#[cfg(feature = "failpoints")]
#[actix_rt::test]
async fn a_table_that_crashes_loses_no_session_and_dials_nobody_whom_it_has() {
    let scenario = fail::FailScenario::setup();
    let (seeder, leecher, _offers, before) = connected().await;
    fail::cfg("ConnectionManager::Unwant", "1*panic").unwrap();
    assert!(leecher.table.unwant(file()).await.is_err());
    // Before anybody could introduce anything: what is wanted is wanted of the session that there is.
    let mut again = leecher.want(file(), vec![seeder.hint()]).await;
    assert_eq!(again.next().await.about().session, before);
    scenario.teardown();
    assert_eq!(leecher.settled(1).await[0].session, before);
    let there = seeder.settled(1).await;
    assert_eq!((there[0].session.0, there[0].peer), (1, leecher.key()));
}

#[cfg(feature = "failpoints")]
#[actix_rt::test]
async fn a_session_whose_introduction_crashes_the_table_is_kept_on_both_sides() {
    let scenario = fail::FailScenario::setup();
    // Both tables are in this process: the first of the two introductions panics.
    fail::cfg("ConnectionManager::Introduce", "1*panic").unwrap();
    let seeder = Node::start(1, MemoryShelf::with([content()]));
    let leecher = Node::start(2, MemoryShelf::default());
    let _offers = leecher.want(file(), vec![seeder.hint()]).await;
    let (here, there) = (leecher.settled(1).await, seeder.settled(1).await);
    scenario.teardown();
    assert_eq!((here[0].session.0, there[0].session.0), (1, 1));
}

#[cfg(feature = "failpoints")]
#[actix_rt::test]
async fn a_failed_dial_that_crashes_the_table_is_not_pending_for_ever() {
    let scenario = fail::FailScenario::setup();
    let leecher = Node::start(2, MemoryShelf::default());
    let nobody = {
        // Bound and let go: nobody listens there.
        let gone = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        gone.local_addr().unwrap()
    };
    let hint = Hint {
        key: identity(1).public_key(),
        addresses: vec![nobody],
        relays: Vec::new(),
    };
    fail::cfg("ConnectionManager::AttemptFailed", "1*panic").unwrap();
    let _offers = leecher.want(file(), vec![hint.clone()]).await;
    let lost = leecher
        .table
        .handle
        .rebuilt_since(leecher.table.handle.incarnation());
    lost.await.unwrap();
    scenario.teardown();
    let _again = leecher.want(file(), vec![hint]).await;
    while leecher.table.reach(file()).await.unwrap().backing_off == 0 {
        tokio::task::yield_now().await;
    }
}

#[cfg(feature = "failpoints")]
#[actix_rt::test]
async fn a_ban_that_crashes_the_table_holds() {
    let scenario = fail::FailScenario::setup();
    let (seeder, leecher, _offers, _) = connected().await;
    fail::cfg("ConnectionManager::Ban", "1*panic").unwrap();
    assert!(leecher.table.ban(seeder.key()).await.is_err());
    scenario.teardown();
    leecher.settled(0).await;
}
