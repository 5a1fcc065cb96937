//! Whole file records and memberships of a wave.

use super::{
    read::{self, integer},
    write::{Failed, Outcome},
};
use crate::storage::{Announcer, DIGESTS_A_ROW, StoreError, Write, Written, row, same_content};
use deadpool_postgres::Transaction;
use p2p_shared::{
    chunker::CHUNK_SIZE,
    id::{ChunkHash, FileHash, PeerId},
    manifest::Manifest,
};
use std::collections::HashMap;
use uuid::Uuid;

/// Deletes file records with all that belongs to them; how many. `condition` is about `files`.
macro_rules! delete_files {
    ($condition:literal) => {
        concat!(
            "WITH gone AS (DELETE FROM files WHERE ",
            $condition,
            " RETURNING id), gone_chunks AS (DELETE FROM chunks USING gone WHERE chunks.file = gone.id),
               gone_members AS (DELETE FROM file_peers USING gone WHERE file_peers.file = gone.id)
             SELECT count(*) FROM gone"
        )
    };
}
pub(super) use delete_files;

const DROP_UNFINISHED: &str = delete_files!(
    "NOT complete AND (announced_by, hash) IN (SELECT * FROM unnest($1::bytea[], $2::bytea[]))"
);

/// In the order of their hashes, so that trackers that add the same files do not wait for each other in a circle. Of two
/// whole records of a hash the first stays.
const INSERT_FILES: &str = "
    INSERT INTO files (hash, algorithm, name, folded_name, kind, size, chunk_size, merkle_root, mode,
                       modified_seconds, modified_nanos, announced_by, announced_at, complete)
    SELECT hash, algorithm, name, folded_name, kind, size, $13::integer, merkle_root, mode, modified_seconds,
           modified_nanos, announced_by, announced_at, $14::boolean
    FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bytea[], $8::bigint[],
                $9::bigint[], $10::bigint[], $11::bytea[], $12::bigint[])
         AS new (hash, algorithm, name, folded_name, kind, size, merkle_root, mode, modified_seconds, modified_nanos,
                 announced_by, announced_at)
    ORDER BY hash
    ON CONFLICT DO NOTHING
    RETURNING hash, id";

const INSERT_CHUNKS: &str = "
    INSERT INTO chunks (file, first_index, hashes) SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bytea[])";

type Record<'w> = (&'w Manifest, &'w [ChunkHash], &'w Announcer);

/// Puts whole records into the catalogue.
pub(super) async fn add(
    db: &Transaction<'_>,
    writes: &[Write],
    places: &[usize],
    written: &mut [Written],
) -> Outcome<()> {
    let records: Vec<(usize, Record<'_>)> = places
        .iter()
        .filter_map(|at| match &writes[*at] {
            Write::AddFile { file, digests, by } => Some((*at, (&**file, &digests[..], by))),
            _ => None,
        })
        .collect();
    if records.is_empty() {
        return Ok(());
    }
    drop_unfinished(db, records.iter().map(|(_, (file, _, by))| (&file.hash, *by))).await?;
    let ids = insert(db, records.iter().map(|(_, (file, _, by))| (*file, *by)), true).await?;
    let chunks = records
        .iter()
        .filter_map(|(_, (file, digests, _))| Some((*ids.get(&file.hash)?, 0, *digests)));
    insert_chunks(db, chunks).await?;
    let others: Vec<&[u8]> = records
        .iter()
        .filter(|(_, (file, ..))| !ids.contains_key(&file.hash))
        .map(|(_, (file, ..))| &file.hash.0[..])
        .collect();
    let known = read::whole_files(db, &others).await?;
    for (at, (file, ..)) in records {
        written[at] = match (ids.contains_key(&file.hash), known.get(&file.hash)) {
            (true, _) => Written::Added,
            (false, Some(there)) if same_content(&there.file, file) => Written::Known,
            (false, Some(there)) => Written::Differs(Box::new(there.file.clone())),
            // It stood in our way and was removed before we looked.
            (false, None) => {
                return Err(Failed::Raced(StoreError::Database(
                    "a file came and went".to_owned(),
                )));
            }
        };
    }
    Ok(())
}

/// Drops the unfinished records of these files and announcers.
pub(super) async fn drop_unfinished<'a>(
    db: &Transaction<'_>,
    records: impl Iterator<Item = (&'a FileHash, &'a Announcer)>,
) -> Outcome<i64> {
    let (hashes, peers): (Vec<&[u8]>, Vec<&[u8]>) =
        records.map(|(hash, by)| (&hash.0[..], &by.peer.0[..])).unzip();
    let drop = db.prepare_cached(DROP_UNFINISHED).await?;
    Ok(db.query_one(&drop, &[&peers, &hashes]).await?.try_get(0)?)
}

