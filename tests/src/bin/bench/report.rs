//! What the bench says: a line of JSON a run, and a table a workload.
//!
//! Promises every run in `target/bench.jsonl` (also the failed ones), and in the table the median with the least and the most of
//! each figure, so that a reader sees how far to trust it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::pair::Run;

/// The runs of one program in one workload.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// As it stands in the table.
    pub(crate) name: String,
    /// What it does to the bytes.
    pub(crate) does: &'static str,
    /// Those that succeeded.
    pub(crate) runs: Vec<Run>,
    /// Why the others did not.
    pub(crate) failures: Vec<String>,
}

impl Runs {
    /// The median of a figure; none when no run succeeded.
    pub(crate) fn median(&self, figure: impl Fn(&Run) -> f64) -> Option<f64> {
        let mut values: Vec<f64> = self.runs.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => None,
            n if n % 2 == 1 => Some(values[middle]),
            _ => Some(f64::midpoint(values[middle - 1], values[middle])),
        }
    }

    fn spread(&self, figure: impl Fn(&Run) -> f64) -> String {
        let values: Vec<f64> = self.runs.iter().map(&figure).collect();
        let Some(median) = self.median(figure) else {
            return "-".to_owned();
        };
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(0.0, f64::max);
        format!("{median:.3} ({least:.3}-{most:.3})")
    }
}

/// Where the runs are written.
#[derive(Debug)]
pub(crate) struct Log(File);

impl Log {
    /// Appends to a file.
    pub(crate) fn to(path: &Path) -> Self {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).expect("a folder for the results");
        }
        Self(
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .expect("a file for the results"),
        )
    }

    /// Writes one run.
    pub(crate) fn run(&mut self, workload: &str, name: &str, bytes: u64, result: &Result<Run, String>) {
        let at = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |time| time.as_secs());
        let mut line = json!({"at": at, "workload": workload, "program": name, "bytes": bytes});
        let figures = match result {
            Ok(run) => json!({
                "wall": run.wall, "mbps": megabytes(bytes) / run.wall,
                "sharer_cpu": run.sharer_cpu, "fetcher_cpu": run.fetcher_cpu,
                "sharer_mib": run.sharer_mib, "fetcher_mib": run.fetcher_mib,
                "relay_cpu": run.relay_cpu, "relay_mib": run.relay_mib,
            }),
            Err(error) => json!({ "error": error }),
        };
        if let (Value::Object(line), Value::Object(figures)) = (&mut line, figures) {
            line.extend(figures);
        }
        writeln!(self.0, "{line}").expect("the results");
    }
}

/// The table of transfers; the first program is ours.
pub(crate) fn transfers(title: &str, bytes: u64, all: &[Runs]) -> String {
    let mut text = format!("\n{title}\n\n");
    text.push_str("| program | does | seconds | MB/s | CPU s sharer / fetcher | CPU s per GB | peak MiB sharer / fetcher |\n");
    text.push_str("|---|---|---|---|---|---|---|\n");
    for runs in all {
        let figure = |figure: fn(&Run) -> f64| runs.median(figure).unwrap_or(f64::NAN);
        let cpu = figure(|run| run.sharer_cpu + run.fetcher_cpu);
        writeln!(
            text,
            "| {} | {} | {} | {:.0} | {:.2} / {:.2} | {:.2} | {:.0} / {:.0} |",
            runs.name,
            runs.does,
            runs.spread(|run| run.wall),
            megabytes(bytes) / figure(|run| run.wall),
            figure(|run| run.sharer_cpu),
            figure(|run| run.fetcher_cpu),
            cpu / (megabytes(bytes) / 1000.0),
            figure(|run| run.sharer_mib),
            figure(|run| run.fetcher_mib),
        )
        .expect("a string takes all");
    }
    text.push_str(&failures(all));
    text
}

/// What the relays between them took.
pub(crate) fn relays(bytes: u64, all: &[Runs]) -> String {
    let mut text = String::from("\n| relay of | CPU s | CPU s per GB | peak MiB |\n|---|---|---|---|\n");
    for runs in all {
        let cpu = runs.median(|run| run.relay_cpu).unwrap_or(f64::NAN);
        let mib = runs.median(|run| run.relay_mib).unwrap_or(f64::NAN);
        if mib > 0.0 {
            let per_gb = cpu / (megabytes(bytes) / 1000.0);
            writeln!(text, "| {} | {cpu:.2} | {per_gb:.2} | {mib:.0} |", runs.name)
                .expect("a string takes all");
        }
    }
    text
}

/// The table of single programs (hashing).
pub(crate) fn singles(title: &str, bytes: u64, all: &[Runs]) -> String {
    let mut text =
        format!("\n{title}\n\n| program | seconds | MB/s | CPU s | peak MiB |\n|---|---|---|---|---|\n");
    for runs in all {
        let figure = |figure: fn(&Run) -> f64| runs.median(figure).unwrap_or(f64::NAN);
        writeln!(
            text,
            "| {} | {} | {:.0} | {:.2} | {:.0} |",
            runs.name,
            runs.spread(|run| run.wall),
            megabytes(bytes) / figure(|run| run.wall),
            figure(|run| run.fetcher_cpu),
            figure(|run| run.fetcher_mib),
        )
        .expect("a string takes all");
    }
    text.push_str(&failures(all));
    text
}

fn failures(all: &[Runs]) -> String {
    let mut text = String::new();
    for runs in all {
        for failure in &runs.failures {
            writeln!(text, "FAILED {}: {failure}", runs.name).expect("a string takes all");
        }
    }
    text
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
