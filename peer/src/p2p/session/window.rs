//! How many chunks may be outstanding at one peer.
//!
//! Promises a window that keeps the path full and no fuller: rate × max(round trip, half a second) plus two chunks,
//! found by slow start, never above [`MAX_WINDOW`]. Owns the measured rate and round trip of one session. Never
//! looks at a clock: time is an argument, and only time in which something was outstanding counts.

use p2p_shared::chunker::CHUNK_SIZE;
use std::time::{Duration, Instant};

/// Most chunks outstanding at one peer: 32 MiB, what a path of 500 MB/s and 64 ms needs.
pub const MAX_WINDOW: u32 = 128;
/// Where slow start begins: 1 MiB, enough for the second round trip to be busy, little enough for a slow peer.
pub const FIRST_WINDOW: u32 = 4;
/// Round trips shorter than this count as this long, so that a hiccup of the peer's disk does not drain the path.
const SHORTEST_HORIZON: Duration = Duration::from_millis(500);
/// Chunks beyond what the rate asks for: one on its way here, one on its way there.
const SPARE: u32 = 2;
/// A rate is measured over at least this long.
const SAMPLE: Duration = Duration::from_millis(200);
/// Weight of a new sample in the moving average of the rate.
const SAMPLE_WEIGHT: f64 = 0.4;
/// Slow start ends when a sample is not this much better than the one before.
const STILL_GROWING: f64 = 1.1;

/// The request window of one peer.
#[derive(Debug)]
pub struct Window {
    chunks: u32,
    slow_start: bool,
    /// Bytes per second, moving average; nothing before the first sample.
    rate: Option<f64>,
    round_trip: Option<Duration>,
    /// When the sample under way began; nothing while nothing is outstanding.
    sample_since: Option<Instant>,
    sample_bytes: u64,
    last_sample: f64,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            chunks: FIRST_WINDOW,
            slow_start: true,
            rate: None,
            round_trip: None,
            sample_since: None,
            sample_bytes: 0,
            last_sample: 0.0,
        }
    }
}

impl Window {
    /// How many chunks may be outstanding.
    pub fn chunks(&self) -> u32 {
        self.chunks
    }

    /// What the peer delivers, in bytes per second; nothing before it was measured.
    pub fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// The smoothed round trip; nothing before the first `Pong`.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// A `Pong` came `sample` after its `Ping` (smoothing as in RFC 6298).
    pub fn on_round_trip(&mut self, sample: Duration) {
        self.round_trip = Some(self.round_trip.map_or(sample, |old| (old * 7 + sample) / 8));
    }

    /// The first chunk became outstanding: the time from here counts.
    pub fn on_busy(&mut self, now: Instant) {
        if self.sample_since.is_none() {
            self.sample_since = Some(now);
            self.sample_bytes = 0;
        }
    }

    /// Nothing is outstanding any more: the time from here does not count.
    pub fn on_idle(&mut self) {
        self.sample_since = None;
    }

    /// A chunk of `bytes` came.
    pub fn on_chunk(&mut self, bytes: u32, now: Instant) {
        if self.slow_start {
            self.chunks = (self.chunks + 1).min(MAX_WINDOW);
        }
        self.sample_bytes += u64::from(bytes);
        let Some(since) = self.sample_since else { return };
        let elapsed = now.saturating_duration_since(since);
        if elapsed >= SAMPLE {
            self.sample_since = Some(now);
            self.on_sample(self.sample_bytes as f64 / elapsed.as_secs_f64());
            self.sample_bytes = 0;
        }
    }

    /// Time in which this side did not read: it says nothing about the peer.
    pub fn on_own_pause(&mut self, length: Duration) {
        self.sample_since = self.sample_since.map(|since| since + length);
    }

    fn on_sample(&mut self, sample: f64) {
        self.rate = Some(
            self.rate
                .map_or(sample, |old| old + SAMPLE_WEIGHT * (sample - old)),
        );
        if self.slow_start && self.last_sample > 0.0 && sample < self.last_sample * STILL_GROWING {
            self.slow_start = false;
        }
        self.last_sample = sample;
        if !self.slow_start {
            self.chunks = self.needed();
        }
    }

    fn needed(&self) -> u32 {
        let horizon = self.round_trip.unwrap_or_default().max(SHORTEST_HORIZON);
        let bytes = self.rate.unwrap_or_default() * horizon.as_secs_f64();
        // A float cast saturates, so a wild rate ends at the maximum.
        ((bytes / f64::from(CHUNK_SIZE)).ceil() as u32)
            .saturating_add(SPARE)
            .min(MAX_WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `seconds` of chunks at `rate` bytes a second.
    fn deliver(window: &mut Window, start: Instant, seconds: f64, rate: f64) -> Instant {
        let gap = Duration::from_secs_f64(f64::from(CHUNK_SIZE) / rate);
        window.on_busy(start);
        let mut now = start;
        while now < start + Duration::from_secs_f64(seconds) {
            now += gap;
            window.on_chunk(CHUNK_SIZE, now);
        }
        now
    }

    #[test]
    fn slow_start_doubles_the_window_each_time_it_was_delivered() {
        let mut window = Window::default();
        let now = Instant::now();
        window.on_busy(now);
        for _ in 0..FIRST_WINDOW {
            window.on_chunk(CHUNK_SIZE, now);
        }
        assert_eq!(window.chunks(), 2 * FIRST_WINDOW);
    }

    #[test]
    fn a_steady_rate_settles_at_half_a_second_of_it_plus_two() {
        let mut window = Window::default();
        deliver(&mut window, Instant::now(), 5.0, 20.0 * f64::from(CHUNK_SIZE));
        assert_eq!(window.chunks(), 10 + SPARE);
        let rate = window.rate().unwrap() / f64::from(CHUNK_SIZE);
        assert!((19.0..21.0).contains(&rate), "{rate}");
    }

    #[test]
    fn a_long_round_trip_widens_the_window() {
        let mut window = Window::default();
        window.on_round_trip(Duration::from_secs(2));
        deliver(&mut window, Instant::now(), 5.0, 20.0 * f64::from(CHUNK_SIZE));
        assert_eq!(window.chunks(), 40 + SPARE);
    }

    #[test]
    fn no_rate_takes_the_window_beyond_its_limit() {
        let mut window = Window::default();
        window.on_round_trip(Duration::from_secs(3));
        deliver(&mut window, Instant::now(), 2.0, 1e9);
        assert_eq!(window.chunks(), MAX_WINDOW);
    }

    #[test]
    fn time_in_which_nothing_was_asked_or_nothing_read_is_not_held_against_the_peer() {
        let mut window = Window::default();
        let rate = 20.0 * f64::from(CHUNK_SIZE);
        let now = deliver(&mut window, Instant::now(), 3.0, rate);
        window.on_idle();
        let now = deliver(&mut window, now + Duration::from_secs(60), 3.0, rate);
        assert_eq!(window.chunks(), 10 + SPARE);
        window.on_own_pause(Duration::from_secs(30));
        deliver(&mut window, now + Duration::from_secs(30), 0.3, rate);
        assert_eq!(window.chunks(), 10 + SPARE);
    }

    #[test]
    fn a_slow_peer_keeps_three_outstanding_at_least() {
        let mut window = Window::default();
        deliver(&mut window, Instant::now(), 300.0, 0.1 * f64::from(CHUNK_SIZE));
        assert_eq!(window.chunks(), 1 + SPARE);
    }
}
