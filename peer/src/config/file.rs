//! The TOML file. Its keys are the flags' names; what belongs to one command stands in that command's section.
//! Unknown keys are refused: a misspelt one would otherwise do nothing, silently.

use super::flags::LogFormat;
use crate::{client::TrackerUrl, connection::Policy, error::Failure, proxy::ProxySetting, udp::StunServer};
use p2p_shared::hash::HashAlgorithm;
use serde::Deserialize;
use std::{
    io::ErrorKind,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The file that is read from the data folder when `--config` names none.
const FILE_NAME: &str = "config.toml";

/// What a file says; everything is optional.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileConfig {
    /// `--data`
    pub data: Option<PathBuf>,
    /// `--json`
    pub json: Option<bool>,
    /// `--log`
    pub log: Option<String>,
    /// `--log-format`
    pub log_format: Option<LogFormat>,
    /// `--tracker`
    pub tracker: Option<Vec<TrackerUrl>>,
    /// `--api-key-file`
    pub api_key_file: Option<PathBuf>,
    /// `--proxy`
    pub proxy: Option<ProxySetting>,
    /// `--listen` of the daemon
    pub listen: Option<SocketAddr>,
    /// `--api` of the daemon
    pub api: Option<SocketAddr>,
    /// `--stun`
    pub stun: Option<Vec<StunServer>>,
    /// `--no-port-mapping`
    pub no_port_mapping: Option<bool>,
    /// `--policy`
    pub policy: Option<Policy>,
    /// `--announce`
    pub announce: Option<Vec<SocketAddr>>,
    /// Flags of `share`
    #[serde(default)]
    pub share: ShareSection,
    /// Flags of `get`
    #[serde(default)]
    pub get: GetSection,
}

/// What a file says about `share`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ShareSection {
    /// `--hash`
    pub hash: Option<HashAlgorithm>,
    /// `--skip-unreadable`
    pub skip_unreadable: Option<bool>,
}

/// What a file says about `get`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GetSection {
    /// `--output`
    pub output: Option<PathBuf>,
    /// `--timeout`, in seconds
    pub timeout: Option<u64>,
    /// `--seed`
    pub seed: Option<bool>,
    /// `--include`
    pub include: Option<Vec<String>>,
    /// `--exclude`
    pub exclude: Option<Vec<String>>,
    /// `--list`
    pub list: Option<bool>,
}

impl FileConfig {
    /// Reads `path`, which has to be there.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::usage(format!(
                "cannot read the configuration {}: {error}",
                path.display()
            ))
        })?;
        Self::parse(path, &text)
    }

    /// Reads the file in the data folder, if it is there.
    pub fn read_beside(data: &Path) -> Result<Self, Failure> {
        let path = data.join(FILE_NAME);
        let file = match std::fs::exists(&path) {
            Ok(true) => Self::read(&path)?,
            Err(error) if error.kind() != ErrorKind::NotADirectory => {
                return Err(Failure::io("look for", &path, &error));
            }
            _ => return Ok(Self::default()),
        };
        match &file.data {
            Some(named) => Err(Failure::usage(format!(
                "{}: the key \"data\" names {}, but this file was found because the data folder is {}; remove the key",
                path.display(),
                named.display(),
                data.display()
            ))),
            None => Ok(file),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Failure> {
        toml::from_str(text).map_err(|error| {
            let place = error.span().map(|span| Place::of(text, span.start));
            let what = error.message();
            Failure::usage(match place {
                Some(Place { line, key: Some(key) }) => {
                    format!("{}, line {line}, key \"{key}\": {what}", path.display())
                }
                Some(Place { line, key: None }) => format!("{}, line {line}: {what}", path.display()),
                None => format!("{}: {what}", path.display()),
            })
        })
    }
}

/// Where in a text something is wrong.
struct Place<'a> {
    /// Counted from 1.
    line: usize,
    /// What stands before the `=` of that line.
    key: Option<&'a str>,
}

impl<'a> Place<'a> {
    fn of(text: &'a str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count();
        let key = text
            .lines()
            .nth(line)
            .and_then(|line| line.split_once('='))
            .map(|(key, _)| key.trim())
            .filter(|key| !key.is_empty());
        Self { line: line + 1, key }
    }
}
