//! The queries, and how rows become values.

use crate::storage::{
    Contact, DIGESTS_A_ROW, Page, Search, Snapshot, StoreError, StoredFile, StoredPeer, row,
};
use deadpool_postgres::{Client, GenericClient};
use p2p_shared::{
    chunker::CHUNK_SIZE,
    id::{ChunkHash, FileHash, MerkleRoot, PeerId, PublicKey},
    manifest::{Manifest, Modified},
    tracker_api::Bandwidth,
};
use std::{collections::HashMap, ops::Range};
use tokio_postgres::{IsolationLevel, Row};
use uuid::Uuid;

/// The columns that [`stored_file`] reads, in its order.
macro_rules! select_file {
    ($rest:literal) => {
        concat!(
            "SELECT id, hash, algorithm, name, kind, size, chunk_size, merkle_root, mode, modified_seconds,
                    modified_nanos, announced_by, announced_at FROM files ",
            $rest
        )
    };
}

/// The columns that [`stored_peer`] reads, in its order, and how many files the peer announced.
macro_rules! select_peer {
    ($rest:literal) => {
        concat!(
            "SELECT id, public_key, session, observed, port, listed, upload, download, agent, registered_at, last_seen,
                    online, (SELECT count(*) FROM file_peers WHERE peer = peers.id) FROM peers ",
            $rest
        )
    };
}

/// PostgreSQL's integers are signed; times, sizes and sessions stay far below the sign bit.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn stored_file(row: &Row) -> Result<(i64, StoredFile), StoreError> {
    let bytes = |at: usize, column| row::bytes32(column, row.try_get(at)?);
    let number = |at: usize| row.try_get::<_, i64>(at);
    let chunk_size: i32 = row.try_get(6)?;
    if chunk_size != CHUNK_SIZE as i32 {
        return Err(row::damaged("files.chunk_size", chunk_size));
    }
    let file = Manifest {
        hash: FileHash(bytes(1, "files.hash")?),
        algorithm: row::algorithm(row.try_get(2)?)?,
        name: row::file_name(row.try_get(3)?)?,
        kind: row::kind(row.try_get(4)?)?,
        size: row::number("files.size", number(5)?)?,
        merkle_root: MerkleRoot(bytes(7, "files.merkle_root")?),
        mode: row::number("files.mode", number(8)?)?,
        modified: Modified {
            seconds: number(9)?,
            nanos: row::number("files.modified_nanos", number(10)?)?,
        },
    };
    let stored = StoredFile {
        file,
        announced_by: PublicKey(bytes(11, "files.announced_by")?),
        announced_at: row::number("files.announced_at", number(12)?)?,
    };
    Ok((row.try_get(0)?, stored))
}

fn stored_peer(row: &Row) -> Result<(i64, StoredPeer), StoreError> {
    let rate = |at: usize| {
        let rate: Option<i64> = row.try_get(at)?;
        rate.map(|rate| row::number("peers.bandwidth", rate)).transpose()
    };
    let bandwidth = Bandwidth {
        upload: rate(6)?,
        download: rate(7)?,
    };
    let peer = StoredPeer {
        public_key: PublicKey(row::bytes32("peers.public_key", row.try_get(1)?)?),
        session: row::number("peers.session", row.try_get(2)?)?,
        contact: Contact {
            observed: row::parsed("peers.observed", row.try_get(3)?)?,
            port: row::number("peers.port", row.try_get::<_, i32>(4)?.into())?,
            listed: row::addresses("peers.listed", row.try_get(5)?)?,
        },
        bandwidth: (bandwidth != Bandwidth::default()).then_some(bandwidth),
        agent: row.try_get(8)?,
        registered_at: row::number("peers.registered_at", row.try_get(9)?)?,
        last_seen: row::number("peers.last_seen", row.try_get(10)?)?,
        online: row.try_get(11)?,
    };
    Ok((row.try_get(0)?, peer))
}

/// What the registry of the replica `home` begins with.
pub(super) async fn snapshot(
    client: &mut Client,
    home: i32,
    heard_since: u64,
) -> Result<Snapshot, StoreError> {
    let since = integer(heard_since);
    // One state of the database throughout.
    let db = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    db.batch_execute("SET LOCAL statement_timeout = '120s'").await?;
    let (mut peer_at, mut file_at) = (HashMap::new(), HashMap::new());
    let select = select_peer!("WHERE online AND last_seen >= $1 AND home = $2");
    let mut peers = Vec::new();
    for row in db.query(select, &[&since, &home]).await? {
        let (id, peer) = stored_peer(&row)?;
        peer_at.insert(id, peers.len() as u32);
        peers.push(peer);
    }
    let mut files = Vec::new();
    for row in db
        .query("SELECT id, hash, size FROM files WHERE complete", &[])
        .await?
    {
        file_at.insert(row.try_get::<_, i64>(0)?, files.len() as u32);
        let hash = FileHash(row::bytes32("files.hash", row.try_get(1)?)?);
        files.push((hash, row::number("files.size", row.try_get(2)?)?));
    }
    let select = "SELECT peer, file, seeder FROM file_peers JOIN peers ON peers.id = peer
                  WHERE online AND last_seen >= $1 AND home = $2";
    let mut members = Vec::new();
    for row in db.query(select, &[&since, &home]).await? {
        let (peer, file): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        if let (Some(peer), Some(file)) = (peer_at.get(&peer), file_at.get(&file)) {
            members.push((*peer, *file, row.try_get(2)?));
        }
    }
    db.commit().await?;
    Ok(Snapshot {
        peers,
        files,
        members,
    })
}

