//! Two hundred slow readers with fast senders.

use crate::scene::Scene;
use p2p_shared::crypto::identity::Identity;
use p2p_shared::protocol::relay::{FIRST_CREDIT, FRAME_COST, MAX_DATA};
use p2p_tests::measure::resident_mib;
use p2p_tests::relay_client::{Event, Registered, tunnel};
use p2p_tests::slow_readers::SlowReaders;
use std::time::Duration;

const TUNNELS: usize = 200;

/// Three times what a window may stay shut on any other connection, and what a session may be silent.
const LONG: Duration = Duration::from_secs(65);

/// What each reader grants: enough of them to be seen in the memory of a process, few enough to be filled at once.
const CREDIT: u32 = 256 << 10;

/// What 400 connections and the allocator may take beside it: 40 KiB each.
const BESIDE: f64 = 16.0;

fn registered(scene: &Scene, tunnels: usize) -> Vec<Registered> {
    let register = |n: u16| {
        let mut secret = [9; 32];
        // Not the first byte, of which X25519 ignores three bits.
        secret[1..3].copy_from_slice(&n.to_be_bytes());
        let identity = Identity::from_secret(secret);
        let token = scene.caller.register(&identity, 6881).unwrap().token;
        Registered {
            key: identity.public_key(),
            token,
        }
    };
    (0..tunnels as u16 * 2).map(register).collect()
}

#[test]
fn two_hundred_slow_readers_cost_what_they_granted_and_hold_up_nobody() {
    let scene = Scene::new();
    let peers = registered(&scene, TUNNELS);
    let (anna, bob) = (scene.peer(1), scene.peer(2));
    let address = scene.tracker.address();
    let resident = || resident_mib(scene.tracker.program.pid()).unwrap();
    let before = resident();
    scene.run(async {
        let mut slow = SlowReaders::start(address, &peers, CREDIT).await;
        slow.full().await;
        let (mut a, mut b) = (anna.connect(address).await, bob.connect(address).await);
        let (near, far) = tunnel((&mut a, 0), (&mut b, bob.key), FIRST_CREDIT).await;
        for _ in 0..FIRST_CREDIT as usize / (MAX_DATA + FRAME_COST as usize) {
            a.send_data(near, &[7; MAX_DATA]).await;
            assert!(matches!(b.next().await, Event::Data(tunnel, bytes) if tunnel == far && bytes.len() == MAX_DATA));
        }
        let health = reqwest::get(format!("{}/healthz", scene.tracker.url())).await.unwrap();
        assert_eq!(health.status(), 200);
        let (now, granted) = (resident(), slow.granted() as f64 / f64::from(1 << 20));
        println!("{TUNNELS} tunnels, {granted:.1} MiB granted: {before:.1} MiB before, {now:.1} MiB now");
        assert!(now - before < granted + BESIDE, "{before} MiB before, {now} MiB now");
    });
    assert_eq!(scene.stats()["tunnels"], TUNNELS, "{}", scene.stats());
}

/// Its window is shut nearly all the time, which does not mean that it is gone.
#[test]
fn who_reads_a_kibibyte_a_second_is_kept() {
    let scene = Scene::with(|launch| launch.args(["--lease", "600"]));
    let peers = registered(&scene, 1);
    let mut slow = scene.run(SlowReaders::start(scene.tracker.address(), &peers, FIRST_CREDIT));
    scene.run(slow.full());
    let running = async { tokio::time::timeout(LONG, slow.ended()).await };
    let ended = scene.run_for(LONG * 2, running);
    assert!(ended.is_err(), "{}", scene.stats());
    let stats = scene.stats();
    assert_eq!(
        (&stats["tunnels"], &stats["connections"]),
        (&1.into(), &2.into()),
        "{stats}"
    );
}
