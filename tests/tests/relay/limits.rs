//! What a relay puts up with: leases, readers that stop, tunnels and bytes; and how it stops itself.

use crate::scene::Scene;
use bytes::Bytes;
use p2p_shared::protocol::relay::{
    CloseReason, EndReason, FIRST_CREDIT, FRAME_COST, MAX_DATA, RefuseReason, RelayFrame, TunnelId,
};
use p2p_tests::measure::resident_mib;
use p2p_tests::relay_client::{Event, RelayClient, tunnel};
use std::time::{Duration, Instant};

#[test]
fn when_the_lease_ends_the_connection_does() {
    let scene = Scene::with(|launch| launch.args(["--lease", "2"]));
    let anna = scene.peer(1);
    let address = scene.tracker.address();
    scene.run(async {
        let mut a = anna.connect(address).await;
        assert_eq!(a.end().await, Some(EndReason::LeaseOver.code()));
    });
    let refused = scene.run(RelayClient::connect(address, &anna.token));
    assert_eq!(refused.err().expect("a refusal").status, 401);
}

#[test]
fn a_reader_that_stops_costs_what_it_granted_and_holds_up_nobody() {
    const TUNNELS: u32 = 14;
    let scene = Scene::new();
    let (anna, stuck, bob) = (scene.peer(1), scene.peer(2), scene.peer(3));
    let address = scene.tracker.address();
    let before = resident_mib(scene.tracker.program.pid()).unwrap();
    scene.run(async {
        let mut a = anna.connect(address).await;
        let (mut s, mut b) = (stuck.connect(address).await, bob.connect(address).await);
        let mut legs = Vec::new();
        for n in 0..TUNNELS {
            legs.push(tunnel((&mut a, 2 * n), (&mut s, stuck.key), FIRST_CREDIT).await.0);
        }
        let (near, far) = tunnel((&mut a, 1000), (&mut b, bob.key), FIRST_CREDIT).await;
        let full = FIRST_CREDIT as usize / (MAX_DATA + FRAME_COST as usize);
        for leg in legs {
            for _ in 0..full {
                a.send_data(leg, &[7; MAX_DATA]).await;
            }
        }
        // The sender was read to the end, and its bytes for others pass those that wait.
        a.send_data(near, b"after it all").await;
        assert_eq!(
            b.next().await,
            Event::Data(far, Bytes::from_static(b"after it all"))
        );
        let begin = Instant::now();
        let health = reqwest::get(format!("{}/healthz", scene.tracker.url()))
            .await
            .unwrap();
        assert_eq!(health.status(), 200);
        println!("/healthz after {:?}", begin.elapsed());
        let now = resident_mib(scene.tracker.program.pid()).unwrap();
        println!("{TUNNELS} MiB granted and not read: {before:.1} MiB before, {now:.1} MiB now");
        assert!(
            now - before < f64::from(TUNNELS) + 8.0,
            "{before} MiB before, {now} MiB now"
        );
        // All of it is there when it is read.
        let mut read = 0;
        while read < TUNNELS as usize * full * MAX_DATA {
            let Event::Data(_, bytes) = s.next().await else {
                panic!("bytes are due");
            };
            read += bytes.len();
        }
    });
}

#[test]
fn a_reader_that_grants_more_than_it_may_let_wait_is_ended() {
    const TUNNELS: u32 = 60;
    let scene = Scene::new();
    let (anna, stuck) = (scene.peer(1), scene.peer(2));
    let address = scene.tracker.address();
    scene.run(async {
        let (mut a, mut s) = (anna.connect(address).await, stuck.connect(address).await);
        let mut legs = Vec::new();
        for n in 0..TUNNELS {
            legs.push(tunnel((&mut a, 2 * n), (&mut s, stuck.key), FIRST_CREDIT).await.0);
        }
        for leg in legs {
            for _ in 0..FIRST_CREDIT as usize / (MAX_DATA + FRAME_COST as usize) {
                a.send_data(leg, &[7; MAX_DATA]).await;
            }
        }
        let told = a.frame().await;
        assert!(
            matches!(
                told,
                RelayFrame::Close {
                    reason: CloseReason::Gone,
                    ..
                }
            ),
            "{told:?}"
        );
    });
    assert_eq!(scene.stats()["refused"]["stalled"], 1);
}

