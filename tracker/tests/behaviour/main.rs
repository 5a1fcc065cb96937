//! What a tracker does, seen from outside: over HTTP, and as a program.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod announcing;
mod chunks;
mod errors;
mod files;
mod lifecycle;
mod peers;
mod program;
