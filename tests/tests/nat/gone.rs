//! Peers that vanish without a word: the relay notices, whatever was on its way to them.

use p2p_shared::crypto::identity::Identity;
use p2p_shared::protocol::relay::{CloseReason, FIRST_CREDIT, FRAME_COST, MAX_DATA, RelayFrame, TunnelId};
use p2p_tests::lab::Lab;
use p2p_tests::netlab::cast::PublicTracker;
use p2p_tests::netlab::{self, Namespace, Net, Plan, TRACKER, TRACKER_PORT};
use p2p_tests::relay_client::{Event, Registered, RelayClient, headers, request, tunnel};
use p2p_tests::tracker_caller::Caller;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// What a tunnel may carry before its reader grants more.
const FRAMES: usize = FIRST_CREDIT as usize / (MAX_DATA + FRAME_COST as usize);

/// Granted anew this often, the reader is one that reads.
const FLOWING: u32 = 4 * FIRST_CREDIT;

/// A relay's client on a machine of the laboratory.
struct Placed<'a> {
    runtime: &'a Runtime,
    tracker: &'a PublicTracker,
    place: &'a Namespace,
}

impl Placed<'_> {
    /// Registers and connects.
    fn connect(&self, seed: u8) -> (Registered, RelayClient) {
        let at = SocketAddr::new(TRACKER.into(), TRACKER_PORT);
        let identity = Identity::from_secret([seed; 32]);
        let key = self.tracker.key();
        // Sockets belong to the machine of the thread that makes them.
        self.place.enter(|| {
            let session = Caller::with_key(&format!("http://{at}"), key).register(&identity, 6881);
            let token = session.expect("a registration").token;
            let mut lines = headers(&token);
            lines.push(format!("X-API-Key: {key}"));
            let connected = self
                .runtime
                .block_on(RelayClient::connect_with(at, &request(&lines)));
            let mut client = connected.expect("a WebSocket");
            let welcome = self.runtime.block_on(client.frame());
            assert!(matches!(welcome, RelayFrame::Welcome { .. }), "{welcome:?}");
            let key = identity.public_key();
            (Registered { key, token }, client)
        })
    }
}

/// Reads what comes and grants it anew, for ever.
async fn read(mut client: RelayClient) {
    while let Event::Data(tunnel, bytes) = client.next().await {
        let bytes = bytes.len() as u32 + FRAME_COST;
        client.send(&RelayFrame::Credit { tunnel, bytes }).await;
    }
}

/// Sends on `flowing` as it is granted, until tunnels have flowed and are cut, and hears of their ends: after how long, by tunnel.
async fn outlive(
    mut client: RelayClient,
    [idle, flowing, shut]: [TunnelId; 3],
    cut: impl FnOnce(),
) -> HashMap<TunnelId, Duration> {
    for tunnel in [shut, flowing] {
        for _ in 0..FRAMES {
            client.send_data(tunnel, &[7; MAX_DATA]).await;
        }
    }
    let (mut cut, mut since) = (Some(cut), None);
    let (mut granted, mut credit, mut over) = (0, 0, HashMap::new());
    while over.len() < 3 {
        match client.frame().await {
            RelayFrame::Credit { tunnel, bytes } if tunnel == flowing => {
                granted += bytes;
                credit += bytes;
            }
            RelayFrame::Close { tunnel, reason } => {
                assert_eq!(reason, CloseReason::Gone);
                assert!([idle, flowing, shut].contains(&tunnel), "{tunnel:?}");
                let since: Instant = since.expect("not before they vanish");
                over.insert(tunnel, since.elapsed());
            }
            other => panic!("{other:?}"),
        }
        if granted >= FLOWING
            && let Some(cut) = cut.take()
        {
            cut();
            since = Some(Instant::now());
        }
        while credit >= MAX_DATA as u32 + FRAME_COST && !over.contains_key(&flowing) {
            credit -= MAX_DATA as u32 + FRAME_COST;
            client.send_data(flowing, &[7; MAX_DATA]).await;
        }
    }
    over
}

#[test]
fn peers_that_vanish_are_noticed_within_twenty_seconds_whatever_was_on_its_way_to_them() {
    if !netlab::permitted() {
        return;
    }
    let lab = Lab::new();
    let net: Net = Plan::named(&["none"; 4]).build();
    let tracker = PublicTracker::start_with(&lab, &net, &["--lease", "600"]);
    let runtime = Runtime::new().expect("a runtime");
    let place = |site: usize| Placed {
        runtime: &runtime,
        tracker: &tracker,
        place: &net.sites[site].peers[0],
    };
    let (_, mut stays) = place(0).connect(1);
    let mut others = [1, 2, 3].map(|site| place(site).connect(site as u8 + 1));
    let mut numbers = Vec::new();
    for (n, (peer, client)) in others.iter_mut().enumerate() {
        let made = tunnel((&mut stays, 2 * n as u32), (client, peer.key), FIRST_CREDIT);
        numbers.push(runtime.block_on(made).0);
    }
    // One is there and has nothing to do, one reads, one does not: its window is shut when it vanishes.
    let [(_, _idle), (_, flowing), (_, _shut)] = others;
    let reading = runtime.spawn(read(flowing));
    let numbers = [numbers[0], numbers[1], numbers[2]];
    let cut = || (1..4).for_each(|site| net.cut(site));
    let over = runtime.block_on(async {
        let patience = Duration::from_secs(60);
        tokio::time::timeout(patience, outlive(stays, numbers, cut)).await
    });
    reading.abort();
    let over = over.expect("peers that are gone and not missed");
    for (what, tunnel) in ["idle", "flowing", "shut"].into_iter().zip(numbers) {
        let took = over[&tunnel];
        println!(
            "a peer that vanished was missed after {:.1} s ({what})",
            took.as_secs_f64()
        );
        // Twenty seconds are the promise; a machine that does other things besides is slower, not wrong.
        assert!(took < Duration::from_secs(25), "{what}: {took:?}");
    }
}
