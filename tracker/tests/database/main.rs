//! A tracker and its database, when one of them goes away.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "in a test a panic is the report, and stdout is its log"
)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

#[path = "../../../tests/src/cluster.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the whole-system tests use the rest, from their own crate"
)]
mod cluster;

mod faults;
mod ledger;
mod replicas;

use p2p_tracker::config::Database;

/// The database of this URL, as a configuration has it.
fn postgres(url: &str) -> Database {
    Database::Postgres(url.parse().unwrap())
}

/// A number from the environment, for the tests at full size.
fn setting(name: &str, otherwise: u64) -> u64 {
    let said = std::env::var(name).ok();
    said.map_or(otherwise, |said| said.parse().expect(name))
}
