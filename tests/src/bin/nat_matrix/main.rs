//! The matrix of NAT kinds: what gets through between peers behind each pair of them, and how the product travels.
//!
//! Promises a line for each pair and direction, with what the kinds allow beside what happened, and exit code 1 when they differ or a file did not
//! arrive as it was. `--probe` proves the laboratory alone, with plain sockets instead of the product. The networks are the
//! laboratory's (`p2p_tests::netlab`): nothing of this machine's is touched.

mod probes;
mod transfers;

use clap::Parser;
use p2p_tests::netlab::{self, Kind};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(about = "What gets through between peers behind each pair of NAT kinds")]
struct Options {
    /// Kinds: every pair of them is tried [default: all of them]
    kinds: Vec<Kind>,
    /// Only these pairs, as A:B; LAN:B is two peers in one network behind B
    #[arg(long, value_delimiter = ',', value_name = "A:B", conflicts_with = "kinds")]
    pairs: Vec<Pair>,
    /// Plain sockets instead of the product: proves the laboratory
    #[arg(long)]
    probe: bool,
    /// Size of the file, in MiB
    #[arg(long, default_value_t = 64)]
    mib: u64,
    /// Time there and back between any two machines on the internet, in ms ("20ms" or "20")
    #[arg(long, default_value = "0", value_parser = milliseconds)]
    rtt: u64,
    /// Percent of the packets lost, in each direction of each site
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    /// Policies of the peers, one run of each; without any, theirs
    #[arg(long, value_delimiter = ',')]
    policy: Vec<String>,
    /// Runs of each transfer; the table shows the median
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// Only the direction A to B
    #[arg(long)]
    one_way: bool,
    /// Seconds that a transfer may take
    #[arg(long, default_value_t = 60)]
    patience: u64,
    /// Pairs at once; with more than one, rates mean nothing [default: 1, for probes 8]
    #[arg(long)]
    at_once: Option<usize>,
}

/// Two sites, or two peers in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair {
    a: Option<Kind>,
    b: Kind,
}

impl std::str::FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (a, b) = text.split_once(':').ok_or("a pair is A:B")?;
        let a = if a.eq_ignore_ascii_case("lan") {
            None
        } else {
            Some(a.parse()?)
        };
        Ok(Self { a, b: b.parse()? })
    }
}

impl Pair {
    fn name(self) -> String {
        let a = self.a.map_or_else(|| "LAN".to_owned(), |kind| kind.to_string());
        format!("{a}:{}", self.b)
    }
}

fn milliseconds(text: &str) -> Result<u64, String> {
    text.trim_end_matches("ms")
        .parse()
        .map_err(|_| format!("{text:?}: so many milliseconds, as 20ms"))
}

fn main() -> ExitCode {
    let options = Options::parse();
    if !netlab::permitted() {
        return ExitCode::FAILURE;
    }
    let is_right = if options.probe {
        probes::table(&options)
    } else {
        transfers::table(&options)
    };
    ExitCode::from(u8::from(!is_right))
}

impl Options {
    fn kinds(&self) -> Vec<Kind> {
        match &self.kinds[..] {
            [] => Kind::ALL
                .iter()
                .map(|name| name.parse().expect("a kind"))
                .collect(),
            named => named.to_vec(),
        }
    }

    /// Every kind with itself and those after it, and two peers of one network behind each.
    fn pairs(&self) -> Vec<Pair> {
        if !self.pairs.is_empty() {
            return self.pairs.clone();
        }
        let kinds = self.kinds();
        let later = |n: usize| kinds[n..].iter().map(move |b| (n, *b));
        let between = (0..kinds.len())
            .flat_map(later)
            .map(|(n, b)| Pair { a: Some(kinds[n]), b });
        between
            .chain(kinds.iter().map(|b| Pair { a: None, b: *b }))
            .collect()
    }
}
