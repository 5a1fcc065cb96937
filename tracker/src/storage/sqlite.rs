//! The embedded store: one SQLite file in the data directory.
//!
//! Write-ahead log with `synchronous = FULL`: a commit is on the disk when it returns, whatever happens to process or
//! machine. One connection writes, a few others read beside it and never wait for it. All of it runs on the blocking
//! threads of the caller's runtime. Never creates the directory, never decides what a write means to a peer.

mod access;
mod read;
mod write;

use super::{
    AuditEntry, Ban, Page, Search, Snapshot, Store, StoreError, StoreFuture, StoredFile, StoredKey,
    StoredPeer, Unfinished, Write, Written,
};
use p2p_shared::id::{ChunkHash, FileHash, PeerId, PublicKey};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Semaphore;

/// Reading connections at work at once: more than the cores of a machine that keeps its catalogue in SQLite would
/// only wait for each other.
const READERS: usize = 4;

/// How long a statement waits for another process that holds the file (a backup, a person with `sqlite3`).
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// Statements kept prepared on each connection: all that there are.
const PREPARED: usize = 64;

/// The write-ahead log is cut back to this many bytes after a burst.
const LOG_LIMIT: i64 = 64 << 20;

mod migrations {
    refinery::embed_migrations!("../sql/sqlite");
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.to_string())
    }
}

/// A tracker's database in one file. Clones share it.
#[derive(Clone)]
pub(crate) struct Sqlite {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    writer: Mutex<Connection>,
    /// Reading connections that nobody uses just now.
    idle: Mutex<Vec<Connection>>,
    readers: Semaphore,
}

impl Sqlite {
    /// Opens the database at `path`, makes it if there is none, and brings its tables up to date. Blocks.
    ///
    /// # Errors
    /// When the file cannot be made, read or written, is no database, or was written by a newer version.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let mut writer = connect(path, OpenFlags::SQLITE_OPEN_CREATE)?;
        writer.pragma_update(None, "journal_mode", "WAL")?;
        writer.pragma_update(None, "synchronous", "FULL")?;
        writer.pragma_update(None, "journal_size_limit", LOG_LIMIT)?;
        migrations::migrations::runner()
            .run(&mut writer)
            .map_err(|error| StoreError::Database(error.to_string()))?;
        Ok(Self {
            shared: Arc::new(Shared {
                path: path.to_owned(),
                writer: Mutex::new(writer),
                idle: Mutex::new(Vec::new()),
                readers: Semaphore::new(READERS),
            }),
        })
    }

    /// Runs a query on a reading connection, in one transaction: it sees one state of the database throughout.
    fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            // Never closed, so never an error; if it were, reading without the bound would be no harm.
            let _turn = shared.readers.acquire().await.ok();
            let worker = Arc::clone(&shared);
            blocking(move || worker.query(query)).await
        })
    }
}

impl Shared {
    fn query<T>(&self, query: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = lock(&self.idle).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => connect(&self.path, OpenFlags::empty())?,
        };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
        let result = query(&transaction);
        transaction.finish()?;
        lock(&self.idle).push(connection);
        result
    }

    fn commit(&self, writes: &[Write]) -> Result<Vec<Written>, StoreError> {
        let mut connection = lock(&self.writer);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let written = writes
            .iter()
            .map(|write| write::apply(&transaction, write))
            .collect::<Result<Vec<_>, _>>()?;
        transaction.commit()?;
        Ok(written)
    }
}

/// A connection outlives a panic of whoever held it: its transaction was rolled back on the way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let flags = flags | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(LOCK_PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    Ok(connection)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(StoreError::Crashed),
    }
}

impl Store for Sqlite {
    fn commit(&self, writes: Vec<Write>) -> StoreFuture<'_, Vec<Written>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(blocking(move || shared.commit(&writes)))
    }

    fn snapshot(&self, heard_since: u64) -> StoreFuture<'_, Snapshot> {
        self.read(move |connection| read::snapshot(connection, heard_since))
    }

    fn file(&self, hash: FileHash) -> StoreFuture<'_, Option<StoredFile>> {
        self.read(move |connection| read::file(connection, &hash))
    }

    fn files(&self, search: Search) -> StoreFuture<'_, Page<StoredFile, i64>> {
        self.read(move |connection| read::files(connection, &search))
    }

    fn digests(&self, hash: FileHash, chunks: Range<u32>) -> StoreFuture<'_, Option<Vec<ChunkHash>>> {
        self.read(move |connection| read::digests(connection, &hash, None, &chunks))
    }

    fn unfinished(&self, hash: FileHash, peer: PublicKey) -> StoreFuture<'_, Option<Unfinished>> {
        self.read(move |connection| {
            let found = read::unfinished_row(connection, &hash, &peer)?;
            Ok(found.map(|(id, file)| Unfinished { id, file }))
        })
    }

    fn unfinished_digests(
        &self,
        hash: FileHash,
        peer: PublicKey,
        chunks: Range<u32>,
    ) -> StoreFuture<'_, Option<Vec<ChunkHash>>> {
        self.read(move |connection| read::digests(connection, &hash, Some(&peer), &chunks))
    }

    fn peer(&self, id: PeerId) -> StoreFuture<'_, Option<(StoredPeer, u32)>> {
        self.read(move |connection| read::peer(connection, &id))
    }

    fn peers(&self, after: Option<PeerId>, limit: u32) -> StoreFuture<'_, Page<(StoredPeer, u32), PeerId>> {
        self.read(move |connection| read::peers(connection, after.as_ref(), limit))
    }

    fn known_peers(&self) -> StoreFuture<'_, u64> {
        self.read(read::known_peers)
    }

    fn keys(&self) -> StoreFuture<'_, Vec<StoredKey>> {
        self.read(access::keys)
    }

    fn bans(&self) -> StoreFuture<'_, Vec<Ban>> {
        self.read(access::bans)
    }

    fn audit(&self, before: Option<i64>, limit: u32) -> StoreFuture<'_, Page<AuditEntry, i64>> {
        self.read(move |connection| access::audit(connection, before, limit))
    }
}

#[cfg(test)]
mod tests;
