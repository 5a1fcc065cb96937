//! The writes that go alone: records that come in runs, removals, sweeps, keys.

use super::{
    access,
    files::{self, delete_files},
    read::{self, integer},
    write::Outcome,
};
use crate::storage::{Announcer, UNFINISHED_A_PEER, Write, Written, same_content};
use deadpool_postgres::Transaction;
use p2p_shared::{
    id::{ChunkHash, FileHash, PublicKey},
    manifest::Manifest,
};

/// Peers forgotten in one write at most: what is left over is forgotten by the next sweep.
const FORGET: i64 = 10_000;

/// Does one change.
pub(super) async fn apply(db: &Transaction<'_>, write: &Write) -> Outcome<Written> {
    match write {
        Write::AppendDigests {
            file,
            first,
            digests,
            by,
        } => append_digests(db, file, *first, digests, by).await,
        Write::FinishFile { record, by } => finish_file(db, *record, by).await,
        Write::DropUnfinished { hash, peer } => drop_unfinished(db, hash, peer).await,
        Write::DropUnfinishedBefore(time) => drop_unfinished_before(db, *time).await,
        Write::ForgetPeersBefore(time) => forget_peers_before(db, *time).await,
        Write::RemoveFile(hash) => remove_file(db, hash).await,
        Write::AddKey(key) => access::add_key(db, key).await,
        Write::ExpireKey { id, at } => access::expire_key(db, id, *at).await,
        Write::RevokeKey { id, at } => access::revoke_key(db, id, *at).await,
        Write::UseKeys(uses) => access::use_keys(db, uses).await,
        Write::BanPeer(ban) => access::ban_peer(db, ban).await,
        Write::UnbanPeer(peer) => access::unban_peer(db, peer).await,
        Write::Audit(entry) => access::add_audit(db, entry).await,
        // These go in waves (see `plan`).
        Write::PutPeer(_)
        | Write::TouchPeers(_)
        | Write::EndPeers(_)
        | Write::AddFile { .. }
        | Write::SetHave { .. } => Ok(Written::Done),
    }
}

pub(super) fn done_or_missing(count: i64) -> Written {
    if count > 0 {
        Written::Done
    } else {
        Written::Missing
    }
}

/// `Known` or `Differs` if there is a whole record of this hash already.
async fn known(db: &Transaction<'_>, file: &Manifest) -> Outcome<Option<Written>> {
    let there = read::whole_files(db, &[&file.hash.0[..]]).await?;
    Ok(there.into_values().next().map(|there| {
        if same_content(&there.file, file) {
            Written::Known
        } else {
            Written::Differs(Box::new(there.file))
        }
    }))
}

async fn append_digests(
    db: &Transaction<'_>,
    file: &Manifest,
    first: u32,
    digests: &[ChunkHash],
    by: &Announcer,
) -> Outcome<Written> {
    if let Some(written) = known(db, file).await? {
        drop_unfinished(db, &file.hash, &by.peer).await?;
        return Ok(written);
    }
    let id = match read::unfinished_for_update(db, &file.hash, &by.peer).await? {
        Some((id, there)) if same_content(&there, file) => id,
        Some(_) => {
            drop_unfinished(db, &file.hash, &by.peer).await?;
            begin(db, file, by).await?
        }
        None => {
            drop_oldest_unfinished(db, &by.peer).await?;
            begin(db, file, by).await?
        }
    };
    let wanted = read::digest_count(db, id).await?;
    if first != wanted {
        return Ok(Written::Wanted(wanted));
    }
    files::insert_chunks(db, std::iter::once((id, first, digests))).await?;
    let update = db
        .prepare_cached("UPDATE files SET announced_at = $2 WHERE id = $1")
        .await?;
    db.execute(&update, &[&id, &integer(by.at)]).await?;
    Ok(Written::Wanted(read::digest_count(db, id).await?))
}

/// The id of a record that begins.
async fn begin(db: &Transaction<'_>, file: &Manifest, by: &Announcer) -> Outcome<i64> {
    let ids = files::insert(db, std::iter::once((file, by)), false).await?;
    ids.into_values().next().ok_or_else(|| {
        // The same peer begins it at another tracker at this moment.
        super::write::Failed::Raced(crate::storage::StoreError::Database(
            "a record was begun twice".to_owned(),
        ))
    })
}

async fn finish_file(db: &Transaction<'_>, id: i64, by: &Announcer) -> Outcome<Written> {
    let Some(file) = read::unfinished_at_for_update(db, id, &by.peer).await? else {
        return Ok(Written::Missing);
    };
    if let Some(known) = known(db, &file).await? {
        let delete = db.prepare_cached(delete_files!("id = $1")).await?;
        db.query_one(&delete, &[&id]).await?;
        return Ok(known);
    }
    let finish = "UPDATE files SET complete = true, announced_at = $2 WHERE id = $1";
    db.execute(&db.prepare_cached(finish).await?, &[&id, &integer(by.at)])
        .await?;
    Ok(Written::Added)
}

async fn drop_unfinished(db: &Transaction<'_>, hash: &FileHash, peer: &PublicKey) -> Outcome<Written> {
    let by = Announcer { peer: *peer, at: 0 };
    let count = files::drop_unfinished(db, std::iter::once((hash, &by))).await?;
    Ok(done_or_missing(count))
}

/// Makes room for one more record of this peer that is not finished.
async fn drop_oldest_unfinished(db: &Transaction<'_>, peer: &PublicKey) -> Outcome<()> {
    let delete = delete_files!(
        "id IN (SELECT id FROM files WHERE NOT complete AND announced_by = $1
                ORDER BY announced_at DESC, id DESC OFFSET $2)"
    );
    let keep = i64::from(UNFINISHED_A_PEER - 1);
    db.query_one(&db.prepare_cached(delete).await?, &[&&peer.0[..], &keep])
        .await?;
    Ok(())
}

async fn drop_unfinished_before(db: &Transaction<'_>, time: u64) -> Outcome<Written> {
    let delete = delete_files!("NOT complete AND announced_at < $1");
    db.query_one(&db.prepare_cached(delete).await?, &[&integer(time)])
        .await?;
    Ok(Written::Done)
}

const FORGET_PEERS: &str = "
    WITH gone AS (
        DELETE FROM peers WHERE id IN (SELECT id FROM peers WHERE last_seen < $1 LIMIT $2) RETURNING id)
    DELETE FROM file_peers USING gone WHERE file_peers.peer = gone.id";

async fn forget_peers_before(db: &Transaction<'_>, time: u64) -> Outcome<Written> {
    let forget = db.prepare_cached(FORGET_PEERS).await?;
    db.execute(&forget, &[&integer(time), &FORGET]).await?;
    Ok(Written::Done)
}

async fn remove_file(db: &Transaction<'_>, hash: &FileHash) -> Outcome<Written> {
    let delete = db.prepare_cached(delete_files!("hash = $1 AND complete")).await?;
    let count = db.query_one(&delete, &[&&hash.0[..]]).await?.try_get(0)?;
    Ok(done_or_missing(count))
}
