//! What operators say to a tracker: keys, bans, and what was done.

use crate::id::PeerId;
use serde::{Deserialize, Serialize};

/// What an API key may do; each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum KeyScope {
    /// Look.
    Read,
    /// Take part: register, announce, be relayed.
    Peer,
    /// Everything.
    Admin,
}

/// What the holders of a key may use together; absent: as the tracker is configured, 0: as much as they like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Requests a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
    /// Connections to the relay at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Tunnels through the relay at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnels: Option<u32>,
    /// Relayed bytes a second, at least 65,536.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// Relayed bytes a calendar month (UTC), below 2^48.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub month: Option<u64>,
}

/// "Make a key."
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewKeyRequest {
    /// What it is for, in words: 1 to 100 characters. Absent: that of the key it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it may do. Absent: what the key it replaces may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<KeyScope>,
    /// Seconds after which it is worth nothing, from 1 to ten years; absent: it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
    /// What its holders may use. Absent: what those of the key it replaces may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// The id of a key that is rotated out: it expires after `grace`, and until then both are good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// Seconds for which a replaced key is still good; absent: a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<u64>,
}

/// A key was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewKeyResponse {
    /// The key itself: shown this once. Secret.
    pub key: String,
    /// What is kept of it.
    pub record: KeyRecord,
}

/// What a tracker keeps of a key; never the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyRecord {
    /// Its public part.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scope: KeyScope,
    /// When it was made, Unix seconds.
    pub created_at: u64,
    /// From when on it is worth nothing, Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// Whether it is worth nothing already.
    pub expired: bool,
    /// When it was used last, Unix seconds, some seconds late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<u64>,
    /// What its holders may use.
    pub quota: Quota,
    /// What its holders relayed in this calendar month (UTC), in bytes.
    pub relayed_this_month: u64,
}

/// One page of keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeysPage {
    /// In the order of their ids.
    pub keys: Vec<KeyRecord>,
    /// The `cursor` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// "Keep this peer out."
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BanRequest {
    /// Why, in an operator's words: at most 200 characters.
    #[serde(default)]
    pub reason: String,
}

/// A peer that is kept out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BanRecord {
    /// Which.
    pub peer_id: PeerId,
    /// Why.
    pub reason: String,
    /// The id of the key by which it was banned.
    pub by: String,
    /// When, Unix seconds.
    pub at: u64,
}

/// One page of bans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BansPage {
    /// In the order of the peers' ids.
    pub bans: Vec<BanRecord>,
    /// The `cursor` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Something that an operator did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditRecord {
    /// When, Unix seconds.
    pub at: u64,
    /// The id of the key by which; empty where no keys are needed; `command-line` for that.
    pub key_id: String,
    /// From which address; empty for the command line.
    pub address: String,
    /// What: `key.add`, `key.rotate`, `key.revoke`, `file.remove`, `peer.ban`, `peer.unban`.
    pub action: String,
    /// To what: a key's id, a file's hash, a peer's id.
    pub target: String,
    /// What else there is to say.
    pub detail: String,
}

/// One page of what operators did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditPage {
    /// The last first.
    pub acts: Vec<AuditRecord>,
    /// The `cursor` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
