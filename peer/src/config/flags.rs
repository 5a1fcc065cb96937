//! The arguments that several commands share. Each has a `P2P_…` variable and a key in the file.

use crate::{client::TrackerUrl, connection::Policy, proxy::ProxySetting, udp::StunServer};
use clap::{Args, ValueEnum, builder::FalseyValueParser};
use serde::Deserialize;
use std::{net::SocketAddr, path::PathBuf};

/// What `--help` calls the flags of every command.
const EVERYWHERE: &str = "Options of every command";

/// What `--help` calls the flags of the commands that run a peer.
const PEER: &str = "Options of the peer that does it";

/// Accepted by every command, before or after its name.
#[derive(Debug, Clone, Default, Args)]
pub struct CommonFlags {
    /// Folder of this peer's identity, shares and downloads
    /// [default: the platform's data folder]
    #[arg(
        long,
        global = true,
        help_heading = EVERYWHERE,
        env = "P2P_DATA",
        value_name = "DIR",
        hide_env_values = true
    )]
    pub data: Option<PathBuf>,

    /// Settings in TOML [default: DIR/config.toml, if it is there]
    #[arg(
        long,
        global = true,
        help_heading = EVERYWHERE,
        env = "P2P_CONFIG",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub config: Option<PathBuf>,

    /// Write events to stdout, one JSON object a line
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "P2P_JSON", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub json: bool,

    /// What to log to stderr: off, error, warn, info, debug, trace, or by module (p2p_peer=debug)
    #[arg(
        long,
        global = true,
        help_heading = EVERYWHERE,
        env = "P2P_LOG",
        value_name = "FILTER",
        hide_env_values = true
    )]
    pub log: Option<String>,

    /// How log lines look
    #[arg(
        long,
        global = true,
        help_heading = EVERYWHERE,
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

/// Accepted by the commands that run a peer (or that tell the running one whom to ask).
#[derive(Debug, Clone, Default, Args)]
pub struct PeerFlags {
    /// Tracker to announce to and to ask; may be given several times
    #[arg(
        long,
        help_heading = PEER,
        env = "P2P_TRACKER",
        value_name = "URL",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub tracker: Vec<TrackerUrl>,

    /// File with the tracker's API key (or the key itself in P2P_API_KEY)
    #[arg(long, help_heading = PEER, env = "P2P_API_KEY_FILE", value_name = "FILE", hide_env_values = true)]
    pub api_key_file: Option<PathBuf>,

    /// Proxy for trackers and relays: http://, https://, socks5:// or socks5h://, or none
    /// [default: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY]
    #[arg(long, help_heading = PEER, env = "P2P_PROXY", value_name = "URL", hide_env_values = true)]
    pub proxy: Option<ProxySetting>,

    /// Where other peers connect to [default: 0.0.0.0:6881, outside a daemon any free port]
    #[arg(long, help_heading = PEER, env = "P2P_LISTEN", value_name = "ADDRESS", hide_env_values = true)]
    pub listen: Option<SocketAddr>,

    /// Server that is asked how others see this peer, beside the trackers' own (stun:HOST or stun:HOST:PORT); may be given several times
    #[arg(
        long,
        help_heading = PEER,
        env = "P2P_STUN",
        value_name = "SERVER",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub stun: Vec<StunServer>,

    /// Do not ask the router (UPnP, NAT-PMP, PCP) to let other peers in
    #[arg(long, help_heading = PEER, env = "P2P_NO_PORT_MAPPING", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub no_port_mapping: bool,

    /// Where the local API listens [default: 127.0.0.1:7881, outside a daemon any free port]
    #[arg(long, help_heading = PEER, env = "P2P_API", value_name = "ADDRESS", hide_env_values = true)]
    pub api: Option<SocketAddr>,

    /// How to reach other peers: everything at once and whatever is best (that is the default), one after the other, never through a
    /// relay, or through relays only so that nobody learns an address of this machine
    #[arg(long, help_heading = PEER, env = "P2P_POLICY", value_name = "POLICY", hide_env_values = true)]
    pub policy: Option<Policy>,

    /// Where other peers are told to connect to, instead of the addresses found: behind a forwarded port, in a container;
    /// may be given several times
    #[arg(
        long,
        help_heading = PEER,
        env = "P2P_ANNOUNCE",
        value_name = "ADDRESS",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub announce: Vec<SocketAddr>,
}
