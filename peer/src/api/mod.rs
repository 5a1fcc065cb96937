//! The local API: how the command line (and whatever else its owner runs) gives orders to a running peer.
//!
//! HTTP on loopback. Every request needs the token that stands in `DIR/api.json`, which only the owner can read, and is
//! refused if a web page made it ([`guard`]). Bodies are JSON. What takes time (`share`, `get`, `verify`) answers with
//! one event a line (NDJSON) and ends with `done`, `verified` or `error`, a `share` after `seeding`.
//!
//! An operation belongs to the peer, not to the connection: when its client goes away it goes on, and `remove` ends it.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `POST /v1/share` | [`ShareRequest`](crate::operation::ShareRequest) | events |
//! | `POST /v1/get` | [`GetRequest`](crate::operation::GetRequest) | events |
//! | `POST /v1/doctor` | [`DoctorRequest`](crate::operation::DoctorRequest) | events |
//! | `GET /v1/shares` | | [`ShareInfo`](crate::operation::ShareInfo)s |
//! | `DELETE /v1/shares/{id}` | | the removed [`ShareInfo`](crate::operation::ShareInfo) |
//! | `POST /v1/shares/{id}/verify` | | events |
//! | `GET /metrics` | | numbers in Prometheus's text format |
//! | `GET /v1/status` | | [`PeerStatus`](crate::operation::PeerStatus) |

pub mod client;
mod guard;
mod info;
mod server;

pub use info::ApiInfo;
pub(crate) use server::{LocalApi, bind};

/// The media type of events, one JSON object a line.
const NDJSON: &str = "application/x-ndjson";

#[cfg(test)]
mod tests;
