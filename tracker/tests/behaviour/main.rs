//! What a tracker does, seen from outside: over HTTP, and as a program.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "in a test a panic is the report, and stdout is its log"
)]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod announcing;
mod answers;
mod bans;
mod chunks;
mod document;
mod encryption;
mod errors;
mod events;
mod files;
mod keys;
mod lifecycle;
mod limits;
mod metrics;
mod peers;
mod program;
mod proxies;
