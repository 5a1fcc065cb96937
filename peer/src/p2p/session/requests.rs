//! What was asked of one peer and is not answered yet.
//!
//! Promises that an answer is matched to exactly one question, that no more is asked than the [`Window`] allows, and that
//! a question whose answer takes far too long is named as late, once. Each question ends with one chunk or one
//! rejection, a cancelled one too: until then it is remembered, so that an answer which crossed the cancellation on its
//! way is told apart from one that nobody asked for. Never looks at a clock.

use super::window::Window;
use p2p_shared::id::{ChunkIndex, FileHash};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// No answer is late before this, however fast the peer is: its disk may have to wake up.
const SHORTEST_DEADLINE: Duration = Duration::from_secs(2);
/// Deadline while the peer's rate is not known: a quarter MiB at 0.5 Mbit/s.
const FIRST_DEADLINE: Duration = Duration::from_secs(5);
/// An answer is late at this many times the expected time.
const PATIENCE: f64 = 4.0;

/// One question: which chunk of which file.
pub type Question = (FileHash, ChunkIndex);

#[derive(Debug)]
struct Asked {
    /// Bytes that the answer will bring.
    bytes: u32,
    due: Instant,
    /// Already named by [`Requests::late`].
    late: bool,
    /// The owner does not want it any more.
    cancelled: bool,
}

/// The outstanding questions of one session, over all its files.
#[derive(Debug, Default)]
pub struct Requests {
    window: Window,
    outstanding: HashMap<Question, Asked>,
    /// Bytes that the outstanding answers will bring.
    bytes: u64,
}

/// How a question was put.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Put {
    /// It is a new one: the peer must be asked.
    Asked,
    /// It was cancelled and is not answered yet: that answer will do.
    Revived,
}

/// Why a question was not put.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum NotAsked {
    /// The window is full.
    Full,
    /// This chunk is outstanding already.
    Outstanding,
}

/// What an answer was the answer to.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Answer {
    /// To a question whose owner still waits.
    Wanted,
    /// To a question that was cancelled meanwhile.
    Cancelled,
}

impl Requests {
    /// How many more chunks may be asked for now. A peer that is late with something is asked for nothing more.
    pub fn room(&self) -> u32 {
        if self
            .outstanding
            .values()
            .any(|asked| asked.late && !asked.cancelled)
        {
            return 0;
        }
        self.window.chunks().saturating_sub(self.outstanding.len() as u32)
    }

    /// The window: its rate and round trip.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// How many questions are open, cancelled ones included.
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// How many of them are about `file`.
    pub fn outstanding_of(&self, file: &FileHash) -> u32 {
        self.outstanding.keys().filter(|(of, _)| of == file).count() as u32
    }

    /// Puts a question whose answer has `bytes`.
    pub fn ask(&mut self, question: Question, bytes: u32, now: Instant) -> Result<Put, NotAsked> {
        if let Some(asked) = self.outstanding.get_mut(&question) {
            let cancelled = std::mem::take(&mut asked.cancelled);
            return if cancelled {
                Ok(Put::Revived)
            } else {
                Err(NotAsked::Outstanding)
            };
        }
        if self.room() == 0 {
            return Err(NotAsked::Full);
        }
        self.window.on_busy(now);
        self.bytes += u64::from(bytes);
        let asked = Asked {
            bytes,
            due: now + self.deadline(),
            late: false,
            cancelled: false,
        };
        self.outstanding.insert(question, asked);
        Ok(Put::Asked)
    }

    fn deadline(&self) -> Duration {
        let Some(rate) = self.window.rate().filter(|rate| *rate > 1.0) else {
            return FIRST_DEADLINE;
        };
        let round_trip = self.window.round_trip().unwrap_or_default().as_secs_f64();
        let expected = round_trip + self.bytes as f64 / rate;
        // An hour caps what a tiny rate would make of it (and what a `Duration` could not hold).
        Duration::from_secs_f64((PATIENCE * expected).min(3600.0)).max(SHORTEST_DEADLINE)
    }

    /// How many bytes the answer to an open question has; nothing if it was not asked for.
    pub fn expects(&self, question: &Question) -> Option<u32> {
        self.outstanding.get(question).map(|asked| asked.bytes)
    }

    /// The chunk came; nothing if it was not asked for.
    pub fn on_chunk(&mut self, question: Question, now: Instant) -> Option<Answer> {
        let asked = self.outstanding.remove(&question)?;
        self.window.on_chunk(asked.bytes, now);
        Some(self.close(&asked))
    }

