//! One sharer, one fetcher, over loopback: what every program of W1 and W4 is to the bench.
//!
//! Promises the same clock for all: from spawning the fetcher to its exit. The sharer's CPU time counts only between those two
//! moments, its memory from its start.

use std::fs;
use std::path::{Path, PathBuf};

use p2p_tests::measure;
use p2p_tests::process::{Launch, Program};

/// What is to be fetched, and where the bench works.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// A file, or a folder.
    pub(crate) source: PathBuf,
    /// An empty folder, for the copy.
    pub(crate) destination: PathBuf,
    /// An empty folder, for whatever the programs need.
    pub(crate) work: PathBuf,
}

impl Job {
    /// Where a fetcher is to put the copy of one file of the source.
    pub(crate) fn destination_of(&self, file: &Path) -> PathBuf {
        let below = self
            .source
            .parent()
            .and_then(|parent| file.strip_prefix(parent).ok());
        let folder = below.and_then(Path::parent).unwrap_or_else(|| Path::new(""));
        let destination = self.destination.join(folder);
        fs::create_dir_all(&destination).expect("a folder for the copy");
        destination
    }

    /// Where the copy is when the fetcher has ended.
    pub(crate) fn copy(&self) -> PathBuf {
        self.destination
            .join(self.source.file_name().expect("a source with a name"))
    }
}

/// What one transfer did cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Run {
    /// Seconds from spawning the fetcher to its exit.
    pub(crate) wall: f64,
    /// CPU seconds of the sharer in that time.
    pub(crate) sharer_cpu: f64,
    /// CPU seconds of the fetcher.
    pub(crate) fetcher_cpu: f64,
    /// Peak resident MiB of the sharer.
    pub(crate) sharer_mib: f64,
    /// Peak resident MiB of the fetcher.
    pub(crate) fetcher_mib: f64,
    /// CPU seconds of the relay between them, if there is one.
    pub(crate) relay_cpu: f64,
    /// Its peak resident MiB.
    pub(crate) relay_mib: f64,
}

/// A program, or a pair of programs, that moves a file from one process to another.
pub(crate) trait Pair {
    /// As it stands in the table.
    fn name(&self) -> String;

    /// `encrypted, verified, durable`, as far as it is.
    fn does(&self) -> &'static str;

    /// Nothing when it can be run here, else what is missing.
    fn missing(&self) -> Option<String>;

    /// Moves it once.
    fn run(&self, job: &Job) -> Result<Run, String>;
}

/// More than the page cache that a copy takes.
const TOUCHED: f64 = 1.4;

/// Touches as much memory as a transfer will and frees it again. A virtual machine may have given freed memory back to its
/// host: whoever writes to the page cache first would pay for fetching it again, and the next program would not.
pub(crate) fn touch(bytes: u64) {
    const PAGE: usize = 4096;
    let bytes = (bytes as f64 * TOUCHED) as usize;
    let mut memory = vec![0_u8; bytes];
    memory.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
    std::hint::black_box(&memory);
}

/// Starts the fetcher, waits for its end, and takes the sharer's share of the cost.
pub(crate) fn fetch(job: &Job, sharer: Option<&Program>, fetcher: Launch) -> Result<Run, String> {
    touch(size(&job.source));
    let sharer_cpu = || {
        sharer
            .and_then(|program| measure::cpu_seconds(program.pid()))
            .unwrap_or_default()
    };
    let before = sharer_cpu();
    let cost = measure::until_exit(fetcher.start());
    let run = Run {
        wall: cost.wall,
        sharer_cpu: sharer_cpu() - before,
        fetcher_cpu: cost.cpu,
        sharer_mib: sharer
            .and_then(|program| measure::peak_mib(program.pid()))
            .unwrap_or_default(),
        fetcher_mib: cost.peak_mib,
        ..Run::default()
    };
    if cost.ended.code == Some(0) {
        Ok(run)
    } else {
        let said = format!("{}{}", cost.ended.out, cost.ended.err);
        let tail: Vec<&str> = said.lines().rev().take(5).collect();
        Err(format!(
            "exit {:?}: {}",
            cost.ended.code,
            tail.into_iter().rev().collect::<Vec<_>>().join(" | ")
        ))
    }
}

/// The files below a folder, or the file itself.
pub(crate) fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut open = vec![path.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Their bytes together.
pub(crate) fn size(path: &Path) -> u64 {
    files(path)
        .iter()
        .map(|file| fs::metadata(file).expect("a file").len())
        .sum()
}
