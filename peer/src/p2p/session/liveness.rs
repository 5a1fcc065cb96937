//! Whether the other side is still there.
//!
//! Promises a `Ping` after five idle seconds and a verdict after twenty silent ones (a peer whose power failed sends no
//! FIN). Owns when something was last heard and said. Never looks at a clock.

use std::time::{Duration, Instant};

/// Nothing heard for this long: ask.
const PING_AFTER: Duration = Duration::from_secs(5);
/// Nothing heard for this long: gone. Four pings would have had their answer.
const DEAD_AFTER: Duration = Duration::from_secs(20);

/// Ears on one session.
#[derive(Debug)]
pub struct Liveness {
    heard: Instant,
    /// The ping that waits for its answer.
    pinged: Option<(u64, Instant)>,
    next_ping: Instant,
    nonce: u64,
}

/// What to do after a tick.
#[derive(Debug, PartialEq, Eq)]
pub enum Pulse {
    /// All is well.
    Fine,
    /// Send a ping with this nonce.
    Ping(u64),
    /// The other side is gone.
    Dead,
}

impl Liveness {
    /// The session begins at `now`, and wants its first round trip measured at once.
    pub fn new(now: Instant) -> Self {
        Self {
            heard: now,
            pinged: None,
            next_ping: now,
            nonce: 0,
        }
    }

    /// Something came.
    pub fn on_heard(&mut self, now: Instant) {
        self.heard = now;
        self.next_ping = self.next_ping.max(now + PING_AFTER);
    }

    /// This side did not read for `length`: the silence is our own.
    pub fn on_own_pause(&mut self, length: Duration) {
        self.heard += length;
    }

    /// An answer to the ping with `nonce`; the round trip, if it was the one we wait for.
    pub fn on_pong(&mut self, nonce: u64, now: Instant) -> Option<Duration> {
        let (expected, sent) = self.pinged?;
        if expected != nonce {
            return None;
        }
        self.pinged = None;
        Some(now.saturating_duration_since(sent))
    }

    /// Time passed.
    pub fn on_tick(&mut self, now: Instant) -> Pulse {
        if now.saturating_duration_since(self.heard) >= DEAD_AFTER {
            return Pulse::Dead;
        }
        if now < self.next_ping {
            return Pulse::Fine;
        }
        self.nonce += 1;
        self.pinged = Some((self.nonce, now));
        self.next_ping = now + PING_AFTER;
        Pulse::Ping(self.nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_new_session_is_pinged_at_once_for_its_round_trip() {
        let now = Instant::now();
        let mut liveness = Liveness::new(now);
        assert_eq!(liveness.on_tick(now), Pulse::Ping(1));
        let round_trip = liveness.on_pong(1, now + Duration::from_millis(30));
        assert_eq!(round_trip, Some(Duration::from_millis(30)));
    }

    #[test]
    fn silence_is_asked_about_every_five_seconds_and_ends_after_twenty() {
        let now = Instant::now();
        let mut liveness = Liveness::new(now);
        let pulses: Vec<_> = (0..=20).map(|s| liveness.on_tick(now + seconds(s))).collect();
        let pinged: Vec<_> = (0..=20)
            .filter(|s| matches!(pulses[*s], Pulse::Ping(_)))
            .collect();
        assert_eq!(pinged, [0, 5, 10, 15]);
        assert_eq!(pulses[20], Pulse::Dead);
        assert!(!pulses[..20].contains(&Pulse::Dead));
    }

    #[test]
    fn a_busy_session_is_not_pinged() {
        let now = Instant::now();
        let mut liveness = Liveness::new(now);
        liveness.on_tick(now);
        for second in 1..60 {
            liveness.on_heard(now + seconds(second));
            assert_eq!(liveness.on_tick(now + seconds(second)), Pulse::Fine);
        }
    }

    #[test]
    fn a_pause_of_our_own_is_not_the_others_silence() {
        let now = Instant::now();
        let mut liveness = Liveness::new(now);
        liveness.on_own_pause(seconds(30));
        assert_ne!(liveness.on_tick(now + seconds(40)), Pulse::Dead);
    }

    #[test]
    fn only_the_answer_to_the_last_ping_measures() {
        let now = Instant::now();
        let mut liveness = Liveness::new(now);
        liveness.on_tick(now);
        liveness.on_tick(now + seconds(5));
        assert_eq!(liveness.on_pong(1, now + seconds(5)), None);
        assert_eq!(liveness.on_pong(2, now + seconds(6)), Some(seconds(1)));
        assert_eq!(liveness.on_pong(2, now + seconds(6)), None);
    }
}
