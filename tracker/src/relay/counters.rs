//! What a relay has done and does, as numbers that everybody may read.

use p2p_shared::{
    protocol::relay::{EndReason, RefuseReason},
    tracker_api::RelayStats,
};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Counts since the start of the program.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(super) connections: AtomicU64,
    pub(super) tunnels: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) signals: AtomicU64,
    /// By name. Not on the path of bytes.
    refused: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counters {
    /// A connection ended.
    pub(super) fn ended(&self, reason: EndReason) {
        if !matches!(reason, EndReason::Closed | EndReason::GoingAway) {
            self.refuse(reason.name());
        }
    }

    /// A tunnel was not opened.
    pub(super) fn refused(&self, reason: RefuseReason) {
        self.refuse(reason.name());
    }

    /// Something was refused, by its name.
    pub(crate) fn refuse(&self, name: &'static str) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused.entry(name).or_default() += 1;
    }

    /// For people and programs.
    pub(crate) fn stats(&self) -> RelayStats {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        RelayStats {
            connections: self.connections.load(Relaxed),
            tunnels: self.tunnels.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            signals: self.signals.load(Relaxed),
            refused: refused
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect(),
        }
    }
}

/// Counts one more of something for as long as it lives.
#[derive(Debug)]
pub(super) struct Counted {
    counters: std::sync::Arc<Counters>,
    what: fn(&Counters) -> &AtomicU64,
}

impl Counted {
    pub(super) fn new(counters: std::sync::Arc<Counters>, what: fn(&Counters) -> &AtomicU64) -> Self {
        what(&counters).fetch_add(1, Relaxed);
        Self { counters, what }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.what)(&self.counters).fetch_sub(1, Relaxed);
    }
}
