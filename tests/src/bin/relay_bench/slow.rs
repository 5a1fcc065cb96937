//! Slow readers with fast senders: what they cost the tracker, other tunnels and whoever asks for its health.

use crate::{register, send};
use p2p_shared::protocol::relay::FIRST_CREDIT;
use p2p_tests::measure::{cpu_seconds, resident_mib};
use p2p_tests::relay_client::Registered;
use p2p_tests::slow_readers::{SIP, SlowReaders};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Between two questions for the tracker's health.
const ASK: Duration = Duration::from_millis(10);

/// How many in a turn.
const QUESTIONS: usize = 100;

/// Rounds of rates alone, then beside slow readers; in each this many of both.
const ROUNDS: usize = 3;

/// One tracker with this process id at this address.
pub(crate) async fn measure(address: SocketAddr, pid: u32, tunnels: u16, mib: usize, hold: u64) {
    let url = format!("http://{address}");
    let registered = tokio::task::spawn_blocking(move || register(&url, tunnels * 2 + 2));
    let peers = registered.await.expect("registrations");
    let (pair, crowd) = peers.split_at(2);
    let resident = || resident_mib(pid).expect("a tracker that runs");
    let (mut alone, mut beside) = (Rates::default(), Rates::default());
    let (mut health, mut memory) = (Vec::new(), None);
    for _ in 0..ROUNDS {
        for _ in 0..ROUNDS {
            alone.take(address, pid, pair, mib).await;
        }
        let before = resident();
        let mut slow = SlowReaders::start(address, crowd, FIRST_CREDIT).await;
        slow.full().await;
        let since = tokio::time::Instant::now();
        for _ in 0..ROUNDS {
            let ((), asked) = tokio::join!(beside.take(address, pid, pair, mib), ask(address));
            health.extend(asked);
        }
        // Only the first of them meets an allocator that has kept nothing of earlier ones.
        memory.get_or_insert_with(|| (before, resident(), slow.granted() as f64 / f64::from(1 << 20)));
        tokio::time::sleep_until(since + Duration::from_secs(hold)).await;
        let stand = &relay_stats(address).await["tunnels"];
        println!(
            "{stand} of {tunnels} tunnels stand after {:.0} s",
            since.elapsed().as_secs_f64()
        );
        drop(slow);
        nobody_left(address).await;
    }
    let (before, now, granted) = memory.expect("a round");
    let worst = health.iter().max().copied().unwrap_or_default();
    let typical = median(health.iter().map(Duration::as_secs_f64).collect());
    let (one, other) = (alone.median(), beside.median());
    println!("{tunnels} tunnels, readers at {SIP} bytes a second, senders at full speed:");
    println!(
        "  memory of the tracker: {before:.1} MiB before, {now:.1} MiB with them; {granted:.1} MiB granted"
    );
    println!(
        "  another tunnel, medians of {}: {:.3} GB/s and {:.2} CPU s/GB of the tracker alone, {:.3} and {:.2} beside them ({:.0} % of the rate)",
        alone.rates.len(),
        one.0,
        one.1,
        other.0,
        other.1,
        other.0 / one.0 * 100.0
    );
    println!(
        "  /healthz: {:.2} ms typically, {:.2} ms at worst of {}",
        typical * 1e3,
        worst.as_secs_f64() * 1e3,
        health.len()
    );
}

/// Rates of one pair, in GB/s, and what a GB costs the tracker, in CPU seconds.
#[derive(Default)]
struct Rates {
    rates: Vec<f64>,
    costs: Vec<f64>,
}

impl Rates {
    async fn take(&mut self, address: SocketAddr, pid: u32, pair: &[Registered], mib: usize) {
        let cpu = || cpu_seconds(pid).expect("a tracker that runs");
        let (begin, before, gb) = (Instant::now(), cpu(), (mib << 20) as f64 / 1e9);
        send(address, [pair[0].clone(), pair[1].clone()], mib).await;
        self.rates.push(gb / begin.elapsed().as_secs_f64());
        self.costs.push((cpu() - before) / gb);
    }

    fn median(&self) -> (f64, f64) {
        (median(self.rates.clone()), median(self.costs.clone()))
    }
}

/// Waits until the tracker has seen the end of every connection.
async fn nobody_left(address: SocketAddr) {
    while relay_stats(address).await["connections"] != 0 {
        tokio::task::yield_now().await;
    }
}

async fn relay_stats(address: SocketAddr) -> serde_json::Value {
    let answer = reqwest::get(format!("http://{address}/api/stats"))
        .await
        .expect("an answer");
    let stats: serde_json::Value = answer.json().await.expect("JSON");
    stats["relay"].clone()
}

/// How long each of many answers about the tracker's health takes.
async fn ask(address: SocketAddr) -> Vec<Duration> {
    let (client, url) = (reqwest::Client::new(), format!("http://{address}/healthz"));
    let mut answers = Vec::new();
    for _ in 0..QUESTIONS {
        let begin = Instant::now();
        let answer = client.get(&url).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{answer:?}");
        answers.push(begin.elapsed());
        tokio::time::sleep(ASK).await;
    }
    answers
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
