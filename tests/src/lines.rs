//! What a program writes, line by line as it comes, to be waited for.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// The lines of one output, as they come.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    state: Mutex<LinesState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct LinesState {
    lines: Vec<String>,
    closed: bool,
}

impl Lines {
    /// Reads to the end, on a thread of its own; each line goes to the log too, behind the mark.
    pub(crate) fn follow(
        source: impl Read + Send + 'static,
        log: Arc<Mutex<File>>,
        mark: &'static str,
    ) -> Arc<Self> {
        let lines = Arc::new(Self::default());
        let ours = Arc::clone(&lines);
        thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut raw = Vec::new();
            // A read error is the end too: nothing more can come.
            while source.read_until(b'\n', &mut raw).is_ok_and(|n| n > 0) {
                let line = String::from_utf8_lossy(&raw).trim_end_matches('\n').to_owned();
                if let Ok(mut log) = log.lock() {
                    // The log is for people; a full disk must not decide a test.
                    drop(writeln!(log, "{mark}{line}"));
                }
                ours.change(|state| state.lines.push(line));
                raw.clear();
            }
            ours.change(|state| state.closed = true);
        });
        lines
    }

    fn change(&self, change: impl FnOnce(&mut LinesState)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// The first line from `from` on for which `wanted` says something, with the number of the line after it; none when the
    /// output or the patience ends before.
    pub(crate) fn wait<T>(
        &self,
        from: usize,
        deadline: Instant,
        wanted: impl Fn(&str) -> Option<T>,
    ) -> Option<(T, usize)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = from;
        loop {
            while next < state.lines.len() {
                next += 1;
                if let Some(found) = wanted(&state.lines[next - 1]) {
                    return Some((found, next));
                }
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            if state.closed {
                return None;
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Whether it comes to its end in time.
    pub(crate) fn wait_closed(&self, deadline: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.closed {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return false;
            };
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// All of it so far.
    pub(crate) fn text(&self) -> String {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lines
            .join("\n")
    }
}
