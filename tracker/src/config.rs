//! What a tracker is told, and where: flags, `P2P_…` in the environment, a TOML file, defaults, the earlier ones
//! winning. [`Config`] holds only checked values; everything wrong names its key and, in a file, its line.

mod database;
mod file;
mod flags;
mod key_flags;

pub use database::{Database, PostgresUrl};
pub use flags::{Cli, Command, Flags, LogFormat};
pub use key_flags::{KeyCommand, KeyTerms, Lifetime, ScopeFlag};

use crate::{TlsFiles, TrustedProxies, relay::RelayLimits, rendezvous::PORTS};
use file::FileConfig;
use p2p_shared::tracker_url::check_tracker_url;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

/// Where a tracker listens unless told otherwise: this machine only.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// How long a silent peer counts as online unless told otherwise: three missed heartbeats of 20 s.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(60);

/// The longest lease: a day. Longer ones would hand out the dead.
const LONGEST_LEASE: u32 = 86_400;

/// The lowest rate of a relayed peer, in bytes a second: it is read from again a second after a frame at the latest. Were that
/// longer than a connection may be silent, the relay would end those that it slows down.
const LOWEST_RELAY_RATE: u64 = 64 * 1024;

/// Connections to the relay of one key unless told otherwise: what a machine of a few gigabytes carries.
const DEFAULT_RELAY_CONNECTIONS: u32 = 10_000;

/// Requests a second from one address unless told otherwise, where others can reach the tracker: an office of 10,000 peers behind one address,
/// and a fortieth of a core.
const DEFAULT_REQUESTS: u32 = 1000;

/// What is logged unless told otherwise: our own events, and of the machinery below what is wrong.
const DEFAULT_LOG: &str = "info,actix_server=warn,refinery_core=warn";

/// What a tracker runs with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens; with port 0 the system chooses one.
    pub listen: SocketAddr,
    /// The folder of its database and lock; one running tracker at a time.
    pub data: PathBuf,
    /// Where its catalogue is kept.
    pub database: Database,
    /// Under which URL others reach it, if not under the address it listens on.
    pub public_url: Option<String>,
    /// How long a silent peer counts as online.
    pub lease: Duration,
    /// Threads that serve requests.
    pub workers: usize,
    /// What the relay allows.
    pub relay: RelayLimits,
    /// Where peers reach the relay of this very tracker, if not where they reach the tracker: several trackers may be behind
    /// one URL, and a peer is connected to one of them.
    pub relay_at: Option<String>,
    /// What tells this tracker from the others of its database, over restarts too.
    pub replica: Option<String>,
    /// Connections to the relay that the peers of one API key may have at a time, unless the key says otherwise; 0: any number.
    pub relay_connections: u32,
    /// Requests a second from one address; 0: any number.
    pub requests: u32,
    /// The proxies in front of it, whose word about a client's address counts.
    pub trusted_proxies: TrustedProxies,
    /// Below which path everything lies, `/like/this`; empty: there is none.
    pub base_path: String,
    /// Certificate and key of its own TLS; `None`: it is spoken to unencrypted, or something in front of it does TLS.
    pub tls: Option<TlsFiles>,
    /// Where it answers STUN; `None`: beside the address that it listens on, if the ports are free.
    pub udp: Option<[SocketAddr; 2]>,
}

impl Config {
    /// A tracker on `data` that listens on loopback, on a port that the system chooses.
    pub fn loopback(data: impl Into<PathBuf>) -> Self {
        let data = data.into();
        Self {
            listen: SocketAddr::new(DEFAULT_LISTEN.ip(), 0),
            database: Database::in_folder(&data),
            data,
            public_url: None,
            lease: DEFAULT_LEASE,
            workers: 1,
            relay: RelayLimits::default(),
            relay_at: None,
            replica: None,
            relay_connections: DEFAULT_RELAY_CONNECTIONS,
            requests: 0,
            trusted_proxies: TrustedProxies::default(),
            base_path: String::new(),
            tls: None,
            udp: None,
        }
    }

    /// Where it answers STUN unless told: beside `address`. A tracker on any free port takes any free ports for this, too.
    pub(crate) fn udp_beside(&self, address: SocketAddr) -> [SocketAddr; 2] {
        let any = self.listen.port() == 0;
        PORTS.map(|port| SocketAddr::new(address.ip(), if any { 0 } else { port }))
    }

