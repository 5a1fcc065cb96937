//! One GiB over a punched path on loopback, raw: what QUIC costs before a session runs on it. Prints MB/s, and CPU seconds a GB of both
//! sides together. `cargo bench -p p2p-peer --bench quic`; each run is one transfer.

use p2p_peer::udp::{PunchedPath, UdpHandle, start};
use p2p_shared::{
    crypto::identity::Identity,
    holepunch::{
        burst::Round,
        candidate::{Candidate, CandidateKind},
        probe::ProbeKey,
        signal::RoundNonce,
    },
    supervision::{Supervisor, system},
};
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What is sent.
const TOTAL: usize = 1 << 30;
/// One write, as long as a record with a chunk.
const WRITE: usize = 256 << 10;
const RUNS: usize = 3;

struct Side {
    identity: Identity,
    nonce: RoundNonce,
    udp: UdpHandle,
}

impl Side {
    fn new(number: u8, supervisor: &mut Supervisor) -> Self {
        let listener = Some("127.0.0.1:0".parse().expect("an address"));
        Self {
            identity: Identity::from_secret([number; 32]),
            nonce: RoundNonce([number; 16]),
            udp: start(supervisor, listener, None),
        }
    }

    async fn punch(&self, other: &Self) -> PunchedPath {
        let remote = other.identity.public_key();
        let key = ProbeKey::new(&self.identity, &self.nonce, &remote, &other.nonce).expect("a key");
        let candidate = Candidate {
            kind: CandidateKind::Lan,
            address: other.udp.address().expect("a socket"),
        };
        let round = Round {
            remote,
            key,
            candidates: vec![candidate],
            certificate: other.udp.certificate().expect("a socket"),
            delay: Duration::ZERO,
        };
        self.udp.punch(round).await.expect("a path on loopback")
    }
}

/// CPU seconds of this process.
fn cpu() -> f64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        spent.tv_sec.unsigned_abs(),
        u32::try_from(spent.tv_nsec).unwrap_or(0),
    )
    .as_secs_f64()
}

async fn transfer(mut from: PunchedPath, mut to: PunchedPath) {
    let sending = tokio::spawn(async move {
        let record = vec![7; WRITE];
        for _ in 0..TOTAL / WRITE {
            from.wire.sink.write_all(&record).await.expect("a write");
        }
    });
    let receiving = tokio::spawn(async move {
        let (mut buffer, mut received) = (vec![0; WRITE], 0);
        while received < TOTAL {
            received += to.wire.source.read(&mut buffer).await.expect("a read");
        }
    });
    sending.await.expect("the sender");
    receiving.await.expect("the receiver");
}

#[expect(clippy::print_stdout, reason = "a bench prints what it measured")]
fn main() {
    // `cargo test --benches` asks whether it runs.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let runs = if is_test { 0 } else { RUNS };
    system(2).expect("threads").block_on(async {
        let mut supervisor = Supervisor::new();
        let (one, two) = (Side::new(1, &mut supervisor), Side::new(2, &mut supervisor));
        for _ in 0..runs {
            let (near, far) = tokio::join!(one.punch(&two), two.punch(&one));
            let (began, spent) = (Instant::now(), cpu());
            transfer(near, far).await;
            let gigabytes = TOTAL as f64 / 1e9;
            let (seconds, spent) = (began.elapsed().as_secs_f64(), cpu() - spent);
            println!(
                "{:.0} MB/s, {:.2} CPU s per GB",
                gigabytes * 1e3 / seconds,
                spent / gigabytes
            );
        }
        supervisor.stop(Duration::from_secs(5)).await;
    });
}
