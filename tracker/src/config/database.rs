//! Where the catalogue is kept, as it is said: `sqlite:PATH` or `postgres://…`.

use super::ConfigError;
pub use crate::storage::postgres::url::PostgresUrl;
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// The file in the data folder unless told otherwise.
const FILE: &str = "tracker.db";

/// Where the catalogue is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// In a file of SQLite: one tracker, nothing to set up.
    Sqlite(PathBuf),
    /// In PostgreSQL: any number of trackers.
    Postgres(PostgresUrl),
}

impl Database {
    /// The file of a tracker that was told nothing else than its data folder.
    pub fn in_folder(data: &Path) -> Self {
        Self::Sqlite(data.join(FILE))
    }

    /// The file, if it is in one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }

    /// Reads what was said; paths are relative to the data folder. Passwords come from the environment, too.
    pub(super) fn parse(text: &str, data: &Path) -> Result<Self, ConfigError> {
        match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(data.join(path))),
            Some(("postgres" | "postgresql", _)) => postgres(text).map(Self::Postgres),
            _ => {
                let detail = "database: expected sqlite:PATH or postgres://USER@HOST/DATABASE";
                Err(ConfigError(detail.to_owned()))
            }
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

fn postgres(text: &str) -> Result<PostgresUrl, ConfigError> {
    let url: PostgresUrl = text.parse().map_err(wrong)?;
    if url.has_password() && is_argument(text) {
        let detail = "database: a password on the command line can be read by everybody on this machine; put the URL into \
                      P2P_DATABASE or the configuration file, or the password into PGPASSWORD or PGPASSFILE";
        return Err(ConfigError(detail.to_owned()));
    }
    let password = std::env::var("PGPASSWORD").ok();
    let file = std::env::var_os("PGPASSFILE").map(PathBuf::from);
    url.with_password(password.as_deref(), file.as_deref())
        .map_err(wrong)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn wrong(error: impl ToString) -> ConfigError {
    ConfigError(error.to_string())
}

/// Whether this text stands in the arguments of the process, by itself or behind `--database=`.
fn is_argument(text: &str) -> bool {
    std::env::args_os().any(|argument| argument.to_string_lossy().ends_with(text))
}
