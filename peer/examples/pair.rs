//! One pair over loopback: how fast a file goes from one process to another, and what it costs each of them.
//!
//! `pair FILE OUT [sha256|blake3]` shares FILE in one process, fetches it into the folder OUT with another, and prints
//! MB/s (from start to exit of the fetching process, durable), CPU seconds and peak memory of each.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing is what it is for"
)]

use p2p_peer::{
    connection::{self, ConnectionParts, Hint, Policy, direct::Caller},
    download::{self, DownloadParts, DownloadSpec, aim::Aim, swarm::Nobody},
    event::EventSink,
    p2p::{greeting::hello, listener::bind, session::SessionParts},
    storage::{self, BufferPool, HashOptions, Import, ScanOptions},
};
use p2p_shared::{
    crypto::identity::Identity,
    hash::HashAlgorithm,
    supervision::{Supervisor, system},
    ticket::{Seeder, Ticket},
};
use std::{
    error::Error,
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::spawn_blocking;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let outcome = match args[..] {
        ["seed", file, algorithm] => seed(Path::new(file), algorithm),
        ["fetch", ticket, out] => fetch(ticket, Path::new(out)),
        [file, out] => pair(file, out, "sha256").map(|line| println!("{line}")),
        [file, out, algorithm] => pair(file, out, algorithm).map(|line| println!("{line}")),
        _ => Err("usage: pair FILE OUT [sha256|blake3]".into()),
    };
    if let Err(error) = outcome {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

/// Runs both processes and says how it went.
fn pair(file: &str, out: &str, algorithm: &str) -> Outcome<String> {
    let itself = std::env::current_exe()?;
    let mut seeder = Command::new(&itself)
        .args(["seed", file, algorithm])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut ticket = String::new();
    BufReader::new(seeder.stdout.as_mut().ok_or("no stdout")?).read_line(&mut ticket)?;
    let before = cpu(&seeder)?;
    let began = Instant::now();
    let mut fetcher = Command::new(&itself)
        .args(["fetch", ticket.trim(), out])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut usage = String::new();
    fetcher
        .stdout
        .as_mut()
        .ok_or("no stdout")?
        .read_to_string(&mut usage)?;
    let status = fetcher.wait()?;
    let seconds = began.elapsed().as_secs_f64();
    let seeder_cpu = cpu(&seeder)? - before;
    let seeder_peak = peak(&format!("/proc/{}/status", seeder.id()))?;
    drop(seeder.stdin.take());
    seeder.wait()?;
    if !status.success() {
        return Err("the fetching process failed".into());
    }
    let bytes = fs::metadata(file)?.len() as f64;
    let (fetcher_cpu, fetcher_peak) = usage.trim().split_once(' ').ok_or("no usage")?;
    let cpu = seeder_cpu + fetcher_cpu.parse::<f64>()?;
    Ok(format!(
        "{algorithm} {:.0} MB/s {seconds:.3} s | CPU s per GB {:.2} (seeder {seeder_cpu:.2} s, fetcher {fetcher_cpu} s) \
         | peak MiB {seeder_peak:.1} / {fetcher_peak}",
        bytes / seconds / 1e6,
        cpu / (bytes / 1e9),
    ))
}

/// User and system time of a child so far, in seconds, all threads (10 ms grain).
fn cpu(child: &Child) -> Outcome<f64> {
    ticks(&fs::read_to_string(format!("/proc/{}/stat", child.id()))?)
}

fn ticks(stat: &str) -> Outcome<f64> {
    let (_, fields) = stat.rsplit_once(')').ok_or("no stat")?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / 100.0)
}

/// Peak resident memory in MiB.
fn peak(status: &str) -> Outcome<f64> {
    let status = fs::read_to_string(status)?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .ok_or("no VmHWM")?;
    let kib = line.split_whitespace().nth(1).ok_or("no number")?;
    Ok(kib.parse::<f64>()? / 1024.0)
}

struct Node {
    supervisor: Supervisor,
    identity: Arc<Identity>,
    address: SocketAddr,
    parts: DownloadParts,
}

fn node(data: &Path) -> Outcome<Node> {
    let mut supervisor = Supervisor::new();
    let store = storage::start(&mut supervisor, data)?;
    let identity = Arc::new(Identity::generate()?);
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = listener.local_addr()?;
    let receiving = BufferPool::default();
    let caller = Caller {
        identity: Arc::clone(&identity),
        hello: hello(vec![address]),
        receiving: receiving.clone(),
    };
    let sessions = SessionParts {
        shelf: Arc::new(store.clone()),
        serving: BufferPool::default(),
        goodbyes: TaskTracker::new(),
    };
    let listener = Some(listener);
    let parts = ConnectionParts {
        caller,
        sessions,
        listener,
        policy: Policy::Auto,
        relays: None,
        punching: None,
    };
    let connections = connection::start(&mut supervisor, parts);
    let parts = DownloadParts {
        store,
        connections,
        receiving,
    };
    Ok(Node {
        supervisor,
        identity,
        address,
        parts,
    })
}

fn seed(file: &Path, algorithm: &str) -> Outcome {
    let algorithm: HashAlgorithm = algorithm.parse()?;
    let (file, data) = (file.to_owned(), temporary("seed")?);
    let outcome = system(2)?.block_on(async {
        let node = node(&data)?;
        let import = spawn_blocking(move || import(&file, algorithm)).await??;
        let manifest = import.manifest.clone();
        node.parts.store.add_share(import).await?;
        let seeder = Seeder {
            key: node.identity.public_key(),
            addresses: vec![node.address],
        };
        let ticket = Ticket {
            manifest,
            trackers: Vec::new(),
            seeders: vec![seeder],
            secret: None,
        };
        println!("{ticket}");
        spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        node.supervisor.stop(Duration::from_secs(5)).await;
        Ok(())
    });
    fs::remove_dir_all(&data)?;
    outcome
}

fn import(file: &Path, algorithm: HashAlgorithm) -> Result<Import, storage::ImportError> {
    let plan = storage::share_scan(file, ScanOptions::default())?;
    let options = HashOptions {
        algorithm,
        cache: None,
        progress: &|_| {},
        cancel: &CancellationToken::new(),
    };
    storage::hash(plan, options)
}

fn fetch(ticket: &str, out: &Path) -> Outcome {
    let ticket: Ticket = ticket.parse()?;
    let data = temporary("fetch")?;
    fs::create_dir_all(out)?;
    let out = fs::canonicalize(out)?;
    let outcome = system(2)?.block_on(async {
        let node = node(&data)?;
        let seeders = ticket.seeders.into_iter().map(|seeder| Hint {
            key: seeder.key,
            addresses: seeder.addresses,
            relays: Vec::new(),
        });
        let spec = DownloadSpec {
            manifest: Arc::new(ticket.manifest),
            hashes: None,
            output: out,
            aim: Aim::all(),
            seeders: seeders.collect(),
            policy: Policy::Auto,
            swarm: Arc::new(Nobody),
            paused: false,
            sink: EventSink::none(),
        };
        download::start(node.parts.clone(), spec).finished().await?;
        node.supervisor.stop(Duration::from_secs(5)).await;
        Ok(())
    });
    fs::remove_dir_all(&data)?;
    let cpu = ticks(&fs::read_to_string("/proc/self/stat")?)?;
    println!("{cpu:.2} {:.1}", peak("/proc/self/status")?);
    outcome
}

fn temporary(name: &str) -> Outcome<PathBuf> {
    let path = std::env::temp_dir().join(format!("p2p-pair-{}-{name}", std::process::id()));
    fs::create_dir_all(&path)?;
    Ok(path)
}
