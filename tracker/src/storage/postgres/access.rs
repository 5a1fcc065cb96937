//! Keys, bans and what operators did: their statements.

use super::{read::integer, single::done_or_missing, write::Outcome};
use crate::storage::{
    AuditEntry, Ban, KeyQuota, KeyUse, MOST_AUDITED, MonthUse, Page, StoreError, StoredKey, Written, row,
};
use deadpool_postgres::{Client, Transaction};
use p2p_shared::id::PeerId;
use std::collections::BTreeMap;
use tokio_postgres::Row;
use uuid::Uuid;

const ADD_KEY: &str = "
    INSERT INTO api_keys (id, digest, name, scope, created_at, expires_at, most_requests, most_connections, most_tunnels,
                          most_rate, most_month, last_used, used_month, used_bytes)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";

pub(super) async fn add_key(db: &Transaction<'_>, key: &StoredKey) -> Outcome<Written> {
    let quota = key.quota;
    db.execute(
        &db.prepare_cached(ADD_KEY).await?,
        &[
            &key.id,
            &&key.digest[..],
            &key.name,
            &row::scope_text(key.scope),
            &integer(key.created_at),
            &key.expires_at.map(integer),
            &quota.requests.map(i64::from),
            &quota.connections.map(i64::from),
            &quota.tunnels.map(i64::from),
            &quota.rate.map(integer),
            &quota.month.map(integer),
            &key.last_used.map(integer),
            &i64::from(key.month.month),
            &integer(key.month.bytes),
        ],
    )
    .await?;
    Ok(Written::Done)
}

fn done_to(rows: u64) -> Written {
    done_or_missing(integer(rows))
}

pub(super) async fn expire_key(db: &Transaction<'_>, id: &str, at: u64) -> Outcome<Written> {
    let expire =
        "UPDATE api_keys SET expires_at = least(expires_at, $2) WHERE id = $1 AND revoked_at IS NULL";
    let expire = db.prepare_cached(expire).await?;
    Ok(done_to(db.execute(&expire, &[&id, &integer(at)]).await?))
}

pub(super) async fn revoke_key(db: &Transaction<'_>, id: &str, at: u64) -> Outcome<Written> {
    let revoke = "UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
    let revoke = db.prepare_cached(revoke).await?;
    Ok(done_to(db.execute(&revoke, &[&id, &integer(at)]).await?))
}

// What comes late, of a month that is over, is of no interest any more.
const USE_KEYS: &str = "
    UPDATE api_keys SET
        last_used = greatest(api_keys.last_used, new.last_used),
        used_bytes = CASE WHEN used_month = new.month THEN used_bytes + new.bytes
                          WHEN used_month < new.month THEN new.bytes ELSE used_bytes END,
        used_month = greatest(used_month, new.month)
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) AS new (id, last_used, month, bytes)
    WHERE api_keys.id = new.id";

pub(super) async fn use_keys(db: &Transaction<'_>, uses: &[KeyUse]) -> Outcome<Written> {
    // In the order of their ids: trackers that write about the same keys wait for each other instead of for ever.
    let uses = folded(uses);
    let ids: Vec<&str> = uses.keys().copied().collect();
    let column = |of: fn(&KeyUse) -> i64| uses.values().map(of).collect::<Vec<_>>();
    let statement = db.prepare_cached(USE_KEYS).await?;
    let last_used = column(|used| integer(used.last_used));
    let months = column(|used| used.relayed.month.into());
    let bytes = column(|used| integer(used.relayed.bytes));
    db.execute(&statement, &[&ids, &last_used, &months, &bytes])
        .await?;
    Ok(Written::Done)
}

/// One for each key, of the latest month: an update takes only one row of those that it is joined with.
fn folded(uses: &[KeyUse]) -> BTreeMap<&str, KeyUse> {
    let mut folded: BTreeMap<&str, KeyUse> = BTreeMap::new();
    for used in uses {
        let one = folded.entry(&used.id).or_insert_with(|| KeyUse {
            relayed: MonthUse::default(),
            ..used.clone()
        });
        one.last_used = one.last_used.max(used.last_used);
        let MonthUse { month, bytes } = used.relayed;
        if month > one.relayed.month {
            one.relayed = MonthUse { month, bytes: 0 };
        }
        if month == one.relayed.month {
            one.relayed.bytes += bytes;
        }
    }
    folded
}

