//! The product's two programs with the flags that tests need: everything on loopback, on ports that the system picks, in folders of
//! the test's own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::lab::Lab;
use crate::process::{Launch, Program};

/// A tracker that runs.
#[derive(Debug)]
pub struct Tracker {
    /// The process.
    pub program: Program,
    address: SocketAddr,
    folder: PathBuf,
}

impl Tracker {
    /// Starts one on a free port, with its data in the lab, and waits until it answers.
    pub fn start(lab: &Lab) -> Self {
        Self::start_with(lab, |launch| launch)
    }

    /// As [`Tracker::start`], with further flags or variables.
    pub fn start_with(lab: &Lab, more: impl FnOnce(Launch) -> Launch) -> Self {
        Self::listen(
            lab.folder("tracker"),
            "127.0.0.1:0".parse().expect("an address"),
            more,
        )
    }

    /// As [`Tracker::start_with`], at another address than loopback.
    pub fn start_at(lab: &Lab, at: SocketAddr, more: impl FnOnce(Launch) -> Launch) -> Self {
        Self::listen(lab.folder("tracker"), at, more)
    }

    fn listen(folder: PathBuf, at: SocketAddr, more: impl FnOnce(Launch) -> Launch) -> Self {
        let launch = Self::launch(&folder).arg("--listen").arg(at.to_string());
        let program = more(launch).start();
        let (address, _) = program.wait_err(0, "where it listens", listening);
        Self {
            program,
            address,
            folder,
        }
    }

    /// The command without its address.
    pub fn launch(folder: &Path) -> Launch {
        Launch::new("p2p-tracker", folder)
            .arg("serve")
            .arg("--data")
            .arg(folder.join("data"))
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills it and starts it again, on the same port with the same data.
    pub fn restart(self) -> Self {
        self.restart_with(|launch| launch)
    }

    /// As [`Tracker::restart`], with further flags or variables, or somewhere else.
    pub fn restart_with(self, more: impl FnOnce(Launch) -> Launch) -> Self {
        let Self {
            program,
            address,
            folder,
        } = self;
        drop(program.kill());
        Self::listen(folder, address, more)
    }
}

/// The address in a line that says that something listens.
pub fn listening(line: &str) -> Option<SocketAddr> {
    if !line.contains("listening") {
        return None;
    }
    line.split(|c: char| c.is_whitespace() || "=/\"".contains(c))
        .find_map(|word| word.parse().ok())
}

/// A peer: a data directory and the commands that use it.
#[derive(Debug, Clone)]
pub struct Peer {
    folder: PathBuf,
    tracker: Option<String>,
}

impl Peer {
    /// A new peer, with its data in `lab/NAME`, which knows no tracker.
    pub fn new(lab: &Lab, name: &str) -> Self {
        Self {
            folder: lab.folder(name),
            tracker: None,
        }
    }

    /// It asks this tracker.
    pub fn tracker(mut self, tracker: &Tracker) -> Self {
        self.tracker = Some(tracker.url());
        self
    }

    /// It asks the tracker at this address.
    pub fn tracker_at(mut self, url: &str) -> Self {
        self.tracker = Some(url.to_owned());
        self
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where its logs are, and where it runs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// One of its commands, with the data directory, `--json`, and loopback for whatever listens.
    pub fn command(&self, command: &str) -> Launch {
        Launch::new("p2p-peer", &self.folder)
            .env("P2P_JSON", "1")
            .env("P2P_LISTEN", "127.0.0.1:0")
            .env("P2P_API", "127.0.0.1:0")
            .arg(command)
            .arg("--data")
            .arg(self.data())
            .arg("--json")
            .env("P2P_LISTEN", "127.0.0.1:0")
            .env("P2P_API", "127.0.0.1:0")
            .env("P2P_LOG", "p2p_peer=debug,p2p_shared=debug,info")
    }

    /// A command that starts a peer when no daemon runs.
    fn active(&self, command: &str) -> Launch {
        let launch = self.command(command);
        match &self.tracker {
            Some(url) => launch.arg("--tracker").arg(url),
            None => launch,
        }
    }

    /// `share PATH`, in the foreground.
    pub fn share(&self, path: &Path) -> Launch {
        self.active("share").arg(path)
    }

    /// `get WHAT --output FOLDER`.
    pub fn get(&self, what: &str, output: &Path) -> Launch {
        self.active("get").arg("--output").arg(output).arg(what)
    }

    /// `daemon`, with the local API on a free port.
    pub fn daemon(&self) -> Launch {
        self.active("daemon")
    }

    /// Bytes of a share that are here, by `list`; 0 when it is not known.
    pub fn held(&self, hash: &str) -> u64 {
        let listed = self.command("list").run().expect_code(0).events();
        let share = listed
            .iter()
            .find(|share| share.get("hash").and_then(Value::as_str) == Some(hash));
        share
            .and_then(|share| share.get("bytes"))
            .and_then(Value::as_u64)
            .unwrap_or_default()
    }

    /// Starts its daemon and waits until commands reach it.
    pub fn start_daemon(&self) -> Program {
        self.start_daemon_with(|launch| launch)
    }

    /// As [`Peer::start_daemon`], with further flags or variables.
    pub fn start_daemon_with(&self, more: impl FnOnce(Launch) -> Launch) -> Program {
        let program = more(self.daemon()).start();
        program.wait_err(0, "where it listens", listening);
        program
    }

    /// Starts sharing and waits for the ticket.
    pub fn start_sharing(&self, path: &Path) -> Sharing {
        Sharing::wait(self.share(path).start())
    }
}

/// A `share` in the foreground that has said its ticket.
#[derive(Debug)]
pub struct Sharing {
    /// The process.
    pub program: Program,
    /// What it printed.
    pub ticket: String,
    /// The hash of the stream, in hex.
    pub hash: String,
    /// Bytes of the stream.
    pub size: u64,
}

impl Sharing {
    /// Waits until a `share --json` says its ticket.
    pub fn wait(program: Program) -> Self {
        let (event, _) = program.wait_event(0, "ticket");
        let text = |key: &str| {
            event
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let size = event.get("size").and_then(Value::as_u64).unwrap_or_default();
        Self {
            ticket: text("ticket"),
            hash: text("hash"),
            size,
            program,
        }
    }
}
