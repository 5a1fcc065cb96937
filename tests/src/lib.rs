//! What whole-system tests are made of. The tests are in `tests/tests/`, the benches in `src/bin/`.
//!
//! In reading order: a folder for one test ([`lab`]), something to share ([`fixtures`]) and to compare with ([`tree`]), real programs
//! ([`process`], [`programs`]), their cost ([`measure`]) and their privileges ([`unprivileged`]), what stands between or against them
//! ([`proxy`], [`tap`], [`content`], [`wire`], [`fake_peer`], [`tracker_caller`], [`relay_client`], [`slow_readers`], [`stun_client`]), real networks with NATs ([`netlab`]), a real database ([`cluster`]), many things at once ([`side_by_side`]), and the project's own source as a thing to test ([`sources`], [`handlers`]).
//!
//! Everything here panics when the system does not do as it is told: in a test, that is the report.

pub mod cluster;
pub mod content;
pub mod fake_peer;
pub mod fixtures;
pub mod front;
pub mod handlers;
pub mod intermediary;
pub mod lab;
mod lines;
pub mod measure;
pub mod netlab;
pub mod process;
pub mod programs;
pub mod prometheus;
pub mod proxy;
pub mod relay_client;
pub mod side_by_side;
pub mod slow_readers;
pub mod sources;
pub mod stun_client;
pub mod tap;
pub mod tracker_caller;
pub mod tree;
pub mod unprivileged;
pub mod watcher;
pub mod wire;
