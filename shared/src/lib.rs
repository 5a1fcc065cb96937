//! The language that tracker and peer speak.
//!
//! In reading order: what things are called ([`id`]), how a stream is cut and hashed ([`chunker`], [`hash`],
//! [`merkle`]), what a share consists of ([`name`], [`folder_index`], [`manifest`], [`ticket`], [`bitfield`]), how two
//! peers come to trust a connection ([`crypto`]), what they say over it ([`protocol`]) and what they say to the
//! tracker ([`tracker_api`]).
//!
//! Pure: no sockets, no files, no clock (see `clippy.toml`). What a running program needs beside the language is
//! behind features: `supervision` of actors (`actors`), `logger`, `open_files` and `freed_memory` (`runtime`), `testing` (fixtures).

pub mod backoff;
pub mod bitfield;
pub mod chunker;
pub mod crypto;
pub mod folder_index;
#[cfg(feature = "runtime")]
pub mod freed_memory;
pub mod hash;
pub mod holepunch;
pub mod id;
#[cfg(feature = "runtime")]
pub mod logger;
pub mod manifest;
pub mod merkle;
pub mod name;
#[cfg(feature = "runtime")]
pub mod open_files;
pub mod protocol;
mod reader;
#[cfg(feature = "actors")]
#[allow(
    clippy::disallowed_methods,
    reason = "it watches over what runs: deadlines, pauses and tasks are its business"
)]
pub mod supervision;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod ticket;
pub mod tracker_api;
pub mod tracker_url;
pub mod websocket;
