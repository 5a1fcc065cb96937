//! What a person sees while a command works: a bar on a terminal, warnings everywhere, nothing else.

use super::{
    format,
    output::{self, Output, note, shown},
};
use crate::{
    error::Failure,
    event::{Event, EventStream, FileLine, PathKind, PathLine, Phase, Progress},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use p2p_shared::id::PublicKey;
use std::{collections::HashMap, time::Duration};

/// How often a bar is drawn: often enough to look alive, seldom enough to cost nothing.
const DRAWS_PER_SECOND: u8 = 8;

/// Shows events as they come.
pub(super) struct Display<'a> {
    output: &'a mut Output,
    bar: Option<ProgressBar>,
    phase: Phase,
    paths: HashMap<PublicKey, PathKind>,
}

impl<'a> Display<'a> {
    pub(super) fn new(output: &'a mut Output) -> Self {
        let watched = output::is_watched() && !output.is_json();
        Self {
            output,
            bar: watched.then(new_bar),
            phase: Phase::Connecting,
            paths: HashMap::new(),
        }
    }

    /// Shows everything that comes out of `events`, until it ends.
    pub(super) async fn follow(&mut self, mut events: EventStream) -> Result<(), Failure> {
        while let Some(event) = events.next().await {
            self.show(event)?;
        }
        Ok(())
    }

    /// Takes the bar away.
    pub(super) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn show(&mut self, event: Event) -> Result<(), Failure> {
        if self.output.is_json() {
            // What ends the command is written by the command itself.
            if !matches!(event, Event::Error(_) | Event::Done(_) | Event::Verified(_)) {
                self.output.object(&event)?;
            }
        }
        match event {
            Event::Phase { phase } => self.on_phase(phase),
            Event::Progress(progress) => self.on_progress(&progress),
            Event::Path(path) => self.on_path(&path),
            Event::Warning { message, .. } => self.say(&format!("warning: {}", shown(&message))),
            Event::Ticket(line) if !self.output.is_json() => self.answer(&line.ticket)?,
            Event::File(line) if !self.output.is_json() => self.answer(&file(&line))?,
            _ => {}
        }
        Ok(())
    }

    /// Writes a line of the answer, above the bar.
    fn answer(&mut self, line: &str) -> Result<(), Failure> {
        let output = &mut *self.output;
        match &self.bar {
            Some(bar) => bar.suspend(|| output.text(line)),
            None => output.text(line),
        }
    }

    /// Writes a line for the person, above the bar.
    pub(super) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(line)),
            None => note(line),
        }
    }

    fn on_phase(&mut self, phase: Phase) {
        self.phase = phase;
        let Some(bar) = &self.bar else { return };
        bar.set_prefix(word(phase));
        bar.set_message(String::new());
        match phase {
            Phase::Hashing | Phase::Downloading => bar.set_style(bar_style()),
            Phase::Connecting | Phase::Verifying | Phase::Seeding => bar.set_style(spinner_style()),
        }
        bar.tick();
    }

    fn on_progress(&self, progress: &Progress) {
        let Some(bar) = &self.bar else { return };
        bar.set_length(progress.total);
        bar.set_position(progress.bytes);
        bar.set_message(line(self.phase, progress, &self.path_names()));
    }

    fn on_path(&mut self, path: &PathLine) {
        self.paths.insert(path.peer, path.path);
    }

    /// The kinds of path in use, each once.
    fn path_names(&self) -> String {
        let kinds = [
            (PathKind::Direct, "direct"),
            (PathKind::Punched, "punched"),
            (PathKind::Relayed, "relayed"),
        ];
        let used = kinds
            .iter()
            .filter(|(kind, _)| self.paths.values().any(|path| path == kind));
        used.map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
    }
}

impl Drop for Display<'_> {
    fn drop(&mut self) {
        self.finish();
    }
}

/// A file of a share: permission bits, bytes, path.
fn file(line: &FileLine) -> String {
    format!("{:03o} {:>14} {}", line.mode, line.size, shown(&line.path))
}

/// What stands behind the bar.
fn line(phase: Phase, progress: &Progress, paths: &str) -> String {
    let mut parts = Vec::new();
    if phase != Phase::Seeding {
        parts.push(format!(
            "{} of {}",
            format::size(progress.bytes),
            format::size(progress.total)
        ));
    }
    parts.push(format::rate(progress.rate));
    if let Some(eta) = progress.eta {
        parts.push(format!("{} left", format::duration(Duration::from_secs(eta))));
    }
    if phase != Phase::Hashing {
        parts.push(match progress.peers {
            1 => "1 peer".to_owned(),
            peers => format!("{peers} peers"),
        });
    }
    if !paths.is_empty() {
        parts.push(paths.to_owned());
    }
    parts.join(" · ")
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Hashing => "hashing",
        Phase::Connecting => "connecting",
        Phase::Downloading => "fetching",
        Phase::Verifying => "verifying",
        Phase::Seeding => "seeding (Ctrl-C ends it)",
    }
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND));
    bar.set_style(spinner_style());
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

fn bar_style() -> ProgressStyle {
    style("{prefix} [{bar:24}] {percent} % · {msg}").progress_chars("=> ")
}

fn spinner_style() -> ProgressStyle {
    style("{spinner} {prefix} {msg}")
}

fn style(template: &str) -> ProgressStyle {
    // A template that does not parse would be a misprint above; the plain style then does.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_shows_rate_time_left_peers_and_paths() {
        let progress = Progress {
            bytes: 1 << 30,
            total: 4 << 30,
            rate: 512 << 20,
            eta: Some(6),
            peers: 3,
        };
        assert_eq!(
            line(Phase::Downloading, &progress, "direct"),
            "1.0 GiB of 4.0 GiB · 512.0 MiB/s · 6 s left · 3 peers · direct"
        );
        assert_eq!(
            line(Phase::Hashing, &progress, ""),
            "1.0 GiB of 4.0 GiB · 512.0 MiB/s · 6 s left"
        );
    }

    #[test]
    fn a_file_is_one_line_whatever_its_name() {
        let line = FileLine {
            path: "a/\u{1b}[31m\nb".into(),
            size: 1_234,
            mode: 0o44,
        };
        assert_eq!(file(&line), "044           1234 a/\\u{1b}[31m\\nb");
    }

    #[test]
    fn the_templates_parse() {
        for template in [
            "{prefix} [{bar:24}] {percent} % · {msg}",
            "{spinner} {prefix} {msg}",
        ] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
