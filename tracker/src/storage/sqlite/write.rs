//! The changes, each a few statements inside the transaction of its group.

use crate::storage::{
    Announcer, DIGESTS_A_ROW, StoreError, StoredPeer, Touch, UNFINISHED_A_PEER, Write, Written, row,
    same_content,
    sqlite::{access, read},
};
use p2p_shared::{
    chunker::CHUNK_SIZE,
    id::{ChunkHash, FileHash, PeerId, PublicKey},
    manifest::Manifest,
};
use rusqlite::{Connection, OptionalExtension as _, params};

pub(super) type Outcome = Result<Written, StoreError>;

/// Does one change.
pub(super) fn apply(db: &Connection, write: &Write) -> Outcome {
    match write {
        Write::PutPeer(peer) => put_peer(db, peer),
        Write::TouchPeers(touches) => touch_peers(db, touches),
        Write::EndPeers(peers) => end_peers(db, peers),
        Write::AddFile { file, digests, by } => add_file(db, file, digests, by),
        Write::AppendDigests {
            file,
            first,
            digests,
            by,
        } => append_digests(db, file, *first, digests, by),
        Write::FinishFile { record, by } => finish_file(db, *record, by),
        Write::DropUnfinished { hash, peer } => drop_unfinished(db, hash, peer),
        Write::DropUnfinishedBefore(time) => drop_unfinished_before(db, *time),
        Write::ForgetPeersBefore(time) => forget_peers_before(db, *time),
        Write::SetHave { hash, peer, seeder } => set_have(db, hash, peer, *seeder),
        Write::RemoveFile(hash) => remove_file(db, hash),
        Write::AddKey(key) => access::add_key(db, key),
        Write::ExpireKey { id, at } => access::expire_key(db, id, *at),
        Write::RevokeKey { id, at } => access::revoke_key(db, id, *at),
        Write::UseKeys(uses) => access::use_keys(db, uses),
        Write::BanPeer(ban) => access::ban_peer(db, ban),
        Write::UnbanPeer(peer) => access::unban_peer(db, peer),
        Write::Audit(entry) => access::add_audit(db, entry),
    }
}

/// SQLite's integers are signed; times, sizes and sessions stay far below the sign bit.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn put_peer(db: &Connection, peer: &StoredPeer) -> Outcome {
    let id = peer.peer_id();
    let holder: Option<Vec<u8>> = db
        .prepare_cached("SELECT public_key FROM peers WHERE peer_id = ?")?
        .query_row([id.as_uuid().as_bytes()], |row| row.get(0))
        .optional()?;
    if holder.is_some_and(|key| key != peer.public_key.0) {
        return Ok(Written::IdTaken);
    }
    let bandwidth = peer.bandwidth.unwrap_or_default();
    let row: i64 = db
        .prepare_cached(
            "INSERT INTO peers (peer_id, public_key, session, observed, port, listed, upload, download, agent,
                                registered_at, last_seen, online)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (public_key) DO UPDATE SET session = excluded.session, observed = excluded.observed,
                port = excluded.port, listed = excluded.listed, upload = excluded.upload,
                download = excluded.download, agent = excluded.agent, registered_at = excluded.registered_at,
                last_seen = excluded.last_seen, online = excluded.online
             RETURNING id",
        )?
        .query_row(
            params![
                id.as_uuid().as_bytes(),
                peer.public_key.0,
                integer(peer.session),
                peer.contact.observed.to_string(),
                peer.contact.port,
                row::addresses_text(&peer.contact.listed),
                bandwidth.upload.map(integer),
                bandwidth.download.map(integer),
                peer.agent,
                integer(peer.registered_at),
                integer(peer.last_seen),
                peer.online,
            ],
            |row| row.get(0),
        )?;
    db.prepare_cached("DELETE FROM file_peers WHERE peer = ?")?
        .execute([row])?;
    Ok(Written::Done)
}

