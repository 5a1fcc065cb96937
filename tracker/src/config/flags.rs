//! The command line.

use super::KeyCommand;
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Deserialize;
use std::{net::SocketAddr, num::NonZeroU8, path::PathBuf};

/// Introduces peers that share files to each other, and keeps the catalogue
#[derive(Debug, Parser)]
#[command(name = "p2p-tracker", version)]
pub struct Cli {
    /// What to do; `serve` if not said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Accepted before and after the command.
    #[command(flatten)]
    pub flags: Flags,
}

/// What a tracker does.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Serve peers until Ctrl-C or SIGTERM (the default)
    Serve,
    /// Bring the tables of the database up to date, and end; serving does so, too
    Migrate,
    /// API keys: add, list, rotate, revoke; whether a tracker runs on the database or not
    Key {
        /// What to do.
        #[command(subcommand)]
        command: KeyCommand,
        /// Answer with JSON, one object a line
        #[arg(long, global = true)]
        json: bool,
    },
}

/// Every flag has a `P2P_…` variable and a key of the same name in the file.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// Where to listen; elsewhere than on this machine, every call needs an API key [default: 127.0.0.1:8080]
    #[arg(
        long,
        global = true,
        env = "P2P_LISTEN",
        value_name = "ADDRESS",
        hide_env_values = true
    )]
    pub listen: Option<SocketAddr>,

    /// Folder of the catalogue [default: the platform's data folder]
    #[arg(
        long,
        global = true,
        env = "P2P_DATA",
        value_name = "DIR",
        hide_env_values = true
    )]
    pub data: Option<PathBuf>,

    /// sqlite:PATH, PATH being relative to the data folder, or postgres://USER@HOST/DATABASE, its password in PGPASSWORD or PGPASSFILE
    /// [default: sqlite:tracker.db]
    #[arg(
        long,
        global = true,
        env = "P2P_DATABASE",
        value_name = "URL",
        hide_env_values = true
    )]
    pub database: Option<String>,

    /// Under which URL others reach this tracker, if it is behind something
    #[arg(
        long,
        global = true,
        env = "P2P_PUBLIC_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub public_url: Option<String>,

    /// Under which ws:// or wss:// URL peers reach the relay of this very tracker, if several are behind one URL
    #[arg(
        long,
        global = true,
        env = "P2P_RELAY_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub relay_url: Option<String>,

    /// What tells this tracker from the others of its PostgreSQL, over restarts too [default: machine and port]
    #[arg(
        long,
        global = true,
        env = "P2P_REPLICA",
        value_name = "NAME",
        hide_env_values = true
    )]
    pub replica: Option<String>,

    /// Seconds for which a silent peer counts as online [default: 60]
    #[arg(
        long,
        global = true,
        env = "P2P_LEASE",
        value_name = "SECONDS",
        hide_env_values = true
    )]
    pub lease: Option<u32>,

    /// Threads that serve requests [default: one a core]
    #[arg(
        long,
        global = true,
        env = "P2P_WORKERS",
        value_name = "COUNT",
        hide_env_values = true
    )]
    pub workers: Option<NonZeroU8>,

    /// Where to answer STUN, two addresses (twice, or with a comma) [default: ports 3478 and 3479 beside --listen, if free]
    #[arg(
        long,
        global = true,
        env = "P2P_UDP_LISTEN",
        value_name = "ADDRESS",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub udp_listen: Vec<SocketAddr>,

    /// Relayed tunnels that a peer may have at a time; 0: no limit [default: 64]
    #[arg(
        long,
        global = true,
        env = "P2P_RELAY_TUNNELS",
        value_name = "COUNT",
        hide_env_values = true
    )]
    pub relay_tunnels: Option<u32>,

    /// Bytes a second that a peer may send through the relay, at least 65536; 0: no limit [default: 0]
    #[arg(
        long,
        global = true,
        env = "P2P_RELAY_RATE",
        value_name = "BYTES",
        hide_env_values = true
    )]
    pub relay_rate: Option<u64>,

    /// Bytes a month that the peers of one API key may send through the relay; 0: no limit [default: 0]
    #[arg(
        long,
        global = true,
        env = "P2P_RELAY_MONTH",
        value_name = "BYTES",
        hide_env_values = true
    )]
    pub relay_month: Option<u64>,

    /// Connections to the relay that the peers of one API key may have at a time; 0: no limit [default: 10000]
    #[arg(
        long,
        global = true,
        env = "P2P_RELAY_CONNECTIONS",
        value_name = "COUNT",
        hide_env_values = true
    )]
    pub relay_connections: Option<u32>,

    /// Requests a second from one address, of IPv6 from one /64; 0: no limit [default: 1000, and none on this machine alone]
    #[arg(
        long,
        global = true,
        env = "P2P_REQUESTS",
        value_name = "COUNT",
        hide_env_values = true
    )]
    pub requests: Option<u32>,

    /// A proxy in front, by address or network (10.0.0.0/8), whose X-Forwarded-For counts; repeatable
    #[arg(
        long,
        global = true,
        env = "P2P_TRUSTED_PROXY",
        value_name = "CIDR",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub trusted_proxy: Vec<String>,

    /// A path below which everything lies, if the proxy in front leaves it in: /p2p
    #[arg(
        long,
        global = true,
        env = "P2P_BASE_PATH",
        value_name = "PATH",
        hide_env_values = true
    )]
    pub base_path: Option<String>,

    /// The certificate chain for TLS, in PEM; read again when it changes
    #[arg(
        long,
        global = true,
        env = "P2P_TLS_CERT",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub tls_cert: Option<PathBuf>,

    /// The private key of --tls-cert, in PEM
    #[arg(
        long,
        global = true,
        env = "P2P_TLS_KEY",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub tls_key: Option<PathBuf>,

    /// Settings in TOML, with these flags as keys
    #[arg(
        long,
        global = true,
        env = "P2P_CONFIG",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub config: Option<PathBuf>,

    /// What to log to stderr: off, error, warn, info, debug, trace, or by module (p2p_tracker=debug) [default: info]
    #[arg(
        long,
        global = true,
        env = "P2P_LOG",
        value_name = "FILTER",
        hide_env_values = true
    )]
    pub log: Option<String>,

    /// How log lines look [default: text]
    #[arg(
        long,
        global = true,
        env = "P2P_LOG_FORMAT",
        value_name = "FORMAT",
        hide_env_values = true
    )]
    pub log_format: Option<LogFormat>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
