//! How the tracker itself is doing.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Totals over everything that the tracker knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Stats {
    /// Peers whose lease runs.
    pub peers_online: u64,
    /// Peers ever registered and not forgotten.
    pub peers_known: u64,
    /// Files in the catalogue.
    pub files: u64,
    /// Online pairs of a peer and a file that it holds whole.
    pub seeders: u64,
    /// Online pairs of a peer and a file that it holds in part.
    pub leechers: u64,
    /// The sizes of all files that somebody online holds whole.
    pub bytes_shared: u64,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// The tracker's version.
    pub version: String,
    /// Its relay.
    #[serde(default)]
    pub relay: RelayStats,
}

/// What a relay does now, and did since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RelayStats {
    /// Peers that are connected.
    pub connections: u64,
    /// Tunnels between them.
    pub tunnels: u64,
    /// Bytes that went through tunnels since the start.
    pub bytes: u64,
    /// Signals that were passed on since the start.
    pub signals: u64,
    /// What was refused or broken off since the start, by reason.
    pub refused: BTreeMap<String, u64>,
}

/// The answer of `/healthz` (is the process in order?) and `/readyz` (should it be given work?).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// The answer in a word; the HTTP status says the same (200 or 503).
    pub status: HealthStatus,
    /// The tracker's version.
    pub version: String,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// What is wrong, if something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Whether the tracker can work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// It can.
    Ok,
    /// It is shutting down and takes nothing new.
    Draining,
    /// A part of it does not answer.
    Failing,
}
