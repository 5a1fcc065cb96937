//! What peers and the tracker say to each other over HTTP: one type a body, used by both sides.
//!
//! Requests come from anywhere, so they refuse unknown fields and are bounded field by field while they are read
//! ([`encoding`]); what a body may weigh as a whole is the server's limit. Answers tolerate new fields, so that an
//! old peer understands a newer tracker. Hashes, keys and nonces are lower-case hexadecimal, times Unix seconds,
//! sizes bytes, rates bytes per second, intervals seconds.
//!
//! A peer authenticates with `Authorization: Bearer TOKEN` (the token of its registration, [`RegisterResponse`]),
//! a caller of the API with [`API_KEY_HEADER`]. Every error is a [`Problem`].
//!
//! | call | body | answer |
//! |---|---|---|
//! | `POST /api/peers/challenge` | [`ChallengeRequest`] | [`ChallengeResponse`] |
//! | `POST /api/peers/register` | [`RegisterRequest`] | [`RegisterResponse`] |
//! | `POST /api/peers/{id}/heartbeat` | [`HeartbeatRequest`] | [`HeartbeatResponse`] |
//! | `DELETE /api/peers/{id}` | | 204 |
//! | `GET /api/peers`, `GET /api/peers/{id}` | | [`PeersPage`], [`PeerRecord`] |
//! | `POST /api/files/announce` | [`AnnounceRequest`] | [`AnnounceResponse`] |
//! | `GET /api/files?query=&cursor=`, `GET /api/files/{hash}` | | [`FilesPage`], [`FileRecord`] |
//! | `GET /api/files/{hash}/chunks?first=&limit=` | | [`ChunksPage`], or the bare digests as bytes |
//! | `GET /api/files/{hash}/peers?limit=` | | [`FilePeers`] |
//! | `GET /api/stats`, `GET /healthz`, `GET /readyz` | | [`Stats`], [`Health`] |
//! | `GET /api/keys`, `POST /api/keys`, `DELETE /api/keys/{id}` | [`NewKeyRequest`] | [`KeysPage`], [`NewKeyResponse`], 204 |
//! | `PUT /api/bans/{id}`, `DELETE /api/bans/{id}`, `GET /api/bans` | [`BanRequest`] | [`BanRecord`], 204, [`BansPage`] |
//! | `GET /api/audit` | | [`AuditPage`] |
//! | `GET /relay` as a WebSocket | | [frames](crate::protocol::relay) |

mod access;
mod announce;
pub mod encoding;
mod files;
mod peers;
mod problem;
#[cfg(feature = "openapi")]
mod schema;
mod status;

pub use access::{
    AuditPage, AuditRecord, BanRecord, BanRequest, BansPage, KeyRecord, KeyScope, KeysPage, NewKeyRequest,
    NewKeyResponse, Quota,
};
pub use announce::{AnnounceRequest, AnnounceResponse, BadDigests, ChunkHashes, Have, MAX_CHUNK_HASHES};
pub use files::{ChunkInfo, ChunksPage, FileMetadata, FileRecord, FilesPage};
pub use peers::{
    Bandwidth, ChallengeRequest, ChallengeResponse, FilePeers, HeartbeatRequest, HeartbeatResponse,
    PeerRecord, PeerStatus, PeersPage, PunchReport, RegisterRequest, RegisterResponse,
};
pub use problem::{Problem, slug};
pub use status::{Health, HealthStatus, RelayStats, Stats};

/// The header that carries an API key.
pub const API_KEY_HEADER: &str = "X-API-Key";

/// The media type of an error body (RFC 9457).
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// The media type under which `GET …/chunks` answers with the bare digests, 32 bytes a chunk, and honours `Range`.
pub const DIGESTS_MEDIA_TYPE: &str = "application/octet-stream";

#[cfg(test)]
mod tests;
