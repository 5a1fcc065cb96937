//! What [`TrackerRegistry`](super::actor::TrackerRegistry) can be told and asked. What each means is written at the
//! verb of [`RegistryHandle`](super::RegistryHandle) that sends it.

use super::{
    state::{Announcement, Asker, HandOut, Live, Refused, SignOfLife},
    swarm::Role,
    table::Totals,
    token::Session,
};
use crate::storage::StoredPeer;
use actix::Message;
use p2p_shared::{
    crypto::identity::Challenger,
    id::{FileHash, PeerId, PublicKey},
};

/// A challenge was given to the holder of a key.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct KeepChallenge {
    pub(crate) key: PublicKey,
    pub(crate) challenger: Challenger,
}

/// Somebody answers a challenge.
#[derive(Message)]
#[rtype(result = "Result<Option<Challenger>, Refused>")]
pub(crate) struct TakeChallenge {
    pub(crate) nonce: [u8; 32],
    pub(crate) key: PublicKey,
}

/// A registration is in the store.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Register(pub(crate) StoredPeer);

/// A peer is there.
#[derive(Message)]
#[rtype(result = "Result<(), Refused>")]
pub(crate) struct Heartbeat {
    pub(crate) session: Session,
    pub(crate) sign: SignOfLife,
}

/// A peer goes.
#[derive(Message)]
#[rtype(result = "Result<(), Refused>")]
pub(crate) struct Leave(pub(crate) Session);

/// A peer is banned.
#[derive(Message)]
#[rtype(result = "Option<PublicKey>")]
pub(crate) struct Expel(pub(crate) PeerId);

/// Whose session is it?
#[derive(Message)]
#[rtype(result = "Result<PublicKey, Refused>")]
pub(crate) struct KeyOfSession(pub(crate) Session);

/// A peer is connected to the relay, or is not any more.
#[derive(Message)]
#[rtype(result = "Result<(), Refused>")]
pub(crate) struct SetRelayed {
    pub(crate) session: Session,
    pub(crate) is_relayed: bool,
}

/// May a peer announce this?
#[derive(Message)]
#[rtype(result = "Result<Announcement, Refused>")]
pub(crate) struct CheckAnnounce {
    pub(crate) session: Session,
    pub(crate) hash: FileHash,
    pub(crate) role: Option<Role>,
}

/// An announcement is in the store.
#[derive(Message)]
#[rtype(result = "Result<(), Refused>")]
pub(crate) struct SetRole {
    pub(crate) session: Session,
    pub(crate) hash: FileHash,
    pub(crate) role: Option<Role>,
}

/// A file is in the store.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AddFile {
    pub(crate) hash: FileHash,
    pub(crate) size: u64,
}

/// A file is in the store no more.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct RemoveFile(pub(crate) FileHash);

/// Who has this file?
#[derive(Message)]
#[rtype(result = "Result<HandOut, Refused>")]
pub(crate) struct ChoosePeers {
    pub(crate) hash: FileHash,
    pub(crate) asker: Asker,
    pub(crate) limit: usize,
    pub(crate) random: u64,
}

/// How many have these files?
#[derive(Message)]
#[rtype(result = "Vec<(u32, u32)>")]
pub(crate) struct SwarmCounts(pub(crate) Vec<FileHash>);

/// Which of these peers are online?
#[derive(Message)]
#[rtype(result = "Vec<Option<Live>>")]
pub(crate) struct LivePeers(pub(crate) Vec<PeerId>);

/// How much is there of everything?
#[derive(Message)]
#[rtype(result = "Totals")]
pub(crate) struct CountTotals;

/// Time passed.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ExpiryTick;