#[test]
fn tunnels_and_bytes_have_their_limits() {
    let limits = ["--relay-tunnels", "2", "--relay-month", "1000"];
    let scene = Scene::with(|launch| launch.args(limits));
    let (anna, bob) = (scene.peer(1), scene.peer(2));
    let address = scene.tracker.address();
    scene.run(async {
        let (mut a, mut b) = (anna.connect(address).await, bob.connect(address).await);
        let (near, far) = tunnel((&mut a, 0), (&mut b, bob.key), FIRST_CREDIT).await;
        tunnel((&mut a, 2), (&mut b, bob.key), FIRST_CREDIT).await;
        a.open(4, bob.key, 0).await;
        let (id, reason) = (TunnelId(4), RefuseReason::Busy);
        assert_eq!(a.frame().await, RelayFrame::Refused { tunnel: id, reason });
        a.send_data(near, &[1; 1001]).await;
        assert!(matches!(b.next().await, Event::Data(..)));
        let reason = CloseReason::Quota;
        assert_eq!(a.frame().await, RelayFrame::Close { tunnel: near, reason });
        assert_eq!(b.frame().await, RelayFrame::Close { tunnel: far, reason });
        a.open(6, bob.key, 0).await;
        let (id, reason) = (TunnelId(6), RefuseReason::Quota);
        assert_eq!(a.frame().await, RelayFrame::Refused { tunnel: id, reason });
    });
}

#[test]
fn a_sender_above_its_rate_is_slowed_down_and_loses_nothing() {
    let scene = Scene::with(|launch| launch.args(["--relay-rate", "200000"]));
    let (anna, bob) = (scene.peer(1), scene.peer(2));
    let address = scene.tracker.address();
    scene.run(async {
        let (mut a, mut b) = (anna.connect(address).await, bob.connect(address).await);
        let (near, _) = tunnel((&mut a, 0), (&mut b, bob.key), FIRST_CREDIT).await;
        let begin = Instant::now();
        // A second's worth passes at once, the last frame when the others have been paid for.
        for _ in 0..10 {
            a.send_data(near, &[7; 50_000]).await;
        }
        for _ in 0..10 {
            assert!(matches!(b.next().await, Event::Data(_, bytes) if bytes.len() == 50_000));
        }
        let took = begin.elapsed();
        assert!(
            took >= Duration::from_millis(1200),
            "500,000 bytes at 200,000 a second took {took:?}"
        );
    });
}

#[test]
fn a_tracker_that_stops_says_so_and_lets_tunnels_finish() {
    let scene = Scene::new();
    let (anna, bob, carl) = (scene.peer(1), scene.peer(2), scene.peer(3));
    let address = scene.tracker.address();
    let (mut a, mut b, mut c) = scene.run(async {
        (
            anna.connect(address).await,
            bob.connect(address).await,
            carl.connect(address).await,
        )
    });
    let (near, far) = scene.run(tunnel((&mut a, 0), (&mut b, bob.key), FIRST_CREDIT));
    scene.tracker.program.terminate();
    scene.run(async {
        let going = RelayFrame::GoingAway { elsewhere: None };
        for client in [&mut a, &mut b, &mut c] {
            assert_eq!(client.frame().await, going);
        }
        assert_eq!(
            c.end().await,
            Some(EndReason::GoingAway.code()),
            "who has no tunnel"
        );
        a.open(2, bob.key, 0).await;
        let (tunnel, reason) = (TunnelId(2), RefuseReason::GoingAway);
        assert_eq!(a.frame().await, RelayFrame::Refused { tunnel, reason });
        a.send_data(near, b"the last bytes").await;
        assert_eq!(
            b.next().await,
            Event::Data(far, Bytes::from_static(b"the last bytes"))
        );
        let reason = CloseReason::Done;
        a.send(&RelayFrame::Close { tunnel: near, reason }).await;
        assert_eq!(b.frame().await, RelayFrame::Close { tunnel: far, reason });
        for client in [&mut a, &mut b] {
            assert_eq!(client.end().await, Some(EndReason::GoingAway.code()));
        }
    });
    let Scene { tracker, .. } = scene;
    let _ended = tracker.program.end().expect_code(0);
}
