//! Whether the other side is still there.
//!
//! Promises a `Ping` after five idle seconds and a verdict after twenty silent ones (a peer whose power failed sends no
//! FIN); and that a session on which something is owed and nothing is heard, to the byte, is found to be quiet within
//! about a second, so that another path can be opened beside it. Whoever is merely slow is heard; whoever takes long to
//! find an answer is asked for a sign of life first. Owns when something was last heard and said. Never looks at a clock.

use super::news::SessionNews;
use std::time::{Duration, Instant};

/// Nothing heard for this long: ask.
const PING_AFTER: Duration = Duration::from_secs(5);
/// Nothing heard for this long: gone. Four pings would have had their answer.
const DEAD_AFTER: Duration = Duration::from_secs(20);
/// Nothing heard for this long though something is owed: ask for a sign of life.
const ASK_AFTER: Duration = Duration::from_millis(400);
/// Neither that, nor anything else: quiet.
const QUIET_AFTER: Duration = Duration::from_millis(900);

/// Ears on one session.
#[derive(Debug)]
pub struct Liveness {
    heard: Instant,
    /// The ping that waits for its answer.
    pinged: Option<(u64, Instant)>,
    next_ping: Instant,
    nonce: u64,
    /// Since when something is owed.
    owed: Option<Instant>,
    /// Said to be quiet.
    quiet: bool,
}

