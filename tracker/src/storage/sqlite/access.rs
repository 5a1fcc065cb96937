//! Keys, bans and what operators did: their statements.

use super::{
    read::collect,
    write::{Outcome, integer},
};
use crate::storage::{
    AuditEntry, Ban, KeyQuota, KeyUse, MOST_AUDITED, MonthUse, Page, StoreError, StoredKey, Written, row,
};
use p2p_shared::id::PeerId;
use rusqlite::{Connection, Row, params};

pub(super) fn add_key(db: &Connection, key: &StoredKey) -> Outcome {
    let quota = key.quota;
    db.prepare_cached(
        "INSERT INTO api_keys (id, digest, name, scope, created_at, expires_at, most_requests, most_connections,
                               most_tunnels, most_rate, most_month, last_used, used_month, used_bytes)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        key.id,
        key.digest,
        key.name,
        row::scope_text(key.scope),
        integer(key.created_at),
        key.expires_at.map(integer),
        quota.requests,
        quota.connections,
        quota.tunnels,
        quota.rate.map(integer),
        quota.month.map(integer),
        key.last_used.map(integer),
        key.month.month,
        integer(key.month.bytes),
    ])?;
    Ok(Written::Done)
}

fn done_to(rows: usize) -> Written {
    if rows == 0 {
        Written::Missing
    } else {
        Written::Done
    }
}

pub(super) fn expire_key(db: &Connection, id: &str, at: u64) -> Outcome {
    let rows = db
        .prepare_cached(
            "UPDATE api_keys SET expires_at = min(coalesce(expires_at, ?2), ?2)
             WHERE id = ?1 AND revoked_at IS NULL",
        )?
        .execute(params![id, integer(at)])?;
    Ok(done_to(rows))
}

pub(super) fn revoke_key(db: &Connection, id: &str, at: u64) -> Outcome {
    let rows = db
        .prepare_cached("UPDATE api_keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL")?
        .execute(params![id, integer(at)])?;
    Ok(done_to(rows))
}

pub(super) fn use_keys(db: &Connection, uses: &[KeyUse]) -> Outcome {
    // What comes late, of a month that is over, is of no interest any more.
    let mut statement = db.prepare_cached(
        "UPDATE api_keys SET
            last_used = max(coalesce(last_used, 0), ?2),
            used_bytes = CASE WHEN used_month = ?3 THEN used_bytes + ?4 WHEN used_month < ?3 THEN ?4 ELSE used_bytes END,
            used_month = max(used_month, ?3)
         WHERE id = ?1",
    )?;
    for KeyUse {
        id,
        last_used,
        relayed,
    } in uses
    {
        statement.execute(params![
            id,
            integer(*last_used),
            relayed.month,
            integer(relayed.bytes)
        ])?;
    }
    Ok(Written::Done)
}

pub(super) fn ban_peer(db: &Connection, ban: &Ban) -> Outcome {
    db.prepare_cached(
        "INSERT OR REPLACE INTO bans (peer_id, reason, banned_by, banned_at) VALUES (?, ?, ?, ?)",
    )?
    .execute(params![
        ban.peer.as_uuid().as_bytes(),
        ban.reason,
        ban.by,
        integer(ban.at)
    ])?;
    Ok(Written::Done)
}

pub(super) fn unban_peer(db: &Connection, peer: &PeerId) -> Outcome {
    let rows = db
        .prepare_cached("DELETE FROM bans WHERE peer_id = ?")?
        .execute([peer.as_uuid().as_bytes()])?;
    Ok(done_to(rows))
}

pub(super) fn add_audit(db: &Connection, entry: &AuditEntry) -> Outcome {
    db.prepare_cached(
        "INSERT INTO audit (at, key_id, address, action, target, detail) VALUES (?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        integer(entry.at),
        entry.key_id,
        entry.address,
        entry.action,
        entry.target,
        entry.detail
    ])?;
    db.prepare_cached("DELETE FROM audit WHERE id <= ?")?
        .execute([db.last_insert_rowid() - i64::from(MOST_AUDITED)])?;
    Ok(Written::Done)
}

pub(super) fn keys(db: &Connection) -> Result<Vec<StoredKey>, StoreError> {
    let mut select = db.prepare_cached(
        "SELECT id, digest, name, scope, created_at, expires_at, most_requests, most_connections, most_tunnels,
                most_rate, most_month, last_used, used_month, used_bytes
         FROM api_keys WHERE revoked_at IS NULL ORDER BY created_at, id",
    )?;
    collect(select.query([])?, stored_key)
}

fn stored_key(row: &Row<'_>) -> Result<StoredKey, StoreError> {
    let digest: Vec<u8> = row.get(1)?;
    let scope: String = row.get(3)?;
    Ok(StoredKey {
        id: row.get(0)?,
        digest: row::bytes32("api_keys.digest", &digest)?,
        name: row.get(2)?,
        scope: row::scope(&scope)?,
        created_at: row::number("api_keys.created_at", row.get(4)?)?,
        expires_at: optional("api_keys.expires_at", row.get(5)?)?,
        quota: KeyQuota {
            requests: optional("api_keys.most_requests", row.get(6)?)?,
            connections: optional("api_keys.most_connections", row.get(7)?)?,
            tunnels: optional("api_keys.most_tunnels", row.get(8)?)?,
            rate: optional("api_keys.most_rate", row.get(9)?)?,
            month: optional("api_keys.most_month", row.get(10)?)?,
        },
        last_used: optional("api_keys.last_used", row.get(11)?)?,
        month: MonthUse {
            month: row::number("api_keys.used_month", row.get(12)?)?,
            bytes: row::number("api_keys.used_bytes", row.get(13)?)?,
        },
    })
}

fn optional<T: TryFrom<i64>>(column: &'static str, value: Option<i64>) -> Result<Option<T>, StoreError> {
    value.map(|value| row::number(column, value)).transpose()
}

pub(super) fn bans(db: &Connection) -> Result<Vec<Ban>, StoreError> {
    let mut select = db.prepare_cached(
        "SELECT peer_id, reason, banned_by, banned_at FROM bans ORDER BY banned_at, peer_id",
    )?;
    collect(select.query([])?, |row| {
        let peer: Vec<u8> = row.get(0)?;
        Ok(Ban {
            peer: row::peer_id("bans.peer_id", &peer)?,
            reason: row.get(1)?,
            by: row.get(2)?,
            at: row::number("bans.banned_at", row.get(3)?)?,
        })
    })
}

pub(super) fn audit(
    db: &Connection,
    before: Option<i64>,
    limit: u32,
) -> Result<Page<AuditEntry, i64>, StoreError> {
    let mut select = db.prepare_cached(
        "SELECT id, at, key_id, address, action, target, detail FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?",
    )?;
    let rows = select.query(params![before.unwrap_or(i64::MAX), i64::from(limit) + 1])?;
    let mut found = collect(rows, |row| {
        let entry = AuditEntry {
            at: row::number("audit.at", row.get(1)?)?,
            key_id: row.get(2)?,
            address: row.get(3)?,
            action: row.get(4)?,
            target: row.get(5)?,
            detail: row.get(6)?,
        };
        Ok((row.get::<_, i64>(0)?, entry))
    })?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    Ok(Page {
        next: found.last().filter(|_| more).map(|(id, _)| *id),
        items: found.into_iter().map(|(_, entry)| entry).collect(),
    })
}
