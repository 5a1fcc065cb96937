//! The figures of the product beside those of other programs doing the same, on this machine, in the same minutes.
//!
//! Promises interleaved runs (a machine that slows down slows all of them), medians with their spread, and at the end the targets that
//! the project has set itself, each with what was measured. Exit code 1 if anything did not run or brought other bytes; a target that is
//! missed is a figure, not a failure. Each transfer's result is compared with its source, outside the clock. The source is read
//! before, so it comes from the page cache; `sync` before each run.
//!
//! A trap of ext4: it avoids inodes that were deleted in the last five minutes by a linear search, so creating thousands of files
//! soon after deleting thousands takes seconds longer, for every program. Copies of folders are therefore deleted only when everything
//! is done, and the table of W4 has `cp` with `sync` in it: what the file system alone takes just now.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

mod others;
mod ours;
mod pair;
mod relayed;
mod report;
mod runner;
mod targets;
mod workloads;

use runner::Bench;

#[derive(Parser)]
#[command(about = "Measures W1, W3, W4, W5 of the product and of what else is installed")]
struct Options {
    /// Workloads to run.
    #[arg(value_parser = ["w1", "small", "w3", "w4", "w5"], default_values = ["w1", "small", "w3", "w4", "w5"])]
    workloads: Vec<String>,
    /// Runs of each program; the median counts.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Size of the file of W1 and W5, in MiB.
    #[arg(long, default_value_t = 1024)]
    mib: u64,
    /// Size of the file of W3, in MiB.
    #[arg(long, default_value_t = 4096)]
    share_mib: u64,
    /// Only the product and what its targets are set against on this machine: no libtorrent, no nginx.
    #[arg(long)]
    only_ours: bool,
    /// Where each run is appended as a line of JSON.
    #[arg(long, default_value = "target/bench.jsonl")]
    log: PathBuf,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let workloads = options.workloads.clone();
    let mut bench = Bench::new(options);
    for workload in workloads {
        let table = match workload.as_str() {
            "w1" => bench.w1(),
            "small" => bench.small(),
            "w3" => bench.w3(),
            "w4" => bench.w4(),
            _ => bench.w5(),
        };
        println!("{table}");
    }
    println!("{}", bench.targets.table());
    ExitCode::from(u8::from(bench.broken))
}
