//! One file from one peer of a laboratory to another: by which paths, how soon, how fast, and whether it is the file.
//!
//! Promises figures taken from outside: the clock starts before the fetching program does, the first chunk is there when the disk says so (every 2 ms),
//! and the file that arrives is compared with the one that was shared. A transfer that fails is an outcome, not a panic.

use super::cast::{PlacedPeer, PublicTracker};
use super::net::Net;
use crate::lab::Lab;
use crate::process::{Launch, Program};
use crate::programs::Sharing;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often the disk is looked at for the first chunk.
const LOOK: Duration = Duration::from_millis(2);

/// More than a journal and less than a chunk.
const FIRST_BYTES: u64 = 128 << 10;

/// What is to be sent, and how.
#[derive(Debug, Clone)]
pub struct Order {
    /// The file.
    pub file: PathBuf,
    /// `--policy`, of both sides; none says nothing about it.
    pub policy: Option<String>,
    /// How long the whole transfer may take.
    pub patience: Duration,
}

/// A path that a transfer took.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// `direct`, `punched` or `relayed`.
    pub kind: String,
    /// Why.
    pub reason: String,
    /// Seconds after the start.
    pub after: f64,
}

/// What became of it.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The paths, in the order in which they were taken.
    pub paths: Vec<Taken>,
    /// Bytes by path, as the program says at the end.
    pub bytes_by_path: Value,
    /// Seconds from the start of the fetching program to the first chunk on its disk.
    pub first_chunk: Option<f64>,
    /// Seconds from the first chunk to the end.
    pub rest: Option<f64>,
    /// Bytes of the file.
    pub bytes: u64,
    /// Why it did not succeed.
    pub failure: Option<String>,
}

impl Outcome {
    /// The path that it ended with.
    pub fn last_path(&self) -> Option<&str> {
        self.paths.last().map(|path| path.kind.as_str())
    }

    /// Megabytes a second after the first chunk.
    pub fn rate(&self) -> Option<f64> {
        Some(self.bytes as f64 / 1e6 / self.rest?.max(0.001))
    }
}

/// Sends it from a peer to another. Peers are named by site and number in the site.
pub fn run(
    lab: &Lab,
    net: &Net,
    tracker: &PublicTracker,
    [from, to]: [(usize, usize); 2],
    order: &Order,
) -> Outcome {
    let place = |name: &str, (site, number)| {
        PlacedPeer::new(
            lab,
            &format!("{name} {}.{}", site + 1, number + 1),
            tracker,
            (net, site, number),
        )
    };
    let (sharer, fetcher) = (place("sharer", from), place("fetcher", to));
    let policy = |launch: Launch| match &order.policy {
        Some(policy) => launch.arg("--policy").arg(policy),
        None => launch,
    };
    let sharing = policy(sharer.share(&order.file)).start();
    if !says_ticket(&sharing, Instant::now() + order.patience) {
        return Outcome {
            failure: Some(last_error(&sharing)),
            ..Outcome::default()
        };
    }
    let sharing = Sharing::wait(sharing);
    let output = lab.folder(&format!(
        "output {}.{} from {}.{}",
        to.0 + 1,
        to.1 + 1,
        from.0 + 1,
        from.1 + 1
    ));
    fetch(
        policy(fetcher.get(&sharing.ticket, &output)),
        &output,
        order,
        sharing.size,
    )
}

fn says_ticket(sharing: &Program, deadline: Instant) -> bool {
    let mut line = 0;
    while let Some((event, next)) = sharing.next_event(line, deadline) {
        if event["event"] == "ticket" {
            return true;
        }
        line = next;
    }
    false
}

fn fetch(get: Launch, output: &Path, order: &Order, bytes: u64) -> Outcome {
    let program = get.start();
    let begin = program.started();
    let first = FirstChunk::watch(output, begin);
    let mut outcome = Outcome {
        bytes,
        ..Outcome::default()
    };
    let (mut line, deadline) = (0, begin + order.patience);
    let mut ended = None;
    while let Some((event, next)) = program.next_event(line, deadline) {
        line = next;
        let after = begin.elapsed().as_secs_f64();
        match event["event"].as_str() {
            Some("path") => outcome.add(&event, after),
            Some("done") => {
                outcome.bytes_by_path = event["bytes_by_path"].clone();
                ended = Some(after);
                break;
            }
            _ => {}
        }
    }
    outcome.first_chunk = first.seconds();
    let Some(ended) = ended else {
        outcome.failure = Some(last_error(&program));
        return outcome;
    };
    outcome.rest = outcome.first_chunk.map(|first| ended - first);
    let arrived = output.join(order.file.file_name().expect("a file has a name"));
    if !same(&order.file, &arrived) {
        outcome.failure = Some("not the same file".to_owned());
    }
    outcome
}

impl Outcome {
    /// A path is said again when its round trip is known.
    fn add(&mut self, event: &Value, after: f64) {
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        let kind = text("path");
        if self.last_path() != Some(&kind) {
            self.paths.push(Taken {
                kind,
                reason: text("reason"),
                after,
            });
        }
    }
}

/// What it says for people, without its log.
fn last_error(program: &Program) -> String {
    let said = program.err_text();
    let is_log = |line: &str| line.starts_with(|first: char| first.is_ascii_digit());
    let line = said
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty() && !is_log(line));
    line.map_or_else(|| "no end in sight".to_owned(), |line| line.trim().to_owned())
}

fn same(one: &Path, other: &Path) -> bool {
    crate::fixtures::blake3(one) == crate::fixtures::blake3(other)
}

/// Looks at a folder until something of the size of a chunk lies in it.
struct FirstChunk {
    over: Arc<AtomicBool>,
    thread: thread::JoinHandle<Option<f64>>,
}

impl FirstChunk {
    fn watch(folder: &Path, begin: Instant) -> Self {
        let (over, folder) = (Arc::new(AtomicBool::new(false)), folder.to_owned());
        let ended = Arc::clone(&over);
        let thread = thread::spawn(move || {
            while !ended.load(Ordering::Acquire) {
                if allocated(&folder) >= FIRST_BYTES {
                    return Some(begin.elapsed().as_secs_f64());
                }
                thread::sleep(LOOK);
            }
            None
        });
        Self { over, thread }
    }

    fn seconds(self) -> Option<f64> {
        self.over.store(true, Ordering::Release);
        self.thread.join().expect("the watch")
    }
}

/// Bytes that files in a folder take on the disk. What goes away while it is looked at counts for nothing.
fn allocated(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => allocated(&entry.path()),
        Ok(meta) => meta.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}
