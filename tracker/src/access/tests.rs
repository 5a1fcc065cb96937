use super::*;
use crate::storage::{KeyQuota, MonthUse, Scope};
use key::{NewKey, make};
use p2p_shared::id::PublicKey;
use std::time::Instant;

fn key(quota: KeyQuota, expires_at: Option<u64>) -> (String, StoredKey) {
    let new = NewKey {
        name: "test".to_owned(),
        expires_at,
        quota,
    };
    make(new, Scope::Peer, 1).unwrap()
}

fn access(keys: Vec<StoredKey>, is_open: bool) -> Access {
    Access::new(keys, is_open, AccessLimits::default(), Clock::start())
}

fn is_good(access: &Access, text: &str, now: u64) -> bool {
    access.ring().find(text, now).is_some()
}

#[test]
fn a_key_that_differs_anywhere_opens_nothing() {
    let (text, stored) = key(KeyQuota::default(), None);
    let access = access(vec![stored], true);
    assert!(is_good(&access, &text, 1));
    for at in 0..text.len() {
        let mut other = text.clone().into_bytes();
        other[at] = if other[at] == b'x' { b'y' } else { b'x' };
        let other = std::str::from_utf8(&other).unwrap();
        assert!(!is_good(&access, other, 1), "character {at}");
    }
    let cut = &text[..text.len() - 1];
    for other in ["", "p2pk", "p2pk_", "p2pk__", &format!("{text}x"), cut] {
        assert!(!is_good(&access, other, 1), "{other}");
    }
}

#[test]
fn an_expired_key_opens_nothing() {
    let (text, stored) = key(KeyQuota::default(), Some(1000));
    let access = access(vec![stored], true);
    assert!(is_good(&access, &text, 999));
    assert!(!is_good(&access, &text, 1000));
}

#[test]
fn what_is_kept_does_not_contain_the_key() {
    let (text, stored) = key(KeyQuota::default(), None);
    let secret = text.splitn(3, '_').nth(2).unwrap();
    assert!(!format!("{stored:?}").contains(secret));
}

#[test]
fn keys_are_needed_from_the_first_one_on_and_after_the_last_one_is_gone() {
    let open = access(Vec::new(), true);
    assert!(!open.ring().is_required());
    open.replace(vec![key(KeyQuota::default(), None).1], Vec::new());
    assert!(open.ring().is_required());
    open.replace(Vec::new(), Vec::new());
    assert!(
        open.ring().is_required(),
        "the last key was revoked, which opens no door"
    );
    assert!(access(Vec::new(), false).ring().is_required());
}

#[test]
fn a_key_keeps_its_counters_over_rings_and_a_revoked_one_is_told_to_the_store() {
    let quota = KeyQuota {
        connections: Some(1),
        ..KeyQuota::default()
    };
    let (text, stored) = key(quota, None);
    let access = access(vec![stored.clone()], true);
    let find = |access: &Access| Arc::clone(access.ring().find(&text, 5).unwrap());
    find(&access).check(5).unwrap();
    let taken = find(&access).share.connect();
    assert!(taken.is_some());
    access.replace(vec![stored.clone()], Vec::new());
    assert!(find(&access).share.connect().is_none());
    access.replace(Vec::new(), Vec::new());
    let used = KeyUse {
        id: stored.id,
        last_used: 5,
        relayed: MonthUse::default(),
    };
    assert_eq!(access.take_uses(), std::slice::from_ref(&used));
    assert_eq!(access.take_uses(), []);
    access.give_back(vec![used.clone(), used.clone()]);
    assert_eq!(access.take_uses(), [used]);
}

#[test]
fn requests_above_the_quota_of_a_key_have_to_wait() {
    let quota = KeyQuota {
        requests: Some(5),
        ..KeyQuota::default()
    };
    let (text, stored) = key(quota, None);
    let access = access(vec![stored], true);
    let ring = access.ring();
    let held = ring.find(&text, 5).unwrap();
    let begin = Instant::now();
    let passed = (0..1000).filter(|_| held.check(5).is_ok()).count() as u64;
    // A burst of ten, and five for each second that this took.
    let most = 10 + 5 * (begin.elapsed().as_secs() + 1);
    assert!((10..=most).contains(&passed), "{passed}");
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_over_when_its_key_is_revoked_or_the_door_is_closed() {
    let (_, stored) = key(KeyQuota::default(), None);
    let access = access(vec![stored.clone()], true);
    let grant = access.grant(access.ring().get(&stored.id).map(|key| &**key));
    let over = tokio::spawn(grant.over());
    access.replace(vec![stored], Vec::new());
    tokio::task::yield_now().await;
    assert!(!over.is_finished());
    access.replace(Vec::new(), Vec::new());
    over.await.unwrap();

    let open = Access::new(Vec::new(), true, AccessLimits::default(), Clock::start());
    let over = tokio::spawn(open.grant(None).over());
    tokio::task::yield_now().await;
    assert!(!over.is_finished());
    open.replace(vec![key(KeyQuota::default(), None).1], Vec::new());
    over.await.unwrap();
}

#[tokio::test]
async fn a_grant_is_over_when_its_key_expires() {
    let clock = Clock::start();
    let end = clock.now() + 50;
    let (_, stored) = key(KeyQuota::default(), Some(end));
    let access = Access::new(vec![stored.clone()], true, AccessLimits::default(), clock);
    access
        .grant(access.ring().get(&stored.id).map(|key| &**key))
        .over()
        .await;
    assert!(clock.now() >= end);
}

#[test]
fn newly_banned_peers_are_named_once() {
    let access = access(Vec::new(), true);
    let ban = |seed| Ban {
        peer: PeerId::of(&PublicKey([seed; 32])),
        reason: "floods".to_owned(),
        by: String::new(),
        at: 1,
    };
    assert_eq!(access.replace(Vec::new(), vec![ban(1)]), [ban(1).peer]);
    assert_eq!(access.replace(Vec::new(), vec![ban(1), ban(2)]), [ban(2).peer]);
    assert_eq!(access.replace(Vec::new(), vec![ban(2)]), []);
    assert!(access.ring().ban(&ban(1).peer).is_none() && access.ring().ban(&ban(2).peer).is_some());
}
