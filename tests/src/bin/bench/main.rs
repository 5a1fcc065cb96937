//! The figures of the product beside those of other programs doing the same, on this machine, in the same minutes.
//!
//! Promises interleaved runs (a machine that slows down slows all of them), medians with their spread, and the targets that the project has set
//! itself with *met* or *MISS*. Each transfer's result is compared with its source, outside the clock; a difference is a failure. The source is read
//! before, so it comes from the page cache; `sync` before each run.
//!
//! A trap of ext4: it avoids inodes that were deleted in the last minute by a linear search, so creating thousands of files right
//! after deleting thousands takes seconds longer. Copies of folders are therefore deleted only when everything is done.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use clap::Parser;
use p2p_tests::{fixtures, lab::Lab, measure, process::Launch};

mod others;
mod ours;
mod pair;
mod report;

use others::{Libtorrent, Limit, Web, find};
use ours::Ours;
use pair::{Job, Pair, Run, files, size};
use report::{Good, Log, Runs, singles, target, transfers};

const MIB: u64 = 1 << 20;

/// W4: this many files of this many bytes.
const FILES: u64 = 5000;
const EACH: u64 = 10 << 10;

#[derive(Parser)]
#[command(about = "Measures W1, W3, W4 of the product and of what else is installed")]
struct Options {
    /// Workloads to run.
    #[arg(value_parser = ["w1", "small", "w3", "w4"], default_values = ["w1", "small", "w3", "w4"])]
    workloads: Vec<String>,
    /// Runs of each program; the median counts.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Size of the file of W1, in MiB.
    #[arg(long, default_value_t = 1024)]
    mib: u64,
    /// Size of the file of W3, in MiB.
    #[arg(long, default_value_t = 4096)]
    share_mib: u64,
    /// Only the product and the limit program.
    #[arg(long)]
    only_ours: bool,
    /// Where each run is appended as a line of JSON.
    #[arg(long, default_value = "target/bench.jsonl")]
    log: PathBuf,
}

fn main() {
    let options = Options::parse();
    let mut bench = Bench {
        log: Log::to(&options.log),
        lab: Lab::new(),
        copies: 0,
        options,
    };
    for workload in bench.options.workloads.clone() {
        let text = match workload.as_str() {
            "w1" => bench.w1(),
            "small" => bench.small(),
            "w3" => bench.w3(),
            _ => bench.w4(),
        };
        println!("{text}");
    }
}

struct Bench {
    options: Options,
    log: Log,
    lab: Lab,
    copies: u32,
}

impl Bench {
    /// One pair, one file.
    fn w1(&mut self) -> String {
        let source = self.file("w1.bin", self.options.mib * MIB);
        let programs = self.programs(&["v2", "v1"]);
        let all = self.compare("W1", &source, &programs);
        let bytes = size(&source);
        let mut text = transfers(
            &format!("W1 one pair, {} MiB, loopback", self.options.mib),
            bytes,
            &all,
        );
        let wall = |name: &str| median(&all, name, |run| run.wall);
        let rate = |name: &str| wall(name).map(|seconds| bytes as f64 / 1e6 / seconds);
        let ours = rate("p2p-peer sha256");
        let times = |factor: f64, name: &str| rate(name).map(|rate| rate * factor);
        text += &target(
            "MB/s, SHA-256, against 0.9 of the limit",
            ours,
            times(0.9, "limit sha256x2"),
            Good::AtLeast,
        );
        text += &target(
            "MB/s, SHA-256, against 1.6 of libtorrent v2",
            ours,
            times(1.6, "libtorrent v2"),
            Good::AtLeast,
        );
        text += &target(
            "MB/s, BLAKE3, against the limit",
            rate("p2p-peer blake3"),
            rate("limit blake3"),
            Good::AtLeast,
        );
        let cpu = median(&all, "p2p-peer sha256", |run| run.sharer_cpu + run.fetcher_cpu);
        let per_gb = cpu.map(|seconds| seconds / (bytes as f64 / 1e9));
        text += &target("CPU s per GB, both sides", per_gb, Some(3.5), Good::AtMost);
        for (side, figure) in [
            ("sharer", (|run| run.sharer_mib) as fn(&Run) -> f64),
            ("fetcher", |run| run.fetcher_mib),
        ] {
            let ours = median(&all, "p2p-peer sha256", figure);
            text += &target(&format!("resident MiB, {side}"), ours, Some(48.0), Good::AtMost);
        }
        text
    }