    /// The peer will not send it; nothing if it was not asked for.
    pub fn on_reject(&mut self, question: Question) -> Option<Answer> {
        let asked = self.outstanding.remove(&question)?;
        Some(self.close(&asked))
    }

    fn close(&mut self, asked: &Asked) -> Answer {
        self.bytes = self.bytes.saturating_sub(u64::from(asked.bytes));
        self.note_idle();
        if asked.cancelled {
            Answer::Cancelled
        } else {
            Answer::Wanted
        }
    }

    fn note_idle(&mut self) {
        if self.outstanding.is_empty() {
            self.window.on_idle();
        }
    }

    /// The owner does not want it any more. True if the peer must be told.
    pub fn cancel(&mut self, question: Question) -> bool {
        match self.outstanding.get_mut(&question) {
            Some(asked) if !asked.cancelled => {
                asked.cancelled = true;
                true
            }
            _ => false,
        }
    }

    /// Cancels everything of `file` and says what that was.
    pub fn cancel_file(&mut self, file: &FileHash) -> Vec<ChunkIndex> {
        let mine = self
            .outstanding
            .iter_mut()
            .filter(|((of, _), asked)| of == file && !asked.cancelled);
        let mut chunks: Vec<_> = mine
            .map(|((_, chunk), asked)| {
                asked.cancelled = true;
                *chunk
            })
            .collect();
        chunks.sort_unstable();
        chunks
    }

    /// The peer dropped the whole file: no answer will come to what was asked of it.
    pub fn forget_file(&mut self, file: &FileHash) -> Vec<ChunkIndex> {
        let mut chunks = Vec::new();
        let mut bytes = 0;
        self.outstanding.retain(|(of, chunk), asked| {
            if of != file {
                return true;
            }
            bytes += u64::from(asked.bytes);
            if !asked.cancelled {
                chunks.push(*chunk);
            }
            false
        });
        self.bytes = self.bytes.saturating_sub(bytes);
        self.note_idle();
        chunks.sort_unstable();
        chunks
    }

    /// Which wanted answers became late since this was last asked.
    pub fn late(&mut self, now: Instant) -> Vec<Question> {
        let overdue = self
            .outstanding
            .iter_mut()
            .filter(|(_, asked)| !asked.late && !asked.cancelled && asked.due <= now);
        overdue
            .map(|(question, asked)| {
                asked.late = true;
                *question
            })
            .collect()
    }

    /// This side did not read for `length` (no buffer was free): every deadline moves by it.
    pub fn on_own_pause(&mut self, length: Duration) {
        self.window.on_own_pause(length);
        for asked in self.outstanding.values_mut() {
            asked.due += length;
        }
    }

