//! The relay of a real tracker, over real WebSockets: what goes through it, and what does not.

mod crowd;
mod limits;
mod scene;

use bytes::Bytes;
use p2p_shared::protocol::relay::{
    CloseReason, EndReason, FIRST_CREDIT, FRAME_COST, MAX_CREDIT, MAX_DATA, RefuseReason, RelayFrame,
    TunnelId,
};
use p2p_shared::websocket::{Opcode, write_head};
use p2p_tests::relay_client::{Event, Registered, RelayClient, headers, masked, request, tunnel, visit};
use reqwest::Method;
use scene::Scene;
use serde_json::Value;
use std::time::{Duration, Instant};

#[test]
fn two_peers_talk_through_the_relay_and_their_records_say_where() {
    let scene = Scene::new();
    let (anna, bob) = (scene.peer(1), scene.peer(2));
    let address = scene.tracker.address();
    let relay = format!("ws://{address}/relay");
    let record = |scene: &Scene| {
        let (_, page) = scene.caller.get("/api/peers").unwrap();
        page["peers"].as_array().unwrap()[0]["relay_url"].clone()
    };
    assert_eq!(record(&scene), Value::Null);
    scene.run(async {
        let (mut a, mut b) = (anna.connect(address).await, bob.connect(address).await);
        let (near, far) = tunnel((&mut a, 0), (&mut b, bob.key), FIRST_CREDIT).await;
        // More than is granted to begin with, in both directions.
        let chunk = Bytes::from(vec![7; MAX_DATA]);
        for _ in 0..40 {
            a.send_data(near, &chunk).await;
            assert_eq!(b.next().await, Event::Data(far, chunk.clone()));
            let bytes = MAX_DATA as u32 + FRAME_COST;
            b.send(&RelayFrame::Credit { tunnel: far, bytes }).await;
            let granted = RelayFrame::Credit { tunnel: near, bytes };
            assert_eq!(a.frame().await, granted);
        }
        b.send_data(far, b"thanks").await;
        assert_eq!(a.next().await, Event::Data(near, Bytes::from_static(b"thanks")));
        let stats = scene_stats(&scene).await;
        assert_eq!((&stats["connections"], &stats["tunnels"]), (&2.into(), &1.into()));
        assert_eq!(stats["bytes"], 40 * MAX_DATA + 6);
    });
    scene.stats_become(|stats| stats["connections"] == 0 && stats["tunnels"] == 0);
    assert_eq!(scene.stats()["refused"], serde_json::json!({}));
    scene.run(async {
        let _a = anna.connect(address).await;
        let _b = bob.connect(address).await;
        let url = format!("{}/api/peers", scene.tracker.url());
        let page: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        assert_eq!(page["peers"][0]["relay_url"], relay);
    });
}

async fn scene_stats(scene: &Scene) -> Value {
    let url = format!("{}/api/stats", scene.tracker.url());
    let stats: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    stats["relay"].clone()
}

#[test]
fn everything_that_peers_do_at_a_relay_works_again_and_again() {
    let scene = Scene::new();
    let peers = [scene.peer(1), scene.peer(2)];
    for _ in 0..3 {
        scene.run(visit(scene.tracker.address(), peers.clone()));
    }
    let stats = scene.stats_become(|stats| stats["connections"] == 0);
    assert_eq!(stats["signals"], 3);
    assert_eq!(stats["refused"], serde_json::json!({ "replaced": 3 }));
}

#[test]
fn who_is_not_registered_or_speaks_no_websocket_is_refused_at_the_door() {
    let scene = Scene::new();
    let (anna, gone) = (scene.peer(1), scene.peer(2));
    let path = {
        let (_, page) = scene.caller.get("/api/peers").unwrap();
        let peers = page["peers"].as_array().unwrap().clone();
        let gone = peers
            .iter()
            .find(|peer| peer["public_key"] == serde_json::json!(gone.key));
        format!("/api/peers/{}", gone.unwrap()["peer_id"].as_str().unwrap())
    };
    let left = scene
        .caller
        .call(Method::DELETE, &path, Some(&gone.token), None)
        .unwrap();
    assert_eq!(left.0, 204);
    let address = scene.tracker.address();
    let [authorization, protocol] = <[String; 2]>::try_from(headers(&anna.token)).unwrap();
    let plain = format!("GET /relay HTTP/1.1\r\nHost: localhost\r\n{authorization}\r\n\r\n");
    let cases = [
        (request(std::slice::from_ref(&protocol)), 401, "token-missing"),
        (request(&headers("made up")), 401, "token-invalid"),
        (request(&headers(&gone.token)), 401, "token-invalid"),
        (
            request(std::slice::from_ref(&authorization)),
            426,
            "upgrade-required",
        ),
        (plain, 426, "upgrade-required"),
        (
            request(&headers(&anna.token)).replace("Version: 13", "Version: 12"),
            426,
            "upgrade-required",
        ),
    ];
    for (request, status, slug) in cases {
        let refused = scene.run(RelayClient::connect_with(address, &request));
        let Err(refused) = refused else {
            panic!("let in: {request}");
        };
        assert_eq!(refused.status, status, "{}", refused.text);
        assert!(refused.text.contains(slug), "{}", refused.text);
    }
    let stats = scene.stats();
    assert_eq!(stats["connections"], 0);
    let counted = serde_json::json!({ "token-missing": 1, "token-invalid": 2, "upgrade-required": 3 });
    assert_eq!(stats["refused"], counted);
}

