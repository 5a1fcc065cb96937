//! When a relay is connected to, when not, and what comes of an end: the decisions of a session.
//!
//! A home relay (that of a tracker where this peer is registered) is kept connected; any other only while somebody uses it, and
//! for [`IDLE`] more. Every connection shows the token of a registration: a relay that does not know it any more is a reason to register
//! anew, once for each token, and the next token is shown at once. One that does not know that one either (it may be of another tracker,
//! or not have heard yet) is tried, like whatever else went wrong, after a growing pause.

use p2p_shared::{
    backoff::{Backoff, Retries},
    protocol::relay::EndReason,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Back within ten seconds of a relay that comes back (promises.md: a transfer goes on at most 10 s later).
const RETRIES: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(8));

/// A relay that will not have us: somebody has to change something there, or here. Asked now and then all the same.
const REFUSED: Backoff = Backoff::new(Duration::from_secs(60), Duration::from_secs(60));

/// A relay may ask to be left alone, but not for longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// A connection that lasted so long was none of those that fail again and again.
const LASTING: Duration = Duration::from_secs(10);

/// How long a relay that nobody uses stays connected.
pub(super) const IDLE: Duration = Duration::from_secs(30);

/// How often to look whether somebody uses it.
const LOOK: Duration = Duration::from_secs(5);

/// What is wanted of a session, as of now.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    /// To be kept connected.
    pub(super) is_home: bool,
    /// Somebody has a tunnel, or waits for one.
    pub(super) is_used: bool,
    /// The token of the registration, while there is one.
    pub(super) token: Option<Arc<str>>,
}

/// What a session does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Connect and show this token.
    Dial(Arc<str>),
    /// This token is worth nothing any more.
    Renew(Arc<str>),
    /// Nobody uses it: disconnect, and end.
    Finish,
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setback {
    /// It was not reached, or broke.
    Away,
    /// The token is not known there.
    TokenUnknown,
    /// It answered that it will not, or that it is no relay.
    Refused,
    /// It wants to be left alone for so long.
    Busy(Duration),
    /// Another program with this peer's key is connected there.
    Replaced,
    /// It stops, and will be back.
    Stopping,
}

impl From<EndReason> for Setback {
    fn from(reason: EndReason) -> Self {
        match reason {
            EndReason::LeaseOver => Self::TokenUnknown,
            EndReason::Replaced => Self::Replaced,
            EndReason::KeyOver => Self::Refused,
            EndReason::GoingAway => Self::Stopping,
            _ => Self::Away,
        }
    }
}

/// One relay in use.
#[derive(Debug)]
pub(super) struct SessionState {
    phase: Phase,
    retries: Retries,
    last_used: Instant,
    /// What was told to be worth nothing: said once.
    given_up: Option<Arc<str>>,
    /// How many tokens were worth nothing, one after the other.
    unknown: u32,
}

#[derive(Debug)]
enum Phase {
    /// No connection; nothing is in the way of one.
    Down,
    /// Not before `until`, unless there is another token than the `shown` one.
    Pausing { until: Instant, shown: Arc<str> },
    /// Being connected, or connected since.
    Up { shown: Arc<str>, since: Option<Instant> },
}

