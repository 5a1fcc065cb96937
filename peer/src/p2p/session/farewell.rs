//! The last words of a session, said when it is dropped: after an orderly end and after a panic alike.

use super::{
    close::CloseReason,
    handle::About,
    news::{ChunkEvent, ChunkNews, Detached},
};
use crate::{connection::state::SessionId, event::PathKind, orphan::Orphans};
use actix::Recipient;
use p2p_shared::id::{FileHash, PublicKey};
use std::{collections::HashMap, time::Instant};
use tokio::sync::oneshot;

/// Who has to be told, and what.
pub(super) struct Farewell {
    session: SessionId,
    peer: PublicKey,
    path: PathKind,
    /// Who fetches which file.
    owners: HashMap<FileHash, Recipient<ChunkEvent>>,
    orphans: Orphans,
    reason: Option<CloseReason>,
    closed: Option<oneshot::Sender<CloseReason>>,
}

impl Farewell {
    pub(super) fn new(about: &About, closed: oneshot::Sender<CloseReason>) -> Self {
        Self {
            session: about.session,
            peer: about.peer,
            path: about.path,
            owners: HashMap::new(),
            orphans: Orphans::default(),
            reason: None,
            closed: Some(closed),
        }
    }

    pub(super) fn attach(&mut self, file: FileHash, owner: Recipient<ChunkEvent>) {
        self.owners.insert(file, owner);
    }

    /// Tells whoever fetches `file`. After `Detached` nobody does.
    pub(super) fn tell(&mut self, file: FileHash, news: ChunkNews) {
        let last = matches!(news, ChunkNews::Detached { .. });
        if let Some(owner) = self.owners.get(&file) {
            // Bounded: chunks and answers by what was asked for, the rest by the chunks of the file.
            owner.do_send(ChunkEvent {
                session: self.session,
                peer: self.peer,
                path: self.path,
                file,
                news,
            });
        }
        if last {
            self.owners.remove(&file);
        }
    }

    /// The files that are fetched for somebody who crashed and did not come back.
    pub(super) fn abandoned(&mut self, now: Instant) -> Vec<FileHash> {
        let owners = self.owners.iter();
        let owners = owners.map(|(file, owner)| (*file, owner.connected()));
        self.orphans.on_tick(owners, now)
    }

    /// Why it ends. The first reason is the one that counts, and comes back.
    pub(super) fn set_reason(&mut self, reason: CloseReason) -> Option<CloseReason> {
        match self.reason {
            Some(_) => None,
            None => Some(self.reason.insert(reason).clone()),
        }
    }
}

impl Drop for Farewell {
    /// Runs while a panic unwinds, too: nothing here can fail.
    fn drop(&mut self) {
        let reason = self.reason.take().unwrap_or(CloseReason::Crashed);
        let files: Vec<_> = self.owners.keys().copied().collect();
        for file in files {
            let unfinished = Vec::new();
            let reason = Detached::Closed(reason.clone());
            self.tell(file, ChunkNews::Detached { reason, unfinished });
        }
        if let Some(closed) = self.closed.take() {
            // An error means that nobody wants to know any more.
            closed.send(reason).ok();
        }
    }
}
