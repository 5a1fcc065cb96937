//! What a session may be told. Whoever tells it goes through [`SessionHandle`](super::handle::SessionHandle).

use super::{
    attachment::Wanted,
    close::CloseReason,
    handle::About,
    news::{ChunkEvent, ChunkNews, Detached, SessionInfo},
};
use crate::p2p::shelf::Shared;
use actix::{Message, Recipient};
use p2p_shared::{
    id::{ChunkIndex, FileHash},
    protocol::{DetachReason, PeerHint},
};
use std::sync::Arc;

/// Fetch a file over this session from now on; what happens to it is told to `owner`.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct AttachFile {
    pub wanted: Wanted,
    /// What we hold of it, if that can be read already.
    pub shared: Option<Arc<dyn Shared>>,
    pub owner: Owner,
}

/// Who is told what happens to a file: also if the session never reads that, for it has ended or is about to.
pub(super) struct Owner {
    recipient: Option<Recipient<ChunkEvent>>,
    about: Arc<About>,
    file: FileHash,
}

impl Owner {
    /// Nobody has read of it yet.
    pub(super) fn new(recipient: Recipient<ChunkEvent>, about: Arc<About>, file: FileHash) -> Self {
        Self {
            recipient: Some(recipient),
            about,
            file,
        }
    }

    /// The session has read of it, and tells the rest.
    pub(super) fn read(mut self) -> Option<Recipient<ChunkEvent>> {
        self.recipient.take()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let Some(recipient) = self.recipient.take() else {
            return;
        };
        recipient.do_send(ChunkEvent {
            session: self.about.session,
            peer: self.about.peer,
            path: self.about.path,
            file: self.file,
            news: ChunkNews::Detached {
                reason: Detached::Over,
                unfinished: Vec::new(),
            },
        });
    }
}

/// What we hold of a file that is fetched can be read from now on.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ServeFile {
    pub file: FileHash,
    pub shared: Arc<dyn Shared>,
}

/// Fetch it no more; go on serving it, if `serving`.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct DetachFile {
    pub file: FileHash,
    pub serving: bool,
    pub reason: DetachReason,
}

/// Ask the peer for chunks.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct RequestChunks {
    pub file: FileHash,
    pub chunks: Vec<ChunkIndex>,
}

/// A chunk is not needed any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct CancelChunk {
    pub file: FileHash,
    pub chunk: ChunkIndex,
}

/// Ask the peer for chunk hashes.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct RequestHashes {
    pub file: FileHash,
    pub first: u32,
    pub count: u32,
}

/// Tell the peer whether it has something for us.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct SetInterest {
    pub file: FileHash,
    pub interested: bool,
}

/// Tell the peer that we hold one more.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct AnnounceChunk {
    pub file: FileHash,
    pub chunk: ChunkIndex,
}

/// Name others who share a public file.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct NamePeers {
    pub file: FileHash,
    pub peers: Vec<PeerHint>,
}

/// Another session with the peer is used from now on: end when nothing is outstanding.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct RetireSession;

/// End the session.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct CloseSession(pub CloseReason);

/// How is it going?
#[derive(Message)]
#[rtype(result = "SessionInfo")]
pub(super) struct DescribeSession;
