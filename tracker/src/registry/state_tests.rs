use super::*;
use p2p_shared::id::PublicKey;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};

/// Milliseconds.
const LEASE: u64 = 60_000;

fn key(seed: u8) -> PublicKey {
    PublicKey([seed; 32])
}

fn file(seed: u8) -> FileHash {
    FileHash([seed; 32])
}

/// A peer at an address that everybody can reach.
fn peer(seed: u8, at: u64) -> StoredPeer {
    StoredPeer {
        public_key: key(seed),
        session: at,
        contact: Contact {
            observed: IpAddr::from([203, 0, 113, seed]),
            port: 6881,
            listed: [].into(),
        },
        bandwidth: None,
        agent: "test".to_owned(),
        registered_at: at,
        last_seen: at,
        online: true,
    }
}

fn session(seed: u8, number: u64) -> Session {
    let peer = PeerId::of(&key(seed));
    Session { peer, number }
}

fn sign(seed: u8) -> SignOfLife {
    SignOfLife {
        observed: IpAddr::from([203, 0, 113, seed]),
        port: None,
        listed: None,
    }
}

fn stranger() -> Asker {
    Asker {
        session: None,
        address: IpAddr::from([198, 51, 100, 1]),
    }
}

/// A registry with one file of 1,000 bytes, in whose swarm the peers are as given, all of them there since time 0.
fn swarm(members: &[(u8, Role)]) -> Registry {
    let mut registry = Registry::new(LEASE);
    registry.on_file_added(file(1), 1000);
    for (seed, role) in members {
        registry.on_registered(peer(*seed, 0), 0);
        registry
            .on_announced(session(*seed, 0), &file(1), Some(*role), 0)
            .unwrap();
    }
    registry
}

