//! The queries.

use crate::storage::{
    Contact, DIGESTS_A_ROW, Page, Search, Snapshot, StoreError, StoredFile, StoredPeer, row,
};
use p2p_shared::{
    chunker::CHUNK_SIZE,
    id::{ChunkHash, FileHash, MerkleRoot, PeerId, PublicKey},
    manifest::{Manifest, Modified},
    tracker_api::Bandwidth,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use std::{collections::HashMap, ops::Range};

/// The columns that [`stored_file`] reads, in its order.
const FILE: &str = "id, hash, algorithm, name, kind, size, chunk_size, merkle_root, mode, modified_seconds,
                    modified_nanos, announced_by, announced_at";

/// The columns that [`stored_peer`] reads, in its order.
const PEER: &str = "id, public_key, session, observed, port, listed, upload, download, agent, registered_at,
                    last_seen, online";

fn stored_file(row: &Row<'_>) -> Result<(i64, StoredFile), StoreError> {
    let text = |at: usize| row.get_ref(at).map_err(StoreError::from);
    let as_str = |at: usize, column| text(at)?.as_str().map_err(|error| row::damaged(column, error));
    let as_bytes = |at: usize, column| {
        let value = text(at)?;
        row::bytes32(
            column,
            value.as_blob().map_err(|error| row::damaged(column, error))?,
        )
    };
    let chunk_size: i64 = row.get(6)?;
    if chunk_size != i64::from(CHUNK_SIZE) {
        return Err(row::damaged("files.chunk_size", chunk_size));
    }
    let file = Manifest {
        hash: FileHash(as_bytes(1, "files.hash")?),
        algorithm: row::algorithm(as_str(2, "files.algorithm")?)?,
        name: row::file_name(as_str(3, "files.name")?)?,
        kind: row::kind(as_str(4, "files.kind")?)?,
        size: row::number("files.size", row.get(5)?)?,
        merkle_root: MerkleRoot(as_bytes(7, "files.merkle_root")?),
        mode: row::number("files.mode", row.get(8)?)?,
        modified: Modified {
            seconds: row.get(9)?,
            nanos: row::number("files.modified_nanos", row.get(10)?)?,
        },
    };
    let stored = StoredFile {
        file,
        announced_by: PublicKey(as_bytes(11, "files.announced_by")?),
        announced_at: row::number("files.announced_at", row.get(12)?)?,
    };
    Ok((row.get(0)?, stored))
}

fn stored_peer(row: &Row<'_>) -> Result<(i64, StoredPeer), StoreError> {
    let key: Vec<u8> = row.get(1)?;
    let observed: String = row.get(3)?;
    let listed: String = row.get(5)?;
    let bandwidth = Bandwidth {
        upload: rate(row.get(6)?)?,
        download: rate(row.get(7)?)?,
    };
    let peer = StoredPeer {
        public_key: PublicKey(row::bytes32("peers.public_key", &key)?),
        session: row::number("peers.session", row.get(2)?)?,
        contact: Contact {
            observed: row::parsed("peers.observed", &observed)?,
            port: row::number("peers.port", row.get(4)?)?,
            listed: row::addresses("peers.listed", &listed)?,
        },
        bandwidth: (bandwidth != Bandwidth::default()).then_some(bandwidth),
        agent: row.get(8)?,
        registered_at: row::number("peers.registered_at", row.get(9)?)?,
        last_seen: row::number("peers.last_seen", row.get(10)?)?,
        online: row.get(11)?,
    };
    Ok((row.get(0)?, peer))
}

fn rate(value: Option<i64>) -> Result<Option<u64>, StoreError> {
    value
        .map(|value| row::number("peers.bandwidth", value))
        .transpose()
}

/// Turns rows into values, each with its own error.
pub(super) fn collect<T>(
    mut rows: rusqlite::Rows<'_>,
    mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(read(row)?);
    }
    Ok(items)
}

