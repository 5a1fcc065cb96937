//! Records that come in several runs of digests.

use super::{ANNA, BERT, append, by, large, write};
use crate::storage::{Announcer, DIGESTS_A_ROW, Search, Store, UNFINISHED_A_PEER, Write, Written};
use p2p_shared::id::FileHash;

/// The write that makes the record that this announcer has not finished visible.
async fn finish(store: &dyn Store, hash: FileHash, by: Announcer) -> Write {
    let unfinished = store.unfinished(hash, by.peer).await.unwrap().unwrap();
    Write::FinishFile {
        record: unfinished.id,
        by,
    }
}

pub(crate) async fn a_large_record_comes_in_runs_and_is_seen_when_finished(store: &dyn Store) {
    let record = large(5000);
    let hash = record.0.hash;
    assert_eq!(
        append(store, &record, 0..3000, by(ANNA, 5)).await,
        Written::Wanted(3000)
    );
    assert_eq!(
        append(store, &record, 3000..5000, by(ANNA, 6)).await,
        Written::Wanted(5000)
    );
    assert_eq!(store.file(hash).await.unwrap(), None);
    assert!(
        store
            .files(Search {
                limit: 10,
                ..Search::default()
            })
            .await
            .unwrap()
            .items
            .is_empty()
    );
    let unfinished = store.unfinished_digests(hash, ANNA, 0..5000).await.unwrap();
    assert_eq!(unfinished.as_deref(), Some(record.1.as_slice()));

    let finish = finish(store, hash, by(ANNA, 7)).await;
    assert_eq!(write(store, finish.clone()).await, Written::Added);
    assert_eq!(store.file(hash).await.unwrap().unwrap().announced_at, 7);
    assert_eq!(
        store.digests(hash, 0..5000).await.unwrap(),
        Some(record.1.clone())
    );
    assert_eq!(write(store, finish).await, Written::Missing);
    assert_eq!(append(store, &record, 0..10, by(BERT, 8)).await, Written::Known);
}

pub(crate) async fn runs_out_of_order_are_answered_with_the_one_wanted(store: &dyn Store) {
    let record = large(5000);
    assert_eq!(
        append(store, &record, 1000..2000, by(ANNA, 5)).await,
        Written::Wanted(0)
    );
    assert_eq!(
        append(store, &record, 0..1000, by(ANNA, 5)).await,
        Written::Wanted(1000)
    );
    // The same run again, as after a lost answer.
    assert_eq!(
        append(store, &record, 0..1000, by(ANNA, 5)).await,
        Written::Wanted(1000)
    );
    assert_eq!(
        append(store, &record, 3000..4000, by(ANNA, 5)).await,
        Written::Wanted(1000)
    );
    let digests = store
        .unfinished_digests(record.0.hash, ANNA, 0..5000)
        .await
        .unwrap();
    assert_eq!(digests.as_deref(), Some(&record.1[..1000]));
}

pub(crate) async fn one_peer_cannot_spoil_what_another_is_sending(store: &dyn Store) {
    let record = large(2000);
    let hash = record.0.hash;
    let mut lies = record.clone();
    lies.1.iter_mut().for_each(|digest| digest.0[31] ^= 1);
    append(store, &record, 0..1000, by(ANNA, 5)).await;
    assert_eq!(
        append(store, &lies, 1000..2000, by(BERT, 6)).await,
        Written::Wanted(0)
    );
    assert_eq!(
        append(store, &lies, 0..2000, by(BERT, 6)).await,
        Written::Wanted(2000)
    );
    append(store, &record, 1000..2000, by(ANNA, 7)).await;
    let finished = finish(store, hash, by(ANNA, 8)).await;
    assert_eq!(write(store, finished).await, Written::Added);
    assert_eq!(store.digests(hash, 0..2000).await.unwrap(), Some(record.1));
    // The other one comes too late, and what it sent is gone.
    let finished = finish(store, hash, by(BERT, 9)).await;
    assert_eq!(write(store, finished).await, Written::Known);
    assert_eq!(store.unfinished_digests(hash, BERT, 0..2000).await.unwrap(), None);
}

