//! Progress of work on this machine (hashing, verifying), told by whichever thread does it.

use crate::{
    download::progress::Progress,
    event::{self, EventSink},
};
use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// Turns "so many bytes are done" into progress events.
pub(super) struct Meter {
    sink: EventSink,
    progress: Mutex<Progress>,
}

impl Meter {
    /// Of work on `total` bytes that begins now.
    pub(super) fn new(total: u64, sink: EventSink) -> Self {
        Self {
            sink,
            progress: Mutex::new(Progress::new(0, total, Instant::now())),
        }
    }

    /// So many bytes are done by now.
    pub(super) fn at(&self, bytes: u64) {
        let now = Instant::now();
        // A panic in between leaves counts that are still counts.
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        while let more @ 1.. = u32::try_from(bytes.saturating_sub(progress.bytes())).unwrap_or(u32::MAX) {
            progress.on_stored(more, now);
        }
        if let Some(report) = progress.on_tick(now) {
            self.sink.progress(event::Progress {
                bytes: report.bytes,
                total: report.total,
                rate: report.rate,
                eta: report.eta.map(|eta| eta.as_secs()),
                peers: 0,
            });
        }
    }
}
