//! How fast a tracker's relay forwards, and what that costs it: pairs of peers that send through tunnels with credit, and a reader
//! that stops (W5).
//!
//! Promises the tracker's own CPU seconds per GB and its memory; the rate is that of this machine at this moment, so compare rates of one
//! run only: several trackers can be named and take turns.

mod slow;

use clap::Parser;
use p2p_shared::crypto::identity::Identity;
use p2p_shared::protocol::relay::{FIRST_CREDIT, FRAME_COST, MAX_DATA, RelayFrame, TunnelId};
use p2p_tests::lab::Lab;
use p2p_tests::measure::{cpu_seconds, resident_mib};
use p2p_tests::process::{Launch, Program};
use p2p_tests::programs::listening;
use p2p_tests::relay_client::{Event, Registered, RelayClient, tunnel};
use p2p_tests::tracker_caller::Caller;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Instant,
};

/// Measures relays
#[derive(Debug, Parser)]
struct Options {
    /// The tracker's program; several are measured by turns
    #[arg(required = true)]
    trackers: Vec<PathBuf>,
    /// MiB a pair sends
    #[arg(long, default_value_t = 512)]
    mib: usize,
    /// Pairs at once
    #[arg(long, default_value_t = 1)]
    pairs: u8,
    /// Rounds; the first line of each tracker warms up
    #[arg(long, default_value_t = 4)]
    rounds: usize,
    /// Threads of the tracker that serve requests
    #[arg(long, default_value_t = 1)]
    workers: u8,
    /// Connections that only wait, opened before the rest
    #[arg(long, default_value_t = 0)]
    idle: u16,
    /// Instead of all that: so many tunnels with slow readers, and what else goes on beside them
    #[arg(long, default_value_t = 0)]
    slow: u16,
    /// Seconds for which they are slow, at least, in each of three rounds
    #[arg(long, default_value_t = 0)]
    hold: u64,
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    if options.slow > 0 {
        for tracker in &options.trackers {
            let lab = Lab::new();
            let (program, address) = start(&lab, tracker, options.workers);
            slow::measure(address, program.pid(), options.slow, options.mib, options.hold).await;
        }
        return;
    }
    println!(
        "tracker | GB/s | tracker CPU s/GB | MiB before | after | MiB with 14 MiB granted and not read | KiB an idle connection"
    );
    for _ in 0..options.rounds {
        for tracker in &options.trackers {
            measure(tracker, &options).await;
        }
    }
}

async fn measure(tracker: &Path, options: &Options) {
    let lab = Lab::new();
    let (program, address) = start(&lab, tracker, options.workers);
    let needed = u16::from(options.pairs) * 2 + 2 + options.idle;
    let url = format!("http://{address}");
    let peers = tokio::task::spawn_blocking(move || register(&url, needed));
    let peers = peers.await.expect("registrations");
    let pid = program.pid();
    let resident = || resident_mib(pid).expect("a tracker that runs");

    let bare = resident();
    let mut waiting = Vec::new();
    for peer in &peers[usize::from(needed - options.idle)..] {
        waiting.push(peer.connect(address).await);
    }
    let each = (resident() - bare) * 1024.0 / f64::from(options.idle.max(1));
    let before = resident();
    let (cpu, begin) = (cpu_seconds(pid), Instant::now());
    let mut running = Vec::new();
    for pair in peers[..usize::from(options.pairs) * 2].chunks(2) {
        let pair = [pair[0].clone(), pair[1].clone()];
        running.push(tokio::spawn(send(address, pair, options.mib)));
    }
    for pair in running {
        pair.await.expect("a pair");
    }
    let gb = (usize::from(options.pairs) * options.mib * (1 << 20)) as f64 / 1e9;
    let rate = gb / begin.elapsed().as_secs_f64();
    let cost = (cpu_seconds(pid).expect("running") - cpu.expect("running")) / gb;
    let after = resident();
    let from = usize::from(options.pairs) * 2;
    let _stuck = stall(address, &peers[from..from + 2]).await;
    let stalled = resident();
    let path = tracker.display();
    println!("{path} | {rate:.3} | {cost:.3} | {before:.1} | {after:.1} | {stalled:.1} | {each:.1}");
    drop(waiting);
}

