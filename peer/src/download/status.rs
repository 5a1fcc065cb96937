//! How a download stands, for whoever watches it.

use super::progress::Report;
use crate::{connection::state::Reach, error::Failure, event::Done};
use p2p_shared::{id::FileHash, manifest::FolderIndex};
use std::sync::Arc;

/// How a download stands. The newest is kept; steps in between may be missed.
#[derive(Debug, Clone)]
pub struct DownloadStatus {
    /// Which file.
    pub file: FileHash,
    /// What it does.
    pub stage: Stage,
    /// How far it is.
    pub report: Report,
    /// The peers that are connected and share the file.
    pub peers: usize,
    /// How the peers that are known stand.
    pub reach: Reach,
    /// Whether somebody had it whose source has changed, nobody else is connected, and nothing comes in.
    pub source_changed: bool,
    /// What went wrong last, in words for the owner; cleared when chunks come in.
    pub trouble: Option<String>,
    /// What is in the folder, once that is known.
    pub index: Option<Arc<FolderIndex>>,
}

/// What a download does.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// Looks for peers; nothing comes in.
    Connecting,
    /// Chunks come in.
    Downloading,
    /// Stands still.
    Paused(Pause),
    /// Everything is there; the whole is checked and made durable.
    Verifying,
    /// It stands under its name.
    Done(Done),
    /// It cannot go on.
    Failed(Failure),
}

/// Why a download stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pause {
    /// Its owner said so.
    Owner,
    /// No room on the disk; it goes on when there is. The message names the path.
    NoSpace(Failure),
}

impl Stage {
    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Failed(_))
    }
}
