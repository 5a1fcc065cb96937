//! Files: added, known, removed, found.

use super::{ANNA, BERT, add, by, have, peer, small, write};
use crate::{
    storage::{Search, Store, Write, Written},
    testing::{content, file_of},
};
use p2p_shared::{hash::HashAlgorithm, id::FileHash, manifest::ShareKind};

pub(crate) async fn a_file_reads_back_with_its_digests(store: &dyn Store) {
    let (mut file, digests) = file_of(HashAlgorithm::Blake3, &content(1, 3 * 262_144 + 1));
    file.name = "Größe 大きさ %_'.bin".parse().unwrap();
    file.kind = ShareKind::Folder;
    file.modified.seconds = -5;
    let record = (file.clone(), digests.clone());
    assert_eq!(add(store, &record, by(ANNA, 5)).await, Written::Added);
    let stored = store.file(file.hash).await.unwrap().unwrap();
    assert_eq!(
        (stored.file, stored.announced_by, stored.announced_at),
        (file.clone(), ANNA, 5)
    );
    assert_eq!(store.digests(file.hash, 0..4).await.unwrap(), Some(digests));
    assert_eq!(store.file(FileHash([0; 32])).await.unwrap(), None);
    assert_eq!(store.digests(FileHash([0; 32]), 0..4).await.unwrap(), None);
}

pub(crate) async fn a_second_record_of_the_same_content_changes_nothing(store: &dyn Store) {
    let (mut file, digests) = small(1);
    add(store, &(file.clone(), digests.clone()), by(ANNA, 5)).await;
    let first = store.file(file.hash).await.unwrap();
    file.name = "another name".parse().unwrap();
    file.mode = 0o600;
    assert_eq!(
        add(store, &(file.clone(), digests), by(BERT, 6)).await,
        Written::Known
    );
    assert_eq!(store.file(file.hash).await.unwrap(), first);
}

pub(crate) async fn a_record_that_contradicts_the_first_is_shown_it(store: &dyn Store) {
    let (file, digests) = small(1);
    add(store, &(file.clone(), digests.clone()), by(ANNA, 5)).await;
    let mut others = [file.clone(), file.clone(), file.clone(), file.clone()];
    others[0].size += 1;
    others[1].merkle_root.0[0] ^= 1;
    others[2].algorithm = HashAlgorithm::Blake3;
    others[3].kind = ShareKind::Folder;
    for other in others {
        let answer = add(store, &(other, digests.clone()), by(BERT, 6)).await;
        assert_eq!(answer, Written::Differs(Box::new(file.clone())));
    }
    assert_eq!(store.file(file.hash).await.unwrap().unwrap().file, file);
}

pub(crate) async fn a_removed_file_leaves_nothing_behind(store: &dyn Store) {
    let record = small(1);
    let hash = record.0.hash;
    write(store, Write::PutPeer(peer(ANNA, 5))).await;
    add(store, &record, by(ANNA, 5)).await;
    have(store, hash, ANNA, Some(true)).await;
    assert_eq!(write(store, Write::RemoveFile(hash)).await, Written::Done);
    assert_eq!(write(store, Write::RemoveFile(hash)).await, Written::Missing);
    assert_eq!(store.file(hash).await.unwrap(), None);
    assert_eq!(store.digests(hash, 0..1).await.unwrap(), None);
    let snapshot = store.snapshot(0).await.unwrap();
    assert!(snapshot.files.is_empty() && snapshot.members.is_empty());
    let (_, files) = store.peer(peer(ANNA, 5).peer_id()).await.unwrap().unwrap();
    assert_eq!(files, 0);
    // It may be announced again, and nobody is in its swarm then.
    assert_eq!(add(store, &record, by(BERT, 6)).await, Written::Added);
    assert!(store.snapshot(0).await.unwrap().members.is_empty());
}

pub(crate) async fn files_are_listed_newest_first_page_by_page(store: &dyn Store) {
    let records: Vec<_> = (0..5).map(small).collect();
    for record in &records {
        add(store, record, by(ANNA, 5)).await;
    }
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let search = Search {
            before,
            limit: 2,
            ..Search::default()
        };
        let page = store.files(search).await.unwrap();
        assert!(page.items.len() <= 2);
        seen.extend(page.items.into_iter().map(|stored| stored.file.hash));
        // A file that comes in meanwhile changes nothing in the pages to come.
        add(store, &small(100 + seen.len() as u64), by(ANNA, 6)).await;
        match page.next {
            Some(next) => before = Some(next),
            None => break,
        }
    }
    let expected: Vec<_> = records.iter().rev().map(|(file, _)| file.hash).collect();
    assert_eq!(seen, expected);
}

pub(crate) async fn files_are_found_by_part_of_their_name_or_hash(store: &dyn Store) {
    let names = ["Debian 13 ÄRZTE.iso", "debian-12.iso", "100%_sure.txt"];
    for (seed, name) in names.iter().enumerate() {
        let (mut file, digests) = small(seed as u64);
        file.name = name.parse().unwrap();
        add(store, &(file, digests), by(ANNA, 5)).await;
    }
    let find = async |text: &str| {
        let search = Search {
            text: text.to_owned(),
            limit: 10,
            ..Search::default()
        };
        let found = store.files(search).await.unwrap().items;
        found
            .iter()
            .map(|stored| stored.file.name.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(find("DEBIAN").await, ["debian-12.iso", "Debian 13 ÄRZTE.iso"]);
    assert_eq!(find("ärzte").await, ["Debian 13 ÄRZTE.iso"]);
    assert_eq!(find("%_").await, ["100%_sure.txt"]);
    assert_eq!(find("_").await, ["100%_sure.txt"]);
    assert_eq!(find("nothing like it").await, [""; 0]);
    let hash = small(1).0.hash.to_string();
    assert_eq!(find(&hash).await, ["debian-12.iso"]);
    assert_eq!(find(&hash[..8].to_uppercase()).await, ["debian-12.iso"]);
}
