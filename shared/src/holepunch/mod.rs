//! How two peers behind NATs come to talk directly: the parts that decide. Pure.

pub mod stun;