pub(super) fn snapshot(db: &Connection, heard_since: u64) -> Result<Snapshot, StoreError> {
    let mut peer_at = HashMap::new();
    let mut file_at = HashMap::new();
    let since = i64::try_from(heard_since).unwrap_or(i64::MAX);

    let select = format!("SELECT {PEER} FROM peers WHERE online = 1 AND last_seen >= ?");
    let peers = collect(db.prepare_cached(&select)?.query([since])?, |row| {
        let (id, peer) = stored_peer(row)?;
        peer_at.insert(id, peer_at.len() as u32);
        Ok(peer)
    })?;
    let mut select = db.prepare_cached("SELECT id, hash, size FROM files WHERE complete = 1")?;
    let files = collect(select.query([])?, |row| {
        file_at.insert(row.get::<_, i64>(0)?, file_at.len() as u32);
        let hash: Vec<u8> = row.get(1)?;
        let size = row::number("files.size", row.get(2)?)?;
        Ok((FileHash(row::bytes32("files.hash", &hash)?), size))
    })?;
    let mut select = db.prepare_cached(
        "SELECT peer, file, seeder FROM file_peers
         WHERE peer IN (SELECT id FROM peers WHERE online = 1 AND last_seen >= ?)",
    )?;
    let members = collect(select.query([since])?, |row| {
        let peer = peer_at.get(&row.get(0)?).copied();
        let file = file_at.get(&row.get(1)?).copied();
        Ok(peer
            .zip(file)
            .map(|(peer, file)| Ok::<_, StoreError>((peer, file, row.get(2)?))))
    })?;
    Ok(Snapshot {
        peers,
        files,
        members: members.into_iter().flatten().collect::<Result<_, _>>()?,
    })
}

pub(super) fn file(db: &Connection, hash: &FileHash) -> Result<Option<StoredFile>, StoreError> {
    Ok(file_row(db, hash)?.map(|(_, file)| file))
}

/// The whole record of a hash and its row.
pub(super) fn file_row(db: &Connection, hash: &FileHash) -> Result<Option<(i64, StoredFile)>, StoreError> {
    let select = format!("SELECT {FILE} FROM files WHERE hash = ? AND complete = 1");
    let mut select = db.prepare_cached(&select)?;
    let mut rows = select.query([hash.0])?;
    rows.next()?.map(stored_file).transpose()
}

/// The record of a hash that this peer has not finished, and its row.
pub(super) fn unfinished_row(
    db: &Connection,
    hash: &FileHash,
    peer: &PublicKey,
) -> Result<Option<(i64, Manifest)>, StoreError> {
    let select = format!("SELECT {FILE} FROM files WHERE hash = ? AND announced_by = ? AND complete = 0");
    let mut select = db.prepare_cached(&select)?;
    let mut rows = select.query([hash.0, peer.0])?;
    let found = rows.next()?.map(stored_file).transpose()?;
    Ok(found.map(|(id, stored)| (id, stored.file)))
}

/// The record in this row, if it is one that this peer has not finished.
pub(super) fn unfinished_at(
    db: &Connection,
    id: i64,
    peer: &PublicKey,
) -> Result<Option<Manifest>, StoreError> {
    let select = format!("SELECT {FILE} FROM files WHERE id = ? AND announced_by = ? AND complete = 0");
    let mut select = db.prepare_cached(&select)?;
    let mut rows = select.query(params![id, peer.0])?;
    let found = rows.next()?.map(stored_file).transpose()?;
    Ok(found.map(|(_, stored)| stored.file))
}

