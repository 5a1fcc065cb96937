//! What a peer can be told, and where it is told: flags, `P2P_…` in the environment, a TOML file, defaults, the
//! earlier ones winning.
//!
//! [`Config`] is what a peer runs with; it holds only checked values. [`flags`] are the arguments that every
//! command (or every command that runs a peer) takes, [`mod@file`] is the TOML file. Everything wrong here is a
//! [`Failure`] of kind usage that names the key and, in a file, the line.

pub mod file;
pub mod flags;
mod secret;

pub use secret::ApiKey;

use crate::{client::TrackerUrl, connection::Policy, error::Failure, proxy::ProxySetting, udp::StunServer};
use file::FileConfig;
use flags::{CommonFlags, PeerFlags};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// Where a daemon accepts other peers unless told otherwise.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 6881);

/// Where a daemon's local API listens unless told otherwise.
pub const DEFAULT_API: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7881);

/// What a peer runs with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder of identity, catalogue and caches; one running peer at a time.
    pub data: PathBuf,
    /// Where other peers connect to.
    pub listen: SocketAddr,
    /// Where the command line (and the owner's browser) connects to.
    pub api: SocketAddr,
    /// What to say to trackers.
    pub tracker: TrackerConfig,
    /// What is done on the UDP port.
    pub udp: UdpConfig,
    /// How other peers are reached.
    pub policy: Policy,
    /// Where others are told to connect to; empty: to whatever addresses are found.
    pub announce: Vec<SocketAddr>,
    /// What the peer does by itself.
    pub mode: Mode,
}

/// What is done on the UDP port, beside the TCP port.
#[derive(Debug, Clone, Default)]
pub struct UdpConfig {
    /// Servers that are asked how others see this peer, beside the trackers' own.
    pub stun: Vec<StunServer>,
    /// Whether the router is asked to let others in.
    pub port_mapping: bool,
}

/// What a peer does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Takes up the shares and downloads of earlier runs.
    Resume,
    /// Does what it is told, nothing else.
    OnDemand,
    /// Opens the data folder and connects to nobody.
    Offline,
}

/// Whom to announce to.
#[derive(Debug, Clone, Default)]
pub struct TrackerConfig {
    /// The trackers that shares are announced to, and that know bare hashes.
    pub urls: Vec<TrackerUrl>,
    /// What they want to see before they answer, if they were started with keys.
    pub api_key: Option<ApiKey>,
    /// What stands between, for trackers and relays; nothing: what the environment says.
    pub proxy: Option<ProxySetting>,
}

impl Config {
    /// A peer on `data` that listens on loopback, on ports that the system chooses, and knows no tracker.
    pub fn loopback(data: impl Into<PathBuf>) -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            data: data.into(),
            listen: any_port,
            api: any_port,
            tracker: TrackerConfig::default(),
            udp: UdpConfig::default(),
            policy: Policy::default(),
            announce: Vec::new(),
            mode: Mode::OnDemand,
        }
    }
}

/// Flags and file brought together; what the commands ask for their settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of identity, catalogue and caches.
    pub data: PathBuf,
    /// Events on stdout, one JSON object a line.
    pub json: bool,
    /// Which log events are written, in the syntax of `tracing_subscriber`'s `EnvFilter`.
    pub log: Option<String>,
    /// How log events are written.
    pub log_format: flags::LogFormat,
    /// What the file says.
    pub file: FileConfig,
}

/// What kind of process a peer runs in; decides the defaults of what it listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A daemon: well-known ports, everything of earlier runs taken up again.
    Daemon,
    /// The peer of one `share` or `get`: ports that the system chooses, nothing but what was asked for.
    Foreground,
}

impl Settings {
    /// Reads the file, if there is one, and lets `flags` override it.
    pub fn load(flags: &CommonFlags) -> Result<Self, Failure> {
        let named = flags.config.as_deref().map(FileConfig::read).transpose()?;
        let data = match (&flags.data, named.as_ref().and_then(|file| file.data.clone())) {
            (Some(flag), _) => flag.clone(),
            (None, Some(key)) => key,
            (None, None) => default_data_folder()?,
        };
        let file = match named {
            Some(file) => file,
            None => FileConfig::read_beside(&data)?,
        };
        Ok(Self {
            data: absolute(&data)?,
            json: flags.json || file.json.unwrap_or(false),
            log: flags.log.clone().or_else(|| file.log.clone()),
            log_format: flags.log_format.or(file.log_format).unwrap_or_default(),
            file,
        })
    }

    /// What a peer in `role` runs with.
    pub fn peer(&self, flags: &PeerFlags, role: Role) -> Result<Config, Failure> {
        let any_port = |address: SocketAddr| SocketAddr::new(address.ip(), 0);
        let (listen, api) = match role {
            Role::Daemon => (DEFAULT_LISTEN, DEFAULT_API),
            Role::Foreground => (any_port(DEFAULT_LISTEN), any_port(DEFAULT_API)),
        };
        // The keys of the file are the daemon's: beside one, a foreground peer would find its ports taken.
        let key = |key: Option<SocketAddr>| key.filter(|_| role == Role::Daemon);
        Ok(Config {
            data: self.data.clone(),
            listen: flags.listen.or_else(|| key(self.file.listen)).unwrap_or(listen),
            api: flags.api.or_else(|| key(self.file.api)).unwrap_or(api),
            tracker: self.tracker(flags)?,
            udp: self.udp(flags),
            policy: flags.policy.or(self.file.policy).unwrap_or_default(),
            announce: match flags.announce.as_slice() {
                [] => self.file.announce.clone().unwrap_or_default(),
                these => these.to_vec(),
            },
            mode: match role {
                Role::Daemon => Mode::Resume,
                Role::Foreground => Mode::OnDemand,
            },
        })
    }

    fn udp(&self, flags: &PeerFlags) -> UdpConfig {
        let stun = match flags.stun.as_slice() {
            [] => self.file.stun.clone().unwrap_or_default(),
            servers => servers.to_vec(),
        };
        let no_mapping = flags.no_port_mapping || self.file.no_port_mapping.unwrap_or(false);
        UdpConfig {
            stun,
            port_mapping: !no_mapping,
        }
    }

    /// A peer that only looks into the data folder.
    pub fn offline(&self) -> Config {
        Config {
            mode: Mode::Offline,
            ..Config::loopback(&self.data)
        }
    }

    /// The trackers that `flags` or else the file name, and the key for them.
    pub fn tracker(&self, flags: &PeerFlags) -> Result<TrackerConfig, Failure> {
        let urls = match flags.tracker.as_slice() {
            [] => self.file.tracker.clone().unwrap_or_default(),
            urls => urls.to_vec(),
        };
        let key_file = flags.api_key_file.as_ref().or(self.file.api_key_file.as_ref());
        Ok(TrackerConfig {
            urls,
            proxy: flags.proxy.clone().or_else(|| self.file.proxy.clone()),
            api_key: ApiKey::find(std::env::var_os("P2P_API_KEY"), key_file.map(PathBuf::as_path))?,
        })
    }
}

/// `$XDG_DATA_HOME/p2p`, or what the platform has instead.
fn default_data_folder() -> Result<PathBuf, Failure> {
    directories::ProjectDirs::from("", "", "p2p")
        .map(|dirs| dirs.data_dir().to_owned())
        .ok_or_else(|| {
            Failure::usage(
                "there is no home folder to keep the data in; say where with --data DIR (or P2P_DATA)",
            )
        })
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::io("use", path, &error))
}

#[cfg(test)]
mod tests;