#[test]
fn a_tracker_with_keys_wants_one_for_its_relay() {
    let public = ["--public-url", "https://tracker.example.org"];
    let scene = Scene::with(|launch| launch.args(public));
    let refused = scene.run(RelayClient::connect(scene.tracker.address(), "made up"));
    let refused = refused.err().expect("a refusal");
    assert_eq!(refused.status, 401);
    assert!(refused.text.contains("api-key-invalid"), "{}", refused.text);
}

#[test]
fn a_tunnel_that_cannot_be_is_refused_with_the_reason() {
    let scene = Scene::new();
    let (anna, bob, carl) = (scene.peer(1), scene.peer(2), scene.peer(3));
    let address = scene.tracker.address();
    scene.run(async {
        let (mut a, mut b) = (anna.connect(address).await, bob.connect(address).await);
        for (id, peer, reason) in [
            (0, anna.key, RefuseReason::Yourself),
            (2, carl.key, RefuseReason::Offline),
        ] {
            a.open(id, peer, 0).await;
            let tunnel = TunnelId(id);
            assert_eq!(a.frame().await, RelayFrame::Refused { tunnel, reason });
        }
        a.open(4, bob.key, 0).await;
        let RelayFrame::Open { tunnel, peer, .. } = b.frame().await else {
            panic!("Bob is asked");
        };
        assert_eq!(peer, anna.key);
        let reason = RefuseReason::Declined;
        b.send(&RelayFrame::Refused { tunnel, reason }).await;
        let tunnel = TunnelId(4);
        assert_eq!(a.frame().await, RelayFrame::Refused { tunnel, reason });
        let bytes = vec![1];
        a.send(&RelayFrame::Signal {
            peer: carl.key,
            bytes,
        })
        .await;
        assert_eq!(a.frame().await, RelayFrame::Undelivered { peer: carl.key });
    });
    let refused = scene.stats()["refused"].clone();
    assert_eq!(refused, serde_json::json!({ "yourself": 1, "offline": 1 }));
}

/// What a peer does that no peer should, and how the relay ends it.
async fn misbehave(case: &str, client: &mut RelayClient, victim: &Registered) {
    let data = |bytes| {
        let mut payload = vec![0x40, 0, 0, 0, 0];
        payload.resize(5 + bytes, 7);
        payload
    };
    match case {
        "an unknown frame" => client.send_message(Opcode::Binary, &[9, 0]).await,
        "an empty frame" => client.send_message(Opcode::Binary, &[]).await,
        "a frame of the relay" => client.send(&RelayFrame::GoingAway { elsewhere: None }).await,
        "garbage" => client.send_raw(&[0xff; 100]).await,
        "an unmasked frame" => client.send_raw(&[0x82, 1, 0]).await,
        "a message in parts" => client.send_raw(&[0x02, 0x81, 0, 0, 0, 0, 7]).await,
        "a text" => client.send_message(Opcode::Text, b"hello").await,
        "a frame one byte too long" => client.send_message(Opcode::Binary, &data(MAX_DATA + 1)).await,
        "a head that announces 4 GiB" => {
            let mut head = Vec::new();
            write_head(Opcode::Binary, 1 << 32, Some([0; 4]), &mut head);
            client.send_raw(&head).await;
        }
        "data before the answer" => {
            client.open(0, victim.key, 0).await;
            client.send_data(TunnelId(0), b"x").await;
        }
        "data on a tunnel that is none" => client.send_data(TunnelId(8), b"x").await,
        "a number of the relay's" => client.open(1, victim.key, 0).await,
        "too large a grant" => client.open(0, victim.key, MAX_CREDIT + 1).await,
        other => panic!("{other}?"),
    }
}