fn start(lab: &Lab, tracker: &Path, workers: u8) -> (Program, SocketAddr) {
    // It starts in a folder of its own.
    let tracker = tracker.canonicalize().expect("the tracker's program");
    let path = tracker.to_str().expect("a path in UTF-8");
    let program = Launch::new(path, &lab.folder("tracker"))
        .args(["serve", "--listen", "127.0.0.1:0", "--lease", "3600", "--workers"])
        .arg(workers.to_string())
        .arg("--data")
        .arg(lab.at("tracker/data"))
        .start();
    let (address, _) = program.wait_err(0, "where it listens", listening);
    (program, address)
}

fn register(url: &str, count: u16) -> Vec<Registered> {
    let caller = Caller::new(url);
    let register = |n: u16| {
        let mut secret = [1; 32];
        // Not the first byte, of which X25519 ignores three bits.
        secret[1..3].copy_from_slice(&n.to_be_bytes());
        let identity = Identity::from_secret(secret);
        let session = caller.register(&identity, 6881).expect("a registration");
        let (key, token) = (identity.public_key(), session.token);
        Registered { key, token }
    };
    (0..count).map(register).collect()
}

/// One sends, one reads and grants.
async fn send(address: SocketAddr, [from, to]: [Registered; 2], mib: usize) {
    let (mut a, mut b) = (from.connect(address).await, to.connect(address).await);
    let (near, far) = tunnel((&mut a, 0), (&mut b, to.key), FIRST_CREDIT).await;
    let frames = (mib << 20) / MAX_DATA;
    let reader = tokio::spawn(read(b, far, frames * MAX_DATA));
    let frame = [7; MAX_DATA];
    let mut credit = FIRST_CREDIT;
    let cost = MAX_DATA as u32 + FRAME_COST;
    for _ in 0..frames {
        while credit < cost {
            let RelayFrame::Credit { bytes, .. } = a.frame().await else {
                panic!("credit is due");
            };
            credit += bytes;
        }
        credit -= cost;
        a.send_data(near, &frame).await;
    }
    reader.await.expect("the reader");
}

async fn read(mut client: RelayClient, tunnel: TunnelId, mut bytes: usize) {
    let mut taken = 0;
    while bytes > 0 {
        let Event::Data(_, data) = client.next().await else {
            panic!("data is due");
        };
        bytes -= data.len();
        taken += data.len() as u32 + FRAME_COST;
        if taken >= FIRST_CREDIT / 4 {
            let bytes = std::mem::take(&mut taken);
            client.send(&RelayFrame::Credit { tunnel, bytes }).await;
        }
    }
}

/// 14 tunnels to one that does not read, filled.
async fn stall(address: SocketAddr, peers: &[Registered]) -> (RelayClient, RelayClient) {
    let (mut a, mut s) = (peers[0].connect(address).await, peers[1].connect(address).await);
    let mut legs = Vec::new();
    for n in 0..14 {
        legs.push(
            tunnel((&mut a, 2 * n), (&mut s, peers[1].key), FIRST_CREDIT)
                .await
                .0,
        );
    }
    for leg in legs {
        for _ in 0..FIRST_CREDIT as usize / (MAX_DATA + FRAME_COST as usize) {
            a.send_data(leg, &[7; MAX_DATA]).await;
        }
    }
    // A signal comes back when everything before it was read.
    let (peer, bytes) = (peers[0].key, vec![1]);
    a.send(&RelayFrame::Signal { peer, bytes }).await;
    assert_eq!(a.frame().await, RelayFrame::Undelivered { peer });
    (a, s)
}