pub(crate) async fn a_peer_that_begins_too_many_records_loses_the_oldest(store: &dyn Store) {
    let most = UNFINISHED_A_PEER as usize;
    let records: Vec<_> = (0..=u64::from(UNFINISHED_A_PEER))
        .map(|number| {
            let mut record = large(2000);
            record.0.hash.0[..8].copy_from_slice(&number.to_be_bytes());
            record
        })
        .collect();
    let begun = async |number: usize, peer| {
        let hash = records[number].0.hash;
        store.unfinished(hash, peer).await.unwrap().is_some()
    };
    append(store, &records[0], 0..10, by(BERT, 1)).await;
    for (number, record) in records[..most].iter().enumerate() {
        append(store, record, 0..10, by(ANNA, number as u64)).await;
    }
    // Going on with the first makes the second the oldest.
    append(store, &records[0], 10..20, by(ANNA, 50)).await;
    append(store, &records[most], 0..10, by(ANNA, 51)).await;
    assert!(begun(0, ANNA).await && begun(most, ANNA).await);
    assert!(!begun(1, ANNA).await && begun(2, ANNA).await);
    assert!(begun(0, BERT).await, "what others send is theirs");
    // Who lost it is told to begin anew.
    let again = append(store, &records[1], 10..20, by(ANNA, 52)).await;
    assert_eq!(again, Written::Wanted(0));
}

pub(crate) async fn a_run_under_other_metadata_begins_anew(store: &dyn Store) {
    let record = large(2000);
    append(store, &record, 0..1000, by(ANNA, 5)).await;
    let mut other = record.clone();
    other.0.merkle_root.0[0] ^= 1;
    assert_eq!(
        append(store, &other, 1000..2000, by(ANNA, 6)).await,
        Written::Wanted(0)
    );
    assert_eq!(
        append(store, &other, 0..500, by(ANNA, 6)).await,
        Written::Wanted(500)
    );
}

pub(crate) async fn an_unfinished_record_can_be_dropped_or_grows_too_old(store: &dyn Store) {
    let record = large(2000);
    let hash = record.0.hash;
    append(store, &record, 0..1000, by(ANNA, 5)).await;
    let drop = Write::DropUnfinished { hash, peer: ANNA };
    assert_eq!(write(store, drop.clone()).await, Written::Done);
    assert_eq!(write(store, drop).await, Written::Missing);
    assert_eq!(
        append(store, &record, 1000..2000, by(ANNA, 5)).await,
        Written::Wanted(0)
    );

    append(store, &record, 0..1000, by(BERT, 10)).await;
    write(store, Write::DropUnfinishedBefore(10)).await;
    assert_eq!(store.unfinished_digests(hash, ANNA, 0..1).await.unwrap(), None);
    assert!(
        store
            .unfinished_digests(hash, BERT, 0..1)
            .await
            .unwrap()
            .is_some()
    );
    // Going on with it counts as a sign of life.
    append(store, &record, 1000..1500, by(BERT, 20)).await;
    write(store, Write::DropUnfinishedBefore(11)).await;
    assert!(
        store
            .unfinished_digests(hash, BERT, 0..1)
            .await
            .unwrap()
            .is_some()
    );
}

pub(crate) async fn digests_are_read_by_range_whatever_rows_they_lie_in(store: &dyn Store) {
    let record = large(3 * DIGESTS_A_ROW + 100);
    let (hash, digests) = (record.0.hash, &record.1);
    // Runs of odd lengths make rows that begin anywhere.
    let mut start = 0;
    for length in [1, 1023, 1025, 700, 423] {
        append(store, &record, start..start + length, by(ANNA, 5)).await;
        start += length;
    }
    assert_eq!(start, digests.len());
    let finished = finish(store, hash, by(ANNA, 6)).await;
    write(store, finished).await;
    for (from, to) in [
        (0, 1),
        (0, 3172),
        (1, 2),
        (1023, 1025),
        (1024, 2049),
        (2748, 2750),
        (3171, 3172),
        (5, 5),
    ] {
        let read = store.digests(hash, from..to).await.unwrap().unwrap();
        assert_eq!(read, digests[from as usize..to as usize], "{from}..{to}");
    }
    assert_eq!(
        store.digests(hash, 3170..9999).await.unwrap().unwrap(),
        digests[3170..]
    );
    assert_eq!(
        store.digests(hash, 9999..u32::MAX).await.unwrap(),
        Some(Vec::new())
    );
}

pub(crate) async fn a_record_begun_anew_is_not_the_one_that_was_checked(store: &dyn Store) {
    let record = large(2000);
    let hash = record.0.hash;
    append(store, &record, 0..2000, by(ANNA, 5)).await;
    let checked = finish(store, hash, by(ANNA, 6)).await;
    let mut other = record.clone();
    other.0.merkle_root.0[0] ^= 1;
    append(store, &other, 0..2000, by(ANNA, 6)).await;
    assert_eq!(write(store, checked.clone()).await, Written::Missing);
    // Nor is it another peer's to finish.
    let theirs = finish(store, hash, by(ANNA, 7)).await;
    let Write::FinishFile { record, .. } = theirs else {
        unreachable!()
    };
    let stolen = Write::FinishFile {
        record,
        by: by(BERT, 7),
    };
    assert_eq!(write(store, stolen).await, Written::Missing);
    assert_eq!(store.file(hash).await.unwrap(), None);
}
