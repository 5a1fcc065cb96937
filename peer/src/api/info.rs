//! `DIR/api.json`: where the local API listens, and what it wants to see; `DIR/api.token`: the latter alone.

use crate::{error::Failure, root::lock::write_private_for_now};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, ErrorKind},
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The file in the data folder.
const FILE_NAME: &str = "api.json";

/// The token alone in a file beside it, for programs that take one from a file (Prometheus).
const TOKEN_NAME: &str = "api.token";

/// What a client of the local API needs to know.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiInfo {
    /// Where it listens.
    pub address: SocketAddr,
    /// What every request carries as `Authorization: Bearer`. Secret.
    pub token: String,
    /// The process.
    pub pid: u32,
}

impl std::fmt::Debug for ApiInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApiInfo({}, process {})", self.address, self.pid)
    }
}

/// The files; taken away when this is dropped.
#[derive(Debug)]
pub(crate) struct InfoFile {
    paths: [PathBuf; 2],
}

impl ApiInfo {
    /// For an API of this process that listens on `address`, with a new token.
    pub(crate) fn new(address: SocketAddr) -> Result<Self, Failure> {
        let mut token = [0; 32];
        getrandom::fill(&mut token)
            .map_err(|error| Failure::internal(format!("the system gives no random bytes: {error}")))?;
        Ok(Self {
            address,
            token: data_encoding::HEXLOWER.encode(&token),
            pid: std::process::id(),
        })
    }

    /// What the peer on `data` wrote; none if none did.
    pub(crate) fn read(data: &Path) -> Result<Option<Self>, Failure> {
        let path = data.join(FILE_NAME);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| Failure::io("read", &path, &error))?,
        };
        if text.is_empty() {
            // Left by a power cut; who holds the lock has not written its own yet.
            return Ok(None);
        }
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            Failure::disk(format!(
                "{} is damaged: {error}; restart the peer",
                path.display()
            ))
        })
    }

    /// Writes it for the owner alone.
    pub(crate) fn write(&self, data: &Path) -> Result<InfoFile, Failure> {
        let paths = [FILE_NAME, TOKEN_NAME].map(|name| data.join(name));
        self.write_to(&paths)?;
        Ok(InfoFile { paths })
    }

    /// Writes it anew if it is gone. True if it was.
    pub(crate) fn restore(&self, data: &Path) -> Result<bool, Failure> {
        let paths = [FILE_NAME, TOKEN_NAME].map(|name| data.join(name));
        // A data folder that is gone as a whole is not made anew: nobody would find the lock in it.
        if paths.iter().all(|path| path.exists()) || !data.is_dir() {
            return Ok(false);
        }
        self.write_to(&paths)?;
        Ok(true)
    }

    fn write_to(&self, [info, token]: &[PathBuf; 2]) -> Result<(), Failure> {
        let failed = |path: &Path, error: io::Error| Failure::io("write", path, &error);
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(info, error.into()))?;
        // Commands look for the other one: when that is there, both are.
        write_private_for_now(token, self.token.as_bytes()).map_err(|error| failed(token, error))?;
        write_private_for_now(info, &text).map_err(|error| failed(info, error))
    }
}

impl Drop for InfoFile {
    fn drop(&mut self) {
        for path in &self.paths {
            if let Err(error) = fs::remove_file(path) {
                // It names a port that nobody listens on; clients notice.
                tracing::debug!(path = %path.display(), %error, "cannot be removed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_power_cut_left_says_nothing_and_what_is_damaged_is_named() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join(FILE_NAME);
        fs::write(&path, "").unwrap();
        assert!(ApiInfo::read(data.path()).unwrap().is_none());
        fs::write(&path, "{").unwrap();
        let failure = ApiInfo::read(data.path()).unwrap_err();
        assert!(failure.message.contains("api.json"), "{failure}");
        let address = "127.0.0.1:1".parse().unwrap();
        let written = ApiInfo::new(address).unwrap().write(data.path()).unwrap();
        assert_eq!(ApiInfo::read(data.path()).unwrap().unwrap().address, address);
        drop(written);
        assert!(ApiInfo::read(data.path()).unwrap().is_none());
    }
}
