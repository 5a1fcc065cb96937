//! Where others knock: the listener, on the same port as last time if any port will do.
//!
//! A ticket names the port of the peer that made it. A foreground `share` that takes any free port would make its earlier
//! tickets worthless without a tracker, so the last port is kept in `DIR/port` and tried first.

use super::{cannot_listen, lock::write_private_for_now};
use crate::{error::Failure, p2p};
use std::{fs, io, net::SocketAddr, path::Path, sync::Arc};
use tokio::net::TcpListener;

/// The file in the data folder.
const FILE_NAME: &str = "port";

/// A listener on `address`, and where it is bound. Port 0: that of the last run, or any.
pub(super) fn open(address: SocketAddr, data: &Path) -> Result<(Arc<TcpListener>, SocketAddr), Failure> {
    let failed = |error: &io::Error| cannot_listen("other peers", "--listen", address, error);
    let listener = match again(address, data) {
        Some(listener) => listener,
        None => p2p::listener::bind(address).map_err(|error| failed(&error))?,
    };
    let bound = listener.local_addr().map_err(|error| failed(&error))?;
    remember(bound.port(), data);
    Ok((listener, bound))
}

/// On the port of the last run, if any will do and that one is free.
fn again(address: SocketAddr, data: &Path) -> Option<Arc<TcpListener>> {
    if address.port() != 0 {
        return None;
    }
    let port = fs::read_to_string(data.join(FILE_NAME))
        .ok()?
        .trim()
        .parse()
        .ok()?;
    p2p::listener::bind(SocketAddr::new(address.ip(), port)).ok()
}

/// Only a convenience: where it cannot be kept, the next run takes another port.
fn remember(port: u16, data: &Path) {
    if let Err(error) = write_private_for_now(&data.join(FILE_NAME), format!("{port}\n").as_bytes()) {
        tracing::debug!(%error, "the port is not remembered");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[tokio::test]
    async fn any_port_is_the_one_of_the_last_run_while_that_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let (listener, first) = open(any(), folder.path()).unwrap();
        let (other, second) = open(any(), folder.path()).unwrap();
        assert_ne!(first, second, "the first one is taken");
        drop((listener, other));
        assert_eq!(open(any(), folder.path()).unwrap().1, second);
    }

    #[tokio::test]
    async fn a_port_that_was_asked_for_is_taken_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let (first, taken) = open(any(), folder.path()).unwrap();
        assert_eq!(open(taken, folder.path()).unwrap_err().exit_code(), 2);
        drop(first);
        assert_eq!(open(taken, folder.path()).unwrap().1, taken);
    }

    #[tokio::test]
    async fn a_damaged_memory_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        for content in ["", "0", "99999", "port\n"] {
            fs::write(folder.path().join(FILE_NAME), content).unwrap();
            assert!(open(any(), folder.path()).is_ok(), "{content:?}");
        }
    }
}
