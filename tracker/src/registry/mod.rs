//! Who is online and who holds what, in memory.
//!
//! [`RegistryHandle`] is how everybody else asks. Inside: [`state`] decides, with [`swarm`] (the peers of one file),
//! [`handout`] (which of them are told to whom), [`address`] (which of their addresses), `lease` (when to look whether
//! they are still there), `challenge` and [`token`] (who they are); `table` keeps all of it in step; `actor` is the
//! actix shell. Live swarms are soft state: after a crash they are rebuilt from the store.

pub(crate) mod actor;
pub(crate) mod address;
mod challenge;
pub(crate) mod elsewhere;
mod handout;
mod lease;
mod messages;
mod news;
mod state;
pub(crate) mod swarm;
mod table;
pub(crate) mod token;

pub(crate) use state::{Announcement, Asker, HandOut, Live, Refused, SignOfLife};
pub(crate) use table::Totals;

use self::{actor::TrackerRegistry, swarm::Role, token::Session};
use crate::storage::StoredPeer;
use messages::{
    AddFile, CheckAnnounce, ChoosePeers, CountTotals, Expel, ExpiryTick, Heartbeat, KeepChallenge,
    KeyOfSession, Leave, LivePeers, Register, RemoveFile, SetRelayed, SetRole, SwarmCounts, TakeChallenge,
};
use p2p_shared::{
    crypto::identity::Challenger,
    id::{FileHash, PeerId, PublicKey},
    supervision::{CallError, Handle},
};

/// Why the registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    /// It refuses.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It was not reached or is too busy; ask again.
    #[error("the registry: {0}")]
    Call(#[from] CallError),
}

type Answer<T> = Result<T, RegistryError>;

/// Asks the registry. Clones share it.
#[derive(Clone)]
pub(crate) struct RegistryHandle {
    registry: Handle<TrackerRegistry>,
}

impl RegistryHandle {
    pub(crate) fn new(registry: Handle<TrackerRegistry>) -> Self {
        Self { registry }
    }

    /// Keeps a challenge that is given to the holder of `key`, for a short while.
    pub(crate) async fn keep_challenge(&self, key: PublicKey, challenger: Challenger) -> Answer<()> {
        Ok(self.registry.call(KeepChallenge { key, challenger }).await?)
    }

    /// Takes the challenge that `key` answers; `None` if there is none (any more). Refused when there is no room for
    /// another peer.
    pub(crate) async fn take_challenge(&self, nonce: [u8; 32], key: PublicKey) -> Answer<Option<Challenger>> {
        Ok(self.registry.call(TakeChallenge { nonce, key }).await??)
    }

    /// A registration that is in the store counts from now on.
    pub(crate) async fn register(&self, peer: StoredPeer) -> Answer<()> {
        Ok(self.registry.call(Register(peer)).await?)
    }

    /// Renews a peer's lease.
    pub(crate) async fn heartbeat(&self, session: Session, sign: SignOfLife) -> Answer<()> {
        Ok(self.registry.call(Heartbeat { session, sign }).await??)
    }

    /// Ends a peer's lease.
    pub(crate) async fn leave(&self, session: Session) -> Answer<()> {
        Ok(self.registry.call(Leave(session)).await??)
    }

    /// Ends a peer's lease, whoever wants it to. Its key, if it was online.
    pub(crate) async fn expel(&self, peer: PeerId) -> Answer<Option<PublicKey>> {
        Ok(self.registry.call(Expel(peer)).await?)
    }

    /// A peer is connected to the relay, or is not any more.
    pub(crate) async fn set_relayed(&self, session: Session, is_relayed: bool) -> Answer<()> {
        Ok(self.registry.call(SetRelayed { session, is_relayed }).await??)
    }

    /// The key of the peer whose session this is.
    pub(crate) async fn key_of(&self, session: Session) -> Answer<PublicKey> {
        Ok(self.registry.call(KeyOfSession(session)).await??)
    }

    /// Whether the peer may announce that, and whether the store has to hear of it before [`Self::set_role`].
    pub(crate) async fn check_announce(
        &self,
        session: Session,
        hash: FileHash,
        role: Option<Role>,
    ) -> Answer<Announcement> {
        Ok(self
            .registry
            .call(CheckAnnounce { session, hash, role })
            .await??)
    }

    /// What the peer announced counts from now on.
    pub(crate) async fn set_role(&self, session: Session, hash: FileHash, role: Option<Role>) -> Answer<()> {
        Ok(self.registry.call(SetRole { session, hash, role }).await??)
    }

    /// The catalogue has this file of `size` bytes.
    pub(crate) async fn add_file(&self, hash: FileHash, size: u64) -> Answer<()> {
        Ok(self.registry.call(AddFile { hash, size }).await?)
    }

    /// The catalogue does not have this file any more.
    pub(crate) async fn remove_file(&self, hash: FileHash) -> Answer<()> {
        Ok(self.registry.call(RemoveFile(hash)).await?)
    }

    /// Some peers of a file. `random` decides which.
    pub(crate) async fn choose_peers(
        &self,
        hash: FileHash,
        asker: Asker,
        limit: usize,
        random: u64,
    ) -> Answer<HandOut> {
        let ask = ChoosePeers {
            hash,
            asker,
            limit,
            random,
        };
        Ok(self.registry.call(ask).await??)
    }

    /// Seeders and leechers of each of these files.
    pub(crate) async fn counts(&self, files: Vec<FileHash>) -> Answer<Vec<(u32, u32)>> {
        Ok(self.registry.call(SwarmCounts(files)).await?)
    }

    /// What is known of each of these peers, if it is online.
    pub(crate) async fn live(&self, peers: Vec<PeerId>) -> Answer<Vec<Option<Live>>> {
        Ok(self.registry.call(LivePeers(peers)).await?)
    }

    /// Totals.
    pub(crate) async fn totals(&self) -> Answer<Totals> {
        Ok(self.registry.call(CountTotals).await?)
    }

    /// Waits until the live swarms are loaded.
    pub(crate) async fn up(&self) -> Answer<()> {
        Ok(self.registry.up().await.map(drop)?)
    }

    /// Hands to the store's writer what the store does not know yet.
    pub(crate) async fn flush(self) {
        if let Err(error) = self.registry.call(ExpiryTick).await {
            tracing::error!(%error, "the last signs of life may be lost");
        }
    }
}

#[cfg(test)]
mod tests;
