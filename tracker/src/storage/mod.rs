//! What the tracker remembers across restarts.
//!
//! [`Store`] is the whole contract with a database; [`sqlite`] keeps it in a file of the data directory, [`postgres`] in a
//! server that several trackers may share. `contract` holds the tests that every back end must pass. Reads may come from anywhere; writes go through the
//! [`writer`], which groups them: one commit, one `fsync`, many answers.
//!
//! A store decides what only it can decide without a race (is this hash known already, under which metadata?) and
//! nothing else. It knows no lease, no swarm and no HTTP.

mod access;
#[cfg(test)]
pub(crate) mod contract;
pub(crate) mod postgres;
mod row;
pub(crate) mod sqlite;
pub(crate) mod writer;

pub(crate) use access::{AuditEntry, Ban, KeyQuota, KeyUse, MOST_AUDITED, MonthUse, Scope, StoredKey};

use p2p_shared::{
    id::{ChunkHash, FileHash, PeerId, PublicKey},
    manifest::Manifest,
    tracker_api::Bandwidth,
};
use std::{
    collections::HashMap,
    future::Future,
    net::{IpAddr, SocketAddr},
    ops::Range,
    pin::Pin,
    time::Duration,
};

/// Digests kept in one row: 32 KiB, so that a page of 65,536 digests is 64 rows and a hash of one chunk costs one row.
pub(crate) const DIGESTS_A_ROW: u32 = 1024;

/// What a store operation comes to.
pub(crate) type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Why the store did not do what it was asked. Unless it says otherwise, nothing of the operation was done.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum StoreError {
    /// The database refused or could not: disk full, damaged, locked. The text says which and where.
    #[error("database: {0}")]
    Database(String),
    /// The database is away, or says nothing. Of a commit that was under way nobody knows whether it was done.
    #[error("database unreachable: {0}")]
    Unreachable(String),
    /// A value in the database is not what was once written there.
    #[error("database: {column} is damaged: {reason}")]
    Damaged {
        /// Which column.
        column: &'static str,
        /// What is wrong with the value.
        reason: String,
    },
    /// The operation itself crashed; the log says where.
    #[error("a database operation crashed")]
    Crashed,
}

/// Where a peer may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contact {
    /// The address its last request came from.
    pub(crate) observed: IpAddr,
    /// The TCP port it listens on there; 0 if it accepts no connections.
    pub(crate) port: u16,
    /// Further addresses that it lists.
    pub(crate) listed: Box<[SocketAddr]>,
}

/// A registered peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredPeer {
    /// Who it is; its id follows from it.
    pub(crate) public_key: PublicKey,
    /// The registration that is valid.
    pub(crate) session: u64,
    /// Where it may be reached.
    pub(crate) contact: Contact,
    /// What its owner allows.
    pub(crate) bandwidth: Option<Bandwidth>,
    /// Its software.
    pub(crate) agent: String,
    /// When it registered, Unix milliseconds.
    pub(crate) registered_at: u64,
    /// When it was heard of last, Unix milliseconds.
    pub(crate) last_seen: u64,
    /// Whether it was online when this was written.
    pub(crate) online: bool,
}

impl StoredPeer {
    /// The id that follows from the key.
    pub(crate) fn peer_id(&self) -> PeerId {
        PeerId::of(&self.public_key)
    }
}

/// A file of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredFile {
    /// What it is.
    pub(crate) file: Manifest,
    /// Who announced it first.
    pub(crate) announced_by: PublicKey,
    /// When, Unix milliseconds.
    pub(crate) announced_at: u64,
}

/// A file record whose chunk hashes are still coming in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfinished {
    /// Never that of another record. As long as there is one of this id, hashes are only added to it.
    pub(crate) id: i64,
    /// What it is.
    pub(crate) file: Manifest,
}

/// How many records a peer may have begun and not finished; one more takes the place of the one that it went on with longest
/// ago. Peers send one file after the other; each of these may be 128 MiB of chunk hashes.
pub(crate) const UNFINISHED_A_PEER: u32 = 16;

/// Whether two records describe one content. What follows from the content has to be equal; what its owner called it
/// and when they changed it last has not.
pub(crate) fn same_content(a: &Manifest, b: &Manifest) -> bool {
    a.algorithm == b.algorithm && a.size == b.size && a.merkle_root == b.merkle_root && a.kind == b.kind
}