    /// A small file: what starting costs.
    fn small(&mut self) -> String {
        let source = self.file("small.bin", 16 * MIB);
        let programs = self.programs(&["v2"]);
        let all = self.compare("small", &source, &programs);
        let mut text = transfers("16 MiB, from start to exit", size(&source), &all);
        let ours = median(&all, "p2p-peer sha256", |run| run.wall);
        text += &target("seconds from start to exit", ours, Some(0.2), Good::AtMost);
        text
    }

    /// A file made shareable.
    fn w3(&mut self) -> String {
        let source = self.file("w3.bin", self.options.share_mib * MIB);
        warm(&source);
        let mut all = Vec::new();
        for _ in 0..self.options.runs {
            for hash in ["sha256", "blake3"] {
                let job = self.job(&source);
                let result = attempt(|| ours::share(&job, hash));
                let (first, again) = match result {
                    Ok((first, again)) => (Ok(first), Ok(again)),
                    Err(error) => (Err(error.clone()), Err(error)),
                };
                self.keep("W3", &source, &mut all, &format!("share {hash}"), first);
                self.keep("W3", &source, &mut all, &format!("share {hash}, again"), again);
            }
            for (name, program, arguments) in [
                ("openssl sha256", "openssl", &["dgst", "-sha256"][..]),
                ("b3sum", "b3sum", &[]),
                ("sha256sum", "sha256sum", &[]),
            ] {
                if let Some(path) = find(program).filter(|_| name != "sha256sum" || !self.options.only_ours) {
                    let result = self.single(&path, arguments, &source);
                    self.keep("W3", &source, &mut all, name, result);
                }
            }
        }
        let title = format!(
            "W3 {} MiB made shareable, from the page cache",
            self.options.share_mib
        );
        let mut text = singles(&title, size(&source), &all);
        let wall = |name: &str| median(&all, name, |run| run.wall);
        text += &target(
            "seconds, SHA-256, against openssl",
            wall("share sha256"),
            wall("openssl sha256"),
            Good::AtMost,
        );
        let b3sum = wall("b3sum").map(|seconds| seconds * 1.5);
        text += &target(
            "seconds, BLAKE3, against 1.5 of b3sum",
            wall("share blake3"),
            b3sum,
            Good::AtMost,
        );
        text += &target(
            "seconds, the second time",
            wall("share sha256, again"),
            Some(0.1),
            Good::AtMost,
        );
        text
    }

    /// Many small files.
    fn w4(&mut self) -> String {
        let source = self.folder();
        let mut shares = Vec::new();
        for _ in 0..self.options.runs {
            let job = self.job(&source);
            let result = attempt(|| ours::share(&job, "sha256"));
            let first = result.map(|(first, _)| first);
            self.keep("W4 share", &source, &mut shares, "share sha256", first);
        }
        let programs = self.programs(&["v1", "v2"]);
        let programs: Vec<_> = programs
            .into_iter()
            .filter(|program| !program.name().starts_with("limit"))
            .collect();
        let all = self.compare("W4 fetch", &source, &programs);
        let mut text = transfers(
            &format!("W4 fetch: {FILES} files of {EACH} bytes"),
            size(&source),
            &all,
        );
        text += &singles("W4 share: the same folder", size(&source), &shares);
        let fetched = median(&all, "p2p-peer sha256", |run| run.wall);
        text += &target("seconds to fetch", fetched, Some(0.6), Good::AtMost);
        text += &target(
            "seconds to share",
            median(&shares, "share sha256", |run| run.wall),
            Some(0.2),
            Good::AtMost,
        );
        text
    }

