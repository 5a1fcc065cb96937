//! The peer protocol.

pub mod codec;
pub mod peer;