    /// A `Pong` came `sample` after its `Ping`.
    pub fn on_round_trip(&mut self, sample: Duration) {
        self.window.on_round_trip(sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p2p_shared::chunker::CHUNK_SIZE;
    use proptest::prelude::*;

    const FILE: FileHash = FileHash([1; 32]);
    const OTHER: FileHash = FileHash([2; 32]);

    fn question(chunk: u32) -> Question {
        (FILE, ChunkIndex(chunk))
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn the_window_bounds_what_is_outstanding() {
        let mut requests = Requests::default();
        let now = Instant::now();
        let room = requests.room();
        for chunk in 0..room {
            requests.ask(question(chunk), CHUNK_SIZE, now).unwrap();
        }
        assert_eq!(requests.ask(question(room), CHUNK_SIZE, now), Err(NotAsked::Full));
    }

    #[test]
    fn a_chunk_is_not_asked_for_twice() {
        let mut requests = Requests::default();
        let now = Instant::now();
        requests.ask(question(1), CHUNK_SIZE, now).unwrap();
        assert_eq!(
            requests.ask(question(1), CHUNK_SIZE, now),
            Err(NotAsked::Outstanding)
        );
    }

    #[test]
    fn an_answer_closes_its_question_once() {
        let mut requests = Requests::default();
        let now = Instant::now();
        requests.ask(question(1), CHUNK_SIZE, now).unwrap();
        assert_eq!(requests.on_chunk(question(1), now), Some(Answer::Wanted));
        assert_eq!(requests.on_chunk(question(1), now), None);
        assert_eq!(requests.on_reject(question(2)), None);
    }

    #[test]
    fn an_answer_that_crossed_its_cancellation_is_known_as_such() {
        let mut requests = Requests::default();
        let now = Instant::now();
        requests.ask(question(1), CHUNK_SIZE, now).unwrap();
        assert!(requests.cancel(question(1)));
        assert!(!requests.cancel(question(1)), "the peer is told once");
        assert_eq!(requests.on_chunk(question(1), now), Some(Answer::Cancelled));
        assert_eq!(requests.outstanding(), 0);
    }

    #[test]
    fn late_is_said_once_and_stops_further_questions() {
        let mut requests = Requests::default();
        let now = Instant::now();
        requests.ask(question(1), CHUNK_SIZE, now).unwrap();
        assert!(requests.late(now + seconds(4.9)).is_empty());
        assert_eq!(requests.late(now + seconds(5.1)), [question(1)]);
        assert!(requests.late(now + seconds(9.0)).is_empty());
        assert_eq!(requests.room(), 0);
        requests.on_chunk(question(1), now + seconds(9.0));
        assert!(requests.room() > 0);
    }

    #[test]
    fn a_deadline_is_four_times_what_the_measured_rate_lets_expect() {
        let mut requests = Requests::default();
        let mut now = Instant::now();
        // One chunk a second, until the rate is known.
        for chunk in 0..20 {
            requests.ask(question(chunk), CHUNK_SIZE, now).unwrap();
            now += seconds(1.0);
            requests.on_chunk(question(chunk), now);
        }
        requests.ask(question(100), CHUNK_SIZE, now).unwrap();
        requests.ask(question(101), CHUNK_SIZE, now).unwrap();
        assert!(requests.late(now + seconds(3.9)).is_empty());
        assert_eq!(requests.late(now + seconds(4.1)), [question(100)]);
        assert_eq!(requests.late(now + seconds(8.1)), [question(101)]);
    }

    #[test]
    fn a_pause_of_our_own_makes_nobody_late() {
        let mut requests = Requests::default();
        let now = Instant::now();
        requests.ask(question(1), CHUNK_SIZE, now).unwrap();
        requests.on_own_pause(seconds(10.0));
        assert!(requests.late(now + seconds(14.9)).is_empty());
    }

    #[test]
    fn a_file_that_the_peer_dropped_takes_its_questions_along_and_leaves_the_others() {
        let mut requests = Requests::default();
        let now = Instant::now();
        requests.ask(question(1), CHUNK_SIZE, now).unwrap();
        requests.ask((OTHER, ChunkIndex(1)), CHUNK_SIZE, now).unwrap();
        requests.ask(question(0), CHUNK_SIZE, now).unwrap();
        requests.cancel(question(0));
        assert_eq!(requests.forget_file(&FILE), [ChunkIndex(1)]);
        assert_eq!(requests.outstanding(), 1);
        assert_eq!(requests.cancel_file(&OTHER), [ChunkIndex(1)]);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Ask(u32),
        Chunk(u32),
        Reject(u32),
        Cancel(u32),
        Wait(u16),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..40u32).prop_map(Step::Ask),
            (0..40u32).prop_map(Step::Chunk),
            (0..40u32).prop_map(Step::Reject),
            (0..40u32).prop_map(Step::Cancel),
            (0..4000u16).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_each_question_has_one_answer_and_the_count_of_bytes_is_right(
            steps in prop::collection::vec(step(), 0..300),
        ) {
            let mut requests = Requests::default();
            let mut open = std::collections::HashSet::new();
            let mut now = Instant::now();
            for step in steps {
                match step {
                    Step::Ask(chunk) => {
                        let asked = requests.ask(question(chunk), CHUNK_SIZE, now) == Ok(Put::Asked);
                        prop_assert!(!asked || open.insert(chunk));
                    }
                    Step::Chunk(chunk) => {
                        let answer = requests.on_chunk(question(chunk), now);
                        prop_assert_eq!(answer.is_some(), open.remove(&chunk));
                    }
                    Step::Reject(chunk) => {
                        let answer = requests.on_reject(question(chunk));
                        prop_assert_eq!(answer.is_some(), open.remove(&chunk));
                    }
                    Step::Cancel(chunk) => {
                        let told = requests.cancel(question(chunk));
                        prop_assert!(!told || open.contains(&chunk));
                    }
                    Step::Wait(milliseconds) => {
                        now += Duration::from_millis(milliseconds.into());
                        for (_, chunk) in requests.late(now) {
                            prop_assert!(open.contains(&chunk.0));
                        }
                    }
                }
                prop_assert_eq!(requests.outstanding(), open.len());
                prop_assert_eq!(requests.bytes, open.len() as u64 * u64::from(CHUNK_SIZE));
                prop_assert!(requests.outstanding() <= super::super::window::MAX_WINDOW as usize);
            }
        }
    }
}