    /// The product first, then those that are installed; the others are named on stderr.
    fn programs(&self, torrents: &[&'static str]) -> Vec<Box<dyn Pair>> {
        let mut programs: Vec<Box<dyn Pair>> = vec![
            Box::new(Ours { hash: "sha256" }),
            Box::new(Ours { hash: "blake3" }),
            Box::new(Limit { hash: "sha256x2" }),
            Box::new(Limit { hash: "blake3" }),
        ];
        if !self.options.only_ours {
            programs.extend(
                torrents
                    .iter()
                    .map(|&kind| Box::new(Libtorrent { kind }) as Box<dyn Pair>),
            );
            programs.push(Box::new(Web));
        }
        programs.retain(|program| {
            let missing = program.missing();
            if let Some(what) = &missing {
                eprintln!(
                    "left out: {} (needs {what}; tests/prepare.sh bench installs it)",
                    program.name()
                );
            }
            missing.is_none()
        });
        programs
    }

    /// Runs them in turn, so many times, and compares what arrived.
    fn compare(&mut self, workload: &str, source: &Path, programs: &[Box<dyn Pair>]) -> Vec<Runs> {
        warm(source);
        let mut all = Vec::new();
        for _ in 0..self.options.runs {
            for program in programs {
                let job = self.job(source);
                rustix::fs::sync();
                let result = attempt(|| program.run(&job)).and_then(|run| {
                    same(source, &job.copy())?;
                    Ok(run)
                });
                self.keep(workload, source, &mut all, &program.name(), result);
                let runs = all
                    .iter_mut()
                    .find(|runs| runs.name == program.name())
                    .expect("kept just now");
                runs.does = program.does();
                if source.is_file() {
                    std::fs::remove_dir_all(&job.destination).expect("the copy");
                }
            }
        }
        all
    }

    fn keep(
        &mut self,
        workload: &str,
        source: &Path,
        all: &mut Vec<Runs>,
        name: &str,
        result: Result<Run, String>,
    ) {
        self.log.run(workload, name, size(source), &result);
        let at = all.iter().position(|runs| runs.name == name).unwrap_or_else(|| {
            all.push(Runs {
                name: name.to_owned(),
                ..Runs::default()
            });
            all.len() - 1
        });
        match result {
            Ok(run) => {
                eprintln!("{workload} {name}: {:.3} s", run.wall);
                all[at].runs.push(run);
            }
            Err(error) => {
                eprintln!("{workload} {name}: FAILED, {error}");
                all[at].failures.push(error);
            }
        }
    }

    /// One program that reads the source and ends.
    fn single(&self, program: &Path, arguments: &[&str], source: &Path) -> Result<Run, String> {
        let launch = Launch::new(&program.to_string_lossy(), self.lab.path())
            .args(arguments)
            .arg(source);
        let cost = measure::until_exit(launch.start());
        let run = Run {
            wall: cost.wall,
            fetcher_cpu: cost.cpu,
            fetcher_mib: cost.peak_mib,
            ..Run::default()
        };
        if cost.ended.code == Some(0) {
            Ok(run)
        } else {
            Err(cost.ended.err)
        }
    }

    fn job(&mut self, source: &Path) -> Job {
        self.copies += 1;
        let folder = |name: &str| self.lab.folder(&format!("{name}-{}", self.copies));
        Job {
            source: source.to_owned(),
            destination: folder("copy"),
            work: folder("work"),
        }
    }

    fn file(&self, name: &str, bytes: u64) -> PathBuf {
        let path = self.lab.folder("source").join(name);
        fixtures::write_file(&path, bytes, bytes);
        path
    }

    fn folder(&self) -> PathBuf {
        let folder = self.lab.folder("source/many");
        for number in 0..FILES {
            fixtures::write_file(&folder.join(format!("f{number:05}")), number, EACH);
        }
        folder
    }
}

/// A run that panics (a program that never said what was waited for) is one that failed; the others go on.
fn attempt<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map_or("a panic", String::as_str);
        Err(text.lines().take(3).collect::<Vec<_>>().join(" | "))
    })
}

fn median(all: &[Runs], name: &str, figure: impl Fn(&Run) -> f64) -> Option<f64> {
    all.iter().find(|runs| runs.name == name)?.median(figure)
}

/// Reads it, so that it comes from the page cache.
fn warm(source: &Path) {
    for file in files(source) {
        fixtures::blake3(&file);
    }
}

fn same(source: &Path, copy: &Path) -> Result<(), String> {
    let (expected, found) = (files(source), files(copy));
    if expected.len() != found.len() {
        return Err(format!("{} files arrived of {}", found.len(), expected.len()));
    }
    for (a, b) in expected.iter().zip(&found) {
        if fixtures::blake3(a) != fixtures::blake3(b) {
            return Err(format!("{} differs", b.display()));
        }
    }
    Ok(())
}
