//! W5: what a transfer through a relay costs, end to end.
//!
//! One pair, and eight pairs at once that move as much together. Promises that all bytes crossed the relay (the fetchers say so, and
//! a run in which one did not has failed), and that the relay's own CPU time is counted from the start of the fetchers to the
//! end of the last one.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use p2p_tests::lab::Lab;
use p2p_tests::measure::{self, Cost};
use p2p_tests::process::{Launch, Program};
use p2p_tests::programs::{Peer, Sharing, Tracker};
use serde_json::Value;

use crate::others::{free_port, tools};
use crate::ours::LOG;
use crate::pair::{Job, Pair, Run, fetch, files, size, touch};

/// Nothing but the relay, on both sides.
const RELAY_ONLY: [&str; 2] = ["--policy", "relay-only"];

/// `share` and `get`, each file of the source by a pair of its own, through the tracker's relay.
pub(crate) struct Relayed {
    /// Pairs at once: as many as the source has files.
    pub(crate) pairs: usize,
}

impl Relayed {
    /// What one pair is called in the table.
    pub(crate) const ONE: &str = "p2p-peer relayed, 1 pair";
    /// And eight.
    pub(crate) const EIGHT: &str = "p2p-peer relayed, 8 pairs";
}

struct Couple {
    sharing: Sharing,
    fetcher: Peer,
    destination: PathBuf,
}

impl Couple {
    fn new(lab: &Lab, tracker: &Tracker, number: usize, source: &Path, job: &Job) -> Self {
        let peer = |role: &str| Peer::new(lab, &format!("{role}-{number}")).tracker(tracker);
        let share = peer("sharer").share(source).args(RELAY_ONLY).env(LOG.0, LOG.1);
        Self {
            sharing: Sharing::wait(share.start()),
            fetcher: peer("fetcher"),
            destination: job.destination_of(source),
        }
    }

    fn start(&self) -> Program {
        let get = self.fetcher.get(&self.sharing.ticket, &self.destination);
        get.args(RELAY_ONLY).env(LOG.0, LOG.1).start()
    }
}

impl Pair for Relayed {
    fn name(&self) -> String {
        let name = if self.pairs == 1 { Self::ONE } else { Self::EIGHT };
        name.to_owned()
    }

    fn does(&self) -> &'static str {
        "encrypted, verified, durable"
    }

    fn missing(&self) -> Option<String> {
        None
    }

    fn run(&self, job: &Job) -> Result<Run, String> {
        let lab = Lab::new();
        let tracker = Tracker::start(&lab);
        let sources = files(&job.source);
        let couple = |(number, source): (usize, &PathBuf)| Couple::new(&lab, &tracker, number, source, job);
        let couples: Vec<_> = sources.iter().enumerate().map(couple).collect();
        touch(size(&job.source));
        let relay = tracker.program.pid();
        let relay_before = measure::cpu_seconds(relay).unwrap_or_default();
        let shared_before = sharers(&couples);
        let began = Instant::now();
        let costs = costs_of(couples.iter().map(Couple::start).collect());
        let wall = began.elapsed().as_secs_f64();
        for (cost, source) in costs.iter().zip(&sources) {
            all_relayed(cost, size(source))?;
        }
        let mib = |couple: &Couple| measure::peak_mib(couple.sharing.program.pid()).unwrap_or_default();
        Ok(Run {
            wall,
            sharer_cpu: sharers(&couples) - shared_before,
            fetcher_cpu: costs.iter().map(|cost| cost.cpu).sum(),
            sharer_mib: couples.iter().map(mib).fold(0.0, f64::max),
            fetcher_mib: costs.iter().map(|cost| cost.peak_mib).fold(0.0, f64::max),
            relay_cpu: measure::cpu_seconds(relay).unwrap_or_default() - relay_before,
            relay_mib: measure::peak_mib(relay).unwrap_or_default(),
        })
    }
}

/// What the sharers took of the CPU so far.
fn sharers(couples: &[Couple]) -> f64 {
    let cpu = |couple: &Couple| measure::cpu_seconds(couple.sharing.program.pid());
    couples.iter().filter_map(cpu).sum()
}

