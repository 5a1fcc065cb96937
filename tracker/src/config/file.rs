//! The TOML file. Its keys are the flags' names; an unknown one is refused: misspelt, it would otherwise do nothing,
//! silently.

use super::{ConfigError, LogFormat};
use serde::Deserialize;
use std::{
    net::SocketAddr,
    num::NonZeroU8,
    path::{Path, PathBuf},
};

/// What a file says; everything is optional.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct FileConfig {
    pub(super) listen: Option<SocketAddr>,
    pub(super) data: Option<PathBuf>,
    pub(super) database: Option<String>,
    pub(super) public_url: Option<String>,
    pub(super) relay_url: Option<String>,
    pub(super) replica: Option<String>,
    pub(super) lease: Option<u32>,
    pub(super) workers: Option<NonZeroU8>,
    pub(super) udp_listen: Option<Vec<SocketAddr>>,
    pub(super) relay_tunnels: Option<u32>,
    pub(super) relay_rate: Option<u64>,
    pub(super) relay_month: Option<u64>,
    pub(super) relay_connections: Option<u32>,
    pub(super) requests: Option<u32>,
    pub(super) trusted_proxy: Option<Vec<String>>,
    pub(super) base_path: Option<String>,
    pub(super) tls_cert: Option<PathBuf>,
    pub(super) tls_key: Option<PathBuf>,
    pub(super) log: Option<String>,
    pub(super) log_format: Option<LogFormat>,
}

impl FileConfig {
    /// Reads `path`, which has to be there.
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError(format!(
                "cannot read the configuration {}: {error}",
                path.display()
            ))
        })?;
        Self::parse(path, &text)
    }

    /// Reads the text of the file at `path`.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let place = error
                .span()
                .map_or_else(String::new, |span| place(text, span.start));
            ConfigError(format!("{}{place}: {}", path.display(), error.message()))
        })
    }
}

/// The line at a place of the text, counted from 1, and the key that stands in it.
fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let content = text.lines().nth(line - 1).unwrap_or_default();
    match content.split_once('=') {
        Some((key, _)) => format!(", line {line}, key {:?}", key.trim()),
        None => format!(", line {line}"),
    }
}