const BAN: &str = "
    INSERT INTO bans (peer_id, reason, banned_by, banned_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (peer_id) DO UPDATE SET reason = excluded.reason, banned_by = excluded.banned_by,
                                        banned_at = excluded.banned_at";

pub(super) async fn ban_peer(db: &Transaction<'_>, ban: &Ban) -> Outcome<Written> {
    let statement = db.prepare_cached(BAN).await?;
    db.execute(
        &statement,
        &[ban.peer.as_uuid(), &ban.reason, &ban.by, &integer(ban.at)],
    )
    .await?;
    Ok(Written::Done)
}

pub(super) async fn unban_peer(db: &Transaction<'_>, peer: &PeerId) -> Outcome<Written> {
    let unban = db.prepare_cached("DELETE FROM bans WHERE peer_id = $1").await?;
    Ok(done_to(db.execute(&unban, &[peer.as_uuid()]).await?))
}

const AUDIT: &str = "
    WITH new AS (
        INSERT INTO audit (at, key_id, address, action, target, detail) VALUES ($1, $2, $3, $4, $5, $6) RETURNING id)
    DELETE FROM audit USING new WHERE audit.id <= new.id - $7";

pub(super) async fn add_audit(db: &Transaction<'_>, entry: &AuditEntry) -> Outcome<Written> {
    db.execute(
        &db.prepare_cached(AUDIT).await?,
        &[
            &integer(entry.at),
            &entry.key_id,
            &entry.address,
            &entry.action,
            &entry.target,
            &entry.detail,
            &i64::from(MOST_AUDITED),
        ],
    )
    .await?;
    Ok(Written::Done)
}

pub(super) async fn keys(client: &Client) -> Result<Vec<StoredKey>, StoreError> {
    let select = "SELECT id, digest, name, scope, created_at, expires_at, most_requests, most_connections, most_tunnels,
                         most_rate, most_month, last_used, used_month, used_bytes
                  FROM api_keys WHERE revoked_at IS NULL ORDER BY created_at, id";
    let select = client.prepare_cached(select).await?;
    client.query(&select, &[]).await?.iter().map(stored_key).collect()
}

fn stored_key(row: &Row) -> Result<StoredKey, StoreError> {
    Ok(StoredKey {
        id: row.try_get(0)?,
        digest: row::bytes32("api_keys.digest", row.try_get(1)?)?,
        name: row.try_get(2)?,
        scope: row::scope(row.try_get(3)?)?,
        created_at: row::number("api_keys.created_at", row.try_get(4)?)?,
        expires_at: optional("api_keys.expires_at", row.try_get(5)?)?,
        quota: KeyQuota {
            requests: optional("api_keys.most_requests", row.try_get(6)?)?,
            connections: optional("api_keys.most_connections", row.try_get(7)?)?,
            tunnels: optional("api_keys.most_tunnels", row.try_get(8)?)?,
            rate: optional("api_keys.most_rate", row.try_get(9)?)?,
            month: optional("api_keys.most_month", row.try_get(10)?)?,
        },
        last_used: optional("api_keys.last_used", row.try_get(11)?)?,
        month: MonthUse {
            month: row::number("api_keys.used_month", row.try_get(12)?)?,
            bytes: row::number("api_keys.used_bytes", row.try_get(13)?)?,
        },
    })
}

fn optional<T: TryFrom<i64>>(column: &'static str, value: Option<i64>) -> Result<Option<T>, StoreError> {
    value.map(|value| row::number(column, value)).transpose()
}

pub(super) async fn bans(client: &Client) -> Result<Vec<Ban>, StoreError> {
    let select = "SELECT peer_id, reason, banned_by, banned_at FROM bans ORDER BY banned_at, peer_id";
    let select = client.prepare_cached(select).await?;
    let ban = |row: &Row| {
        Ok(Ban {
            peer: PeerId::from_uuid(row.try_get::<_, Uuid>(0)?),
            reason: row.try_get(1)?,
            by: row.try_get(2)?,
            at: row::number("bans.banned_at", row.try_get(3)?)?,
        })
    };
    client.query(&select, &[]).await?.iter().map(ban).collect()
}

pub(super) async fn audit(
    client: &Client,
    before: Option<i64>,
    limit: u32,
) -> Result<Page<AuditEntry, i64>, StoreError> {
    let select = "SELECT id, at, key_id, address, action, target, detail FROM audit
                  WHERE id < $1 ORDER BY id DESC LIMIT $2";
    let select = client.prepare_cached(select).await?;
    let rows = client
        .query(&select, &[&before.unwrap_or(i64::MAX), &(i64::from(limit) + 1)])
        .await?;
    let shown = &rows[..rows.len().min(limit as usize)];
    let entry = |row: &Row| {
        Ok::<_, StoreError>(AuditEntry {
            at: row::number("audit.at", row.try_get(1)?)?,
            key_id: row.try_get(2)?,
            address: row.try_get(3)?,
            action: row.try_get(4)?,
            target: row.try_get(5)?,
            detail: row.try_get(6)?,
        })
    };
    let next = shown.last().filter(|_| rows.len() > shown.len());
    Ok(Page {
        items: shown.iter().map(entry).collect::<Result<_, _>>()?,
        next: next.map(|row| row.try_get(0)).transpose()?,
    })
}
