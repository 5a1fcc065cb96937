//! The way to a running session.
//!
//! Every verb is a message that is queued at once and has no answer but the events it leads to. What is queued is bounded
//! by who sends: requests by the room that the session reported, announcements by the chunks that were stored.

use super::{
    actor::PeerSession,
    attachment::Wanted,
    close::CloseReason,
    messages::{
        AnnounceChunk, AttachFile, CancelChunk, CloseSession, DescribeSession, DetachFile, NamePeers, Owner,
        RequestChunks, RequestHashes, RetireSession, ServeFile, SetInterest,
    },
    news::{ChunkEvent, SessionInfo},
};
use crate::{
    connection::state::{Dialler, SessionId},
    event::PathKind,
    p2p::shelf::Shared,
    relay::RelayUrl,
};
use actix::{Addr, Recipient};
use p2p_shared::{
    id::{ChunkIndex, FileHash, PublicKey},
    protocol::{DetachReason, PeerHint},
};
use std::{net::SocketAddr, sync::Arc};

/// A way to one session. Clones lead to the same one; what is sent after its end is lost.
#[derive(Debug, Clone)]
pub struct SessionHandle {
    pub(super) address: Addr<PeerSession>,
    pub(super) about: Arc<About>,
}

/// What stays the same as long as a session lasts.
#[derive(Debug)]
pub struct About {
    /// Names it.
    pub session: SessionId,
    /// Who is at the other end.
    pub peer: PublicKey,
    /// Which side dialled.
    pub dialler: Dialler,
    /// By which kind of path.
    pub path: PathKind,
    /// The other end of the connection.
    pub address: Option<SocketAddr>,
    /// The relay that it goes through, if it does.
    pub relay: Option<RelayUrl>,
    /// Where the peer listens: what it said, with the address it is seen at where it said "here".
    pub listen: Vec<SocketAddr>,
    /// The peer's software.
    pub agent: String,
}

impl SessionHandle {
    /// What stays the same.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Fetches a file over it, and serves what we hold of it (`shared`); what happens to it is told to `owner`, its end always.
    pub fn attach(&self, wanted: Wanted, shared: Option<Arc<dyn Shared>>, owner: Recipient<ChunkEvent>) {
        let owner = Owner::new(owner, Arc::clone(&self.about), wanted.file);
        self.address.do_send(AttachFile {
            wanted,
            shared,
            owner,
        });
    }

    /// What we hold of a file that is fetched can be read from now on.
    pub fn serve(&self, file: FileHash, shared: Arc<dyn Shared>) {
        self.address.do_send(ServeFile { file, shared });
    }

    /// Fetches it no more; it is still served, if `serving`.
    pub fn detach(&self, file: FileHash, serving: bool, reason: DetachReason) {
        self.address.do_send(DetachFile {
            file,
            serving,
            reason,
        });
    }

    /// Asks the peer for chunks.
    pub fn request(&self, file: FileHash, chunks: Vec<ChunkIndex>) {
        self.address.do_send(RequestChunks { file, chunks });
    }

    /// A chunk is not needed any more.
    pub fn cancel(&self, file: FileHash, chunk: ChunkIndex) {
        self.address.do_send(CancelChunk { file, chunk });
    }

    /// Asks the peer for chunk hashes.
    pub fn get_hashes(&self, file: FileHash, first: u32, count: u32) {
        self.address.do_send(RequestHashes { file, first, count });
    }

    /// Tells the peer whether it has something for us.
    pub fn set_interest(&self, file: FileHash, interested: bool) {
        self.address.do_send(SetInterest { file, interested });
    }

    /// Tells the peer that we hold one more.
    pub fn have(&self, file: FileHash, chunk: ChunkIndex) {
        self.address.do_send(AnnounceChunk { file, chunk });
    }

    /// Names others who share a public file.
    pub fn name_peers(&self, file: FileHash, peers: Vec<PeerHint>) {
        self.address.do_send(NamePeers { file, peers });
    }

    /// Is used for nothing new from now on: closes itself when nothing is outstanding any more.
    pub fn retire(&self) {
        self.address.do_send(RetireSession);
    }

    /// Ends the session.
    pub fn close(&self, reason: CloseReason) {
        self.address.do_send(CloseSession(reason));
    }

    /// How it is going; nothing once it is over.
    pub async fn describe(&self) -> Option<SessionInfo> {
        self.address.send(DescribeSession).await.ok()
    }
}
