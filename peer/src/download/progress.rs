//! How far a download is, how fast, and how long it will still take.
//!
//! Promises at most four reports a second, and a rate that follows the last seconds. Owns the counts. Never looks at a
//! clock.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Time between two reports: four a second are smooth to look at and cheap to make.
const EVERY: Duration = Duration::from_millis(250);
/// The rate is that of the last this long.
const HORIZON: Duration = Duration::from_secs(5);
/// No rate before this: two chunks in a millisecond are not 500 MB/s.
const SETTLED: Duration = Duration::from_millis(100);

/// One report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// Verified bytes on disk, of those wanted.
    pub bytes: u64,
    /// Bytes wanted.
    pub total: u64,
    /// Bytes per second over the last seconds.
    pub rate: u64,
    /// Time to the end at this rate; nothing while nothing moves.
    pub eta: Option<Duration>,
}

/// Counts bytes and says when to report.
#[derive(Debug)]
pub struct Progress {
    bytes: u64,
    total: u64,
    /// When how many bytes were here, oldest first; one entry per report interval.
    marks: VecDeque<(Instant, u64)>,
    reported: Option<Instant>,
}

impl Progress {
    /// A download of `total` bytes, of which `bytes` are here at `now`.
    pub fn new(bytes: u64, total: u64, now: Instant) -> Self {
        Self {
            bytes,
            total,
            marks: VecDeque::from([(now, bytes)]),
            reported: None,
        }
    }

    /// Verified bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// `bytes` more are on disk.
    pub fn on_stored(&mut self, bytes: u32, now: Instant) {
        self.bytes += u64::from(bytes);
        self.mark(now);
    }

    /// The selection changed, or what was there is not.
    pub fn on_changed(&mut self, bytes: u64, total: u64, now: Instant) {
        (self.bytes, self.total) = (bytes, total);
        self.marks = VecDeque::from([(now, bytes)]);
    }

    fn mark(&mut self, now: Instant) {
        if self.marks.back().is_none_or(|(at, _)| now >= *at + EVERY) {
            self.marks.push_back((now, self.bytes));
        }
        while self.marks.len() > 1 && self.marks[0].0 + HORIZON < now {
            self.marks.pop_front();
        }
    }

    /// Bytes per second over the last seconds.
    pub fn rate(&self, now: Instant) -> u64 {
        let Some((at, bytes)) = self.marks.front() else {
            return 0;
        };
        let elapsed = now.saturating_duration_since(*at);
        if elapsed < SETTLED {
            return 0;
        }
        (self.bytes.saturating_sub(*bytes) as f64 / elapsed.as_secs_f64()) as u64
    }

    /// A report, if one is due.
    pub fn on_tick(&mut self, now: Instant) -> Option<Report> {
        if self.reported.is_some_and(|at| now < at + EVERY) {
            return None;
        }
        self.reported = Some(now);
        self.mark(now);
        Some(self.report(now))
    }

    /// How things are.
    pub fn report(&self, now: Instant) -> Report {
        let rate = self.rate(now);
        let left = self.total.saturating_sub(self.bytes);
        let eta = match (left, rate) {
            (0, _) => Some(Duration::ZERO),
            (_, 0) => None,
            _ => Some(Duration::from_secs(left.div_ceil(rate))),
        };
        Report {
            bytes: self.bytes,
            total: self.total,
            rate,
            eta,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn there_are_at_most_four_reports_a_second() {
        let start = Instant::now();
        let mut progress = Progress::new(0, 1000, start);
        let reports = (0..1000).filter_map(|ms| progress.on_tick(start + Duration::from_millis(ms)));
        assert_eq!(reports.count(), 4);
    }

    #[test]
    fn a_steady_rate_is_found_and_the_rest_of_the_time_follows() {
        let start = Instant::now();
        let mut progress = Progress::new(500, 2_500, start);
        for tenth in 1..=100 {
            progress.on_stored(10, start + seconds(f64::from(tenth) / 10.0));
        }
        let report = progress.report(start + seconds(10.0));
        assert_eq!((report.bytes, report.total), (1_500, 2_500));
        assert!((95..=105).contains(&report.rate), "{}", report.rate);
        assert!(
            report.eta.is_some_and(|eta| (9..=11).contains(&eta.as_secs())),
            "{:?}",
            report.eta
        );
    }

    #[test]
    fn a_download_that_stands_still_has_no_end_in_sight() {
        let start = Instant::now();
        let mut progress = Progress::new(0, 2_000, start);
        progress.on_stored(1_000, start + seconds(1.0));
        for second in 2..20 {
            progress.on_tick(start + seconds(f64::from(second)));
        }
        let report = progress.report(start + seconds(20.0));
        assert_eq!((report.rate, report.eta), (0, None));
    }

    #[test]
    fn a_finished_download_has_no_time_to_go() {
        let start = Instant::now();
        let mut progress = Progress::new(0, 10, start);
        progress.on_stored(10, start);
        assert_eq!(progress.report(start).eta, Some(Duration::ZERO));
    }
}
