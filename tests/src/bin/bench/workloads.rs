//! The workloads: what is run in each, and which targets it says something about.

use std::path::PathBuf;

use p2p_tests::fixtures;

use crate::others::find;
use crate::ours::{self, Ours};
use crate::pair::{Pair, size};
use crate::relayed::{Relayed, Wormhole};
use crate::report::{relays, singles, transfers};
use crate::runner::{Bench, attempt, warm};
use crate::targets::{median, ratio, wall};

const MIB: u64 = 1 << 20;

/// W4: this many files of this many bytes.
const FILES: u64 = 5000;
const EACH: u64 = 10 << 10;

/// W5: pairs at once.
const PAIRS: u64 = 8;

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

    /// Through the relay.
    pub(crate) fn w5(&mut self) -> String {
        let mib = self.options.mib;
        let one = self.file("w5.bin", mib * MIB);
        let eight = self.lab.folder("source/eight");
        for number in 0..PAIRS {
            fixtures::write_file(&eight.join(format!("f{number}")), number, mib * MIB / PAIRS);
        }
        warm(&eight);
        let mut singles: Vec<Box<dyn Pair>> =
            vec![Box::new(Ours { hash: "sha256" }), Box::new(Relayed { pairs: 1 })];
        if !self.options.only_ours && self.is_here(&Wormhole) {
            singles.push(Box::new(Wormhole));
        }
        let mut all = Vec::new();
        for _ in 0..self.options.runs {
            let in_turn: Vec<&dyn Pair> = singles.iter().map(AsRef::as_ref).collect();
            self.round("W5", &one, &in_turn, &mut all);
            self.round("W5", &eight, &[&Relayed { pairs: 8 }], &mut all);
        }
        let bytes = size(&one);
        let targets = &mut self.targets;
        let against = |ours: &str, other: &str| ratio(wall(&all, other), wall(&all, ours));
        targets.at_least(
            "W5 relayed: MB/s over our own direct",
            against(Relayed::ONE, OURS),
            0.75,
        );
        targets.at_least(
            "W5 relayed: MB/s over magic-wormhole's relayed",
            against(Relayed::ONE, Wormhole::NAME),
            2.0,
        );
        targets.at_least(
            "W5 eight pairs: MB/s over one pair's",
            against(Relayed::EIGHT, Relayed::ONE),
            1.0,
        );
        let cpu = median(&all, Relayed::ONE, |run| run.relay_cpu);
        let per_gb = cpu.map(|seconds| seconds / (bytes as f64 / 1e9));
        targets.at_most("W5 tracker: CPU s per GB", per_gb, 1.2);
        let title = format!("W5 {mib} MiB through a relay, and as much by eight pairs at once");
        transfers(&title, bytes, &all) + &relays(bytes, &all)
    }

    fn folder(&self) -> PathBuf {
        let folder = self.lab.folder("source/many");
        for number in 0..FILES {
            fixtures::write_file(&folder.join(format!("f{number:05}")), number, EACH);
        }
        folder
    }
}