#[test]
fn who_breaks_the_rules_is_ended_with_the_reason_counted_and_nothing_of_it_passed_on() {
    use EndReason as E;
    let cases = [
        ("an unknown frame", E::Malformed),
        ("an empty frame", E::Malformed),
        ("a frame of the relay", E::Malformed),
        ("garbage", E::Malformed),
        ("an unmasked frame", E::Malformed),
        ("a message in parts", E::Malformed),
        ("a text", E::Text),
        ("a frame one byte too long", E::TooLong),
        ("a head that announces 4 GiB", E::TooLong),
        ("data before the answer", E::CreditExceeded),
        ("data on a tunnel that is none", E::WrongTunnel),
        ("a number of the relay's", E::WrongTunnel),
        ("too large a grant", E::CreditRefused),
    ];
    let scene = Scene::new();
    let (bad, good, bob) = (scene.peer(1), scene.peer(2), scene.peer(3));
    let address = scene.tracker.address();
    scene.run(async {
        let (mut g, mut b) = (good.connect(address).await, bob.connect(address).await);
        let (near, far) = tunnel((&mut g, 0), (&mut b, bob.key), FIRST_CREDIT).await;
        for (case, reason) in cases {
            let mut client = bad.connect(address).await;
            misbehave(case, &mut client, &bob).await;
            assert_eq!(client.end().await, Some(reason.code()), "{case}");
            if reason == E::Text {
                assert!(client.is_closed().await, "the socket, too");
            }
        }
        g.send_data(near, b"goes on").await;
        // Before that Bob was asked at most once, for the tunnel that got data too early, and it was closed. Nothing else came.
        let mut before = Vec::new();
        let bytes = loop {
            match b.next().await {
                Event::Frame(frame) => before.push(frame),
                Event::Data(on, bytes) if on == far => break bytes,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(bytes, b"goes on"[..]);
        let is_right = |frames: &[RelayFrame]| match frames {
            [] => true,
            [
                RelayFrame::Open { tunnel, .. },
                RelayFrame::Close {
                    tunnel: closed,
                    reason,
                },
            ] => tunnel == closed && *reason == CloseReason::Misbehaved,
            _ => false,
        };
        assert!(is_right(&before), "{before:?}");
    });
    let refused = scene.stats()["refused"].clone();
    for reason in [
        E::Malformed,
        E::Text,
        E::TooLong,
        E::CreditExceeded,
        E::WrongTunnel,
        E::CreditRefused,
    ] {
        let expected = cases.iter().filter(|(_, ended)| *ended == reason).count();
        assert_eq!(refused[reason.name()], expected, "{reason:?} of {refused}");
    }
    assert_eq!(scene.stats()["bytes"], 7);
}

#[test]
fn more_than_was_granted_ends_the_sender_and_what_was_granted_has_arrived() {
    let scene = Scene::new();
    let (anna, bob) = (scene.peer(1), scene.peer(2));
    let address = scene.tracker.address();
    scene.run(async {
        let (mut a, mut b) = (anna.connect(address).await, bob.connect(address).await);
        let (near, far) = tunnel((&mut a, 0), (&mut b, bob.key), 1000 + FRAME_COST).await;
        a.send_data(near, &[1; 1000]).await;
        a.send_data(near, &[2]).await;
        assert_eq!(a.end().await, Some(EndReason::CreditExceeded.code()));
        assert_eq!(b.next().await, Event::Data(far, Bytes::from(vec![1; 1000])));
        let (tunnel, reason) = (far, CloseReason::Misbehaved);
        assert_eq!(b.frame().await, RelayFrame::Close { tunnel, reason });
    });
    assert_eq!(scene.stats()["refused"]["credit-exceeded"], 1);
}

#[test]
fn half_a_frame_and_silence_is_ended_and_pings_alone_keep_a_connection() {
    let scene = Scene::with(|launch| launch.args(["--lease", "600"]));
    let (silent, quiet) = (scene.peer(1), scene.peer(2));
    let address = scene.tracker.address();
    scene.run(async {
        let mut q = quiet.connect(address).await;
        let begin = Instant::now();
        let mut s = silent.connect(address).await;
        let whole = masked(Opcode::Binary, &[0x40, 0, 0, 0, 0, 1, 2, 3]);
        s.send_raw(&whole[..9]).await;
        s.fall_silent();
        // The quiet one answers pings meanwhile, in `next`.
        let end = async {
            let code = s.end().await;
            (code, begin.elapsed())
        };
        let (code, after) = tokio::select! {
            end = end => end,
            event = q.next() => panic!("{event:?} for one who does nothing wrong"),
        };
        assert_eq!(code, Some(EndReason::Silent.code()));
        assert!(after >= Duration::from_millis(17_500), "already after {after:?}");
    });
    assert_eq!(scene.stats()["refused"]["silent"], 1);
}