/// The whole records among these hashes.
pub(super) async fn whole_files(
    db: &impl GenericClient,
    hashes: &[&[u8]],
) -> Result<HashMap<FileHash, StoredFile>, StoreError> {
    if hashes.is_empty() {
        return Ok(HashMap::new());
    }
    let select = db
        .prepare_cached(select_file!("WHERE hash = ANY($1) AND complete"))
        .await?;
    let rows = db.query(&select, &[&hashes]).await?;
    let by_hash = |row: &Row| stored_file(row).map(|(_, stored)| (stored.file.hash, stored));
    rows.iter().map(by_hash).collect()
}

pub(super) async fn file(client: &Client, hash: FileHash) -> Result<Option<StoredFile>, StoreError> {
    Ok(whole_files(client, &[&hash.0[..]]).await?.remove(&hash))
}

/// The record of a hash that this peer has not finished.
pub(super) async fn unfinished(
    client: &Client,
    hash: &FileHash,
    peer: &PublicKey,
) -> Result<Option<(i64, Manifest)>, StoreError> {
    let select = select_file!("WHERE hash = $1 AND announced_by = $2 AND NOT complete");
    let select = client.prepare_cached(select).await?;
    let found = client.query_opt(&select, &[&&hash.0[..], &&peer.0[..]]).await?;
    record(found.as_ref())
}

/// As [`unfinished`], to be changed: nobody else changes it meanwhile.
pub(super) async fn unfinished_for_update(
    db: &impl GenericClient,
    hash: &FileHash,
    peer: &PublicKey,
) -> Result<Option<(i64, Manifest)>, StoreError> {
    let select = select_file!("WHERE hash = $1 AND announced_by = $2 AND NOT complete FOR UPDATE");
    let select = db.prepare_cached(select).await?;
    let found = db.query_opt(&select, &[&&hash.0[..], &&peer.0[..]]).await?;
    record(found.as_ref())
}

/// The record of this id, if it is one that this peer has not finished; nobody else changes it meanwhile.
pub(super) async fn unfinished_at_for_update(
    db: &impl GenericClient,
    id: i64,
    peer: &PublicKey,
) -> Result<Option<Manifest>, StoreError> {
    let select = select_file!("WHERE id = $1 AND announced_by = $2 AND NOT complete FOR UPDATE");
    let select = db.prepare_cached(select).await?;
    let found = db.query_opt(&select, &[&id, &&peer.0[..]]).await?;
    Ok(record(found.as_ref())?.map(|(_, file)| file))
}

fn record(row: Option<&Row>) -> Result<Option<(i64, Manifest)>, StoreError> {
    let found = row.map(stored_file).transpose()?;
    Ok(found.map(|(id, stored)| (id, stored.file)))
}

/// How many digests a record has; they have no gaps.
pub(super) async fn digest_count(db: &impl GenericClient, file: i64) -> Result<u32, StoreError> {
    let select = "SELECT first_index + octet_length(hashes) / 32 FROM chunks WHERE file = $1
                  ORDER BY first_index DESC LIMIT 1";
    let select = db.prepare_cached(select).await?;
    match db.query_opt(&select, &[&file]).await? {
        Some(row) => row::number("chunks.first_index", row.try_get::<_, i32>(0)?.into()),
        None => Ok(0),
    }
}

/// A search for a part of a name and one that looks like a hash are different queries: each has the plan that is its own.
pub(super) async fn files(client: &Client, search: &Search) -> Result<Page<StoredFile, i64>, StoreError> {
    let before = search.before.unwrap_or(i64::MAX);
    let limit = i64::from(search.limit) + 1;
    let text = row::folded(&search.text);
    let rows = if text.is_empty() {
        let all = select_file!("WHERE complete AND id < $1 ORDER BY id DESC LIMIT $2");
        client
            .query(&client.prepare_cached(all).await?, &[&before, &limit])
            .await?
    } else if let Some((from, to)) = hashes_from(&text) {
        let either = select_file!(
            "WHERE complete AND id < $1 AND (hash BETWEEN $3 AND $4 OR strpos(folded_name, $5) > 0)
             ORDER BY id DESC LIMIT $2"
        );
        let select = client.prepare_cached(either).await?;
        client
            .query(&select, &[&before, &limit, &from, &to, &text])
            .await?
    } else {
        let named = select_file!(
            "WHERE complete AND id < $1 AND strpos(folded_name, $3) > 0 ORDER BY id DESC LIMIT $2"
        );
        client
            .query(&client.prepare_cached(named).await?, &[&before, &limit, &text])
            .await?
    };
    let mut found = rows.iter().map(stored_file).collect::<Result<Vec<_>, _>>()?;
    let more = found.len() > search.limit as usize;
    found.truncate(search.limit as usize);
    Ok(Page {
        next: found.last().filter(|_| more).map(|(id, _)| *id),
        items: found.into_iter().map(|(_, file)| file).collect(),
    })
}

