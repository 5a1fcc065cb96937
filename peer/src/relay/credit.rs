//! How much may be sent, how much may come, and how much all tunnels of one connection may let wait. Pure.
//!
//! Promises that what was let come and was not read yet never exceeds what was granted, for each tunnel ([`Receiving`]) and for all of
//! them together ([`Budget`]), and that nothing is sent that was not granted ([`Sending`]). A data frame uses up its bytes and
//! [`FRAME_COST`] more, on both sides.

use p2p_shared::protocol::relay::{FIRST_CREDIT, FRAME_COST, MAX_CREDIT, MAX_DATA, MIN_GRANT};
use std::time::{Duration, Instant};

/// The relay, or the peer behind it, does not keep to the credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exceeded;

/// What may still be sent on a tunnel.
#[derive(Debug, Default)]
pub(super) struct Sending {
    credit: u32,
}

impl Sending {
    /// So much more may be sent.
    pub(super) fn grant(&mut self, bytes: u32) -> Result<(), Exceeded> {
        let credit = self.credit.checked_add(bytes);
        self.credit = credit.filter(|credit| *credit <= MAX_CREDIT).ok_or(Exceeded)?;
        Ok(())
    }

    /// How many of `wanted` bytes go into a frame now, which is paid for by this; 0: there is no credit for any.
    pub(super) fn take(&mut self, wanted: usize) -> usize {
        let room = self.credit.saturating_sub(FRAME_COST) as usize;
        let bytes = wanted.min(room).min(MAX_DATA);
        if bytes > 0 {
            self.credit -= bytes as u32 + FRAME_COST;
        }
        bytes
    }
}

/// A window that is used up sooner than a MiB in this time (100 MB/s) is not what slows the tunnel down.
const FAST: Duration = Duration::from_millis(10);

/// One that lasts longer than this is longer than any way there and back.
const SLOW: Duration = Duration::from_millis(500);

/// What may still come on a tunnel.
#[derive(Debug)]
pub(super) struct Receiving {
    window: u32,
    open: u32,
    /// Read, and not granted again.
    consumed: u32,
    /// Granted again while the reader waited for more, and since when.
    kept_up: Option<(Instant, u32)>,
}

impl Receiving {
    /// `window` bytes were granted; there will never be more open, or unread.
    pub(super) fn new(window: u32) -> Self {
        Self {
            window,
            open: window,
            consumed: 0,
            kept_up: None,
        }
    }

    /// A frame of so many bytes came.
    pub(super) fn on_data(&mut self, bytes: usize) -> Result<(), Exceeded> {
        let cost = u32::try_from(bytes)
            .map_err(|_| Exceeded)?
            .checked_add(FRAME_COST);
        let open = cost.and_then(|cost| self.open.checked_sub(cost));
        self.open = open.ok_or(Exceeded)?;
        Ok(())
    }

    /// So many bytes were read; `whole`: up to the end of their frame.
    pub(super) fn on_read(&mut self, bytes: usize, whole: bool) {
        // What is read came before, so this is no more than the window.
        self.consumed += bytes as u32 + if whole { FRAME_COST } else { 0 };
    }

    /// What is to be granted now, if it is worth a frame: a quarter of the window.
    pub(super) fn grant(&mut self) -> Option<u32> {
        if self.consumed < (self.window / 4).max(MIN_GRANT) {
            return None;
        }
        self.open += self.consumed;
        Some(std::mem::take(&mut self.consumed))
    }

    /// `granted` was just granted, when the reader did or did not wait for more. How much larger the window is worth being: as much
    /// again, when the reader has used up all of it as it came, and waited for the way there and back rather than for the line.
    pub(super) fn on_granted(&mut self, granted: u32, waits: bool, now: Instant) -> Option<u32> {
        if !waits {
            self.kept_up = None;
            return None;
        }
        let (since, before) = *self.kept_up.get_or_insert((now, 0));
        let kept_up = before + granted;
        if kept_up <= self.window {
            self.kept_up = Some((since, kept_up));
            return None;
        }
        self.kept_up = Some((now, 0));
        let took = now.saturating_duration_since(since);
        let is_short = took * FIRST_CREDIT >= FAST * self.window && took <= SLOW;
        let more = self.window.min(MAX_CREDIT - self.window);
        (is_short && more >= MIN_GRANT).then_some(more)
    }

    /// There is room for a window that is so much larger.
    pub(super) fn widen(&mut self, more: u32) {
        self.window += more;
        self.open += more;
    }

    /// What may be open, or unread.
    pub(super) fn window(&self) -> u32 {
        self.window
    }
}

