//! The targets that the project has set itself, beside what was measured.
//!
//! Promises one line each, in the order in which they were measured, with *met*, *MISS*, or what was missing to say so.
//! Figures against another program are ratios of medians of the same run: the machine's mood is in both.

use std::fmt::Write as _;

use crate::report::Runs;

/// Which side of a bound is good.
#[derive(Debug, Clone, Copy)]
enum Good {
    AtLeast(f64),
    AtMost(f64),
}

#[derive(Debug)]
struct Target {
    what: String,
    ours: Option<f64>,
    good: Good,
}

/// All that is to be reached.
#[derive(Debug, Default)]
pub(crate) struct Targets(Vec<Target>);

impl Targets {
    /// A figure that is to be `least` or more.
    pub(crate) fn at_least(&mut self, what: impl Into<String>, ours: Option<f64>, least: f64) {
        self.add(what.into(), ours, Good::AtLeast(least));
    }

    /// A figure that is to be `most` or less.
    pub(crate) fn at_most(&mut self, what: impl Into<String>, ours: Option<f64>, most: f64) {
        self.add(what.into(), ours, Good::AtMost(most));
    }

    fn add(&mut self, what: String, ours: Option<f64>, good: Good) {
        self.0.push(Target { what, ours, good });
    }

    /// The table.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from("\nTargets\n\n| | figure | ours | target |\n|---|---|---|---|\n");
        for Target { what, ours, good } in &self.0 {
            let (sign, bound) = match good {
                Good::AtLeast(bound) => ("≥", bound),
                Good::AtMost(bound) => ("≤", bound),
            };
            let is_met = |ours: f64| match good {
                Good::AtLeast(bound) => ours >= *bound,
                Good::AtMost(bound) => ours <= *bound,
            };
            let verdict = match ours.map(is_met) {
                Some(true) => "met",
                Some(false) => "MISS",
                None => "not measured",
            };
            let figure = ours.map_or_else(|| "-".to_owned(), |ours| format!("{ours:.3}"));
            writeln!(text, "| {verdict} | {what} | {figure} | {sign} {bound} |").expect("a string takes all");
        }
        text
    }
}

/// One median over another; none if either is missing.
pub(crate) fn ratio(of: Option<f64>, to: Option<f64>) -> Option<f64> {
    Some(of? / to?)
}

/// The median seconds of a program.
pub(crate) fn wall(all: &[Runs], name: &str) -> Option<f64> {
    median(all, name, |run| run.wall)
}

/// The median of a figure of a program.
pub(crate) fn median(all: &[Runs], name: &str, figure: impl Fn(&crate::pair::Run) -> f64) -> Option<f64> {
    all.iter().find(|runs| runs.name == name)?.median(figure)
}
