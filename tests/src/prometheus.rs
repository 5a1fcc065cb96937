//! Prometheus's text format (version 0.0.4), read as strictly as its own parser does.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::process::{Command, Stdio};

/// What one scrape said.
#[derive(Debug, Default)]
pub struct Scrape {
    /// Every sample: its name and labels as written, and its value.
    pub samples: BTreeMap<String, f64>,
    /// The type of each family.
    pub types: BTreeMap<String, String>,
}

impl Scrape {
    /// Reads it.
    ///
    /// # Panics
    /// On what Prometheus would refuse, and on what `promtool check metrics` would object to: a family without help or type, a counter
    /// that does not end in `_total`, a sample that is there twice.
    #[track_caller]
    pub fn read(text: &str) -> Self {
        let (mut scrape, mut helped) = (Self::default(), HashSet::new());
        assert!(text.ends_with('\n'), "the last line has no end");
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("help with words");
                assert!(!help.is_empty() && helped.insert(name.to_owned()), "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                assert!(
                    ["counter", "gauge", "histogram", "summary"].contains(&kind),
                    "{line}"
                );
                assert!(kind != "counter" || name.ends_with("_total"), "{line}");
                let before = scrape.types.insert(name.to_owned(), kind.to_owned());
                assert_eq!(before, None, "{line}");
            } else {
                scrape.sample(line);
            }
        }
        for name in scrape.types.keys() {
            assert!(helped.contains(name), "{name} has no help");
        }
        scrape
    }

    #[track_caller]
    fn sample(&mut self, line: &str) {
        let (series, value) = line
            .rsplit_once(' ')
            .unwrap_or_else(|| panic!("no value: {line}"));
        let name = series.split('{').next().unwrap_or_default();
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        assert!(
            name.bytes().all(is_letter) && !name.starts_with(|c: char| c.is_ascii_digit()),
            "{line}"
        );
        assert!(!series.contains('{') || series.ends_with("\"}"), "{line}");
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| {
            let family = name.strip_suffix(end)?;
            (self.types.get(family).map(String::as_str) == Some("histogram")).then_some(family)
        });
        assert!(self.types.contains_key(family.unwrap_or(name)), "no type: {line}");
        let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        assert_eq!(
            self.samples.insert(series.to_owned(), value),
            None,
            "twice: {line}"
        );
    }

    /// The value of a series, as it is written: `name{label="value"}`.
    #[track_caller]
    pub fn value(&self, series: &str) -> f64 {
        let value = self.samples.get(series);
        *value.unwrap_or_else(|| panic!("no {series} in {:#?}", self.samples.keys()))
    }

    /// The sum of all series of this name.
    pub fn sum(&self, name: &str) -> f64 {
        let of_it = |series: &str| series.split('{').next() == Some(name);
        self.samples
            .iter()
            .filter(|(series, _)| of_it(series))
            .map(|(_, value)| value)
            .sum()
    }
}

/// Whether this program can be run; in CI it must be.
pub fn is_installed(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    if !is_there {
        assert!(
            std::env::var_os("CI").is_none(),
            "in CI this must run: {program} is not installed"
        );
        println!("skipped: {program} is not installed");
    }
    is_there
}

/// Has `promtool` read what a scrape gave.
///
/// # Panics
/// When it objects to anything.
#[track_caller]
pub fn promtool_check(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    let mut input = promtool.stdin.take().expect("piped");
    input.write_all(text.as_bytes()).expect("promtool reads");
    drop(input);
    let ended = promtool.wait_with_output().expect("promtool");
    let said = [ended.stdout, ended.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat();
    assert!(ended.status.success() && said.trim().is_empty(), "{said}\n{text}");
}
