//! Talking to other peers: who we are to them ([`greeting`]), the bytes between us ([`wire`]), the conversation
//! ([`session`]), and what it is about ([`shelf`]).

pub mod greeting;
pub mod listener;
pub mod session;
pub mod shelf;
pub mod wire;

#[cfg(test)]
pub(crate) mod testing;
