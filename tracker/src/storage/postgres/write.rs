//! The changes of a group, in one transaction.
//!
//! The frequent kinds go as arrays, a statement for each kind of a wave ([`super::plan`]). Two trackers of one database
//! may write about the same file at the same time; what only the loser of such a race sees is done again from the start.

use super::{
    files,
    plan::{Step, Wave, plan},
    read::integer,
    single,
};
use crate::storage::{StoreError, StoredPeer, Touch, Write, Written, row};
use deadpool_postgres::{Client, Transaction};
use p2p_shared::id::PeerId;
use std::collections::{BTreeMap, HashSet};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

/// How often a group is tried that loses a race each time.
const ATTEMPTS: usize = 4;

/// Why a group was not done.
pub(super) enum Failed {
    /// Another tracker wrote the same; the next attempt sees what.
    Raced(StoreError),
    /// It cannot be done.
    Store(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        let raced = [
            SqlState::UNIQUE_VIOLATION,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::T_R_SERIALIZATION_FAILURE,
        ];
        match error.code() {
            Some(code) if raced.contains(code) => Self::Raced(error.into()),
            _ => Self::Store(error.into()),
        }
    }
}

/// What a change comes to, or why all of its group comes to nothing.
pub(super) type Outcome<T> = Result<T, Failed>;

/// Does the writes in order and makes them durable; `home` is the replica that we are.
pub(super) async fn commit(
    client: &mut Client,
    writes: &[Write],
    home: i32,
) -> Result<Vec<Written>, StoreError> {
    let mut attempt = 1;
    loop {
        match commit_once(client, writes, home).await {
            Ok(written) => return Ok(written),
            Err(Failed::Raced(error)) if attempt < ATTEMPTS => {
                tracing::debug!(%error, attempt, "group begun again");
                attempt += 1;
            }
            Err(Failed::Raced(error) | Failed::Store(error)) => return Err(error),
        }
    }
}

async fn commit_once(client: &mut Client, writes: &[Write], home: i32) -> Outcome<Vec<Written>> {
    let db = client.transaction().await?;
    let mut written = vec![Written::Done; writes.len()];
    for step in plan(writes) {
        match step {
            Step::Wave(wave) => apply_wave(&db, writes, &wave, home, &mut written).await?,
            Step::Single(at) => written[at] = single::apply(&db, &writes[at]).await?,
        }
    }
    db.commit().await?;
    Ok(written)
}

async fn apply_wave(
    db: &Transaction<'_>,
    writes: &[Write],
    wave: &Wave,
    home: i32,
    written: &mut [Written],
) -> Outcome<()> {
    end_peers(db, writes, &wave.ends, home).await?;
    put_peers(db, writes, &wave.puts, home, written).await?;
    touch_peers(db, writes, &wave.touches, home).await?;
    files::add(db, writes, &wave.adds, written).await?;
    files::set_haves(db, writes, &wave.haves, written).await
}

/// Only peers that are at home here: one that moved to another replica is online there.
async fn end_peers(db: &Transaction<'_>, writes: &[Write], places: &[usize], home: i32) -> Outcome<()> {
    let ids: Vec<Uuid> = places
        .iter()
        .filter_map(|at| match &writes[*at] {
            Write::EndPeers(peers) => Some(peers),
            _ => None,
        })
        .flatten()
        .map(|peer| *peer.as_uuid())
        .collect();
    if ids.is_empty() {
        return Ok(());
    }
    let end = "UPDATE peers SET online = false, relayed = false WHERE peer_id = ANY($1) AND home = $2";
    db.execute(&db.prepare_cached(end).await?, &[&ids, &home]).await?;
    Ok(())
}

const PUT_PEERS: &str = "
    WITH put AS (
        INSERT INTO peers AS there (peer_id, public_key, session, observed, port, listed, upload, download, agent,
                                    registered_at, last_seen, online, home, relayed)
        SELECT *, $13::integer, false
        FROM unnest($1::uuid[], $2::bytea[], $3::bigint[], $4::text[], $5::integer[], $6::text[], $7::bigint[],
                    $8::bigint[], $9::text[], $10::bigint[], $11::bigint[], $12::boolean[])
        ON CONFLICT (peer_id) DO UPDATE SET session = excluded.session, observed = excluded.observed,
            port = excluded.port, listed = excluded.listed, upload = excluded.upload, download = excluded.download,
            agent = excluded.agent, registered_at = excluded.registered_at, last_seen = excluded.last_seen,
            online = excluded.online, home = excluded.home, relayed = false
        WHERE there.public_key = excluded.public_key
        RETURNING there.id, there.peer_id),
    forgotten AS (DELETE FROM file_peers USING put WHERE file_peers.peer = put.id)
    SELECT peer_id FROM put";

