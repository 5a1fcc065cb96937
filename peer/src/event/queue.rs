//! The queue behind [`EventSink`]: bounded, never blocking, progress overwritten by newer progress.
//!
//! A lock, not a channel: an unbounded channel could grow, a bounded one would block a hashing thread or drop a
//! `done`. The lock is held for a push or a pop only, and never across an await.

use super::{Event, Phase, Progress};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// Progress events handed out a second, at most (protocol.md).
pub const PROGRESS_PER_SECOND: u32 = 4;

/// Warnings and paths kept for a reader that is behind. A folder with ten thousand unreadable files must not fill
/// the memory; the rest is counted and reported as one warning.
const QUEUE_LIMIT: usize = 512;

/// A sink and the stream that its events come out of.
pub fn channel() -> (EventSink, EventStream) {
    let shared = Arc::new(Shared {
        queue: Mutex::default(),
        changed: Notify::new(),
        sinks: AtomicUsize::new(1),
        is_read: AtomicBool::new(true),
    });
    let stream = EventStream {
        shared: shared.clone(),
        next_progress: Instant::now(),
    };
    (EventSink { shared: Some(shared) }, stream)
}

/// Where an operation reports to. Cheap to clone; usable from any thread; never blocks, never fails.
pub struct EventSink {
    shared: Option<Arc<Shared>>,
}

/// What comes out, in order. Ends when every [`EventSink`] is gone.
pub struct EventStream {
    shared: Arc<Shared>,
    next_progress: Instant,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Notify,
    sinks: AtomicUsize,
    is_read: AtomicBool,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    /// Events left out because `events` was full.
    surplus: u64,
    progress: Option<Progress>,
}

impl EventSink {
    /// A sink that nobody listens to.
    pub fn none() -> Self {
        Self { shared: None }
    }

    /// Reports `event`. Warnings and paths beyond what the queue holds are counted; other events are always kept
    /// (an operation has a handful of them).
    pub fn send(&self, event: Event) {
        let Some(shared) = &self.shared else { return };
        match event {
            Event::Progress(progress) => shared.lock().progress = Some(progress),
            event => shared.lock().push(event),
        }
        shared.changed.notify_one();
    }

    /// Whether somebody still reads what is sent.
    pub fn is_heard(&self) -> bool {
        self.shared
            .as_ref()
            .is_some_and(|shared| shared.is_read.load(Ordering::Relaxed))
    }

    /// Reports that the operation goes over to `phase`.
    pub fn phase(&self, phase: Phase) {
        self.send(Event::Phase { phase });
    }

    /// Reports how far the phase is. May be called as often as wanted; the reader sees the newest.
    pub fn progress(&self, progress: Progress) {
        self.send(Event::Progress(progress));
    }

    /// Reports something that went wrong and does not end the operation.
    pub fn warning(&self, code: &'static str, message: impl Into<String>) {
        self.send(Event::warning(code, message));
    }
}

