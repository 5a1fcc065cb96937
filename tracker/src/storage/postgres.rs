//! The store for production: PostgreSQL, which several trackers may share.
//!
//! A commit is on the disk of the server when it returns (`synchronous_commit`, of which the operator may ask more: the
//! standby's disk, too). Every operation has a budget, and none waits for a server that is known to be away ([`pool`]).
//! Frequent writes go as arrays ([`plan`], [`mod@write`]). Each tracker is a replica with a row of its own, and the peers that
//! registered at it are at home there. Never decides what a write means to a peer.

mod access;
mod connect;
mod files;
mod migrate;
mod plan;
mod pool;
mod read;
mod replicas;
mod single;
pub(crate) mod url;
mod write;

use super::{
    AuditEntry, Ban, Elsewhere, Page, PoolStatus, Search, Snapshot, Store, StoreError, StoreFuture,
    StoredFile, StoredKey, StoredPeer, Unfinished, Write, Written,
};
use connect::Connector;
use p2p_shared::id::{ChunkHash, FileHash, PeerId, PublicKey};
use pool::Pool;
use std::{collections::HashMap, error::Error as _, ops::Range, time::Duration};
use tokio_postgres::error::SqlState;
use url::PostgresUrl;

/// The id of no replica: they begin with 1.
const NOBODY: i32 = 0;

/// What a read may take. An announcement reads and then commits, and is answered within 3 s.
const READ: Duration = Duration::from_millis(1200);

/// What a commit of a group may take; usually it is some tens of milliseconds.
const COMMIT: Duration = Duration::from_millis(1700);

/// How long the relay of another tracker counts after that one was heard of: three of its heartbeats.
const RELAY_HEARD: Duration = Duration::from_secs(6);

/// What reading millions of peers at the start may take.
const SNAPSHOT: Duration = Duration::from_secs(120);

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let text = described(&error);
        if is_of_the_connection(&error) {
            Self::Unreachable(text)
        } else {
            Self::Database(text)
        }
    }
}