fn touch_peers(db: &Connection, touches: &[Touch]) -> Outcome {
    // A touch that is older than what is there comes from before a restart of the registry.
    let mut seen = db.prepare_cached(
        "UPDATE peers SET last_seen = ?2, online = 1 WHERE peer_id = ?1 AND last_seen <= ?2",
    )?;
    let mut moved =
        db.prepare_cached("UPDATE peers SET observed = ?2, port = ?3, listed = ?4 WHERE peer_id = ?1")?;
    for touch in touches {
        let id = touch.peer.as_uuid().as_bytes();
        seen.execute(params![id, integer(touch.last_seen)])?;
        if let Some(contact) = &touch.contact {
            let listed = row::addresses_text(&contact.listed);
            moved.execute(params![id, contact.observed.to_string(), contact.port, listed])?;
        }
    }
    Ok(Written::Done)
}

fn end_peers(db: &Connection, peers: &[PeerId]) -> Outcome {
    let mut end = db.prepare_cached("UPDATE peers SET online = 0 WHERE peer_id = ?")?;
    for peer in peers {
        end.execute([peer.as_uuid().as_bytes()])?;
    }
    Ok(Written::Done)
}

fn forget_peers_before(db: &Connection, time: u64) -> Outcome {
    let time = integer(time);
    db.prepare_cached("DELETE FROM file_peers WHERE peer IN (SELECT id FROM peers WHERE last_seen < ?)")?
        .execute([time])?;
    db.prepare_cached("DELETE FROM peers WHERE last_seen < ?")?
        .execute([time])?;
    Ok(Written::Done)
}

/// `Known` or `Differs` if there is a whole record of this hash already.
fn known(db: &Connection, file: &Manifest) -> Result<Option<Written>, StoreError> {
    let Some((_, there)) = read::file_row(db, &file.hash)? else {
        return Ok(None);
    };
    Ok(Some(if same_content(&there.file, file) {
        Written::Known
    } else {
        Written::Differs(Box::new(there.file))
    }))
}

fn add_file(db: &Connection, file: &Manifest, digests: &[ChunkHash], by: &Announcer) -> Outcome {
    drop_unfinished(db, &file.hash, &by.peer)?;
    if let Some(known) = known(db, file)? {
        return Ok(known);
    }
    let id = insert_file(db, file, by, true)?;
    insert_digests(db, id, 0, digests)?;
    Ok(Written::Added)
}

