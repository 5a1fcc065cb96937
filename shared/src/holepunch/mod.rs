//! How two peers behind NATs come to talk directly: the parts that decide. Pure: no socket, no clock, no chance of its own.
//!
//! In reading order: [`stun`] asks how others see us, [`nat`] is what follows from the answers; [`candidate`] is where a peer may be
//! reached, [`signal`] how two peers tell each other through a relay, [`schedule`] when they do; [`probe`] is what they then send to each
//! other's candidates, and [`burst`] how often, until a path is found.

pub mod burst;
pub mod candidate;
pub mod nat;
pub mod probe;
pub mod schedule;
pub mod signal;
pub mod stun;
#[cfg(test)]
mod tests;