    /// Where the relay of a tracker is that listens at `address`. A path if only the peer knows how it reached the tracker.
    pub(crate) fn relay_url(&self, address: SocketAddr) -> String {
        if let Some(url) = &self.relay_at {
            return url.clone();
        }
        match &self.public_url {
            // `http` becomes `ws`, `https` becomes `wss`.
            Some(url) => format!("{}/relay", url.trim_end_matches('/').replacen("http", "ws", 1)),
            // A certificate is for the name by which the peer came.
            None if address.ip().is_unspecified() || self.tls.is_some() => "/relay".to_owned(),
            None => format!("ws://{address}{}/relay", self.base_path),
        }
    }

    /// What tells a tracker that listens at `address` from the others of its database: unless told, machine and port.
    pub(crate) fn replica_name(&self, address: SocketAddr) -> String {
        let machine = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        self.replica
            .clone()
            .unwrap_or_else(|| format!("{}:{}", machine(), address.port()))
    }

    /// Where a tracker is that listens at `address`.
    pub(crate) fn url(&self, address: SocketAddr) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}{}", self.base_path)
    }

    /// The host of the public URL, with its port if it has one.
    pub(crate) fn public_host(&self) -> Option<String> {
        let url = self.public_url.as_deref()?;
        Some(crate::api::host::of_url(url).to_owned())
    }

    /// Whether anybody but this machine may be meant to reach it.
    pub fn is_public(&self) -> bool {
        let named = self.public_url.as_deref().map(crate::api::host::of_url);
        !self.listen.ip().to_canonical().is_loopback()
            // Who comes through a proxy comes from this machine, whoever it is.
            || !self.trusted_proxies.is_empty()
            || named.is_some_and(|host| !crate::api::host::is_this_machine(host))
    }
}

/// How a program logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// What a line looks like.
    pub format: LogFormat,
    /// Which events, in the syntax of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

/// Something in the configuration is wrong; the text says what, where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// Reads the file that `flags` names, lets the flags override it, and checks all of it.
pub fn load(flags: &Flags) -> Result<(Config, Logging), ConfigError> {
    let file = match &flags.config {
        Some(path) => FileConfig::read(path)?,
        None => FileConfig::default(),
    };
    merge(flags, file)
}

fn merge(flags: &Flags, file: FileConfig) -> Result<(Config, Logging), ConfigError> {
    let data = match flags.data.clone().or(file.data) {
        Some(data) => absolute(&data)?,
        None => default_data_folder()?,
    };
    let database = flags.database.clone().or(file.database);
    let public_url = flags.public_url.clone().or(file.public_url);
    if let Some(url) = &public_url {
        check_tracker_url(url).map_err(|error| ConfigError(format!("public-url {url:?}: {error}")))?;
    }
    let relay_at = flags.relay_url.clone().or(file.relay_url);
    if let Some(url) = relay_at.as_deref().filter(|url| !is_websocket(url)) {
        return Err(ConfigError(format!(
            "relay-url {url:?}: expected ws://HOST… or wss://HOST…"
        )));
    }
    let file_udp = file.udp_listen;
    let file_relay = (file.relay_tunnels, file.relay_rate, file.relay_month);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut config = Config {
        listen: flags.listen.or(file.listen).unwrap_or(DEFAULT_LISTEN),
        database: match database {
            Some(text) => Database::parse(&text, &data)?,
            None => Database::in_folder(&data),
        },
        data,
        public_url,
        lease: lease(flags.lease.or(file.lease))?,
        workers: flags
            .workers
            .or(file.workers)
            .map_or(cores, |workers| workers.get().into()),
        relay: relay_limits(flags, &file_relay)?,
        relay_at,
        replica: flags.replica.clone().or(file.replica),
        relay_connections: flags
            .relay_connections
            .or(file.relay_connections)
            .unwrap_or(DEFAULT_RELAY_CONNECTIONS),
        requests: 0,
        trusted_proxies: trusted_proxies(&flags.trusted_proxy, file.trusted_proxy.as_deref())?,
        base_path: base_path(flags.base_path.as_deref().or(file.base_path.as_deref()))?,
        tls: tls(
            flags.tls_cert.clone().or(file.tls_cert),
            flags.tls_key.clone().or(file.tls_key),
        )?,
        udp: udp(&flags.udp_listen, file_udp.as_deref())?,
    };
    let requests = flags.requests.or(file.requests);
    // Who is alone on the machine needs no limit.
    config.requests = requests.unwrap_or_else(|| if config.is_public() { DEFAULT_REQUESTS } else { 0 });
    let logging = Logging {
        format: flags.log_format.or(file.log_format).unwrap_or_default(),
        filter: flags
            .log
            .clone()
            .or(file.log)
            .unwrap_or_else(|| DEFAULT_LOG.to_owned()),
    };
    Ok((config, logging))
}