/// Inserts records; the ids of those that were not there already.
pub(super) async fn insert<'a>(
    db: &Transaction<'_>,
    records: impl Iterator<Item = (&'a Manifest, &'a Announcer)>,
    complete: bool,
) -> Outcome<HashMap<FileHash, i64>> {
    let records: Vec<(&Manifest, &Announcer)> = records.collect();
    let bytes =
        |of: fn(&'a Manifest) -> &'a [u8]| records.iter().map(|(file, _)| of(file)).collect::<Vec<_>>();
    let text = |of: fn(&Manifest) -> String| records.iter().map(|(file, _)| of(file)).collect::<Vec<_>>();
    let number = |of: fn(&Manifest) -> i64| records.iter().map(|(file, _)| of(file)).collect::<Vec<_>>();
    let by: Vec<&[u8]> = records.iter().map(|(_, by)| &by.peer.0[..]).collect();
    let at: Vec<i64> = records.iter().map(|(_, by)| integer(by.at)).collect();
    let rows = db
        .query(
            &db.prepare_cached(INSERT_FILES).await?,
            &[
                &bytes(|file| &file.hash.0),
                &text(|file| file.algorithm.to_string()),
                &text(|file| file.name.as_str().to_owned()),
                &text(|file| row::folded(file.name.as_str())),
                &text(|file| row::kind_text(file.kind).to_owned()),
                &number(|file| integer(file.size)),
                &bytes(|file| &file.merkle_root.0),
                &number(|file| file.mode.into()),
                &number(|file| file.modified.seconds),
                &number(|file| file.modified.nanos.into()),
                &by,
                &at,
                &(CHUNK_SIZE as i32),
                &complete,
            ],
        )
        .await?;
    let id = |row: &tokio_postgres::Row| {
        let hash = row::bytes32("files.hash", row.try_get(0)?)?;
        Ok((FileHash(hash), row.try_get(1)?))
    };
    rows.iter().map(id).collect()
}

/// Inserts runs of digests: of which record, from which chunk on.
pub(super) async fn insert_chunks<'a>(
    db: &Transaction<'_>,
    runs: impl Iterator<Item = (i64, u32, &'a [ChunkHash])>,
) -> Outcome<()> {
    let (mut files, mut firsts, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
    for (file, first, digests) in runs {
        let starts = (first..).step_by(DIGESTS_A_ROW as usize);
        for (start, run) in starts.zip(digests.chunks(DIGESTS_A_ROW as usize)) {
            files.push(file);
            firsts.push(start.cast_signed());
            hashes.push(row::digest_bytes(run));
        }
    }
    if !files.is_empty() {
        let insert = db.prepare_cached(INSERT_CHUNKS).await?;
        db.execute(&insert, &[&files, &firsts, &hashes]).await?;
    }
    Ok(())
}

const SET_HAVES: &str = "
    WITH found AS (
        SELECT new.place, peers.id AS peer, files.id AS file, new.seeder
        FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::boolean[], $5::bigint[])
             AS new (peer_id, public_key, hash, seeder, place)
        JOIN peers ON peers.peer_id = new.peer_id AND peers.public_key = new.public_key
        JOIN files ON files.hash = new.hash AND files.complete),
    joined AS (
        INSERT INTO file_peers (peer, file, seeder)
        SELECT peer, file, seeder FROM found WHERE seeder IS NOT NULL ORDER BY peer, file
        ON CONFLICT (peer, file) DO UPDATE SET seeder = excluded.seeder),
    gone AS (
        DELETE FROM file_peers USING found
        WHERE found.seeder IS NULL AND file_peers.peer = found.peer AND file_peers.file = found.file)
    SELECT place FROM found";

/// Writes down who holds what.
pub(super) async fn set_haves(
    db: &Transaction<'_>,
    writes: &[Write],
    places: &[usize],
    written: &mut [Written],
) -> Outcome<()> {
    let (mut ids, mut keys, mut hashes): (Vec<Uuid>, Vec<&[u8]>, Vec<&[u8]>) = Default::default();
    let mut seeders: Vec<Option<bool>> = Vec::new();
    for at in places {
        if let Write::SetHave { hash, peer, seeder } = &writes[*at] {
            ids.push(*PeerId::of(peer).as_uuid());
            keys.push(&peer.0);
            hashes.push(&hash.0);
            seeders.push(*seeder);
            written[*at] = Written::Missing;
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    let numbers: Vec<i64> = (0..).take(ids.len()).collect();
    let set = db.prepare_cached(SET_HAVES).await?;
    for row in db
        .query(&set, &[&ids, &keys, &hashes, &seeders, &numbers])
        .await?
    {
        let number: i64 = row.try_get(0)?;
        written[places[number as usize]] = Written::Done;
    }
    Ok(())
}