/// The first and the last hash that begin with this text, if it looks like the beginning of one.
fn hashes_from(text: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    if !(8..=64).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let bytes = |filled: String| data_encoding::HEXLOWER.decode(filled.as_bytes()).ok();
    Some((bytes(format!("{text:0<64}"))?, bytes(format!("{text:f<64}"))?))
}

/// Digests of the whole record of a hash, or of the one that `unfinished_by` has not finished.
pub(super) async fn digests(
    client: &Client,
    hash: &FileHash,
    unfinished_by: Option<&PublicKey>,
    chunks: &Range<u32>,
) -> Result<Option<Vec<ChunkHash>>, StoreError> {
    // One statement sees one state: a record that is begun anew meanwhile is not mixed with the one before it.
    let select = match unfinished_by {
        None => {
            "SELECT first_index, hashes FROM files
             LEFT JOIN chunks ON chunks.file = files.id AND first_index > $2 AND first_index < $3
             WHERE hash = $1 AND complete AND $4::bytea IS NULL ORDER BY first_index"
        }
        Some(_) => {
            "SELECT first_index, hashes FROM files
             LEFT JOIN chunks ON chunks.file = files.id AND first_index > $2 AND first_index < $3
             WHERE hash = $1 AND NOT complete AND announced_by = $4 ORDER BY first_index"
        }
    };
    // A row that begins up to a row's length before the range may reach into it.
    let from = i64::from(chunks.start) - i64::from(DIGESTS_A_ROW);
    let (from, to) = (from as i32, i32::try_from(chunks.end).unwrap_or(i32::MAX));
    let by = unfinished_by.map(|peer| &peer.0[..]);
    let select = client.prepare_cached(select).await?;
    let rows = client.query(&select, &[&&hash.0[..], &from, &to, &by]).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut digests = Vec::new();
    for row in rows {
        let (Some(first), Some(bytes)) = (
            row.try_get::<_, Option<i32>>(0)?,
            row.try_get::<_, Option<&[u8]>>(1)?,
        ) else {
            continue;
        };
        let first: u32 = row::number("chunks.first_index", first.into())?;
        let skip = chunks.start.saturating_sub(first) as usize * 32;
        let end = (chunks.end - first) as usize * 32;
        let wanted = bytes.get(skip..end.min(bytes.len())).unwrap_or_default();
        row::push_digests(wanted, &mut digests)?;
    }
    Ok(Some(digests))
}

pub(super) fn peer_and_files(row: &Row) -> Result<(StoredPeer, u32), StoreError> {
    let (_, peer) = stored_peer(row)?;
    Ok((peer, row::number("file_peers", row.try_get(12)?)?))
}

pub(super) async fn peer(client: &Client, id: &PeerId) -> Result<Option<(StoredPeer, u32)>, StoreError> {
    let select = client.prepare_cached(select_peer!("WHERE peer_id = $1")).await?;
    let found = client.query_opt(&select, &[id.as_uuid()]).await?;
    found.as_ref().map(peer_and_files).transpose()
}

pub(super) async fn peers(
    client: &Client,
    after: Option<&PeerId>,
    limit: u32,
) -> Result<Page<(StoredPeer, u32), PeerId>, StoreError> {
    // The nil id is nobody's: it follows from no key.
    let after = after.map_or(Uuid::nil(), |id| *id.as_uuid());
    let select = select_peer!("WHERE peer_id > $1 ORDER BY peer_id LIMIT $2");
    let select = client.prepare_cached(select).await?;
    let rows = client.query(&select, &[&after, &(i64::from(limit) + 1)]).await?;
    let mut items = rows.iter().map(peer_and_files).collect::<Result<Vec<_>, _>>()?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    Ok(Page {
        next: items.last().filter(|_| more).map(|(peer, _)| peer.peer_id()),
        items,
    })
}

pub(super) async fn known_peers(client: &Client) -> Result<u64, StoreError> {
    let select = client.prepare_cached("SELECT count(*) FROM peers").await?;
    row::number("peers", client.query_one(&select, &[]).await?.try_get(0)?)
}
