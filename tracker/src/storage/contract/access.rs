//! Keys, bans, and what operators did.

use super::{ANNA, BERT, peer, write};
use crate::storage::{
    AuditEntry, Ban, KeyQuota, KeyUse, MOST_AUDITED, MonthUse, Scope, Store, StoredKey, Write, Written,
};

fn key(id: &str, expires_at: Option<u64>) -> StoredKey {
    StoredKey {
        id: id.to_owned(),
        digest: [5; 32],
        name: "operator".to_owned(),
        scope: Scope::Admin,
        created_at: 5,
        expires_at,
        quota: KeyQuota {
            requests: Some(100),
            connections: None,
            tunnels: Some(0),
            rate: Some(1 << 40),
            month: Some(1 << 50),
        },
        last_used: None,
        month: MonthUse::default(),
    }
}

pub(crate) async fn keys_read_back_and_are_not_added_twice(store: &dyn Store) {
    assert_eq!(store.keys().await.unwrap(), []);
    let key = key("0123456789ab", Some(9));
    write(store, Write::AddKey(key.clone())).await;
    assert_eq!(store.keys().await.unwrap(), vec![key.clone()]);
    // A group stands or falls together.
    let group = vec![Write::PutPeer(peer(ANNA, 5)), Write::AddKey(key)];
    assert!(store.commit(group).await.is_err());
    assert_eq!(store.known_peers().await.unwrap(), 0);
}

pub(crate) async fn a_key_expires_at_the_earlier_of_two_times(store: &dyn Store) {
    write(store, Write::AddKey(key("a", None))).await;
    let expire = |id: &str, at| Write::ExpireKey {
        id: id.to_owned(),
        at,
    };
    for (at, then) in [(100, 100), (200, 100), (50, 50)] {
        assert_eq!(write(store, expire("a", at)).await, Written::Done);
        assert_eq!(store.keys().await.unwrap()[0].expires_at, Some(then));
    }
    assert_eq!(write(store, expire("b", 1)).await, Written::Missing);
}

pub(crate) async fn a_revoked_key_is_not_listed_and_cannot_be_revoked_again(store: &dyn Store) {
    write(store, Write::AddKey(key("a", None))).await;
    write(store, Write::AddKey(key("b", None))).await;
    let revoke = || Write::RevokeKey {
        id: "a".to_owned(),
        at: 7,
    };
    assert_eq!(write(store, revoke()).await, Written::Done);
    assert_eq!(store.keys().await.unwrap(), [key("b", None)]);
    assert_eq!(write(store, revoke()).await, Written::Missing);
    let expire = Write::ExpireKey {
        id: "a".to_owned(),
        at: 1,
    };
    assert_eq!(write(store, expire).await, Written::Missing);
}

pub(crate) async fn uses_of_a_key_add_up_within_a_month(store: &dyn Store) {
    write(store, Write::AddKey(key("a", None))).await;
    let used = |id: &str, last_used, month, bytes| KeyUse {
        id: id.to_owned(),
        last_used,
        relayed: MonthUse { month, bytes },
    };
    for (uses, last_used, month, bytes) in [
        (
            vec![used("a", 50, 600, 10), used("nobody", 1, 600, 1)],
            50,
            600,
            10,
        ),
        (vec![used("a", 40, 600, 5), used("a", 45, 600, 0)], 50, 600, 15),
        (vec![used("a", 60, 601, 7)], 60, 601, 7),
        // Of the month before, from another replica: too late to be of interest.
        (vec![used("a", 55, 600, 9)], 60, 601, 7),
    ] {
        assert_eq!(write(store, Write::UseKeys(uses)).await, Written::Done);
        let stored = store.keys().await.unwrap().remove(0);
        assert_eq!(stored.last_used, Some(last_used));
        assert_eq!(stored.month, MonthUse { month, bytes });
    }
}

pub(crate) async fn bans_read_back_and_replace_each_other(store: &dyn Store) {
    let ban = |key, reason: &str, at| Ban {
        peer: peer(key, 0).peer_id(),
        reason: reason.to_owned(),
        by: "0123456789ab".to_owned(),
        at,
    };
    write(store, Write::BanPeer(ban(ANNA, "floods", 5))).await;
    write(store, Write::BanPeer(ban(BERT, "lies", 6))).await;
    write(store, Write::BanPeer(ban(ANNA, "lies too", 7))).await;
    let expected = [ban(BERT, "lies", 6), ban(ANNA, "lies too", 7)];
    assert_eq!(store.bans().await.unwrap(), expected);
    let unban = || Write::UnbanPeer(peer(BERT, 0).peer_id());
    assert_eq!(write(store, unban()).await, Written::Done);
    assert_eq!(write(store, unban()).await, Written::Missing);
    assert_eq!(store.bans().await.unwrap(), expected[1..]);
}

pub(crate) async fn acts_are_listed_last_first_and_the_oldest_are_forgotten(store: &dyn Store) {
    let act = |at: u64| AuditEntry {
        at,
        key_id: "0123456789ab".to_owned(),
        address: "203.0.113.7".to_owned(),
        action: "key.revoke".to_owned(),
        target: format!("key {at}"),
        detail: String::new(),
    };
    let many = u64::from(MOST_AUDITED) + 3;
    let writes: Vec<_> = (1..=many).map(|at| Write::Audit(act(at))).collect();
    for group in writes.chunks(500) {
        store.commit(group.to_vec()).await.unwrap();
    }
    let first = store.audit(None, 2).await.unwrap();
    assert_eq!(first.items, [act(many), act(many - 1)]);
    let second = store.audit(first.next, 2).await.unwrap();
    assert_eq!(second.items, [act(many - 2), act(many - 3)]);
    let all = store.audit(None, MOST_AUDITED + 10).await.unwrap();
    assert_eq!((all.items.len(), all.next), (MOST_AUDITED as usize, None));
    assert_eq!(all.items.last(), Some(&act(4)));
}