/// How many digests a record has; they have no gaps.
pub(super) fn digest_count(db: &Connection, file: i64) -> Result<u32, StoreError> {
    let last: Option<(i64, i64)> = db
        .prepare_cached(
            "SELECT first_index, length(hashes) FROM chunks WHERE file = ? ORDER BY first_index DESC LIMIT 1",
        )?
        .query_row([file], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let count = last.map_or(0, |(first, bytes)| first + bytes / 32);
    row::number("chunks.first_index", count)
}

pub(super) fn files(db: &Connection, search: &Search) -> Result<Page<StoredFile, i64>, StoreError> {
    let select = format!(
        "SELECT {FILE} FROM files
         WHERE complete = 1 AND id < ?1
           AND (?2 = '' OR instr(folded_name, ?2) > 0 OR (?3 AND substr(lower(hex(hash)), 1, length(?2)) = ?2))
         ORDER BY id DESC LIMIT ?4"
    );
    let text = row::folded(&search.text);
    let like_a_hash = text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let before = search.before.unwrap_or(i64::MAX);
    let mut select = db.prepare_cached(&select)?;
    let rows = select.query(params![before, text, like_a_hash, i64::from(search.limit) + 1])?;
    let mut found = collect(rows, stored_file)?;
    let more = found.len() > search.limit as usize;
    found.truncate(search.limit as usize);
    Ok(Page {
        next: found.last().filter(|_| more).map(|(id, _)| *id),
        items: found.into_iter().map(|(_, file)| file).collect(),
    })
}

/// Digests of the whole record of a hash, or of the one that `unfinished_by` has not finished.
pub(super) fn digests(
    db: &Connection,
    hash: &FileHash,
    unfinished_by: Option<&PublicKey>,
    chunks: &Range<u32>,
) -> Result<Option<Vec<ChunkHash>>, StoreError> {
    let id = match unfinished_by {
        None => file_row(db, hash)?.map(|(id, _)| id),
        Some(peer) => unfinished_row(db, hash, peer)?.map(|(id, _)| id),
    };
    let Some(id) = id else { return Ok(None) };
    let mut digests = Vec::new();
    let mut select = db.prepare_cached(
        "SELECT first_index, hashes FROM chunks WHERE file = ? AND first_index > ? AND first_index < ?
         ORDER BY first_index",
    )?;
    // A row that begins up to a row's length before the range may reach into it.
    let from = i64::from(chunks.start) - i64::from(DIGESTS_A_ROW);
    let mut rows = select.query(params![id, from, chunks.end])?;
    while let Some(row) = rows.next()? {
        let first: u32 = row::number("chunks.first_index", row.get(0)?)?;
        let hashes = row.get_ref(1)?;
        let bytes = hashes
            .as_blob()
            .map_err(|error| row::damaged("chunks.hashes", error))?;
        let skip = chunks.start.saturating_sub(first) as usize * 32;
        let end = (chunks.end - first) as usize * 32;
        let wanted = bytes.get(skip..end.min(bytes.len())).unwrap_or_default();
        row::push_digests(wanted, &mut digests)?;
    }
    Ok(Some(digests))
}

const WITH_FILES: &str = "(SELECT count(*) FROM file_peers WHERE peer = peers.id)";

fn peer_and_files(row: &Row<'_>) -> Result<(StoredPeer, u32), StoreError> {
    let (_, peer) = stored_peer(row)?;
    Ok((peer, row::number("file_peers", row.get(12)?)?))
}

pub(super) fn peer(db: &Connection, id: &PeerId) -> Result<Option<(StoredPeer, u32)>, StoreError> {
    let select = format!("SELECT {PEER}, {WITH_FILES} FROM peers WHERE peer_id = ?");
    let mut select = db.prepare_cached(&select)?;
    let mut rows = select.query([id.as_uuid().as_bytes()])?;
    rows.next()?.map(peer_and_files).transpose()
}

pub(super) fn peers(
    db: &Connection,
    after: Option<&PeerId>,
    limit: u32,
) -> Result<Page<(StoredPeer, u32), PeerId>, StoreError> {
    let select = format!("SELECT {PEER}, {WITH_FILES} FROM peers WHERE peer_id > ? ORDER BY peer_id LIMIT ?");
    let after: &[u8] = after.map_or(&[], |id| id.as_uuid().as_bytes());
    let mut select = db.prepare_cached(&select)?;
    let rows = select.query(params![after, i64::from(limit) + 1])?;
    let mut items = collect(rows, peer_and_files)?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    Ok(Page {
        next: items.last().filter(|_| more).map(|(peer, _)| peer.peer_id()),
        items,
    })
}

pub(super) fn known_peers(db: &Connection) -> Result<u64, StoreError> {
    let mut select = db.prepare_cached("SELECT count(*) FROM peers")?;
    row::number("peers", select.query_row([], |row| row.get(0))?)
}