/// What to do after a tick.
#[derive(Debug)]
pub enum Beat {
    /// The other side may be there.
    Pulse {
        /// Send a ping with this nonce.
        ping: Option<u64>,
        /// Tell the table of connections.
        news: Option<SessionNews>,
    },
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
            owed: None,
            quiet: false,
        }
    }

    /// Something came.
    pub fn on_heard(&mut self, now: Instant) {
        self.heard = now;
        // However much is heard, the first ping is due: it measures the round trip.
        if self.nonce > 0 {
            self.next_ping = self.next_ping.max(now + PING_AFTER);
        }
    }

    /// This side did not read for `length`: the silence is our own.
    pub fn on_own_pause(&mut self, length: Duration) {
        self.heard += length;
        self.owed = self.owed.map(|since| since + length);
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

    /// Time passed; `owed`: something was asked of the other side and is not answered.
    pub fn on_tick(&mut self, owed: bool, now: Instant) -> Beat {
        if now.saturating_duration_since(self.heard) >= DEAD_AFTER {
            return Beat::Dead;
        }
        self.owed = match owed || self.pinged.is_some() {
            true => Some(self.owed.unwrap_or(now)),
            false => None,
        };
        let silence = self.silence(now);
        let news = self.judge(silence);
        let doubt = silence >= ASK_AFTER && self.pinged.is_none();
        let ping = (doubt || now >= self.next_ping).then(|| self.ping(now));
        Beat::Pulse { ping, news }
    }

    /// For how long nothing was heard though something was owed.
    fn silence(&self, now: Instant) -> Duration {
        let since = self.owed.map(|owed| owed.max(self.heard));
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    fn judge(&mut self, silence: Duration) -> Option<SessionNews> {
        let quiet = silence >= QUIET_AFTER;
        let was_quiet = std::mem::replace(&mut self.quiet, quiet);
        match (was_quiet, quiet) {
            (_, true) => Some(SessionNews::Quiet(silence)),
            (true, false) => Some(SessionNews::HeardAgain),
            (false, false) => None,
        }
    }

    fn ping(&mut self, now: Instant) -> u64 {
        self.nonce += 1;
        self.pinged = Some((self.nonce, now));
        self.next_ping = now + PING_AFTER;
        self.nonce
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn milliseconds(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn ping(beat: &Beat) -> Option<u64> {
        match beat {
            Beat::Pulse { ping, .. } => *ping,
            Beat::Dead => None,
        }
    }

    fn is_dead(beat: &Beat) -> bool {
        matches!(beat, Beat::Dead)
    }

    /// How long it is said to be quiet; 0 if it was heard again.
    fn quiet(beat: &Beat) -> Option<Duration> {
        match beat {
            Beat::Pulse {
                news: Some(SessionNews::Quiet(since)),
                ..
            } => Some(*since),
            Beat::Pulse {
                news: Some(SessionNews::HeardAgain),
                ..
            } => Some(Duration::ZERO),
            _ => None,
        }
    }

    #[test]
    fn a_new_session_is_pinged_at_once_for_its_round_trip() {
        let now = Instant::now();
        let mut liveness = Liveness::new(now);
        assert_eq!(ping(&liveness.on_tick(false, now)), Some(1));
        let round_trip = liveness.on_pong(1, now + Duration::from_millis(30));
        assert_eq!(round_trip, Some(Duration::from_millis(30)));
    }

    #[test]
    fn the_first_round_trip_is_measured_however_much_is_heard_before() {
        let now = Instant::now();
        let mut liveness = Liveness::new(now);
        liveness.on_heard(now);
        assert_eq!(ping(&liveness.on_tick(true, now)), Some(1));
        liveness.on_heard(now + milliseconds(10));
        assert_eq!(ping(&liveness.on_tick(true, now + milliseconds(250))), None);
    }

    #[test]
    fn silence_is_asked_about_every_five_seconds_and_ends_after_twenty() {
        let now = Instant::now();
        let mut liveness = Liveness::new(now);
        let beats: Vec<_> = (0..=20)
            .map(|s| liveness.on_tick(false, now + seconds(s)))
            .collect();
        let pinged: Vec<_> = (0..=20).filter(|s| ping(&beats[*s]).is_some()).collect();
        assert_eq!(pinged, [0, 5, 10, 15]);
        assert!(is_dead(&beats[20]));
        assert!(!beats[..20].iter().any(is_dead));
    }

    #[test]
    fn a_busy_session_is_not_pinged() {
        let now = Instant::now();
        let mut liveness = Liveness::new(now);
        liveness.on_tick(false, now);
        liveness.on_pong(1, now);
        for second in 1..60 {
            liveness.on_heard(now + seconds(second));
            let beat = liveness.on_tick(true, now + seconds(second));
            assert_eq!((ping(&beat), quiet(&beat)), (None, None));
        }
    }

    #[test]
    fn a_pause_of_our_own_is_not_the_others_silence() {
        let now = Instant::now();
        let mut liveness = Liveness::new(now);
        liveness.on_own_pause(seconds(30));
        assert!(!is_dead(&liveness.on_tick(false, now + seconds(40))));
    }

    #[test]
    fn only_the_answer_to_the_last_ping_measures() {
        let now = Instant::now();
        let mut liveness = Liveness::new(now);
        liveness.on_tick(false, now);
        liveness.on_tick(false, now + seconds(5));
        assert_eq!(liveness.on_pong(1, now + seconds(5)), None);
        assert_eq!(liveness.on_pong(2, now + seconds(6)), Some(seconds(1)));
        assert_eq!(liveness.on_pong(2, now + seconds(6)), None);
    }

    /// A session that was measured and has been heard until `now`.
    fn measured(now: Instant) -> Liveness {
        let mut liveness = Liveness::new(now);
        liveness.on_tick(false, now);
        liveness.on_pong(1, now);
        liveness
    }

    #[test]
    fn who_owes_something_and_says_nothing_is_asked_and_then_found_to_be_quiet() {
        let now = Instant::now();
        let mut liveness = measured(now);
        let at = |ms| now + milliseconds(ms);
        assert_eq!(ping(&liveness.on_tick(true, at(0))), None);
        assert_eq!(ping(&liveness.on_tick(true, at(250))), None);
        assert_eq!(ping(&liveness.on_tick(true, at(500))), Some(2));
        assert_eq!(quiet(&liveness.on_tick(true, at(750))), None);
        assert_eq!(quiet(&liveness.on_tick(true, at(1000))), Some(milliseconds(1000)));
        assert_eq!(quiet(&liveness.on_tick(true, at(1250))), Some(milliseconds(1250)));
    }

    #[test]
    fn a_sign_of_life_ends_the_silence_though_the_answer_is_still_owed() {
        let now = Instant::now();
        let mut liveness = measured(now);
        let at = |ms| now + milliseconds(ms);
        liveness.on_tick(true, at(0));
        assert!(quiet(&liveness.on_tick(true, at(1000))).is_some());
        liveness.on_heard(at(1100));
        assert_eq!(quiet(&liveness.on_tick(true, at(1250))), Some(Duration::ZERO));
        assert_eq!(quiet(&liveness.on_tick(true, at(1500))), None);
    }

    #[test]
    fn silence_of_who_owes_nothing_is_not_quiet_and_an_old_silence_does_not_count_for_a_new_debt() {
        let now = Instant::now();
        let mut liveness = measured(now);
        assert_eq!(quiet(&liveness.on_tick(false, now + milliseconds(4000))), None);
        assert_eq!(quiet(&liveness.on_tick(true, now + milliseconds(4100))), None);
        assert_eq!(quiet(&liveness.on_tick(true, now + milliseconds(4900))), None);
        assert!(quiet(&liveness.on_tick(true, now + milliseconds(5100))).is_some());
    }

    #[test]
    fn while_this_side_does_not_read_nobody_is_quiet() {
        let now = Instant::now();
        let mut liveness = measured(now);
        for quarter in 0..100 {
            liveness.on_own_pause(milliseconds(250));
            assert_eq!(
                quiet(&liveness.on_tick(true, now + milliseconds(250 * quarter))),
                None
            );
        }
    }
}