/// The smallest window: one full frame at a time.
pub(super) const SMALLEST_WINDOW: u32 = MAX_DATA as u32 + FRAME_COST;

/// What all windows of a connection may come to, whatever its relay says that it keeps: that many are kept here too.
const MOST: u32 = 64 << 20;

/// What relays allow if nothing else is said.
const USUAL_TUNNELS: u32 = 64;

/// What the tunnels of one connection may let wait together. A relay ends the connection of a peer that lets more wait than the
/// relay keeps, and a slow line with many fast senders would be there soon.
#[derive(Debug)]
pub(super) struct Budget {
    left: u32,
    /// Tunnels that may still come: the smallest window is kept for each.
    places: u32,
}

impl Budget {
    /// Of a relay that keeps `waiting` bytes (a quarter is left for what else it has to say) and allows so many `tunnels`; 0: any number.
    pub(super) fn of(waiting: u32, tunnels: u32) -> Self {
        Self {
            left: (waiting - waiting / 4).min(MOST),
            places: if tunnels == 0 { USUAL_TUNNELS } else { tunnels },
        }
    }

    /// The window of a new tunnel: a quarter of what is left and not kept for later ones, so that the first ones get all that a
    /// window begins with, and each something. None: too many tunnels.
    pub(super) fn take(&mut self) -> Option<u32> {
        let later = self.places.saturating_sub(1).saturating_mul(SMALLEST_WINDOW);
        let window = (self.left.saturating_sub(later) / 4).clamp(SMALLEST_WINDOW, FIRST_CREDIT);
        self.left = self.left.checked_sub(window)?;
        self.places = self.places.saturating_sub(1);
        Some(window)
    }

    /// How much larger a window may become that is worth `more`: within a quarter of what is left and not kept for others.
    pub(super) fn widen(&mut self, more: u32) -> Option<u32> {
        let later = self.places.saturating_mul(SMALLEST_WINDOW);
        let more = more.min(self.left.saturating_sub(later) / 4);
        if more < MIN_GRANT {
            return None;
        }
        self.left -= more;
        Some(more)
    }

