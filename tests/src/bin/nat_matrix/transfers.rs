//! Real transfers by the real programs between each pair, both ways.

use crate::{Options, Pair};
use p2p_tests::fixtures;
use p2p_tests::lab::Lab;
use p2p_tests::netlab::cast::PublicTracker;
use p2p_tests::netlab::transfer::{Order, Outcome, run};
use p2p_tests::netlab::{Kind, Plan};
use p2p_tests::side_by_side::side_by_side;
use std::path::Path;
use std::time::Duration;

/// One line of the table.
struct Line {
    from: String,
    to: String,
    policy: Option<String>,
    allowed: &'static str,
    runs: Vec<Outcome>,
}

/// Prints the table, and what it comes to. Whether every file arrived, by the path that the kinds allow.
pub(crate) fn table(options: &Options) -> bool {
    let lab = Lab::new();
    let file = lab.at("what is sent.bin");
    fixtures::write_file(&file, 64, options.mib << 20);
    println!(
        "{} MiB, {} ms there and back, {} % lost, {} run(s); first chunk from the start of `get`, the rate after it\n",
        options.mib, options.rtt, options.loss, options.runs
    );
    println!(
        "{:<12}{:<12}{:<12}{:<9}{:<30}{:>7}{:>9}  result",
        "from", "to", "policy", "allowed", "paths (after s)", "first s", "MB/s"
    );
    let lines: Vec<Line> = side_by_side(&options.pairs(), options.at_once.unwrap_or(1), |pair| {
        let lines = measure(*pair, options, &file);
        lines.iter().for_each(Line::print);
        lines
    })
    .into_iter()
    .flatten()
    .collect();
    summary(&lines);
    lines.iter().all(Line::is_right)
}

/// Both directions with every policy, in one network with one tracker.
fn measure(pair: Pair, options: &Options, file: &Path) -> Vec<Line> {
    let (kinds, ends) = match pair.a {
        Some(a) => (vec![a, pair.b], [(0, 0), (1, 0)]),
        None => (vec![pair.b], [(0, 0), (0, 1)]),
    };
    let peers = if pair.a.is_none() { 2 } else { 1 };
    let net = Plan::of(&kinds)
        .peers(peers)
        .rtt(Duration::from_millis(options.rtt))
        .loss(options.loss)
        .build();
    let policies: Vec<Option<String>> = match &options.policy[..] {
        [] => vec![None],
        named => named.iter().cloned().map(Some).collect(),
    };
    let mut lines = Vec::new();
    for [from, to] in [ends, [ends[1], ends[0]]]
        .into_iter()
        .take(if options.one_way { 1 } else { 2 })
    {
        for policy in &policies {
            let order = Order {
                file: file.to_owned(),
                policy: policy.clone(),
                patience: Duration::from_secs(options.patience),
            };
            let once = |_| {
                // Everything anew: who knows each other already meets sooner.
                let lab = Lab::new();
                let tracker = PublicTracker::start(&lab, &net);
                run(&lab, &net, &tracker, [from, to], &order)
            };
            let name = |(site, _): (usize, usize)| {
                if pair.a.is_none() {
                    format!("LAN {}", kinds[0])
                } else {
                    kinds[site].to_string()
                }
            };
            lines.push(Line {
                from: name(from),
                to: name(to),
                policy: policy.clone(),
                allowed: allowed(pair, policy.as_deref()),
                runs: (0..options.runs.max(1)).map(once).collect(),
            });
        }
    }
    lines
}

/// The path that it should end on.
fn allowed(pair: Pair, policy: Option<&str>) -> &'static str {
    match (policy, pair.a) {
        (Some("relay-only"), _) => "relayed",
        (_, None) => "direct",
        (_, Some(a)) => Kind::best_path(a, pair.b),
    }
}

impl Line {
    fn is_right(&self) -> bool {
        // Who may only go direct has no other way, and is right to say so.
        let none_is_right = self.policy.as_deref() == Some("direct-only") && self.allowed == "relayed";
        self.runs.iter().all(|run| match run.failure {
            Some(_) => none_is_right,
            None => run.last_path() == Some(self.allowed),
        })
    }

    fn first_chunk(&self) -> Option<f64> {
        median(
            self.runs
                .iter()
                .map(|run| run.first_chunk)
                .collect::<Option<_>>()?,
        )
    }

    fn print(&self) {
        let show = |value: Option<f64>, places: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.places$}"))
        };
        let rate = self
            .runs
            .iter()
            .map(Outcome::rate)
            .collect::<Option<_>>()
            .and_then(median);
        let last = self.runs.last().expect("a run at least");
        let paths: Vec<String> = last
            .paths
            .iter()
            .map(|path| format!("{} ({:.2})", path.kind, path.after))
            .collect();
        let result = match self.runs.iter().find_map(|run| run.failure.clone()) {
            Some(failure) => failure,
            None if self.is_right() => "intact".to_owned(),
            None => "intact, by another path".to_owned(),
        };
        let policy = self.policy.as_deref().unwrap_or("-");
        println!(
            "{:<12}{:<12}{policy:<12}{:<9}{:<30}{:>7}{:>9}  {result}",
            self.from,
            self.to,
            self.allowed,
            paths.join(" "),
            show(self.first_chunk(), 2),
            show(rate, 1)
        );
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The median time to the first chunk, by policy and by what the kinds allow.
fn summary(lines: &[Line]) {
    println!(
        "\n{:<12}{:<9}{:>6}{:>7}{:>26}",
        "policy", "allowed", "lines", "right", "median first chunk, s"
    );
    let mut groups: Vec<(Option<&str>, &str)> = Vec::new();
    for line in lines {
        let group = (line.policy.as_deref(), line.allowed);
        groups.extend((!groups.contains(&group)).then_some(group));
    }
    for (policy, allowed) in groups {
        let of: Vec<&Line> = lines
            .iter()
            .filter(|line| line.policy.as_deref() == policy && line.allowed == allowed)
            .collect();
        let right = of.iter().filter(|line| line.is_right()).count();
        let first = median(of.iter().filter_map(|line| line.first_chunk()).collect());
        let first = first.map_or_else(|| "-".to_owned(), |first| format!("{first:.2}"));
        println!(
            "{:<12}{allowed:<9}{:>6}{right:>7}{first:>26}",
            policy.unwrap_or("-"),
            of.len()
        );
    }
}
