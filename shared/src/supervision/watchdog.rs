//! Notices that the actors' thread does not move any more.
//!
//! A handler that never returns blocks every actor, every supervisor and every timer of its thread, so nothing there
//! can help. The watchdog is a thread of its own: it waits for a beat from the actors' thread and, when there was none for
//! twice its time, calls what the program gave it (which ends the process). Twice, because a machine that was
//! suspended or a process that was stopped deserves another chance after it wakes up.

use std::{
    io,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};
use tokio::task::JoinHandle;

/// Beats as long as it lives; dropping it ends the watch.
#[derive(Debug)]
pub struct Watchdog {
    beats: JoinHandle<()>,
}

impl Watchdog {
    /// Watches the calling thread: `stuck` is called, on another thread and once, when this one did not come to its
    /// tasks for two times `within`.
    ///
    /// # Errors
    ///
    /// When the operating system gives no thread.
    ///
    /// # Panics
    ///
    /// Outside of a `LocalSet` (the thread of a [`system`](super::system())).
    pub fn start(within: Duration, stuck: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (beat, beats) = sync_channel(1);
        thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || watch(&beats, within, stuck))?;
        let beats = actix_rt::spawn(keep_beating(beat, within / 4));
        Ok(Self { beats })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.beats.abort();
    }
}

async fn keep_beating(beat: SyncSender<()>, every: Duration) {
    let mut ticks = tokio::time::interval(every.max(Duration::from_millis(1)));
    loop {
        ticks.tick().await;
        // Full: the last beat was not looked at yet, so this one is not needed.
        beat.try_send(()).ok();
    }
}

fn watch(beats: &Receiver<()>, within: Duration, stuck: impl FnOnce()) {
    let mut missed = 0;
    while missed < 2 {
        match beats.recv_timeout(within) {
            Ok(()) => missed = 0,
            Err(RecvTimeoutError::Timeout) => missed += 1,
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
    stuck();
}
