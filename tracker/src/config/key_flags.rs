//! The flags of `p2p-tracker key`.

use clap::{Args, Subcommand, ValueEnum};
use p2p_shared::tracker_api::KeyScope;
use std::str::FromStr;

/// What to do with API keys.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum KeyCommand {
    /// Make a key, and print it: this once, and on stdout
    Add {
        /// What it is for, in words
        #[arg(long, value_name = "TEXT")]
        name: String,
        /// What it may do
        #[arg(long)]
        scope: ScopeFlag,
        /// Its limits
        #[command(flatten)]
        terms: KeyTerms,
    },
    /// List the keys, never the secrets
    List,
    /// Make a key that takes the place of another, which is good for a while yet, and print it
    Rotate {
        /// The one that is rotated out, by its id
        id: String,
        /// How long that one is still good: 90s, 45m, 12h, 30d [default: 1d]
        #[arg(long, value_name = "TIME")]
        grace: Option<Lifetime>,
        /// The limits of the new one; without any, those of the old one
        #[command(flatten)]
        terms: KeyTerms,
    },
    /// Make a key worthless, at once; connections under it end within 5 s
    Revoke {
        /// Its id
        id: String,
    },
}

/// The limits of a key. A limit of 0 is none; one that is not said is as the tracker is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct KeyTerms {
    /// After how long it is worth nothing: 90s, 45m, 12h, 30d [default: never]
    #[arg(long, value_name = "TIME")]
    pub expires: Option<Lifetime>,
    /// Requests a second
    #[arg(long, value_name = "COUNT")]
    pub most_requests: Option<u32>,
    /// Connections to the relay at a time
    #[arg(long, value_name = "COUNT")]
    pub most_connections: Option<u32>,
    /// Tunnels through the relay at a time
    #[arg(long, value_name = "COUNT")]
    pub most_tunnels: Option<u32>,
    /// Relayed bytes a second, at least 65536
    #[arg(long, value_name = "BYTES")]
    pub most_rate: Option<u64>,
    /// Relayed bytes a calendar month (UTC)
    #[arg(long, value_name = "BYTES")]
    pub most_month: Option<u64>,
}

/// What a key may do; each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScopeFlag {
    /// Look.
    Read,
    /// Take part: register, announce, be relayed.
    Peer,
    /// Everything.
    Admin,
}

impl From<ScopeFlag> for KeyScope {
    fn from(scope: ScopeFlag) -> Self {
        match scope {
            ScopeFlag::Read => Self::Read,
            ScopeFlag::Peer => Self::Peer,
            ScopeFlag::Admin => Self::Admin,
        }
    }
}

/// Seconds, said as a number and a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime(pub u64);

impl FromStr for Lifetime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
        let read = units.into_iter().find_map(|(unit, seconds)| {
            let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(seconds)
        });
        read.map(Self)
            .ok_or_else(|| "expected a number and s, m, h or d: 90s, 45m, 12h, 30d".to_owned())
    }
}
