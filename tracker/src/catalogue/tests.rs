//! Announcements that meet others on the way.

use super::announce::{Announcing, Progress, Run};
use crate::{
    registry::swarm::Role,
    storage::{Announcer, Write, Written},
    testing::{content, file_of, live::Live},
};
use p2p_shared::{
    hash::HashAlgorithm,
    id::{ChunkHash, PublicKey},
    manifest::Manifest,
};
use std::sync::Arc;

const ANNA: PublicKey = PublicKey([1; 32]);
const BERT: PublicKey = PublicKey([2; 32]);

async fn announcing(live: &Live, key: PublicKey) -> Announcing {
    Announcing {
        registry: live.registry.clone(),
        writer: live.writer.clone(),
        store: Arc::clone(&live.store),
        clock: live.clock,
        session: live.register(key).await,
        key,
    }
}

fn three_chunks() -> (Manifest, Vec<ChunkHash>) {
    file_of(HashAlgorithm::Sha256, &content(1, 600_000))
}

fn append(file: &Manifest, first: u32, digests: &[ChunkHash]) -> Write {
    Write::AppendDigests {
        file: Box::new(file.clone()),
        first,
        digests: digests.to_vec(),
        by: Announcer { peer: ANNA, at: 1 },
    }
}

#[actix_rt::test]
async fn who_brings_a_file_that_another_has_just_brought_is_not_told_that_it_is_unknown() {
    let live = Live::start(Vec::new()).await;
    let (file, hashes) = three_chunks();
    // Where the other one stands: in the store, not in the registry yet.
    let other = Write::AddFile {
        file: Box::new(file.clone()),
        digests: hashes.clone(),
        by: Announcer { peer: BERT, at: 1 },
    };
    live.writer.commit(other).await.unwrap();
    let anna = announcing(&live, ANNA).await;
    let run = Run { first: 0, hashes };
    let progress = anna.file(file.clone(), run, Some(Role::Seeder)).await.unwrap();
    assert_eq!(progress, Progress::Complete { chunks: 3 });
    assert_eq!(live.registry.counts(vec![file.hash]).await.unwrap(), [(1, 0)]);
}

#[actix_rt::test]
async fn a_record_begun_anew_while_it_was_checked_is_not_finished_unchecked() {
    let live = Live::start(Vec::new()).await;
    let (file, hashes) = three_chunks();
    let mut lie = file.clone();
    lie.merkle_root.0[0] ^= 1;
    live.writer.commit(append(&file, 0, &hashes)).await.unwrap();
    let checked = live.store.unfinished(file.hash, ANNA).await.unwrap().unwrap();
    // Two calls of the same peer, while the check of the first record is under way.
    live.writer.commit(append(&lie, 0, &hashes[..1])).await.unwrap();
    live.writer.commit(append(&lie, 1, &hashes[1..])).await.unwrap();
    let finish = Write::FinishFile {
        record: checked.id,
        by: Announcer { peer: ANNA, at: 2 },
    };
    assert_eq!(live.writer.commit(finish).await.unwrap(), Written::Missing);
    assert_eq!(live.store.file(file.hash).await.unwrap(), None);
}

#[actix_rt::test]
async fn what_is_checked_is_the_record_in_the_store() {
    let live = Live::start(Vec::new()).await;
    let (file, hashes) = three_chunks();
    let anna = announcing(&live, ANNA).await;
    let part = |first: u32, hashes: &[ChunkHash]| Run {
        first,
        hashes: hashes.to_vec(),
    };
    let seeder = Some(Role::Seeder);
    let begun = anna
        .file(file.clone(), part(0, &hashes[..2]), seeder)
        .await
        .unwrap();
    assert_eq!(begun, Progress::Wanted { next_chunk: 2 });
    let whole = anna
        .file(file.clone(), part(2, &hashes[2..]), seeder)
        .await
        .unwrap();
    assert_eq!(whole, Progress::Complete { chunks: 3 });
    assert_eq!(
        live.store.digests(file.hash, 0..3).await.unwrap(),
        Some(hashes.clone())
    );

    let mut lie = file_of(HashAlgorithm::Sha256, &content(2, 600_000));
    lie.0.merkle_root.0[0] ^= 1;
    anna.file(lie.0.clone(), part(0, &lie.1[..2]), seeder)
        .await
        .unwrap();
    anna.file(lie.0.clone(), part(2, &lie.1[2..]), seeder)
        .await
        .unwrap_err();
    assert_eq!(live.store.file(lie.0.hash).await.unwrap(), None);
    assert_eq!(live.store.unfinished(lie.0.hash, ANNA).await.unwrap(), None);
}
