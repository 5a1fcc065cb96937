//! Peers, memberships, and what a commit is.

use super::{ANNA, BERT, add, by, have, peer, small, write};
use crate::storage::{Contact, Store, StoredPeer, Touch, Write, Written};
use p2p_shared::id::{FileHash, PublicKey};

pub(crate) async fn a_peer_reads_back_and_a_new_registration_replaces_it(store: &dyn Store) {
    let first = peer(ANNA, 5);
    assert_eq!(write(store, Write::PutPeer(first.clone())).await, Written::Done);
    let record = small(1);
    add(store, &record, by(ANNA, 5)).await;
    have(store, record.0.hash, ANNA, Some(true)).await;
    assert_eq!(
        store.peer(first.peer_id()).await.unwrap(),
        Some((first.clone(), 1))
    );

    let mut second = peer(ANNA, 9);
    second.contact.listed = [].into();
    second.contact.observed = "2001:db8::1".parse().unwrap();
    second.bandwidth = None;
    write(store, Write::PutPeer(second.clone())).await;
    assert_eq!(store.peer(first.peer_id()).await.unwrap(), Some((second, 0)));
    assert_eq!(store.known_peers().await.unwrap(), 1);
    assert_eq!(store.peer(peer(BERT, 5).peer_id()).await.unwrap(), None);
}

pub(crate) async fn peers_are_listed_in_the_order_of_their_ids(store: &dyn Store) {
    let peers: Vec<_> = (1..=5).map(|seed| peer(PublicKey([seed; 32]), 5)).collect();
    store
        .commit(peers.iter().cloned().map(Write::PutPeer).collect())
        .await
        .unwrap();
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = store.peers(after, 2).await.unwrap();
        seen.extend(page.items.iter().map(|(peer, _)| peer.peer_id()));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let mut expected: Vec<_> = peers.iter().map(StoredPeer::peer_id).collect();
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

pub(crate) async fn a_snapshot_holds_who_is_online_and_what_they_have(store: &dyn Store) {
    let (one, two) = (small(1), small(2));
    let silent = PublicKey([3; 32]);
    for (key, at) in [(ANNA, 100), (BERT, 100), (silent, 50)] {
        write(store, Write::PutPeer(peer(key, at))).await;
    }
    for record in [&one, &two] {
        add(store, record, by(ANNA, 100)).await;
    }
    have(store, one.0.hash, ANNA, Some(true)).await;
    have(store, two.0.hash, ANNA, Some(false)).await;
    have(store, two.0.hash, ANNA, None).await;
    have(store, two.0.hash, BERT, Some(false)).await;
    have(store, two.0.hash, silent, Some(true)).await;
    write(store, Write::EndPeers(vec![peer(BERT, 0).peer_id()])).await;

    let snapshot = store.snapshot(60).await.unwrap();
    assert_eq!(snapshot.peers, [peer(ANNA, 100)]);
    let mut files = snapshot.files.clone();
    files.sort_unstable_by_key(|(hash, _)| *hash);
    let mut expected = [(one.0.hash, 1000), (two.0.hash, 1000)];
    expected.sort_unstable_by_key(|(hash, _)| *hash);
    assert_eq!(files, expected);
    let members: Vec<_> = snapshot
        .members
        .iter()
        .map(|(peer, file, seeder)| (*peer, snapshot.files[*file as usize].0, *seeder))
        .collect();
    assert_eq!(members, [(0, one.0.hash, true)]);
}

pub(crate) async fn an_old_touch_does_not_turn_time_back(store: &dyn Store) {
    let anna = peer(ANNA, 100);
    write(store, Write::PutPeer(anna.clone())).await;
    let touch = |last_seen, contact| Touch {
        peer: anna.peer_id(),
        last_seen,
        contact,
        is_relayed: false,
    };
    let moved = Contact {
        port: 7000,
        ..anna.contact.clone()
    };
    let unknown = Touch {
        peer: peer(BERT, 0).peer_id(),
        last_seen: 1,
        contact: None,
        is_relayed: false,
    };
    let touches = vec![touch(120, Some(moved.clone())), unknown, touch(110, None)];
    assert_eq!(write(store, Write::TouchPeers(touches)).await, Written::Done);
    let (stored, _) = store.peer(anna.peer_id()).await.unwrap().unwrap();
    assert_eq!((stored.last_seen, stored.contact), (120, moved));
    assert_eq!(store.known_peers().await.unwrap(), 1);
}

pub(crate) async fn who_was_not_heard_of_for_long_is_forgotten(store: &dyn Store) {
    let record = small(1);
    add(store, &record, by(ANNA, 5)).await;
    for (key, at) in [(ANNA, 99), (BERT, 100)] {
        write(store, Write::PutPeer(peer(key, at))).await;
        have(store, record.0.hash, key, Some(true)).await;
    }
    write(store, Write::ForgetPeersBefore(100)).await;
    assert_eq!(store.peer(peer(ANNA, 0).peer_id()).await.unwrap(), None);
    assert_eq!(store.known_peers().await.unwrap(), 1);
    let snapshot = store.snapshot(0).await.unwrap();
    assert_eq!((snapshot.peers.len(), snapshot.members.len()), (1, 1));
    // It comes back as a new peer, with nothing.
    write(store, Write::PutPeer(peer(ANNA, 200))).await;
    assert_eq!(store.peer(peer(ANNA, 0).peer_id()).await.unwrap().unwrap().1, 0);
}

pub(crate) async fn membership_of_unknown_files_and_peers_is_missing(store: &dyn Store) {
    let record = small(1);
    write(store, Write::PutPeer(peer(ANNA, 5))).await;
    assert_eq!(
        have(store, record.0.hash, ANNA, Some(true)).await,
        Written::Missing
    );
    add(store, &record, by(ANNA, 5)).await;
    assert_eq!(
        have(store, record.0.hash, BERT, Some(true)).await,
        Written::Missing
    );
    assert_eq!(have(store, record.0.hash, ANNA, Some(true)).await, Written::Done);
    assert_eq!(have(store, record.0.hash, ANNA, None).await, Written::Done);
}

pub(crate) async fn writes_of_one_commit_see_each_other(store: &dyn Store) {
    let (file, digests) = small(1);
    let (hash, by) = (file.hash, by(ANNA, 5));
    let file = Box::new(file);
    let writes = vec![
        Write::PutPeer(peer(ANNA, 5)),
        Write::AddFile {
            file: file.clone(),
            digests: digests.clone(),
            by,
        },
        Write::AddFile { file, digests, by },
        Write::SetHave {
            hash,
            peer: ANNA,
            seeder: Some(true),
        },
        Write::RemoveFile(FileHash([9; 32])),
    ];
    let written = store.commit(writes).await.unwrap();
    let expected = [
        Written::Done,
        Written::Added,
        Written::Known,
        Written::Done,
        Written::Missing,
    ];
    assert_eq!(written, expected);
    assert_eq!(store.commit(Vec::new()).await.unwrap(), []);
}
