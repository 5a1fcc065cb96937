//! stdout and stderr of a command. The only file that writes to them.

use crate::{config::flags::LogFormat, error::Failure, event::Event};
use serde::Serialize;
use std::{
    io::{self, IsTerminal as _, Write as _},
    path::Path,
};

/// Where a command's answer goes.
pub(super) struct Output {
    json: bool,
    /// The reader of stdout went away; nothing more is written.
    closed: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json, closed: false }
    }

    pub(super) fn set_json(&mut self, json: bool) {
        self.json = json;
    }

    /// Whether the answer is to be one JSON object a line.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Writes a line of the answer for a person or a shell.
    pub(super) fn text(&mut self, line: &str) -> Result<(), Failure> {
        self.write(line.as_bytes())
    }

    /// Writes a path as it is, also when it is no UTF-8.
    pub(super) fn path(&mut self, path: &Path) -> Result<(), Failure> {
        self.write(path.as_os_str().as_encoded_bytes())
    }

    /// Writes one JSON object as a line. It should have a field `event`.
    pub(super) fn object(&mut self, object: &impl Serialize) -> Result<(), Failure> {
        let line = serde_json::to_vec(object)
            .map_err(|error| Failure::internal(format!("cannot write an event as JSON: {error}")))?;
        self.write(&line)
    }

    /// Shows the failure that ends the command: on stderr for people, with `--json` on stdout too.
    pub(super) fn failure(&mut self, failure: &Failure) {
        if self.json {
            // Nothing to add to an error about an error.
            self.object(&Event::Error(failure.clone())).ok();
        }
        note(&last_line(failure));
    }

    fn write(&mut self, line: &[u8]) -> Result<(), Failure> {
        if self.closed {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        let written = stdout
            .write_all(line)
            .and_then(|()| stdout.write_all(b"\n"))
            .and_then(|()| stdout.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => {
                other.map_err(|error| Failure::disk(format!("cannot write to standard output: {error}")))
            }
        }
    }
}

/// What a person reads of the failure that ends a command. It may repeat what a tracker or a file name says.
fn last_line(failure: &Failure) -> String {
    format!("error: {}", shown(&failure.message))
}

/// A line for the person at the terminal. A closed stderr is no error: there is nobody to tell.
pub(super) fn note(line: &str) {
    writeln!(io::stderr().lock(), "{line}").ok();
}

/// Whether somebody looks at stderr.
pub(super) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Text from outside, with what would steer a terminal made visible.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() || is_bidi_control(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}

/// Characters that reorder what stands around them: a file name must not look like another one.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Starts the log on stderr.
pub(super) fn start_log(filter: &str, format: LogFormat) -> Result<(), Failure> {
    let format = match format {
        LogFormat::Text => p2p_shared::logger::Format::Text,
        LogFormat::Json => p2p_shared::logger::Format::Json,
    };
    p2p_shared::logger::init(format, filter)
        .map_err(|error| Failure::usage(format!("the log filter {filter:?} cannot be used: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_shown_escaped() {
        assert_eq!(shown("a\u{1b}[31mb\n"), "a\\u{1b}[31mb\\n");
        assert_eq!(shown("gpj.\u{202e}exe"), "gpj.\\u{202e}exe");
        assert_eq!(shown("Grüße 文件.txt"), "Grüße 文件.txt");
    }

    #[test]
    fn what_a_tracker_says_in_a_failure_steers_no_terminal() {
        let failure = Failure::refused("tracker http://t: \u{1b}]0;owned\u{7} no");
        assert_eq!(
            last_line(&failure),
            "error: tracker http://t: \\u{1b}]0;owned\\u{7} no"
        );
    }
}