fn insert_file(db: &Connection, file: &Manifest, by: &Announcer, complete: bool) -> Result<i64, StoreError> {
    let name = file.name.as_str();
    let id = db
        .prepare_cached(
            "INSERT INTO files (hash, complete, algorithm, name, folded_name, kind, size, chunk_size, merkle_root,
                                mode, modified_seconds, modified_nanos, announced_by, announced_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .insert(params![
            file.hash.0,
            complete,
            file.algorithm.to_string(),
            name,
            row::folded(name),
            row::kind_text(file.kind),
            integer(file.size),
            CHUNK_SIZE,
            file.merkle_root.0,
            file.mode,
            file.modified.seconds,
            file.modified.nanos,
            by.peer.0,
            integer(by.at),
        ])?;
    Ok(id)
}

fn insert_digests(db: &Connection, file: i64, first: u32, digests: &[ChunkHash]) -> Result<(), StoreError> {
    let mut insert = db.prepare_cached("INSERT INTO chunks (file, first_index, hashes) VALUES (?, ?, ?)")?;
    let starts = (first..).step_by(DIGESTS_A_ROW as usize);
    for (start, run) in starts.zip(digests.chunks(DIGESTS_A_ROW as usize)) {
        insert.execute(params![file, start, row::digest_bytes(run)])?;
    }
    Ok(())
}

fn append_digests(
    db: &Connection,
    file: &Manifest,
    first: u32,
    digests: &[ChunkHash],
    by: &Announcer,
) -> Outcome {
    if let Some(written) = known(db, file)? {
        drop_unfinished(db, &file.hash, &by.peer)?;
        return Ok(written);
    }
    let id = match read::unfinished_row(db, &file.hash, &by.peer)? {
        Some((id, there)) if same_content(&there, file) => id,
        Some(_) => {
            drop_unfinished(db, &file.hash, &by.peer)?;
            insert_file(db, file, by, false)?
        }
        None => {
            drop_oldest_unfinished(db, &by.peer)?;
            insert_file(db, file, by, false)?
        }
    };
    let wanted = read::digest_count(db, id)?;
    if first != wanted {
        return Ok(Written::Wanted(wanted));
    }
    insert_digests(db, id, first, digests)?;
    db.prepare_cached("UPDATE files SET announced_at = ? WHERE id = ?")?
        .execute(params![integer(by.at), id])?;
    Ok(Written::Wanted(read::digest_count(db, id)?))
}

fn finish_file(db: &Connection, id: i64, by: &Announcer) -> Outcome {
    let Some(file) = read::unfinished_at(db, id, &by.peer)? else {
        return Ok(Written::Missing);
    };
    if let Some(known) = known(db, &file)? {
        delete_file(db, id)?;
        return Ok(known);
    }
    db.prepare_cached("UPDATE files SET complete = 1, announced_at = ? WHERE id = ?")?
        .execute(params![integer(by.at), id])?;
    Ok(Written::Added)
}

fn drop_unfinished(db: &Connection, hash: &FileHash, peer: &PublicKey) -> Outcome {
    match read::unfinished_row(db, hash, peer)? {
        Some((id, _)) => delete_file(db, id).map(|()| Written::Done),
        None => Ok(Written::Missing),
    }
}

/// Makes room for one more record of this peer that is not finished.
fn drop_oldest_unfinished(db: &Connection, peer: &PublicKey) -> Result<(), StoreError> {
    let ids = db
        .prepare_cached(
            "SELECT id FROM files WHERE complete = 0 AND announced_by = ? ORDER BY announced_at DESC, id DESC
             LIMIT -1 OFFSET ?",
        )?
        .query_map(params![peer.0, UNFINISHED_A_PEER - 1], |row| row.get(0))?
        .collect::<Result<Vec<i64>, _>>()?;
    ids.into_iter().try_for_each(|id| delete_file(db, id))
}

fn drop_unfinished_before(db: &Connection, time: u64) -> Outcome {
    let ids = db
        .prepare_cached("SELECT id FROM files WHERE complete = 0 AND announced_at < ?")?
        .query_map([integer(time)], |row| row.get(0))?
        .collect::<Result<Vec<i64>, _>>()?;
    for id in ids {
        delete_file(db, id)?;
    }
    Ok(Written::Done)
}

fn delete_file(db: &Connection, id: i64) -> Result<(), StoreError> {
    for statement in [
        "DELETE FROM chunks WHERE file = ?",
        "DELETE FROM file_peers WHERE file = ?",
        "DELETE FROM files WHERE id = ?",
    ] {
        db.prepare_cached(statement)?.execute([id])?;
    }
    Ok(())
}

fn remove_file(db: &Connection, hash: &FileHash) -> Outcome {
    match read::file_row(db, hash)? {
        Some((id, _)) => delete_file(db, id).map(|()| Written::Done),
        None => Ok(Written::Missing),
    }
}

fn peer_row(db: &Connection, peer: &PublicKey) -> Result<Option<i64>, StoreError> {
    let row = db
        .prepare_cached("SELECT id FROM peers WHERE public_key = ?")?
        .query_row([peer.0], |row| row.get(0))
        .optional()?;
    Ok(row)
}

fn set_have(db: &Connection, hash: &FileHash, peer: &PublicKey, seeder: Option<bool>) -> Outcome {
    let (Some((file, _)), Some(row)) = (read::file_row(db, hash)?, peer_row(db, peer)?) else {
        return Ok(Written::Missing);
    };
    match seeder {
        Some(seeder) => db
            .prepare_cached("INSERT OR REPLACE INTO file_peers (peer, file, seeder) VALUES (?, ?, ?)")?
            .execute(params![row, file, seeder])?,
        None => db
            .prepare_cached("DELETE FROM file_peers WHERE peer = ? AND file = ?")?
            .execute(params![row, file])?,
    };
    Ok(Written::Done)
}