/// One change. Those of one [`Store::commit`] become durable together.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    /// A peer registered. What an earlier registration of it had announced is forgotten.
    PutPeer(StoredPeer),
    /// Peers were heard of. Unknown ones are passed over.
    TouchPeers(Vec<Touch>),
    /// Peers left, or their leases ran out.
    EndPeers(Vec<PeerId>),
    /// A whole record, checked: metadata and every digest.
    AddFile {
        /// What it is.
        file: Box<Manifest>,
        /// All chunk hashes in order.
        digests: Vec<ChunkHash>,
        /// By whom.
        by: Announcer,
    },
    /// A run of chunk hashes of a record too large for one call.
    AppendDigests {
        /// What it is.
        file: Box<Manifest>,
        /// Which chunk the run begins with; taken only if it is the next one wanted.
        first: u32,
        /// The run.
        digests: Vec<ChunkHash>,
        /// By whom.
        by: Announcer,
    },
    /// An unfinished record of this announcer is whole and was checked: it becomes visible.
    FinishFile {
        /// The record that was checked, by its [`Unfinished::id`]: not another one that took its place meanwhile.
        record: i64,
        /// Whose.
        by: Announcer,
    },
    /// The unfinished record of this peer is no good.
    DropUnfinished {
        /// Which.
        hash: FileHash,
        /// Whose.
        peer: PublicKey,
    },
    /// Unfinished records that nobody goes on with.
    DropUnfinishedBefore(u64),
    /// Peers that nobody has heard of since this time (Unix milliseconds) are forgotten.
    ForgetPeersBefore(u64),
    /// A peer holds a file, wholly (`Some(true)`), in part (`Some(false)`) or no more (`None`).
    SetHave {
        /// Which file.
        hash: FileHash,
        /// Whose.
        peer: PublicKey,
        /// How much.
        seeder: Option<bool>,
    },
    /// A file leaves the catalogue, with its digests and its swarm.
    RemoveFile(FileHash),
    /// A new API key.
    AddKey(StoredKey),
    /// A key is worth nothing from a time on (Unix milliseconds), unless it was to end before.
    ExpireKey {
        /// Which.
        id: String,
        /// When.
        at: u64,
    },
    /// A key is worth nothing any more.
    RevokeKey {
        /// Which.
        id: String,
        /// When, Unix milliseconds.
        at: u64,
    },
    /// Keys were used. Unknown ones are passed over.
    UseKeys(Vec<KeyUse>),
    /// A peer is kept out; in the place of an earlier ban.
    BanPeer(Ban),
    /// A peer may come again.
    UnbanPeer(PeerId),
    /// An operator did something. Only the last [`MOST_AUDITED`] are kept.
    Audit(AuditEntry),
}

/// A peer was heard of.
#[derive(Debug, Clone)]
pub(crate) struct Touch {
    /// Which.
    pub(crate) peer: PeerId,
    /// When, Unix milliseconds.
    pub(crate) last_seen: u64,
    /// Where it may be reached now, if that changed.
    pub(crate) contact: Option<Contact>,
    /// Whether it is connected to the relay of its tracker.
    pub(crate) is_relayed: bool,
}

/// Who announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announcer {
    /// The peer.
    pub(crate) peer: PublicKey,
    /// When, Unix milliseconds.
    pub(crate) at: u64,
}

/// What became of a [`Write`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Written {
    /// Done; there was nothing to decide.
    Done,
    /// The file is new and in the catalogue now.
    Added,
    /// The file was known already under the same metadata.
    Known,
    /// The file is known under other metadata, which stay.
    Differs(Box<Manifest>),
    /// The record is unfinished; this is the next chunk hash wanted.
    Wanted(u32),
    /// There is nothing of that name.
    Missing,
    /// Another key has the same id.
    IdTaken,
}

/// Everything that the registry holds in memory, as of the last commit.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Peers that were online and heard of recently enough.
    pub(crate) peers: Vec<StoredPeer>,
    /// Every file: hash and size.
    pub(crate) files: Vec<(FileHash, u64)>,
    /// Memberships: (position in `peers`, position in `files`, holds all of it).
    pub(crate) members: Vec<(u32, u32, bool)>,
}

/// Which files a listing is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Search {
    /// Part of the name in any case, or the beginning of a hash in hexadecimal; empty: every file.
    pub(crate) text: String,
    /// The cursor of the page before.
    pub(crate) before: Option<i64>,
    /// At most so many.
    pub(crate) limit: u32,
}

/// One page of a listing and the cursor of the next one.
#[derive(Debug)]
pub(crate) struct Page<T, C> {
    /// In the order of the listing.
    pub(crate) items: Vec<T>,
    /// Where the next page begins; `None` on the last.
    pub(crate) next: Option<C>,
}

