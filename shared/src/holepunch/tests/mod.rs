//! Punching as a whole, in a network that is made up: real state machines, real seals and probes; NATs, time and delays of our own.
//!
//! `nat_model` is what NATs do to packets, `world` carries packets and signals between two hosts, `matrix` is which pairs get
//! through (as in the laboratory of real NATs), `burst` and `schedule` look at single steps.

mod burst;
mod matrix;
mod nat_model;
mod schedule;
mod world;

use std::time::Instant;

/// The moment at which every test begins.
#[expect(
    clippy::disallowed_methods,
    reason = "a fake clock begins somewhere, and an Instant cannot be made otherwise"
)]
fn beginning() -> Instant {
    Instant::now()
}
