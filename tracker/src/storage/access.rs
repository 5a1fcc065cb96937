//! What is kept of API keys, of peers that are kept out, and of what operators did.

use p2p_shared::id::PeerId;

/// Acts of operators that are kept: at about 200 bytes each, 2 MB.
pub(crate) const MOST_AUDITED: u32 = 10_000;

/// What an API key may do; a larger one may do what the smaller may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Look.
    Read,
    /// Take part: register, announce, be relayed.
    Peer,
    /// Everything.
    Admin,
}

/// An API key as it is kept: never the key itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredKey {
    /// Its public part.
    pub(crate) id: String,
    /// SHA-256 of the whole key.
    pub(crate) digest: [u8; 32],
    /// What it is for, in words.
    pub(crate) name: String,
    /// What it may do.
    pub(crate) scope: Scope,
    /// When it was made, Unix milliseconds.
    pub(crate) created_at: u64,
    /// From when on it is worth nothing, Unix milliseconds.
    pub(crate) expires_at: Option<u64>,
    /// What its holders may use up.
    pub(crate) quota: KeyQuota,
    /// When it was used last, Unix milliseconds; some seconds late.
    pub(crate) last_used: Option<u64>,
    /// What its holders relayed lately; some seconds late.
    pub(crate) month: MonthUse,
}

/// What the holders of a key may use together; `None`: as the tracker is configured, 0: as much as they like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct KeyQuota {
    /// Requests a second.
    pub(crate) requests: Option<u32>,
    /// Connections to the relay at a time.
    pub(crate) connections: Option<u32>,
    /// Tunnels through the relay at a time.
    pub(crate) tunnels: Option<u32>,
    /// Relayed bytes a second.
    pub(crate) rate: Option<u64>,
    /// Relayed bytes a calendar month (UTC).
    pub(crate) month: Option<u64>,
}

/// Bytes relayed in a calendar month (UTC).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MonthUse {
    /// Months since January 1970.
    pub(crate) month: u16,
    /// How much.
    pub(crate) bytes: u64,
}

/// A key was used since the last time that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyUse {
    /// Which.
    pub(crate) id: String,
    /// When, Unix milliseconds.
    pub(crate) last_used: u64,
    /// What was relayed, to be added to what the store has of that month.
    pub(crate) relayed: MonthUse,
}

/// A peer is kept out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ban {
    /// Which; it need not be known.
    pub(crate) peer: PeerId,
    /// Why, in an operator's words.
    pub(crate) reason: String,
    /// By whose key.
    pub(crate) by: String,
    /// When, Unix milliseconds.
    pub(crate) at: u64,
}

/// An operator did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditEntry {
    /// When, Unix milliseconds.
    pub(crate) at: u64,
    /// By whose key; empty where no keys are needed.
    pub(crate) key_id: String,
    /// From which address; empty for the command line.
    pub(crate) address: String,
    /// What kind of act.
    pub(crate) action: String,
    /// What it was done to.
    pub(crate) target: String,
    /// What else there is to say.
    pub(crate) detail: String,
}