impl SessionState {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Down,
            retries: Retries::new(RETRIES),
            last_used: now,
            given_up: None,
            unknown: 0,
        }
    }

    /// What to do now.
    pub(super) fn poll(&mut self, now: Instant, wanted: &Wanted) -> Option<Action> {
        if wanted.is_home || wanted.is_used {
            self.last_used = now;
        } else if now >= self.last_used + IDLE {
            return Some(Action::Finish);
        }
        let token = wanted.token.as_ref()?;
        let is_due = match &self.phase {
            Phase::Down => true,
            Phase::Pausing { until, shown } => now >= *until || (shown != token && self.unknown <= 1),
            Phase::Up { .. } => false,
        };
        if !is_due {
            return None;
        }
        self.phase = Phase::Up {
            shown: Arc::clone(token),
            since: None,
        };
        Some(Action::Dial(Arc::clone(token)))
    }

    /// When to poll again, if nothing happens before.
    pub(super) fn next_wake(&self, now: Instant, is_home: bool) -> Option<Instant> {
        let look = (!is_home).then(|| (self.last_used + IDLE).clamp(now, now + LOOK));
        let retry = match &self.phase {
            Phase::Pausing { until, .. } => Some(*until),
            _ => None,
        };
        look.into_iter().chain(retry).min()
    }

    /// It is connected.
    pub(super) fn on_connected(&mut self, now: Instant) {
        if let Phase::Up { since, .. } = &mut self.phase {
            *since = Some(now);
        }
    }

    /// It is not connected, or not any more. `chance` is any random number.
    pub(super) fn on_setback(&mut self, now: Instant, setback: Setback, chance: u32) -> Option<Action> {
        let Phase::Up { shown, since } = std::mem::replace(&mut self.phase, Phase::Down) else {
            return None;
        };
        if setback == Setback::Stopping || since.is_some_and(|since| now >= since + LASTING) {
            self.retries.on_success();
            self.unknown = 0;
        }
        let own = self.retries.on_failure(chance);
        let pause = match setback {
            Setback::Refused | Setback::Replaced => REFUSED.delay(1, chance),
            Setback::Busy(asked) => own.max(asked.min(LONGEST_WAIT)),
            Setback::Away | Setback::Stopping | Setback::TokenUnknown => own,
        };
        let until = now + pause;
        let is_news = setback == Setback::TokenUnknown && self.given_up.as_ref() != Some(&shown);
        let renew = is_news.then(|| {
            self.given_up = Some(Arc::clone(&shown));
            self.unknown = self.unknown.saturating_add(1);
            Action::Renew(Arc::clone(&shown))
        });
        self.phase = Phase::Pausing { until, shown };
        renew
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn home(token: &str) -> Wanted {
        Wanted {
            is_home: true,
            is_used: false,
            token: Some(token.into()),
        }
    }

    fn dial(token: &str) -> Option<Action> {
        Some(Action::Dial(token.into()))
    }

    /// One that has dialled with the token "a".
    fn dialled(now: Instant) -> SessionState {
        let mut state = SessionState::new(now);
        assert_eq!(state.poll(now, &home("a")), dial("a"));
        state
    }

    #[test]
    fn a_home_relay_is_connected_once_there_is_a_token() {
        let now = Instant::now();
        let mut state = SessionState::new(now);
        let unregistered = Wanted {
            is_home: true,
            ..Wanted::default()
        };
        assert_eq!(state.poll(now, &unregistered), None);
        assert_eq!(state.poll(now + 1000 * SECOND, &home("a")), dial("a"));
        assert_eq!(state.poll(now + 2000 * SECOND, &home("a")), None);
        assert_eq!(state.next_wake(now + 2000 * SECOND, true), None);
    }

    #[test]
    fn a_relay_that_is_away_is_tried_again_after_growing_pauses() {
        let mut now = Instant::now();
        let mut state = dialled(now);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert_eq!(state.on_setback(now, Setback::Away, u32::MAX), None);
            let until = state.next_wake(now, true).unwrap();
            assert_eq!(state.poll(until - Duration::from_millis(1), &home("a")), None);
            assert_eq!(state.poll(until, &home("a")), dial("a"));
            pauses.push((until - now).as_millis());
            now = until;
        }
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 8000, 8000]);
    }

    #[test]
    fn a_connection_that_lasted_begins_the_pauses_anew_and_one_that_did_not_goes_on_with_them() {
        let now = Instant::now();
        for (lasted, pause) in [(LASTING, 250), (SECOND, 500)] {
            let mut state = dialled(now);
            state.on_setback(now, Setback::Away, u32::MAX);
            state.poll(now + SECOND, &home("a"));
            state.on_connected(now + SECOND);
            let end = now + SECOND + lasted;
            state.on_setback(end, Setback::Away, u32::MAX);
            let wait = state.next_wake(end, true).unwrap() - end;
            assert_eq!(wait.as_millis(), pause, "after {lasted:?}");
        }
    }

    #[test]
    fn a_relay_that_stops_is_tried_again_at_once() {
        let now = Instant::now();
        let mut state = dialled(now);
        for _ in 0..5 {
            state.on_setback(now, Setback::Away, u32::MAX);
            state.poll(now + 10 * SECOND, &home("a"));
        }
        state.on_setback(now, EndReason::GoingAway.into(), u32::MAX);
        assert!(state.next_wake(now, true).unwrap() <= now + Duration::from_millis(250));
    }

    #[test]
    fn a_token_that_is_not_known_is_given_up_once_and_the_next_one_shown_at_once() {
        let now = Instant::now();
        let mut state = dialled(now);
        let renew = state.on_setback(now, EndReason::LeaseOver.into(), u32::MAX);
        assert_eq!(renew, Some(Action::Renew("a".into())));
        assert_eq!(state.poll(now, &home("a")), None);
        let later = now + SECOND;
        assert_eq!(state.poll(later, &home("a")), dial("a"));
        assert_eq!(state.on_setback(later, Setback::TokenUnknown, u32::MAX), None);
        assert_eq!(state.poll(later, &home("b")), dial("b"));
    }

    /// A relay that shares nothing with the tracker that names it would have its peers register as fast as they can.
    #[test]
    fn a_relay_that_knows_no_token_is_shown_new_ones_after_growing_pauses() {
        let begin = Instant::now();
        let (mut now, mut dials) = (begin, 0);
        let mut state = SessionState::new(now);
        while now < begin + 60 * SECOND {
            let token = format!("token {dials}");
            let action = state.poll(now, &home(&token));
            if action == dial(&token) {
                dials += 1;
                let renew = state.on_setback(now, Setback::TokenUnknown, u32::MAX);
                assert_eq!(renew, Some(Action::Renew(token.as_str().into())));
            }
            now += Duration::from_millis(50);
        }
        assert!((10..=15).contains(&dials), "{dials} in a minute");
        // Known at last, and for a while: what happens then is new.
        let (last, next) = (now + 8 * SECOND, home("next"));
        assert_eq!(state.poll(last, &home("known")), dial("known"));
        state.on_connected(last);
        state.on_setback(last + LASTING, Setback::TokenUnknown, u32::MAX);
        assert_eq!(state.poll(last + LASTING, &next), dial("next"));
    }

    #[test]
    fn who_was_replaced_or_refused_does_not_come_back_soon_but_with_another_token() {
        let now = Instant::now();
        for setback in [EndReason::Replaced.into(), Setback::Refused] {
            let mut state = dialled(now);
            state.on_setback(now, setback, 0);
            assert_eq!(state.poll(now + 29 * SECOND, &home("a")), None);
            assert_eq!(state.poll(now + 29 * SECOND, &home("b")), dial("b"));
        }
    }

    #[test]
    fn a_relay_that_wants_to_be_left_alone_is_but_not_for_ever() {
        let now = Instant::now();
        for (asked, wait) in [(5, 5), (100_000, 120)] {
            let mut state = dialled(now);
            state.on_setback(now, Setback::Busy(asked * SECOND), 0);
            assert_eq!(state.next_wake(now, true), Some(now + wait * SECOND));
        }
    }

    #[test]
    fn a_foreign_relay_is_left_when_nobody_has_used_it_for_a_while() {
        let now = Instant::now();
        let mut state = SessionState::new(now);
        let foreign = |is_used| Wanted {
            is_home: false,
            is_used,
            token: Some("a".into()),
        };
        assert_eq!(state.poll(now, &foreign(true)), dial("a"));
        let used = now + 100 * SECOND;
        assert_eq!(state.poll(used, &foreign(true)), None);
        assert_eq!(state.next_wake(used, false), Some(used + LOOK));
        assert_eq!(state.poll(used + IDLE - SECOND, &foreign(false)), None);
        assert_eq!(state.next_wake(used + IDLE - SECOND, false), Some(used + IDLE));
        assert_eq!(state.poll(used + IDLE, &foreign(false)), Some(Action::Finish));
    }
}
