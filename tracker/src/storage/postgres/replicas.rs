//! The other trackers of the database: which of them are there, and who is in the swarms of those at home with them.
//!
//! All by the database's clock: a peer counts while its lease runs, whatever became of its tracker, and its tracker's relay while that
//! tracker is heard of.

use super::{Replica, read};
use crate::storage::{Elsewhere, PeerElsewhere, StoreError, row};
use deadpool_postgres::Client;
use p2p_shared::id::FileHash;
use std::collections::HashMap;

/// Peers of a swarm that are read at most: twice the largest hand-out, since not everybody can be handed to everybody.
const MOST: i64 = 400;

const TAKE_HOME: &str = "
    INSERT INTO replicas AS there (name, relay_url, started_at, heard_at)
    VALUES ($1, $2, now_millis(), now_millis())
    ON CONFLICT (name) DO UPDATE SET relay_url = excluded.relay_url, started_at = excluded.started_at,
                                     heard_at = excluded.heard_at
    RETURNING id";

/// Takes the row of a tracker, which may have been one of an earlier run of it.
pub(super) async fn take_home(client: &Client, replica: &Replica) -> Result<i32, StoreError> {
    let durable = "SELECT current_setting('synchronous_commit') <> 'off'";
    if !client.query_one(durable, &[]).await?.try_get(0)? {
        let detail = "synchronous_commit is off, so what is acknowledged could be lost; ALTER ROLE … SET synchronous_commit = on";
        return Err(StoreError::Database(detail.to_owned()));
    }
    let row = client
        .query_one(TAKE_HOME, &[&replica.name, &replica.relay_url])
        .await?;
    Ok(row.try_get(0)?)
}

/// Says that the tracker is there. What time it is.
pub(super) async fn beat(client: &Client, home: i32) -> Result<u64, StoreError> {
    let beat = "UPDATE replicas SET heard_at = now_millis() WHERE id = $1 RETURNING heard_at";
    let beat = client.prepare_cached(beat).await?;
    row::number(
        "replicas.heard_at",
        client.query_one(&beat, &[&home]).await?.try_get(0)?,
    )
}

/// Says that the tracker goes.
pub(super) async fn farewell(client: &Client, home: i32) -> Result<(), StoreError> {
    client
        .execute("UPDATE replicas SET heard_at = 0 WHERE id = $1", &[&home])
        .await?;
    Ok(())
}

// `$4` is how long (in milliseconds) a relay counts after its tracker was heard of.
const SWARM: &str = "
    SELECT peers.id, public_key, session, observed, port, listed, upload, download, agent, registered_at, last_seen, online,
           (SELECT count(*) FROM file_peers AS all_of WHERE all_of.peer = peers.id), seeder,
           CASE WHEN relayed AND heard_at >= now_millis() - $4 THEN relay_url END
    FROM files JOIN file_peers ON file_peers.file = files.id JOIN peers ON peers.id = file_peers.peer
               JOIN replicas ON replicas.id = peers.home
    WHERE files.hash = $1 AND files.complete AND online AND home <> $2 AND last_seen >= now_millis() - $3
    ORDER BY random() LIMIT $5";

/// The peers of a file that are at home elsewhere; another choice each time if there are many.
pub(super) async fn elsewhere(
    client: &Client,
    home: i32,
    hash: &FileHash,
    lease: i64,
    relay_heard: i64,
) -> Result<Elsewhere, StoreError> {
    let select = client.prepare_cached(SWARM).await?;
    let rows = client
        .query(&select, &[&&hash.0[..], &home, &lease, &relay_heard, &MOST])
        .await?;
    let mut peers = Vec::with_capacity(rows.len());
    for row in &rows {
        let (peer, files) = read::peer_and_files(row)?;
        peers.push(PeerElsewhere {
            peer,
            files,
            is_seeder: row.try_get(13)?,
            relay_url: row.try_get(14)?,
        });
    }
    let counts = counts_elsewhere(client, home, &[*hash], lease).await?;
    let (seeders, leechers) = counts.get(hash).copied().unwrap_or_default();
    Ok(Elsewhere {
        peers,
        seeders,
        leechers,
    })
}

const COUNTS: &str = "
    SELECT hash, count(*) FILTER (WHERE seeder), count(*) FILTER (WHERE NOT seeder)
    FROM files JOIN file_peers ON file_peers.file = files.id JOIN peers ON peers.id = file_peers.peer
    WHERE hash = ANY($1) AND complete AND online AND home <> $2 AND last_seen >= now_millis() - $3
    GROUP BY hash";

/// Seeders and leechers of files that are at home elsewhere; a file without any is left out.
pub(super) async fn counts_elsewhere(
    client: &Client,
    home: i32,
    hashes: &[FileHash],
    lease: i64,
) -> Result<HashMap<FileHash, (u32, u32)>, StoreError> {
    let hashes: Vec<&[u8]> = hashes.iter().map(|hash| &hash.0[..]).collect();
    let select = client.prepare_cached(COUNTS).await?;
    let count = |row: &tokio_postgres::Row| {
        let hash = FileHash(row::bytes32("files.hash", row.try_get(0)?)?);
        let count = |at| row::number("file_peers", row.try_get(at)?);
        Ok((hash, (count(1)?, count(2)?)))
    };
    client
        .query(&select, &[&hashes, &home, &lease])
        .await?
        .iter()
        .map(count)
        .collect()
}