    /// A tunnel is gone, and what came on it.
    pub(super) fn give_back(&mut self, window: u32) {
        self.left = self.left.saturating_add(window);
        self.places = self.places.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_more_is_sent_than_was_granted_frames_included() {
        let mut sending = Sending::default();
        assert_eq!(sending.take(10), 0);
        sending.grant(FRAME_COST).unwrap();
        assert_eq!(sending.take(10), 0, "a frame without bytes is none");
        sending.grant(100_000).unwrap();
        assert_eq!(sending.take(1_000_000), MAX_DATA);
        assert_eq!(sending.take(1_000_000), 100_000 - MAX_DATA - FRAME_COST as usize);
        assert_eq!(sending.take(1), 0);
    }

    #[test]
    fn a_grant_beyond_the_bound_is_refused() {
        let mut sending = Sending::default();
        sending.grant(MAX_CREDIT).unwrap();
        assert_eq!(sending.grant(1), Err(Exceeded));
    }

    #[test]
    fn what_comes_without_having_been_granted_is_refused() {
        let mut receiving = Receiving::new(1000);
        receiving.on_data(900).unwrap();
        assert_eq!(receiving.on_data(1), Err(Exceeded));
    }

    #[test]
    fn grants_come_in_quarters_of_the_window_and_for_what_was_read_only() {
        let mut receiving = Receiving::new(FIRST_CREDIT);
        let quarter = FIRST_CREDIT / 4;
        for _ in 0..4 {
            receiving.on_data(MAX_DATA).unwrap();
        }
        receiving.on_read(MAX_DATA, true);
        assert_eq!(receiving.grant(), None);
        for _ in 0..3 {
            receiving.on_read(MAX_DATA, true);
        }
        assert_eq!(receiving.grant(), Some(4 * (MAX_DATA as u32 + FRAME_COST)));
        assert!(4 * MAX_DATA as u32 >= quarter);
        assert_eq!(receiving.grant(), None);
    }

    #[test]
    fn as_many_tunnels_as_a_relay_allows_have_a_window_and_all_fit_into_what_it_keeps() {
        let waiting = 16 << 20;
        let mut budget = Budget::of(waiting, 64);
        let windows: Vec<u32> = (0..64).map_while(|_| budget.take()).collect();
        assert_eq!(
            (windows.len(), windows[0], windows[3]),
            (64, FIRST_CREDIT, FIRST_CREDIT)
        );
        assert!(windows.iter().all(|window| *window >= SMALLEST_WINDOW));
        assert!(windows.iter().sum::<u32>() <= waiting - waiting / 4);
        windows.into_iter().for_each(|window| budget.give_back(window));
        assert_eq!(budget.take(), Some(FIRST_CREDIT));
    }

    #[test]
    fn tunnels_end_where_what_the_relay_keeps_does_however_many_it_allows() {
        for tunnels in [0, 10_000] {
            let mut budget = Budget::of(16 << 20, tunnels);
            let windows: Vec<u32> = (0..10_000).map_while(|_| budget.take()).collect();
            assert!(windows.iter().sum::<u32>() <= 12 << 20);
            assert!((64..200).contains(&windows.len()), "{} tunnels", windows.len());
        }
    }

    #[test]
    fn a_relay_that_says_it_keeps_everything_does_not_decide_what_is_kept_here() {
        let mut budget = Budget::of(u32::MAX, 0);
        let windows: Vec<u32> = (0..10_000).map_while(|_| budget.take()).collect();
        let all = windows.iter().map(|window| u64::from(*window)).sum::<u64>();
        assert!(all <= u64::from(MOST), "{all}");
    }

    /// What a reader that keeps up, or does not, is granted more when a window of it took so long.
    fn growth(waits: bool, took: Duration) -> Option<u32> {
        let (mut receiving, begin) = (Receiving::new(FIRST_CREDIT), Instant::now());
        let quarter = FIRST_CREDIT / 4;
        let grants = (0..5).map(|n| receiving.on_granted(quarter, waits, begin + took * n / 4));
        grants.last().flatten()
    }

    #[test]
    fn a_window_grows_when_the_way_there_and_back_is_what_is_waited_for() {
        let at_rtt = Duration::from_millis(40);
        assert_eq!(growth(true, at_rtt), Some(FIRST_CREDIT));
        assert_eq!(growth(false, at_rtt), None, "the reader is what is slow");
        assert_eq!(growth(true, Duration::from_millis(3)), None, "it is fast enough");
        assert_eq!(
            growth(true, Duration::from_secs(2)),
            None,
            "the line is what is slow"
        );
    }

    #[test]
    fn windows_grow_within_what_one_may_have_and_all_may_have_together() {
        let waiting = 16 << 20;
        let mut budget = Budget::of(waiting, 64);
        let mut windows: Vec<u32> = (0..8).map_while(|_| budget.take()).collect();
        for _ in 0..100 {
            for window in &mut windows {
                *window += budget
                    .widen((*window).min(MAX_CREDIT - *window))
                    .unwrap_or_default();
            }
        }
        assert!(windows.iter().all(|window| *window <= MAX_CREDIT));
        let others: Vec<u32> = (8..64).map_while(|_| budget.take()).collect();
        assert_eq!(others.len(), 56, "those that come later have theirs");
        let all: u32 = windows.iter().chain(&others).sum();
        assert!(all <= waiting - waiting / 4, "{all}");
    }

    proptest! {
        /// Whoever sends as much as it may, to somebody who reads as much as there is, is never stuck and never refused.
        #[test]
        fn sender_and_receiver_agree_for_ever(
            window in SMALLEST_WINDOW..=MAX_CREDIT,
            steps in proptest::collection::vec((1usize..200_000, 1usize..100_000), 1..200),
        ) {
            let (mut sending, mut receiving) = (Sending::default(), Receiving::new(window));
            sending.grant(window).unwrap();
            let mut unread: std::collections::VecDeque<usize> = Default::default();
            let mut time = Instant::now();
            for (send, read) in steps {
                let sent = sending.take(send);
                if sent > 0 {
                    prop_assert_eq!(receiving.on_data(sent), Ok(()));
                    unread.push_back(sent);
                } else {
                    prop_assert!(!unread.is_empty(), "nothing to read, nothing to send");
                }
                prop_assert!(unread.iter().sum::<usize>() <= receiving.window() as usize);
                let mut read = read;
                while let Some(front) = unread.front_mut().filter(|_| read > 0) {
                    let now = read.min(*front);
                    (*front, read) = (*front - now, read - now);
                    let whole = *front == 0;
                    receiving.on_read(now, whole);
                    if whole {
                        unread.pop_front();
                    }
                    if let Some(bytes) = receiving.grant() {
                        prop_assert_eq!(sending.grant(bytes), Ok(()));
                        time += Duration::from_millis(10);
                        if let Some(more) = receiving.on_granted(bytes, unread.is_empty(), time) {
                            receiving.widen(more);
                            prop_assert_eq!(sending.grant(more), Ok(()));
                        }
                    }
                }
            }
        }
    }
}