impl Clone for EventSink {
    fn clone(&self) -> Self {
        if let Some(shared) = &self.shared {
            shared.sinks.fetch_add(1, Ordering::Relaxed);
        }
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl Drop for EventSink {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared
            && shared.sinks.fetch_sub(1, Ordering::AcqRel) == 1
        {
            shared.changed.notify_one();
        }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.shared.is_read.store(false, Ordering::Relaxed);
    }
}

impl EventStream {
    /// The next event; none when every sink is gone and everything was handed out. Dropping the future loses
    /// nothing.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            // Read before the queue is looked at: what a sink sent before it went away is then seen below.
            let ended = self.shared.sinks.load(Ordering::Acquire) == 0;
            let progress_is_due = Instant::now() >= self.next_progress;
            let (event, progress_waits) = self.shared.lock().pop(progress_is_due);
            if let Some(event) = event {
                if matches!(event, Event::Progress(_)) {
                    self.next_progress = Instant::now() + Duration::from_secs(1) / PROGRESS_PER_SECOND;
                }
                return Some(event);
            }
            if ended {
                return None;
            }
            self.changed(progress_waits).await;
        }
    }

    async fn changed(&self, progress_waits: bool) {
        let changed = self.shared.changed.notified();
        if progress_waits {
            // Either way there is something to look at.
            tokio::time::timeout_at(self.next_progress, changed).await.ok();
        } else {
            changed.await;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic elsewhere leaves a queue that is still a queue.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, event: Event) {
        let may_be_left_out = matches!(event, Event::Warning { .. } | Event::Path(_));
        if may_be_left_out && self.events.len() >= QUEUE_LIMIT {
            self.surplus += 1;
            return;
        }
        if matches!(event, Event::Phase { .. } | Event::Done(_) | Event::Error(_)) {
            // Progress of the phase that ended would be shown as progress of the next one.
            self.progress = None;
        }
        self.events.push_back(event);
    }

    /// The next event, and whether progress is held back until it is due.
    fn pop(&mut self, progress_is_due: bool) -> (Option<Event>, bool) {
        if self.events.len() <= 1 && self.surplus > 0 {
            let surplus = std::mem::take(&mut self.surplus);
            let message = format!("{surplus} more warnings came faster than they could be shown");
            // Before the last event, which may be the one that ends the stream.
            self.events.push_front(Event::warning("surplus", message));
        }
        if let Some(event) = self.events.pop_front() {
            return (Some(event), false);
        }
        if progress_is_due {
            return (self.progress.take().map(Event::Progress), false);
        }
        (None, self.progress.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Failure;

    fn progress(bytes: u64) -> Progress {
        Progress {
            bytes,
            ..Progress::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn progress_comes_at_most_four_times_a_second_and_is_the_newest() {
        let (sink, mut stream) = channel();
        let start = Instant::now();
        sink.progress(progress(1));
        assert_eq!(stream.next().await, Some(Event::Progress(progress(1))));
        sink.progress(progress(2));
        sink.progress(progress(3));
        assert_eq!(stream.next().await, Some(Event::Progress(progress(3))));
        assert_eq!(start.elapsed(), Duration::from_millis(250));
    }

    #[tokio::test(start_paused = true)]
    async fn a_phase_does_not_wait_for_progress_and_drops_what_is_stale() {
        let (sink, mut stream) = channel();
        sink.progress(progress(1));
        stream.next().await;
        sink.progress(progress(2));
        sink.phase(Phase::Verifying);
        let start = Instant::now();
        assert_eq!(
            stream.next().await,
            Some(Event::Phase {
                phase: Phase::Verifying
            })
        );
        assert_eq!(start.elapsed(), Duration::ZERO);
        drop(sink);
        assert_eq!(stream.next().await, None);
    }

    #[tokio::test]
    async fn the_stream_ends_after_the_last_event_of_the_last_sink() {
        let (sink, mut stream) = channel();
        let other = sink.clone();
        drop(sink);
        let reader = tokio::spawn(async move { (stream.next().await, stream.next().await) });
        other.send(Event::Error(Failure::disk("full")));
        drop(other);
        assert_eq!(
            reader.await.unwrap(),
            (Some(Event::Error(Failure::disk("full"))), None)
        );
    }

    #[tokio::test]
    async fn warnings_beyond_the_bound_are_counted_and_the_error_is_kept() {
        let (sink, mut stream) = channel();
        for i in 0..QUEUE_LIMIT + 7 {
            sink.warning("unreadable", i.to_string());
        }
        sink.send(Event::Error(Failure::disk("full")));
        drop(sink);
        let mut events = Vec::new();
        while let Some(event) = stream.next().await {
            events.push(event);
        }
        assert_eq!(events.len(), QUEUE_LIMIT + 2);
        assert!(
            matches!(&events[QUEUE_LIMIT], Event::Warning { message, .. } if message.starts_with("7 more"))
        );
        assert_eq!(events[QUEUE_LIMIT + 1], Event::Error(Failure::disk("full")));
    }

    #[test]
    fn a_sink_that_nobody_reads_takes_everything() {
        let sink = EventSink::none();
        sink.phase(Phase::Hashing);
        assert!(!sink.is_heard());
    }

    #[test]
    fn a_sink_knows_when_its_reader_has_gone() {
        let (sink, stream) = channel();
        assert!(sink.is_heard());
        drop(stream);
        assert!(!sink.is_heard());
        for i in 0..2 * QUEUE_LIMIT {
            sink.warning("nobody", i.to_string());
        }
    }
}
