//! The tracker: introduces peers to each other, keeps the catalogue of files and shows what is going on.
//!
//! [`Tracker::start`] runs one, in the program as in tests. In reading order: [`config`] (what it is told), `root` (what is
//! started in which order), `server` and `api` (what peers see), `registry` (who is online and who holds what),
//! `relay` (bytes between peers that cannot reach each other), `rendezvous` (from where they are seen), `catalogue` (how files come in), `storage` (what survives a restart).

mod accepted;
mod access;
mod api;
mod catalogue;
mod clock;
pub mod config;
mod data;
mod events;
pub mod key_command;
mod metrics;
mod registry;
mod relay;
mod rendezvous;
mod root;
mod server;
mod storage;
mod tls;

#[cfg(test)]
mod testing;

pub use access::client::{BadNetwork, TrustedProxies};
pub use config::Config;
pub use data::DataError;
pub use relay::RelayLimits;
pub use root::{Ending, StartError};
pub use tls::{TlsError, TlsFiles};

use p2p_shared::supervision::{Watchdog, system};
use root::{Started, TrackerRoot};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    thread,
    time::Duration,
};
use tls::Certificates;
use tokio::sync::{mpsc as channel, oneshot};

/// The actors' thread is given up when it has not moved for twice this long: handlers take microseconds.
const STUCK: Duration = Duration::from_secs(15);

/// A tracker.
#[derive(Debug)]
pub struct Tracker;

impl Tracker {
    /// Starts a tracker on a thread of its own and waits until it answers. Needs no runtime and may be called inside of
    /// one.
    ///
    /// # Errors
    /// When data folder, database or address cannot be had; nothing is left running then.
    pub fn start(config: Config) -> Result<TrackerHandle, StartError> {
        let (stop, stopped) = oneshot::channel();
        // From the root, or from the watchdog when the root cannot say anything any more; the first one counts.
        let (ended, ending) = channel::channel(2);
        let (ready, started) = mpsc::channel();
        thread::Builder::new()
            .name("tracker".to_owned())
            .spawn(move || run(config, &ready, stopped, ended))
            .map_err(|error| StartError::System(error.to_string()))?;
        let crashed = |_| StartError::System("it crashed while starting; the log says where".to_owned());
        let Started {
            address,
            url,
            admin_key,
            certificates,
        } = started.recv().map_err(crashed)??;
        Ok(TrackerHandle {
            address,
            url,
            certificates,
            admin_key,
            stop,
            ending,
        })
    }
}

fn run(
    config: Config,
    ready: &Sender<Result<Started, StartError>>,
    stop: oneshot::Receiver<()>,
    ended: channel::Sender<Ending>,
) {
    let failed = match system(1) {
        Ok(system) => system.block_on(run_here(config, ready, stop, ended)).err(),
        Err(error) => Some(StartError::System(error.to_string())),
    };
    if let Some(error) = failed {
        // Whoever waits for it is still there: `start` does nothing else.
        ready.send(Err(error)).ok();
    }
}

/// Runs a tracker on this thread, that of the actors. An error is one of starting.
async fn run_here(
    config: Config,
    ready: &Sender<Result<Started, StartError>>,
    stop: oneshot::Receiver<()>,
    ended: channel::Sender<Ending>,
) -> Result<(), StartError> {
    let watcher = ended.clone();
    let stuck = move || {
        let reason = "its actors do not move any more: a handler does not return".to_owned();
        // An error means that it has ended, or that nobody wants to know.
        watcher.try_send(Ending::Failed(reason)).ok();
    };
    let watchdog = Watchdog::start(STUCK, stuck);
    let _watchdog = watchdog.map_err(|error| StartError::System(error.to_string()))?;
    let (root, started) = TrackerRoot::start(config).await?;
    ready.send(Ok(started)).ok();
    // An error means that nobody wants to know how it ended.
    ended.try_send(root.run(stop).await).ok();
    Ok(())
}

/// Brings the tables of the configured database up to date, and makes them if there are none. How many migrations there were to
/// do, of a database that counts them. Needs no runtime.
///
/// # Errors
/// When the database cannot be had, or was written by a newer version.
pub fn migrate(config: &Config) -> Result<Option<usize>, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::System(error.to_string()))?;
    runtime.block_on(root::migrate(config))
}

/// A tracker that runs. Dropping this stops it in good order, without waiting for it.
pub struct TrackerHandle {
    address: SocketAddr,
    url: String,
    certificates: Option<Arc<Certificates>>,
    admin_key: Option<String>,
    stop: oneshot::Sender<()>,
    ending: channel::Receiver<Ending>,
}

impl std::fmt::Debug for TrackerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the key.
        f.debug_struct("TrackerHandle")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl TrackerHandle {
    /// Where it listens; the real port if it was told to take any.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of that address, down to the base path.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Uses the certificates that are in the files now; without this they are looked at every few seconds. Whether they changed. Blocks.
    ///
    /// # Errors
    /// When they cannot be used; those that were good stay in use.
    pub fn reload_certificates(&self) -> Result<bool, TlsError> {
        self.certificates
            .as_ref()
            .map_or(Ok(false), |certificates| certificates.look())
    }

    /// The key for its operator, if this start made it. It is nowhere else to be found.
    pub fn admin_key(&self) -> Option<&str> {
        self.admin_key.as_deref()
    }

    /// Waits until it ends by itself, which it does only when a part of it cannot go on. May be dropped and called again.
    pub async fn ended(&mut self) -> Ending {
        ending(&mut self.ending).await
    }

    /// Stops it: requests in flight finish, what is in memory is written down. Takes at most 15 s.
    pub async fn shutdown(mut self) -> Ending {
        // An error means that it has ended already.
        self.stop.send(()).ok();
        ending(&mut self.ending).await
    }
}

async fn ending(receiver: &mut channel::Receiver<Ending>) -> Ending {
    let crashed = || Ending::Failed("its thread crashed; the log says where".to_owned());
    receiver.recv().await.unwrap_or_else(crashed)
}