fn handed_out(registry: &mut Registry, asker: Asker, now: u64) -> Vec<PublicKey> {
    let handout = registry.hand_out(&file(1), asker, 50, 7, now).unwrap();
    let mut keys: Vec<_> = handout.peers.iter().map(|peer| peer.public_key).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn a_peer_that_tells_no_address_is_handed_out_while_it_is_connected_to_the_relay() {
    let mut registry = swarm(&[(1, Role::Seeder)]).with_relay("ws://relay.example/relay");
    let hidden = SignOfLife {
        port: Some(0),
        listed: Some(Box::default()),
        ..sign(1)
    };
    registry.on_heartbeat(session(1, 0), hidden, 1).unwrap();
    let handed_out =
        |registry: &mut Registry| registry.hand_out(&file(1), stranger(), 50, 7, 2).unwrap().peers;
    assert!(handed_out(&mut registry).is_empty());
    registry.on_relayed(session(1, 0), true, 1).unwrap();
    let peers = handed_out(&mut registry);
    assert!(peers[0].addresses.is_empty());
    assert_eq!(peers[0].relay_url.as_deref(), Some("ws://relay.example/relay"));
    registry.on_relayed(session(1, 0), false, 1).unwrap();
    assert!(handed_out(&mut registry).is_empty());
}

#[test]
fn a_peer_silent_for_its_lease_is_handed_to_nobody() {
    let mut registry = swarm(&[(1, Role::Seeder), (2, Role::Leecher)]);
    registry.on_heartbeat(session(2, 0), sign(2), 1000).unwrap();
    assert_eq!(handed_out(&mut registry, stranger(), LEASE - 1), [key(1), key(2)]);
    assert_eq!(handed_out(&mut registry, stranger(), LEASE), [key(2)]);
    assert_eq!(registry.counts(&[file(1)], LEASE), [(0, 1)]);
    assert_eq!(registry.totals(LEASE).peers_online, 1);
    assert_eq!(registry.take_changes().ended, [PeerId::of(&key(1))]);
}

#[test]
fn a_heartbeat_keeps_a_peer_for_another_lease() {
    let mut registry = swarm(&[(1, Role::Seeder)]);
    for now in (0..10 * LEASE).step_by(LEASE as usize - 1) {
        registry.on_heartbeat(session(1, 0), sign(1), now).unwrap();
        assert_eq!(handed_out(&mut registry, stranger(), now).len(), 1);
    }
}

#[test]
fn after_its_lease_a_peer_has_to_register_again() {
    let mut registry = swarm(&[(1, Role::Seeder)]);
    let late = registry.on_heartbeat(session(1, 0), sign(1), LEASE);
    assert_eq!(late, Err(Refused::SessionOver));
    registry.on_registered(peer(1, LEASE + 5), LEASE + 5);
    assert_eq!(
        registry.on_heartbeat(session(1, LEASE + 5), sign(1), LEASE + 6),
        Ok(())
    );
    // What it had announced before is forgotten with the registration before.
    assert!(handed_out(&mut registry, stranger(), LEASE + 6).is_empty());
}

#[test]
fn a_new_registration_ends_the_one_before() {
    let mut registry = swarm(&[(1, Role::Seeder)]);
    registry.on_registered(peer(1, 100), 100);
    let old = registry.on_heartbeat(session(1, 0), sign(1), 101);
    assert_eq!(old, Err(Refused::SessionOver));
    assert_eq!(registry.on_heartbeat(session(1, 100), sign(1), 101), Ok(()));
    assert_eq!(registry.totals(101).peers_online, 1);
    // A registration that took longer to arrive than a later one changes nothing.
    registry.on_registered(peer(1, 50), 102);
    assert_eq!(registry.on_heartbeat(session(1, 100), sign(1), 103), Ok(()));
}

#[test]
fn the_lease_of_an_earlier_holder_of_a_place_does_not_end_the_later_one() {
    let mut registry = swarm(&[(1, Role::Seeder)]);
    registry.on_leave(session(1, 0), 10).unwrap();
    registry.on_registered(peer(2, LEASE - 1), LEASE - 1);
    assert_eq!(
        registry.on_heartbeat(session(2, LEASE - 1), sign(2), LEASE + 1),
        Ok(())
    );
}

#[test]
fn who_leaves_is_gone_at_once() {
    let mut registry = swarm(&[(1, Role::Seeder), (2, Role::Leecher)]);
    registry.on_leave(session(1, 0), 5).unwrap();
    assert_eq!(handed_out(&mut registry, stranger(), 5), [key(2)]);
    assert_eq!(registry.on_leave(session(1, 0), 6), Err(Refused::SessionOver));
    assert_eq!(registry.totals(6).bytes_shared, 0);
}

#[test]
fn an_asker_is_not_told_about_itself() {
    let mut registry = swarm(&[(1, Role::Seeder), (2, Role::Leecher), (3, Role::Leecher)]);
    let asker = Asker {
        session: Some(session(2, 0)),
        address: IpAddr::from([203, 0, 113, 2]),
    };
    assert_eq!(handed_out(&mut registry, asker, 5), [key(1), key(3)]);
    let seeder = Asker {
        session: Some(session(1, 0)),
        ..asker
    };
    assert_eq!(handed_out(&mut registry, seeder, 5), [key(2), key(3)]);
    let unknown = Asker {
        session: Some(session(9, 0)),
        ..asker
    };
    let refused = registry.hand_out(&file(1), unknown, 50, 7, 5).unwrap_err();
    assert_eq!(refused, Refused::SessionOver);
}

#[test]
fn whom_the_asker_cannot_reach_it_is_not_told_of() {
    let mut registry = swarm(&[(1, Role::Seeder)]);
    let mut private = peer(2, 0);
    private.contact.observed = IpAddr::from([192, 168, 1, 5]);
    registry.on_registered(private, 0);
    registry
        .on_announced(session(2, 0), &file(1), Some(Role::Seeder), 0)
        .unwrap();
    assert_eq!(handed_out(&mut registry, stranger(), 5), [key(1)]);
    let neighbour = Asker {
        session: None,
        address: IpAddr::from([192, 168, 1, 6]),
    };
    assert_eq!(handed_out(&mut registry, neighbour, 5), [key(1), key(2)]);
}

#[test]
fn a_heartbeat_moves_a_peer_and_the_store_hears_of_it_once() {
    let mut registry = swarm(&[(1, Role::Seeder)]);
    let moved = SignOfLife {
        observed: IpAddr::from([203, 0, 113, 77]),
        port: Some(7000),
        listed: None,
    };
    registry.on_heartbeat(session(1, 0), moved, 5).unwrap();
    registry
        .on_heartbeat(
            session(1, 0),
            SignOfLife {
                observed: IpAddr::from([203, 0, 113, 77]),
                ..sign(1)
            },
            9,
        )
        .unwrap();
    let handout = registry.hand_out(&file(1), stranger(), 50, 7, 10).unwrap();
    assert_eq!(handout.peers[0].addresses, ["203.0.113.77:7000".parse().unwrap()]);

    let changes = registry.take_changes();
    assert_eq!(changes.touched.len(), 1);
    assert_eq!(changes.touched[0].last_seen, 9);
    assert_eq!(
        changes.touched[0].contact.as_ref().map(|contact| contact.port),
        Some(7000)
    );
    assert!(registry.take_changes().touched.is_empty());
    registry
        .on_heartbeat(
            session(1, 0),
            SignOfLife {
                observed: IpAddr::from([203, 0, 113, 77]),
                ..sign(1)
            },
            11,
        )
        .unwrap();
    assert!(registry.take_changes().touched[0].contact.is_none());
}

#[test]
fn only_news_has_to_go_to_the_store() {
    let mut registry = swarm(&[(1, Role::Leecher)]);
    let news = |registry: &mut Registry, role| {
        registry
            .check_announce(session(1, 0), &file(1), role, 5)
            .unwrap()
            .news
    };
    assert!(!news(&mut registry, Some(Role::Leecher)));
    assert!(news(&mut registry, Some(Role::Seeder)));
    assert!(news(&mut registry, None));
    let unknown = registry.check_announce(session(1, 0), &file(9), None, 5);
    assert_eq!(unknown.unwrap_err(), Refused::FileUnknown);
}

#[test]
fn a_file_that_is_removed_takes_its_swarm_with_it() {
    let mut registry = swarm(&[(1, Role::Seeder), (2, Role::Leecher)]);
    registry.on_file_removed(&file(1));
    assert!(registry.hand_out(&file(1), stranger(), 50, 7, 5).is_err());
    let totals = registry.totals(5);
    assert_eq!(
        (totals.files, totals.seeders, totals.leechers, totals.bytes_shared),
        (0, 0, 0, 0)
    );
    assert_eq!(
        registry.live(&[PeerId::of(&key(1))], 5)[0]
            .as_ref()
            .unwrap()
            .files,
        0
    );
    registry.on_file_added(file(1), 1000);
    assert!(handed_out(&mut registry, stranger(), 6).is_empty());
}

#[test]
fn what_comes_from_the_store_is_as_it_was() {
    let mut late = peer(2, 0);
    late.last_seen = 40_000;
    let snapshot = Snapshot {
        peers: vec![peer(1, 0), late],
        files: vec![(file(1), 1000), (file(2), 5)],
        members: vec![(0, 0, true), (1, 0, false), (1, 1, true)],
    };
    let mut registry = Registry::restore(LEASE, snapshot, 50_000);
    assert_eq!(handed_out(&mut registry, stranger(), 50_000), [key(1), key(2)]);
    // Leases go on from when each was heard of last; the tokens are good for them.
    assert_eq!(handed_out(&mut registry, stranger(), LEASE), [key(2)]);
    assert_eq!(registry.on_heartbeat(session(2, 0), sign(2), LEASE), Ok(()));
    assert_eq!(
        registry.counts(&[file(1), file(2), file(3)], LEASE),
        [(0, 1), (1, 0), (0, 0)]
    );
}

#[derive(Debug, Clone)]
enum Step {
    Register(u8),
    Heartbeat(u8),
    Leave(u8),
    Announce(u8, u8, Option<bool>),
    AddFile(u8),
    RemoveFile(u8),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (peer, file) = (0..6_u8, 0..4_u8);
    prop_oneof![
        peer.clone().prop_map(Step::Register),
        peer.clone().prop_map(Step::Heartbeat),
        peer.clone().prop_map(Step::Leave),
        (peer, file.clone(), proptest::option::of(any::<bool>()))
            .prop_map(|(peer, file, have)| Step::Announce(peer, file, have)),
        file.clone().prop_map(Step::AddFile),
        file.prop_map(Step::RemoveFile),
        (0..LEASE).prop_map(Step::Wait),
    ]
}

/// The registry in its plainest form.
#[derive(Default)]
struct Model {
    /// Peer: session and when it was heard of last.
    peers: BTreeMap<u8, (u64, u64)>,
    files: HashSet<u8>,
    members: BTreeMap<(u8, u8), bool>,
}

impl Model {
    fn expire(&mut self, now: u64) {
        self.peers.retain(|_, (_, last_seen)| *last_seen + LEASE > now);
        let peers = &self.peers;
        self.members.retain(|(peer, _), _| peers.contains_key(peer));
    }

    fn forget(&mut self, peer: u8) {
        self.peers.remove(&peer);
        self.members.retain(|(member, _), _| *member != peer);
    }

    fn session(&self, peer: u8) -> Session {
        session(
            peer,
            self.peers.get(&peer).map_or(u64::MAX, |(number, _)| *number),
        )
    }
}

/// Does one step on both, and compares what they answer.
fn play(registry: &mut Registry, model: &mut Model, step: &Step, now: u64) {
    model.expire(now);
    match step {
        Step::Register(seed) => {
            registry.on_registered(peer(*seed, now), now);
            model.forget(*seed);
            model.peers.insert(*seed, (now, now));
        }
        Step::Heartbeat(seed) => {
            let done = registry
                .on_heartbeat(model.session(*seed), sign(*seed), now)
                .is_ok();
            assert_eq!(done, model.peers.contains_key(seed));
            model
                .peers
                .entry(*seed)
                .and_modify(|(_, last_seen)| *last_seen = now);
        }
        Step::Leave(seed) => {
            let done = registry.on_leave(model.session(*seed), now).is_ok();
            assert_eq!(done, model.peers.contains_key(seed));
            model.forget(*seed);
        }
        Step::Announce(seed, hash, have) => {
            let role = have.map(Role::of);
            let done = registry
                .on_announced(model.session(*seed), &file(*hash), role, now)
                .is_ok();
            assert_eq!(done, model.peers.contains_key(seed) && model.files.contains(hash));
            match have.filter(|_| done) {
                Some(seeder) => drop(model.members.insert((*seed, *hash), seeder)),
                None if done => drop(model.members.remove(&(*seed, *hash))),
                None => {}
            }
        }
        Step::AddFile(hash) => {
            registry.on_file_added(file(*hash), 1000);
            model.files.insert(*hash);
        }
        Step::RemoveFile(hash) => {
            registry.on_file_removed(&file(*hash));
            model.files.remove(hash);
            model.members.retain(|(_, member_of), _| member_of != hash);
        }
        Step::Wait(_) => {}
    }
}

fn compare(registry: &mut Registry, model: &Model, now: u64) {
    for hash in 0..4 {
        let of = |seeder| {
            model
                .members
                .iter()
                .filter(|((_, of), is)| *of == hash && **is == seeder)
                .count() as u32
        };
        assert_eq!(registry.counts(&[file(hash)], now), [(of(true), of(false))]);
        let handout = registry.hand_out(&file(hash), stranger(), 50, now, now);
        assert_eq!(handout.is_ok(), model.files.contains(&hash));
        let told: HashSet<_> = handout
            .iter()
            .flat_map(|handout| &handout.peers)
            .map(|peer| peer.public_key)
            .collect();
        let members = model.members.keys().filter(|(_, of)| *of == hash);
        assert_eq!(told, members.map(|(peer, _)| key(*peer)).collect());
    }
    let held: HashSet<_> = model
        .members
        .iter()
        .filter(|(_, is)| **is)
        .map(|((_, of), _)| *of)
        .collect();
    let seeders = model.members.values().filter(|is| **is).count() as u64;
    let swarms: HashSet<_> = model.members.keys().map(|(_, file)| *file).collect();
    let totals = Totals {
        peers_online: model.peers.len() as u64,
        files: model.files.len() as u64,
        swarms: swarms.len() as u64,
        seeders,
        leechers: model.members.len() as u64 - seeders,
        bytes_shared: held.len() as u64 * 1000,
    };
    assert_eq!(registry.totals(now), totals);
    for seed in 0..6 {
        let live = registry.live(&[PeerId::of(&key(seed))], now).remove(0);
        let files = model.members.keys().filter(|(peer, _)| *peer == seed).count() as u32;
        let expected = model.peers.get(&seed).map(|(_, last_seen)| (*last_seen, files));
        assert_eq!(live.map(|live| (live.last_seen, live.files)), expected);
    }
}

proptest! {
    #[test]
    fn whatever_happens_it_knows_what_a_plain_table_would_know(steps in proptest::collection::vec(step(), 1..80)) {
        let (mut registry, mut model) = (Registry::new(LEASE), Model::default());
        let mut now = 1_000;
        for step in &steps {
            // Each step a moment later, so that no two registrations are the same.
            now += if let Step::Wait(time) = step { *time } else { 1 };
            play(&mut registry, &mut model, step, now);
            compare(&mut registry, &model, now);
        }
    }
}
