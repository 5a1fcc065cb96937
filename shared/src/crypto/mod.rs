//! Identity, handshake and records: what makes a connection private and authentic.

pub mod handshake;
pub mod identity;
pub mod record;
mod resolver;