/// Waits for all of them at once.
fn costs_of(programs: Vec<Program>) -> Vec<Cost> {
    let threads: Vec<_> = programs
        .into_iter()
        .map(|program| thread::spawn(|| measure::until_exit(program)))
        .collect();
    let cost = |thread: thread::JoinHandle<Cost>| thread.join().expect("the watch of a program");
    threads.into_iter().map(cost).collect()
}

fn all_relayed(cost: &Cost, bytes: u64) -> Result<(), String> {
    if cost.ended.code != Some(0) {
        return Err(format!("exit {:?}: {}", cost.ended.code, cost.ended.err));
    }
    let events = cost.ended.events();
    let done = events.iter().find(|event| event["event"] == "done");
    let relayed = done.and_then(|done| done["bytes_by_path"]["relayed"].as_u64());
    if relayed == Some(bytes) {
        Ok(())
    } else {
        Err(format!(
            "not all of {bytes} bytes came through the relay: {}",
            done.unwrap_or(&Value::Null)
        ))
    }
}

/// magic-wormhole, with its own mailbox and transit relay on this machine, and no listening sockets: all bytes cross the relay.
pub(crate) struct Wormhole;

/// What the receiver types in.
const CODE: &str = "7-bench-pair";

impl Wormhole {
    /// As it stands in the table.
    pub(crate) const NAME: &str = "magic-wormhole relayed";

    fn program(name: &str) -> PathBuf {
        tools().join("wormhole/bin").join(name)
    }

    fn launch(name: &str, job: &Job) -> Launch {
        Launch::new(&Self::program(name).to_string_lossy(), &job.work)
    }

    /// A server of theirs, and its port.
    fn server(job: &Job, kind: &str, more: &[String]) -> (Program, u16) {
        let port = free_port();
        let endpoint = format!("--port=tcp:{port}:interface=127.0.0.1");
        let twist = Self::launch("twist", job).args([kind, &endpoint]).args(more);
        let program = twist.start();
        // It says so in a log of its own form: try until it answers.
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            thread::yield_now();
        }
        (program, port)
    }
}

impl Pair for Wormhole {
    fn name(&self) -> String {
        Self::NAME.to_owned()
    }

    fn does(&self) -> &'static str {
        "encrypted, verified"
    }

    fn missing(&self) -> Option<String> {
        let there = ["wormhole", "twist"]
            .iter()
            .all(|name| Self::program(name).is_file());
        (!there).then(|| "magic-wormhole with its mailbox and relay".to_owned())
    }

    fn run(&self, job: &Job) -> Result<Run, String> {
        let database = format!("--channel-db={}", job.work.join("channels.sqlite").display());
        let (_mailbox, mailbox) = Self::server(job, "wormhole-mailbox", &[database]);
        let (relay, transit) = Self::server(job, "transitrelay", &[]);
        let common = [
            "--relay-url".to_owned(),
            format!("ws://127.0.0.1:{mailbox}/v1"),
            "--transit-helper".to_owned(),
            format!("tcp:127.0.0.1:{transit}"),
        ];
        let sharer = Self::launch("wormhole", job)
            .args(&common)
            .args(["send", "--hide-progress", "--no-listen", "--code", CODE])
            .arg(&job.source)
            .start();
        sharer.wait_err(0, "what to type in at the other side", |line| {
            line.contains("wormhole receive").then_some(())
        });
        let before = measure::cpu_seconds(relay.pid()).unwrap_or_default();
        let receiver = Launch::new(&Self::program("wormhole").to_string_lossy(), &job.destination)
            .args(&common)
            .args(["receive", "--accept-file", "--hide-progress", "--no-listen", CODE]);
        let run = fetch(job, Some(&sharer), receiver)?;
        Ok(Run {
            relay_cpu: measure::cpu_seconds(relay.pid()).unwrap_or_default() - before,
            relay_mib: measure::peak_mib(relay.pid()).unwrap_or_default(),
            ..run
        })
    }
}