fn trusted_proxies(flags: &[String], file: Option<&[String]>) -> Result<TrustedProxies, ConfigError> {
    let said = if flags.is_empty() {
        file.unwrap_or_default()
    } else {
        flags
    };
    TrustedProxies::parse(said).map_err(|error| ConfigError(format!("trusted-proxy: {error}")))
}

/// A path without a slash at its end; `/` is none.
fn base_path(said: Option<&str>) -> Result<String, ConfigError> {
    let path = said.unwrap_or_default().trim_end_matches('/');
    let is_segment = |segment: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        !["", ".", ".."].contains(&segment) && segment.bytes().all(plain)
    };
    let mut segments = path.split('/');
    if segments.next() == Some("") && segments.all(is_segment) {
        return Ok(path.to_owned());
    }
    Err(ConfigError(format!(
        "base-path {path:?}: expected a path like /p2p, of letters, digits and -._~"
    )))
}

fn tls(certificate: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<TlsFiles>, ConfigError> {
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
        (Some(_), None) => Err(ConfigError("tls-cert needs tls-key beside it".to_owned())),
        (None, Some(_)) => Err(ConfigError("tls-key needs tls-cert beside it".to_owned())),
    }
}

fn udp(flags: &[SocketAddr], file: Option<&[SocketAddr]>) -> Result<Option<[SocketAddr; 2]>, ConfigError> {
    let said = if flags.is_empty() {
        file.unwrap_or_default()
    } else {
        flags
    };
    match said {
        [] => Ok(None),
        &[first, second] if first != second || first.port() == 0 => Ok(Some([first, second])),
        _ => {
            let detail =
                "udp-listen: two different addresses are needed, so that peers learn how their NAT maps";
            Err(ConfigError(detail.to_owned()))
        }
    }
}

fn relay_limits(
    flags: &Flags,
    &(tunnels, rate, month): &(Option<u32>, Option<u64>, Option<u64>),
) -> Result<RelayLimits, ConfigError> {
    let default = RelayLimits::default();
    let rate = flags.relay_rate.or(rate).unwrap_or(default.rate);
    if (1..LOWEST_RELAY_RATE).contains(&rate) {
        return Err(ConfigError(format!(
            "relay-rate {rate}: it is 0 (no limit) or at least {LOWEST_RELAY_RATE} bytes a second"
        )));
    }
    Ok(RelayLimits {
        tunnels: flags.relay_tunnels.or(tunnels).unwrap_or(default.tunnels),
        rate,
        month: flags.relay_month.or(month).unwrap_or(default.month),
    })
}

fn lease(seconds: Option<u32>) -> Result<Duration, ConfigError> {
    match seconds {
        None => Ok(DEFAULT_LEASE),
        Some(seconds) if (1..=LONGEST_LEASE).contains(&seconds) => Ok(Duration::from_secs(seconds.into())),
        Some(seconds) => Err(ConfigError(format!(
            "lease {seconds}: it is from 1 to {LONGEST_LEASE} seconds"
        ))),
    }
}

fn is_websocket(url: &str) -> bool {
    let rest = url.strip_prefix("ws://").or_else(|| url.strip_prefix("wss://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
}

/// `$XDG_DATA_HOME/p2p-tracker`, or what the platform has instead.
fn default_data_folder() -> Result<PathBuf, ConfigError> {
    directories::ProjectDirs::from("", "", "p2p-tracker")
        .map(|dirs| dirs.data_dir().to_owned())
        .ok_or_else(|| {
            let detail =
                "data: there is no home folder to keep the data in; say where with --data DIR (or P2P_DATA)";
            ConfigError(detail.to_owned())
        })
}

fn absolute(path: &Path) -> Result<PathBuf, ConfigError> {
    std::path::absolute(path).map_err(|error| ConfigError(format!("data {}: {error}", path.display())))
}

#[cfg(test)]
mod tests;