/// A peer of a file that is at home at another tracker.
#[derive(Debug, Clone)]
pub(crate) struct PeerElsewhere {
    /// Who and where it is.
    pub(crate) peer: StoredPeer,
    /// How many files it announced.
    pub(crate) files: u32,
    /// Whether it holds all of the file.
    pub(crate) is_seeder: bool,
    /// The relay that it is connected to, if its tracker is there.
    pub(crate) relay_url: Option<String>,
}

/// The peers of a file that are at home at other trackers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Elsewhere {
    /// Some of them, each time others if there are many.
    pub(crate) peers: Vec<PeerElsewhere>,
    /// How many hold all of the file.
    pub(crate) seeders: u32,
    /// How many hold part of it.
    pub(crate) leechers: u32,
}

/// How the connections to a database server are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoolStatus {
    /// Connections that nobody uses.
    pub(crate) idle: usize,
    /// Connections in use.
    pub(crate) busy: usize,
    /// How many there may be.
    pub(crate) most: usize,
    /// Operations that wait for one.
    pub(crate) waiting: usize,
}

/// A database of the tracker. Operations are whole or not at all, and what a finished [`Self::commit`] wrote survives
/// the end of the process and of the machine.
pub(crate) trait Store: Send + Sync + 'static {
    /// Does the writes in order, in one transaction, and makes them durable. One answer for each.
    fn commit(&self, writes: Vec<Write>) -> StoreFuture<'_, Vec<Written>>;

    /// What the registry begins with: peers online and heard of since `heard_since` (Unix milliseconds), all files.
    fn snapshot(&self, heard_since: u64) -> StoreFuture<'_, Snapshot>;

    /// One whole file record.
    fn file(&self, hash: FileHash) -> StoreFuture<'_, Option<StoredFile>>;

    /// Whole file records, the newest first.
    fn files(&self, search: Search) -> StoreFuture<'_, Page<StoredFile, i64>>;

    /// Chunk hashes of a whole record, as far as it has them; `None` if there is no such record.
    fn digests(&self, hash: FileHash, chunks: Range<u32>) -> StoreFuture<'_, Option<Vec<ChunkHash>>>;

    /// The record of a file that this peer has not finished.
    fn unfinished(&self, hash: FileHash, peer: PublicKey) -> StoreFuture<'_, Option<Unfinished>>;

    /// As [`Self::digests`], of that record.
    fn unfinished_digests(
        &self,
        hash: FileHash,
        peer: PublicKey,
        chunks: Range<u32>,
    ) -> StoreFuture<'_, Option<Vec<ChunkHash>>>;

    /// One peer, and how many files it last announced.
    fn peer(&self, id: PeerId) -> StoreFuture<'_, Option<(StoredPeer, u32)>>;

    /// Peers in the order of their ids, from the one after `after` on.
    fn peers(&self, after: Option<PeerId>, limit: u32) -> StoreFuture<'_, Page<(StoredPeer, u32), PeerId>>;

    /// How many peers are known, online or not.
    fn known_peers(&self) -> StoreFuture<'_, u64>;

    /// Every API key that was not revoked, the oldest first.
    fn keys(&self) -> StoreFuture<'_, Vec<StoredKey>>;

    /// Whether other trackers use the same database. The operations below mean nothing where none do.
    fn is_shared(&self) -> bool {
        false
    }

    /// The peers of a file that are at home at other trackers and whose leases, of this length, run by the database's clock.
    fn elsewhere(&self, _: FileHash, _lease: Duration) -> StoreFuture<'_, Elsewhere> {
        Box::pin(async { Ok(Elsewhere::default()) })
    }

    /// Seeders and leechers of files among those; a file without any is left out.
    fn counts_elsewhere(
        &self,
        _: Vec<FileHash>,
        _lease: Duration,
    ) -> StoreFuture<'_, HashMap<FileHash, (u32, u32)>> {
        Box::pin(async { Ok(HashMap::new()) })
    }

    /// Tells the other trackers that this one is there. What time it is by the database's clock, in Unix milliseconds.
    fn beat(&self) -> StoreFuture<'_, Option<u64>> {
        Box::pin(async { Ok(None) })
    }

    /// Tells the other trackers that this one goes.
    fn farewell(&self) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// How its connections are used; `None` if it has no pool of them.
    fn pool(&self) -> Option<PoolStatus> {
        None
    }
    /// Every ban, the oldest first.
    fn bans(&self) -> StoreFuture<'_, Vec<Ban>>;

    /// What operators did, the last first; from the one before `before` on.
    fn audit(&self, before: Option<i64>, limit: u32) -> StoreFuture<'_, Page<AuditEntry, i64>>;
}
