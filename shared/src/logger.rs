//! Structured logs on standard error; standard output belongs to answers.
//!
//! One line an event, as text for people or as JSON for collectors. Which events, the filter says
//! (`info,p2p_peer=debug`, the syntax of `tracing_subscriber::EnvFilter`). Set up once by the program; libraries only emit.

use std::{io::IsTerminal as _, str::FromStr};
use tracing_subscriber::{
    EnvFilter, filter::ParseError, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people; in colour on a terminal.
    #[default]
    Text,
    /// One JSON object a line, the event's fields beside `timestamp`, `level` and `target`.
    Json,
}

/// A log format that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("log format {0:?} is neither \"text\" nor \"json\"")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;
    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(UnknownFormat(text.to_owned())),
        }
    }
}

/// Why there are no logs as asked for.
#[derive(Debug, thiserror::Error)]
pub enum LoggerError {
    /// The filter cannot be read.
    #[error("log filter {filter:?}: {source} (for example: info, or warn,p2p_peer=debug)")]
    Filter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Something in this process set up logging before. The logs go where that one sends them.
    #[error("logging is set up already")]
    AlreadySet,
}

/// Starts logging to standard error. The first call in a process counts; a later one changes nothing and says so.
pub fn init(format: Format, filter: &str) -> Result<(), LoggerError> {
    let filter = parse(filter)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        Format::Text => registry
            .with(lines.with_ansi(std::io::stderr().is_terminal()))
            .try_init(),
        Format::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    }
    .map_err(|_| LoggerError::AlreadySet)
}

fn parse(filter: &str) -> Result<EnvFilter, LoggerError> {
    EnvFilter::builder()
        .parse(filter)
        .map_err(|source| LoggerError::Filter {
            filter: filter.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_call_is_refused_and_changes_nothing() {
        init(Format::Json, "warn").unwrap();
        let again = init(Format::Text, "trace");
        assert!(matches!(again, Err(LoggerError::AlreadySet)));
        assert!(tracing::enabled!(tracing::Level::WARN));
        assert!(!tracing::enabled!(tracing::Level::INFO));
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_named() {
        let refused = init(Format::Text, "p2p_peer=loud").unwrap_err().to_string();
        assert!(refused.contains("\"p2p_peer=loud\""), "{refused}");
    }

    #[test]
    fn a_format_is_known_by_its_name() {
        assert_eq!("json".parse(), Ok(Format::Json));
        assert_eq!("text".parse(), Ok(Format::Text));
        assert!("xml".parse::<Format>().unwrap_err().to_string().contains("xml"));
    }
}