/// Whether the server is away, about to be, or not the one that takes writes: nothing that is wrong with what was asked.
fn is_of_the_connection(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else {
        // Not said by the server: the connection broke. What we cannot read has a source of another kind.
        let is_ours = |source: &(dyn std::error::Error + 'static)| source.is::<std::io::Error>();
        return error.is_closed() || error.source().is_some_and(is_ours);
    };
    // Class 08: connection exceptions; 57P01 to 57P03: the server stops, crashed, or starts.
    code.code().starts_with("08")
        || [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::TOO_MANY_CONNECTIONS,
        ]
        .contains(code)
}

/// What the server or the system says. The error itself says `db error` and leaves the rest to its source.
fn described(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(said), _) => {
            let detail = said
                .detail()
                .map(|detail| format!(": {detail}"))
                .unwrap_or_default();
            format!("{}{detail} (SQLSTATE {})", said.message(), said.code().code())
        }
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

/// Who a tracker is among those of its database.
#[derive(Debug, Clone)]
pub(crate) struct Replica {
    /// What tells it from the others, over restarts too.
    pub(crate) name: String,
    /// Where its relay is.
    pub(crate) relay_url: String,
}

/// A tracker's place in a PostgreSQL. Clones share it.
#[derive(Clone)]
pub(crate) struct Postgres {
    pool: Pool,
    home: i32,
}

impl Postgres {
    /// Opens the database, brings its tables up to date, and takes the replica's row. The connections live on the present
    /// runtime.
    ///
    /// # Errors
    /// When there is no server that takes writes, it lets us not in, or its tables are of a newer version.
    pub(crate) async fn open(url: &PostgresUrl, replica: &Replica) -> Result<Self, StoreError> {
        let connector = Connector::new(url)?;
        migrate::migrate(connector.clone()).await?;
        let pool = Pool::new(connector)?;
        let replica = replica.clone();
        let home = pool
            .with(READ, move |client| {
                Box::pin(async move { replicas::take_home(client, &replica).await })
            })
            .await?;
        Ok(Self { pool, home })
    }

    /// Opens the database as no replica: for keys and what operators do. No peer is at home there.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) async fn open_beside(url: &PostgresUrl) -> Result<Self, StoreError> {
        let connector = Connector::new(url)?;
        migrate::migrate(connector.clone()).await?;
        Ok(Self {
            pool: Pool::new(connector)?,
            home: NOBODY,
        })
    }

    /// Brings the tables up to date and does nothing else. How many migrations there were to do.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) async fn migrate(url: &PostgresUrl) -> Result<usize, StoreError> {
        migrate::migrate(Connector::new(url)?).await
    }

    /// Reads within `budget`.
    fn read<'a, T: Send + 'a, W>(&'a self, budget: Duration, query: W) -> StoreFuture<'a, T>
    where
        W: for<'c> FnOnce(&'c mut deadpool_postgres::Client) -> StoreFuture<'c, T> + Send + 'a,
    {
        Box::pin(self.pool.with(budget, query))
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl Store for Postgres {
    fn commit(&self, writes: Vec<Write>) -> StoreFuture<'_, Vec<Written>> {
        let home = self.home;
        self.read(COMMIT, move |client| {
            Box::pin(async move { write::commit(client, &writes, home).await })
        })
    }

    fn snapshot(&self, heard_since: u64) -> StoreFuture<'_, Snapshot> {
        let home = self.home;
        self.read(SNAPSHOT, move |client| {
            Box::pin(read::snapshot(client, home, heard_since))
        })
    }

    fn file(&self, hash: FileHash) -> StoreFuture<'_, Option<StoredFile>> {
        self.read(READ, move |client| Box::pin(read::file(client, hash)))
    }

    fn files(&self, search: Search) -> StoreFuture<'_, Page<StoredFile, i64>> {
        self.read(READ, move |client| {
            Box::pin(async move { read::files(client, &search).await })
        })
    }

    fn digests(&self, hash: FileHash, chunks: Range<u32>) -> StoreFuture<'_, Option<Vec<ChunkHash>>> {
        self.read(READ, move |client| {
            Box::pin(async move { read::digests(client, &hash, None, &chunks).await })
        })
    }

    fn unfinished(&self, hash: FileHash, peer: PublicKey) -> StoreFuture<'_, Option<Unfinished>> {
        self.read(READ, move |client| {
            Box::pin(async move {
                let found = read::unfinished(client, &hash, &peer).await?;
                Ok(found.map(|(id, file)| Unfinished { id, file }))
            })
        })
    }

    fn unfinished_digests(
        &self,
        hash: FileHash,
        peer: PublicKey,
        chunks: Range<u32>,
    ) -> StoreFuture<'_, Option<Vec<ChunkHash>>> {
        self.read(READ, move |client| {
            Box::pin(async move { read::digests(client, &hash, Some(&peer), &chunks).await })
        })
    }

    fn peer(&self, id: PeerId) -> StoreFuture<'_, Option<(StoredPeer, u32)>> {
        self.read(READ, move |client| {
            Box::pin(async move { read::peer(client, &id).await })
        })
    }

    fn peers(&self, after: Option<PeerId>, limit: u32) -> StoreFuture<'_, Page<(StoredPeer, u32), PeerId>> {
        self.read(READ, move |client| {
            Box::pin(async move { read::peers(client, after.as_ref(), limit).await })
        })
    }

    fn known_peers(&self) -> StoreFuture<'_, u64> {
        self.read(READ, |client| Box::pin(read::known_peers(client)))
    }

    fn keys(&self) -> StoreFuture<'_, Vec<StoredKey>> {
        self.read(READ, |client| Box::pin(access::keys(client)))
    }

    fn bans(&self) -> StoreFuture<'_, Vec<Ban>> {
        self.read(READ, |client| Box::pin(access::bans(client)))
    }

    fn audit(&self, before: Option<i64>, limit: u32) -> StoreFuture<'_, Page<AuditEntry, i64>> {
        self.read(READ, move |client| Box::pin(access::audit(client, before, limit)))
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn elsewhere(&self, hash: FileHash, lease: Duration) -> StoreFuture<'_, Elsewhere> {
        let (home, lease) = (self.home, millis(lease));
        self.read(READ, move |client| {
            Box::pin(
                async move { replicas::elsewhere(client, home, &hash, lease, millis(RELAY_HEARD)).await },
            )
        })
    }

    fn counts_elsewhere(
        &self,
        hashes: Vec<FileHash>,
        lease: Duration,
    ) -> StoreFuture<'_, HashMap<FileHash, (u32, u32)>> {
        let (home, lease) = (self.home, millis(lease));
        self.read(READ, move |client| {
            Box::pin(async move { replicas::counts_elsewhere(client, home, &hashes, lease).await })
        })
    }

    fn beat(&self) -> StoreFuture<'_, Option<u64>> {
        let home = self.home;
        self.read(READ, move |client| {
            Box::pin(async move { replicas::beat(client, home).await.map(Some) })
        })
    }

    fn farewell(&self) -> StoreFuture<'_, ()> {
        let home = self.home;
        self.read(READ, move |client| Box::pin(replicas::farewell(client, home)))
    }

    fn pool(&self) -> Option<PoolStatus> {
        Some(self.pool.status())
    }
}

#[cfg(test)]
mod tests;
