//! Runs programs in turn, so many times, compares what arrived, and keeps every run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use p2p_tests::{fixtures, lab::Lab, measure, process::Launch};

use crate::Options;
use crate::others::{Libtorrent, Limit, Web};
use crate::ours::Ours;
use crate::pair::{Job, Pair, Run, files, size};
use crate::report::{Log, Runs};
use crate::targets::Targets;

/// Copies of files smaller than this stay until the end: many of them, deleted, would slow down who makes the next ones.
const SMALL: u64 = 1 << 20;

/// The bench at work.
pub(crate) struct Bench {
    /// What was asked for.
    pub(crate) options: Options,
    /// What is to be reached.
    pub(crate) targets: Targets,
    /// Something did not run as it should.
    pub(crate) broken: bool,
    /// Where sources and copies are.
    pub(crate) lab: Lab,
    log: Log,
    copies: u32,
}

impl Bench {
    /// Nothing measured yet.
    pub(crate) fn new(options: Options) -> Self {
        Self {
            log: Log::to(&options.log),
            lab: Lab::new(),
            copies: 0,
            targets: Targets::default(),
            broken: false,
            options,
        }
    }

    /// The product first, then those that are installed; the others are named on stderr.
    pub(crate) fn programs(&self, torrents: &[&'static str]) -> Vec<Box<dyn Pair>> {
        let mut programs: Vec<Box<dyn Pair>> = vec![
            Box::new(Ours { hash: "sha256" }),
            Box::new(Ours { hash: "blake3" }),
        ];
        if !self.options.only_ours {
            programs.extend(
                torrents
                    .iter()
                    .map(|&kind| Box::new(Libtorrent { kind }) as Box<dyn Pair>),
            );
            programs.push(Box::new(Web));
        }
        programs.retain(|program| self.is_here(program.as_ref()));
        programs
    }

    /// Whether a program can be run; what is missing is named on stderr.
    pub(crate) fn is_here(&self, program: &dyn Pair) -> bool {
        let missing = program.missing();
        if let Some(what) = &missing {
            eprintln!(
                "left out: {} (needs {what}; tests/prepare.sh bench installs it)",
                program.name()
            );
        }
        missing.is_none()
    }

    /// The same work without a protocol, for a file.
    pub(crate) fn limits() -> [Box<dyn Pair>; 2] {
        ["sha256x2", "blake3"].map(|hash| Box::new(Limit { hash }) as Box<dyn Pair>)
    }

    /// Runs them in turn, so many times, every other time backwards, and compares what arrived. What one leaves behind (dirty
    /// pages, freed memory) the next one finds: forwards and backwards nobody always follows the same.
    pub(crate) fn compare(&mut self, workload: &str, source: &Path, programs: &[Box<dyn Pair>]) -> Vec<Runs> {
        warm(source);
        let mut all = Vec::new();
        for number in 0..self.options.runs {
            let mut order: Vec<&dyn Pair> = programs.iter().map(AsRef::as_ref).collect();
            if number % 2 == 1 {
                order.reverse();
            }
            self.round(workload, source, &order, &mut all);
        }
        all
    }

    /// Each of them once.
    pub(crate) fn round(
        &mut self,
        workload: &str,
        source: &Path,
        programs: &[&dyn Pair],
        all: &mut Vec<Runs>,
    ) {
        for program in programs {
            let job = self.job(source);
            rustix::fs::sync();
            let result = attempt(|| program.run(&job)).and_then(|run| {
                same(source, &job.copy())?;
                Ok(run)
            });
            self.keep(workload, source, all, &program.name(), result);
            let runs = all
                .iter_mut()
                .find(|runs| runs.name == program.name())
                .expect("kept just now");
            runs.does = program.does();
            if size(source) / files(source).len() as u64 > SMALL {
                std::fs::remove_dir_all(&job.destination).expect("the copy");
            }
        }
    }

    /// Takes a run into the tables and the log.
    pub(crate) fn keep(
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
                self.broken = true;
            }
        }
    }

    /// One program that reads the source and ends.
    pub(crate) fn single(&self, program: &Path, arguments: &[&str], source: &Path) -> Result<Run, String> {
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

    /// An empty place for the next run.
    pub(crate) fn job(&mut self, source: &Path) -> Job {
        self.copies += 1;
        let folder = |name: &str| self.lab.folder(&format!("{name}-{}", self.copies));
        Job {
            source: source.to_owned(),
            destination: folder("copy"),
            work: folder("work"),
        }
    }

    /// A file of so many bytes.
    pub(crate) fn file(&self, name: &str, bytes: u64) -> PathBuf {
        let path = self.lab.folder("source").join(name);
        fixtures::write_file(&path, bytes, bytes);
        path
    }
}

/// A run that panics (a program that never said what was waited for) is one that failed; the others go on.
pub(crate) fn attempt<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map_or("a panic", String::as_str);
        Err(text.lines().take(3).collect::<Vec<_>>().join(" | "))
    })
}

/// Reads it, so that it comes from the page cache.
pub(crate) fn warm(source: &Path) {
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
