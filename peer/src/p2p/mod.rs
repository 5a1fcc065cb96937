//! Talking to other peers.

pub mod session;
