//! Errors as documents (RFC 9457).

use serde::{Deserialize, Serialize};

/// What `type` begins with; a slug of [`slug`] follows.
const TYPE_PREFIX: &str = "urn:p2p:problem:";

/// What kinds of problem a peer acts on; every other one it can only report.
pub mod slug {
    /// 404: this tracker does not know the file. A peer that has it announces in full.
    pub const FILE_UNKNOWN: &str = "file-unknown";
    /// 404: no such peer is registered here.
    pub const PEER_UNKNOWN: &str = "peer-unknown";
    /// 401: the peer's token is not (or no longer) valid. It registers again.
    pub const TOKEN_INVALID: &str = "token-invalid";
    /// 401: the challenge is unknown, used or too old. The peer asks for a new one.
    pub const CHALLENGE_EXPIRED: &str = "challenge-expired";
    /// 403: the proof does not match the key.
    pub const PROOF_WRONG: &str = "proof-wrong";
    /// 401: an API key is needed, or the one given is not known.
    pub const API_KEY_INVALID: &str = "api-key-invalid";
    /// 403: the API key has not the scope for this call.
    pub const SCOPE_MISSING: &str = "scope-missing";
    /// 409: the metadata differs from what is known under this hash.
    pub const METADATA_DIFFERS: &str = "metadata-differs";
    /// 422: the chunk hashes do not lead to the Merkle root.
    pub const MERKLE_ROOT_WRONG: &str = "merkle-root-wrong";
    /// 400: a body, path or query that cannot be read.
    pub const REQUEST_INVALID: &str = "request-invalid";
    /// 404: nothing is at this path. A peer that asked for one of the protocol's has the tracker's address wrong.
    pub const NO_SUCH_ROUTE: &str = "no-such-route";
    /// 429: too many requests from this address or under this API key; `Retry-After` says when to come back.
    pub const RATE_LIMITED: &str = "rate-limited";
    /// 403: an operator of the tracker keeps the peer out.
    pub const PEER_BANNED: &str = "peer-banned";
    /// 503: no room now, or shutting down; `Retry-After` says when to come back.
    pub const BUSY: &str = "busy";
}

/// What went wrong, for programs (`type`) and for people (`title`, `detail`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:p2p:problem:` and a slug: what kind of problem this is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words, the same each time.
    pub title: String,
    /// The HTTP status again.
    pub status: u16,
    /// What happened this time, to what, and what to do.
    pub detail: String,
    /// The request, if it can be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

impl Problem {
    /// A problem of the kind `slug`.
    pub fn new(slug: &str, title: impl Into<String>, status: u16, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("{TYPE_PREFIX}{slug}"),
            title: title.into(),
            status,
            detail: detail.into(),
            instance: None,
        }
    }

    /// The slug of its kind; `None` for a document that is not one of ours.
    pub fn slug(&self) -> Option<&str> {
        self.kind.strip_prefix(TYPE_PREFIX)
    }
}
