use super::*;
use crate::{
    storage::{Announcer, contract::store_contract},
    testing::{content, file_of},
};
use p2p_shared::hash::HashAlgorithm;
use tempfile::TempDir;

async fn empty() -> (Sqlite, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&folder.path().join("tracker.db")).unwrap();
    (store, folder)
}

store_contract!(empty);

fn one_file() -> (FileHash, Write) {
    let (file, digests) = file_of(HashAlgorithm::Sha256, &content(1, 600_000));
    let by = Announcer {
        peer: PublicKey([1; 32]),
        at: 5,
    };
    let file = Box::new(file);
    (file.hash, Write::AddFile { file, digests, by })
}

#[actix_rt::test]
async fn what_was_committed_is_there_after_opening_again() {
    let (store, folder) = empty().await;
    let (hash, write) = one_file();
    store.commit(vec![write]).await.unwrap();
    drop(store);
    let again = Sqlite::open(&folder.path().join("tracker.db")).unwrap();
    assert!(again.file(hash).await.unwrap().is_some());
}

#[actix_rt::test]
async fn a_write_is_on_the_disk_before_it_is_answered() {
    let (store, _folder) = empty().await;
    let (mode, level): (String, i64) = {
        let writer = lock(&store.shared.writer);
        let pragma = |name: &str| format!("PRAGMA {name}");
        (
            writer
                .query_row(&pragma("journal_mode"), [], |row| row.get(0))
                .unwrap(),
            writer
                .query_row(&pragma("synchronous"), [], |row| row.get(0))
                .unwrap(),
        )
    };
    // 2 is FULL: https://sqlite.org/pragma.html#pragma_synchronous
    assert_eq!((mode.as_str(), level), ("wal", 2));
}

#[actix_rt::test]
async fn a_crash_in_the_middle_of_a_commit_leaves_nothing_and_harms_nobody() {
    let (store, _folder) = empty().await;
    let shared = Arc::clone(&store.shared);
    let crash = tokio::task::spawn_blocking(move || {
        let mut writer = lock(&shared.writer);
        let transaction = writer
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .unwrap();
        write::apply(&transaction, &one_file().1).unwrap();
        panic!("in the middle of a commit");
    });
    assert!(crash.await.unwrap_err().is_panic());
    let (hash, write) = one_file();
    assert_eq!(store.file(hash).await.unwrap(), None);
    assert_eq!(store.commit(vec![write]).await.unwrap(), [Written::Added]);
}

#[actix_rt::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tracker.db");
    std::fs::write(
        &path,
        "this is not a database, and long enough to be looked at as one",
    )
    .unwrap();
    let error = Sqlite::open(&path).err().unwrap().to_string();
    assert!(error.contains("not a database"), "{error}");
}

#[actix_rt::test]
async fn a_damaged_value_is_named_by_its_column() {
    let (store, _folder) = empty().await;
    let (hash, write) = one_file();
    store.commit(vec![write]).await.unwrap();
    lock(&store.shared.writer)
        .execute("UPDATE files SET algorithm = 'md5'", [])
        .unwrap();
    let error = store.file(hash).await.unwrap_err().to_string();
    assert!(
        error.contains("files.algorithm") && error.contains("md5"),
        "{error}"
    );
}

#[actix_rt::test]
async fn many_readers_at_once_all_get_their_answer() {
    let (store, _folder) = empty().await;
    let (hash, write) = one_file();
    store.commit(vec![write]).await.unwrap();
    let reads = (0..50).map(|_| store.file(hash));
    for read in futures_util::future::join_all(reads).await {
        assert!(read.unwrap().is_some());
    }
    assert!(lock(&store.shared.idle).len() <= READERS);
}
