//! Counts that a session's tasks share with its actor, without a message for each.

use super::state::Answered;
use crate::{
    event::PathKind,
    metrics::{self, Direction},
};
use std::sync::atomic::{AtomicU64, Ordering};

/// What went over one session so far.
#[derive(Debug)]
pub struct Traffic {
    /// By which the session goes: the totals of all sessions are kept by path.
    path: PathKind,
    answered: AtomicU64,
    hashes_answered: AtomicU64,
    chunks_sent: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Traffic {
    /// Of a new session.
    pub(super) fn by(path: PathKind) -> Self {
        Self {
            path,
            answered: AtomicU64::default(),
            hashes_answered: AtomicU64::default(),
            chunks_sent: AtomicU64::default(),
            received: AtomicU64::default(),
            sent: AtomicU64::default(),
        }
    }

    /// An accepted request of the peer was answered, by a chunk of so many `bytes` or by a rejection (0).
    pub(super) fn on_answered(&self, bytes: u64) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        metrics::chunk_bytes(self.path, Direction::Out, bytes);
    }

    pub(super) fn on_hashes_answered(&self) {
        self.hashes_answered.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn on_chunk_sent(&self) {
        self.chunks_sent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn on_received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
        metrics::chunk_bytes(self.path, Direction::In, bytes);
    }

    /// What was answered of what the peer asked.
    pub(super) fn answered(&self) -> Answered {
        Answered {
            requests: self.answered.load(Ordering::Relaxed),
            hashes: self.hashes_answered.load(Ordering::Relaxed),
        }
    }

    /// Chunks written to the connection.
    pub fn chunks_sent(&self) -> u64 {
        self.chunks_sent.load(Ordering::Relaxed)
    }

    /// Bytes of chunks received.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Bytes of chunks given to the connection.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}
