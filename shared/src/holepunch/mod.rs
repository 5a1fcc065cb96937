//! How two peers behind NATs come to talk directly: the parts that decide. Pure: no socket, no clock, no chance of its own.
//!
//! In reading order: [`stun`] asks how others see us; [`candidate`] is where a peer may be
//! reached, [`signal`] how two peers tell each other through a relay, [`probe`] what they then send to each other's
//! candidates.

pub mod candidate;
pub mod probe;
pub mod signal;
pub mod stun;
