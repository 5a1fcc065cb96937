//! The workloads: what is run in each, and which targets it says something about.

use std::path::PathBuf;

use p2p_tests::fixtures;

use crate::others::find;
use crate::ours;
use crate::pair::size;
use crate::report::{singles, transfers};
use crate::runner::{Bench, attempt, warm};
use crate::targets::{median, ratio, wall};

const MIB: u64 = 1 << 20;

/// W4: this many files of this many bytes.
const FILES: u64 = 5000;
const EACH: u64 = 10 << 10;

const OURS: &str = "p2p-peer sha256";
const OURS_BLAKE3: &str = "p2p-peer blake3";

impl Bench {
    /// One pair, one file.
    pub(crate) fn w1(&mut self) -> String {
        let mib = self.options.mib;
        let source = self.file("w1.bin", mib * MIB);
        let mut programs = self.programs(&["v2", "v1"]);
        programs.extend(Self::limits());
        let all = self.compare("W1", &source, &programs);
        let bytes = size(&source);
        let targets = &mut self.targets;
        // Speed over speed is time under time.
        let against = |ours: &str, other: &str| ratio(wall(&all, other), wall(&all, ours));
        targets.at_least(
            "W1 SHA-256: MB/s over the limit program's",
            against(OURS, "limit sha256x2"),
            0.9,
        );
        targets.at_least(
            "W1 SHA-256: MB/s over libtorrent v2's",
            against(OURS, "libtorrent v2"),
            1.6,
        );
        targets.at_least(
            "W1 BLAKE3: MB/s over the limit program's",
            against(OURS_BLAKE3, "limit blake3"),
            1.0,
        );
        let cpu = median(&all, OURS, |run| run.sharer_cpu + run.fetcher_cpu);
        let per_gb = cpu.map(|seconds| seconds / (bytes as f64 / 1e9));
        targets.at_most("W1 SHA-256: CPU s per GB, both sides", per_gb, 3.5);
        let sharer = median(&all, OURS, |run| run.sharer_mib);
        targets.at_most("W1 resident MiB, sharer", sharer, 48.0);
        let fetcher = median(&all, OURS, |run| run.fetcher_mib);
        targets.at_most("W1 resident MiB, fetcher", fetcher, 48.0);
        std::fs::remove_file(&source).expect("the source");
        transfers(&format!("W1 one pair, {mib} MiB, loopback"), bytes, &all)
    }

    /// A small file: what starting costs.
    pub(crate) fn small(&mut self) -> String {
        let source = self.file("small.bin", 16 * MIB);
        let mut programs = self.programs(&["v2"]);
        programs.extend(Self::limits());
        let all = self.compare("small", &source, &programs);
        self.targets
            .at_most("16 MiB: seconds from start to exit", wall(&all, OURS), 0.2);
        transfers("16 MiB, from start to exit", size(&source), &all)
    }

    /// A file made shareable.
    pub(crate) fn w3(&mut self) -> String {
        let mib = self.options.share_mib;
        let source = self.file("w3.bin", mib * MIB);
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
            ] {
                if let Some(path) = find(program) {
                    let result = self.single(&path, arguments, &source);
                    self.keep("W3", &source, &mut all, name, result);
                }
            }
        }
        let targets = &mut self.targets;
        let against = |ours: &str, other: &str| ratio(wall(&all, ours), wall(&all, other));
        targets.at_most(
            "W3 SHA-256: seconds over openssl's",
            against("share sha256", "openssl sha256"),
            1.0,
        );
        targets.at_most(
            "W3 BLAKE3: seconds over b3sum's",
            against("share blake3", "b3sum"),
            1.5,
        );
        targets.at_most(
            "W3 seconds, the second time",
            wall(&all, "share sha256, again"),
            0.1,
        );
        let bytes = size(&source);
        std::fs::remove_file(&source).expect("the source");
        let title = format!("W3 {mib} MiB made shareable, from the page cache");
        singles(&title, bytes, &all)
    }

    /// Many small files.
    pub(crate) fn w4(&mut self) -> String {
        let source = self.folder();
        warm(&source);
        let mut shares = Vec::new();
        for _ in 0..self.options.runs {
            let job = self.job(&source);
            let result = attempt(|| ours::share(&job, "sha256"));
            let first = result.map(|(first, _)| first);
            self.keep("W4 share", &source, &mut shares, "share sha256", first);
        }
        let mut programs = self.programs(&["v1", "v2"]);
        programs.push(Box::new(crate::others::Copy));
        let all = self.compare("W4 fetch", &source, &programs);
        let targets = &mut self.targets;
        targets.at_most("W4 seconds to fetch", wall(&all, OURS), 0.6);
        targets.at_most("W4 seconds to share", wall(&shares, "share sha256"), 0.2);
        let bytes = size(&source);
        let title = format!("W4 fetch: {FILES} files of {EACH} bytes");
        transfers(&title, bytes, &all) + &singles("W4 share: the same folder", bytes, &shares)
    }

    fn folder(&self) -> PathBuf {
        let folder = self.lab.folder("source/many");
        for number in 0..FILES {
            fixtures::write_file(&folder.join(format!("f{number:05}")), number, EACH);
        }
        folder
    }
}