async fn put_peers(
    db: &Transaction<'_>,
    writes: &[Write],
    places: &[usize],
    home: i32,
    written: &mut [Written],
) -> Outcome<()> {
    // In the order of their ids: trackers that write about the same peers wait for each other instead of for ever.
    let mut peers: Vec<(Uuid, usize, &StoredPeer)> = places
        .iter()
        .filter_map(|at| match &writes[*at] {
            Write::PutPeer(peer) => Some((*peer.peer_id().as_uuid(), *at, peer)),
            _ => None,
        })
        .collect();
    if peers.is_empty() {
        return Ok(());
    }
    peers.sort_unstable_by_key(|(id, ..)| *id);
    let column = |of: fn(&StoredPeer) -> i64| peers.iter().map(|(.., peer)| of(peer)).collect::<Vec<_>>();
    let text = |of: fn(&StoredPeer) -> String| peers.iter().map(|(.., peer)| of(peer)).collect::<Vec<_>>();
    let rate = |of: fn(&StoredPeer) -> Option<u64>| {
        let rates = peers.iter().map(|(.., peer)| of(peer).map(integer));
        rates.collect::<Vec<_>>()
    };
    let ids: Vec<Uuid> = peers.iter().map(|(id, ..)| *id).collect();
    let keys: Vec<&[u8]> = peers.iter().map(|(.., peer)| &peer.public_key.0[..]).collect();
    let ports: Vec<i32> = peers.iter().map(|(.., peer)| peer.contact.port.into()).collect();
    let online: Vec<bool> = peers.iter().map(|(.., peer)| peer.online).collect();
    let rows = db
        .query(
            &db.prepare_cached(PUT_PEERS).await?,
            &[
                &ids,
                &keys,
                &column(|peer| integer(peer.session)),
                &text(|peer| peer.contact.observed.to_string()),
                &ports,
                &text(|peer| row::addresses_text(&peer.contact.listed)),
                &rate(|peer| peer.bandwidth.and_then(|bandwidth| bandwidth.upload)),
                &rate(|peer| peer.bandwidth.and_then(|bandwidth| bandwidth.download)),
                &text(|peer| peer.agent.clone()),
                &column(|peer| integer(peer.registered_at)),
                &column(|peer| integer(peer.last_seen)),
                &online,
                &home,
            ],
        )
        .await?;
    let put: HashSet<Uuid> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    for (id, at, _) in peers {
        if !put.contains(&id) {
            written[at] = Written::IdTaken;
        }
    }
    Ok(())
}

// A touch that is older than what is there comes from before a restart of the registry.
const TOUCH_PEERS: &str = "
    UPDATE peers SET last_seen = greatest(peers.last_seen, new.last_seen),
                     online = online OR peers.last_seen <= new.last_seen,
                     observed = coalesce(new.observed, peers.observed), port = coalesce(new.port, peers.port),
                     listed = coalesce(new.listed, peers.listed), relayed = new.relayed
    FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::integer[], $5::text[], $6::boolean[])
         AS new (peer_id, last_seen, observed, port, listed, relayed)
    WHERE peers.peer_id = new.peer_id AND home = $7
          AND (peers.last_seen <= new.last_seen OR new.port IS NOT NULL OR peers.relayed <> new.relayed)";

async fn touch_peers(db: &Transaction<'_>, writes: &[Write], places: &[usize], home: i32) -> Outcome<()> {
    let touches = places.iter().filter_map(|at| match &writes[*at] {
        Write::TouchPeers(touches) => Some(touches),
        _ => None,
    });
    let touches = folded(touches.flatten());
    if touches.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = touches.keys().map(|peer| *peer.as_uuid()).collect();
    let seen: Vec<i64> = touches.values().map(|touch| integer(touch.last_seen)).collect();
    let contacts = || touches.values().map(|touch| touch.contact.as_ref());
    let observed: Vec<Option<String>> = contacts()
        .map(|contact| Some(contact?.observed.to_string()))
        .collect();
    let ports: Vec<Option<i32>> = contacts().map(|contact| Some(contact?.port.into())).collect();
    let listed: Vec<Option<String>> = contacts()
        .map(|contact| Some(row::addresses_text(&contact?.listed)))
        .collect();
    let relayed: Vec<bool> = touches.values().map(|touch| touch.is_relayed).collect();
    let touch = db.prepare_cached(TOUCH_PEERS).await?;
    db.execute(
        &touch,
        &[&ids, &seen, &observed, &ports, &listed, &relayed, &home],
    )
    .await?;
    Ok(())
}

/// One touch a peer: when it was heard of last, and where it was last said to be.
fn folded<'a>(touches: impl Iterator<Item = &'a Touch>) -> BTreeMap<PeerId, Touch> {
    let mut folded: BTreeMap<PeerId, Touch> = BTreeMap::new();
    for touch in touches {
        let one = folded.entry(touch.peer).or_insert_with(|| touch.clone());
        one.last_seen = one.last_seen.max(touch.last_seen);
        one.is_relayed = touch.is_relayed;
        if touch.contact.is_some() {
            one.contact.clone_from(&touch.contact);
        }
    }
    folded
}
