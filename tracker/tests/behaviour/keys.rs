//! Keys: made, rotated, revoked, and what becomes of who was let in by them.

use crate::{
    document,
    support::{RelaySocket, TestTracker, eventually, ok, problem},
};
use p2p_shared::{
    protocol::relay::EndReason,
    tracker_api::{AuditPage, KeysPage, NewKeyResponse, Stats},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::{process::Command, time::Instant};

/// A call that wants a key, and the least scope that it takes.
struct Call {
    method: Method,
    path: String,
    scope: String,
}

/// All of them that the tracker's document has.
async fn closed_calls(tracker: &TestTracker) -> Vec<Call> {
    let calls = document::calls(tracker).await.into_iter();
    let closed = calls.filter(|call| call.scope != "none").map(|call| Call {
        path: call.path(),
        method: call.method,
        scope: call.scope,
    });
    closed.collect()
}

fn ids(page: &KeysPage) -> Vec<&str> {
    page.keys.iter().map(|key| &key.id[..]).collect()
}

#[tokio::test]
async fn a_key_opens_what_its_scope_says() {
    let tracker = TestTracker::with_keys(|_| {});
    let scopes = ["read", "peer", "admin"];
    let calls = closed_calls(&tracker).await;
    for scope in scopes {
        assert!(calls.iter().any(|call| call.scope == scope), "{scope}");
    }
    for (at, scope) in scopes.into_iter().enumerate() {
        let made = tracker.make_key(&json!({"name": scope, "scope": scope})).await;
        let call = tracker.client_of(&made.key);
        for Call {
            method,
            path,
            scope: needs,
        } in &calls
        {
            let needs = scopes.iter().position(|scope| scope == needs).unwrap();
            let answer = call(method.clone(), path).send().await.unwrap();
            let status = answer.status();
            let text = answer.text().await.unwrap();
            let refused = status == StatusCode::FORBIDDEN && text.contains("scope-missing");
            assert_eq!(refused, at < needs, "{scope}: {method} {path}: {status} {text}");
        }
    }
}

#[tokio::test]
async fn nothing_but_health_answers_without_a_good_key() {
    let tracker = TestTracker::with_keys(|_| {});
    let stranger = tracker.client_of("p2pk_0123456789ab_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let calls = closed_calls(&tracker).await;
    for call in &calls {
        problem(stranger(call.method.clone(), &call.path), 401, "api-key-invalid").await;
    }
    let numbers = tracker
        .get("/metrics")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let counted = format!("refusals_total{{reason=\"api-key-invalid\"}} {}\n", calls.len());
    assert!(numbers.contains(&counted), "{numbers}");
}

#[tokio::test]
async fn operators_make_list_and_revoke_keys_and_see_each_secret_once() {
    let tracker = TestTracker::with_keys(|_| {});
    let order = json!({"name": "team a", "scope": "peer", "expires_in": 3600, "quota": {"month": 1000, "requests": 50}});
    let made = tracker.make_key(&order).await;
    assert!(made.key.contains(&made.record.id));
    assert_eq!(
        (made.record.quota.month, made.record.quota.requests),
        (Some(1000), Some(50))
    );
    assert_eq!(made.record.expires_at, Some(made.record.created_at + 3600));
    let call = tracker.client_of(&made.key);
    let _: Stats = ok(call(Method::GET, "/api/stats")).await;

    let page: KeysPage = ok(tracker.get("/api/keys")).await;
    let listed = page.keys.iter().find(|key| key.id == made.record.id).unwrap();
    assert!(listed.last_used.is_some() && !listed.expired);
    let text = tracker
        .get("/api/keys")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(!text.contains(made.key.splitn(3, '_').nth(2).unwrap()));

    let first: KeysPage = ok(tracker.get("/api/keys?limit=1")).await;
    let second: KeysPage =
        ok(tracker.get(&format!("/api/keys?limit=1&cursor={}", first.next.unwrap()))).await;
    assert_eq!(
        [&first.keys[0].id, &second.keys[0].id],
        [ids(&page)[0], ids(&page)[1]]
    );
    assert_eq!(second.next, None);

    let path = format!("/api/keys/{}", made.record.id);
    let revoked = tracker.delete(&path).send().await.unwrap();
    assert_eq!(revoked.status(), StatusCode::NO_CONTENT);
    problem(call(Method::GET, "/api/stats"), 401, "api-key-invalid").await;
    problem(tracker.delete(&path), 404, "key-unknown").await;
    let audit: AuditPage = ok(tracker.get("/api/audit")).await;
    let acts: Vec<_> = audit
        .acts
        .iter()
        .map(|act| (&act.action[..], &act.target[..]))
        .collect();
    assert_eq!(
        acts,
        [("key.revoke", &made.record.id[..]), ("key.add", &made.record.id)]
    );
    assert!(
        audit
            .acts
            .iter()
            .all(|act| !act.key_id.is_empty() && act.address == "127.0.0.1")
    );
}

#[tokio::test]
async fn a_rotated_key_and_the_new_one_are_both_good_until_the_grace_is_over() {
    let tracker = TestTracker::with_keys(|_| {});
    let old = tracker
        .make_key(&json!({"name": "team a", "scope": "peer"}))
        .await;
    let new = tracker
        .make_key(&json!({"replaces": old.record.id, "grace": 1}))
        .await;
    assert_eq!(
        (&new.record.name, new.record.scope),
        (&old.record.name, old.record.scope)
    );
    let with_old = tracker.client_of(&old.key);
    let ask = || async { with_old(Method::GET, "/api/stats").send().await.unwrap().status() };
    eventually(ask, |status| *status == StatusCode::UNAUTHORIZED).await;
    let _: Stats = ok(tracker.client_of(&new.key)(Method::GET, "/api/stats")).await;
    problem(
        tracker.post("/api/keys", &json!({"replaces": "0123456789ab"})),
        404,
        "key-unknown",
    )
    .await;
    problem(
        tracker.post("/api/keys", &json!({"name": "x"})),
        400,
        "request-invalid",
    )
    .await;
}

#[tokio::test]
async fn when_its_key_is_revoked_or_expires_a_relayed_peer_is_cut_off_within_5_s() {
    let tracker = TestTracker::with_keys(|_| {});
    let address = tracker.handle.address();
    let revoked = tracker
        .make_key(&json!({"name": "revoked", "scope": "peer"}))
        .await;
    let (anna, bert) = (tracker.peer().await, tracker.peer().await);
    let socket = RelaySocket::open(address, &revoked.key, anna.token())
        .await
        .ok()
        .unwrap();
    let short = tracker
        .make_key(&json!({"name": "short", "scope": "peer", "expires_in": 2}))
        .await;
    let begin = Instant::now();
    let other = RelaySocket::open(address, &short.key, bert.token())
        .await
        .ok()
        .unwrap();
    tracker
        .delete(&format!("/api/keys/{}", revoked.record.id))
        .send()
        .await
        .unwrap();
    assert_eq!(socket.end().await, Some(EndReason::KeyOver.code()));
    assert!(begin.elapsed().as_secs() < 5, "{:?}", begin.elapsed());
    assert_eq!(other.end().await, Some(EndReason::KeyOver.code()));
    let refused = RelaySocket::open(address, &revoked.key, anna.token()).await;
    assert!(refused.err().unwrap().starts_with("HTTP/1.1 401 "));
}

#[tokio::test]
async fn connections_to_the_relay_are_capped_for_each_key() {
    let tracker = TestTracker::with_keys(|_| {});
    let order = json!({"name": "small", "scope": "peer", "quota": {"connections": 1}});
    let key = tracker.make_key(&order).await.key;
    let (anna, bert) = (tracker.peer().await, tracker.peer().await);
    let address = tracker.handle.address();
    let first = RelaySocket::open(address, &key, anna.token()).await.ok().unwrap();
    let refused = RelaySocket::open(address, &key, bert.token())
        .await
        .err()
        .unwrap();
    assert!(
        refused.starts_with("HTTP/1.1 429 ") && refused.to_lowercase().contains("retry-after"),
        "{refused}"
    );
    drop(first);
    let again = || RelaySocket::open(address, &key, bert.token());
    drop(eventually(again, Result::is_ok).await);
}

#[tokio::test]
async fn a_key_has_its_own_rate_of_requests() {
    let tracker = TestTracker::with_keys(|_| {});
    let order = json!({"name": "slow", "scope": "read", "quota": {"requests": 2}});
    let key = tracker.make_key(&order).await.key;
    let call = tracker.client_of(&key);
    let ask = || async { call(Method::GET, "/api/stats").send().await.unwrap() };
    let refused = eventually(ask, |answer| answer.status() == StatusCode::TOO_MANY_REQUESTS).await;
    assert_eq!(refused.headers()["retry-after"], "1");
    let text = refused.text().await.unwrap();
    assert!(
        text.contains("rate-limited") && text.contains("API key"),
        "{text}"
    );
    // The operator's own is another one.
    let _: Stats = ok(tracker.get("/api/stats")).await;
}

fn command(tracker: &TestTracker, arguments: &[&str]) -> Result<Vec<Value>, (i32, String)> {
    let output = Command::new(env!("CARGO_BIN_EXE_p2p-tracker"))
        .env("P2P_DATA", tracker.config().data)
        .arg("key")
        .args(arguments)
        .arg("--json")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    match output.status.code() {
        Some(0) => Ok(text(output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()),
        code => Err((code.unwrap(), text(output.stderr))),
    }
}

#[tokio::test]
async fn the_command_line_works_beside_a_running_tracker_which_hears_of_it_within_5_s() {
    let tracker = TestTracker::with_keys(|_| {});
    let made = command(
        &tracker,
        &["add", "--name", "by hand", "--scope", "peer", "--expires", "30d"],
    )
    .unwrap();
    let made: NewKeyResponse = serde_json::from_value(json!({
        "key": made[0]["key"],
        "record": made[0]["record"],
    }))
    .unwrap();
    let call = tracker.client_of(&made.key);
    let ask = || async { call(Method::GET, "/api/stats").send().await.unwrap().status() };
    let begin = Instant::now();
    eventually(ask, |status| *status == StatusCode::OK).await;
    let anna = tracker.peer().await;
    let socket = RelaySocket::open(tracker.handle.address(), &made.key, anna.token()).await;
    assert!(begin.elapsed().as_secs() < 5, "{:?}", begin.elapsed());

    let listed = command(&tracker, &["list"]).unwrap();
    assert!(listed.iter().any(|line| line["record"]["id"] == made.record.id));
    let rotated = command(&tracker, &["rotate", &made.record.id, "--grace", "1h"]).unwrap();
    assert_eq!(rotated[0]["record"]["name"], "by hand");
    command(&tracker, &["revoke", &made.record.id]).unwrap();
    let begin = Instant::now();
    assert_eq!(socket.ok().unwrap().end().await, Some(EndReason::KeyOver.code()));
    assert!(begin.elapsed().as_secs() < 5, "{:?}", begin.elapsed());
    eventually(ask, |status| *status == StatusCode::UNAUTHORIZED).await;

    let (code, stderr) = command(&tracker, &["revoke", &made.record.id]).unwrap_err();
    assert_eq!(code, 3, "{stderr}");
    let (code, stderr) = command(&tracker, &["add", "--name", "", "--scope", "peer"]).unwrap_err();
    assert_eq!(code, 2, "{stderr}");
    let audit: AuditPage = ok(tracker.get("/api/audit")).await;
    let acts: Vec<_> = audit
        .acts
        .iter()
        .map(|act| (&act.action[..], &act.key_id[..]))
        .collect();
    let by_hand = ["key.revoke", "key.rotate", "key.add"].map(|act| (act, "command-line"));
    assert_eq!(acts, by_hand);
}

#[tokio::test]
async fn the_last_key_that_is_revoked_opens_no_door() {
    let tracker = TestTracker::with_keys(|_| {});
    let page: KeysPage = ok(tracker.get("/api/keys")).await;
    let path = format!("/api/keys/{}", page.keys[0].id);
    assert_eq!(
        tracker.delete(&path).send().await.unwrap().status(),
        StatusCode::NO_CONTENT
    );
    problem(tracker.get("/api/stats"), 401, "api-key-invalid").await;
    // Who starts it again gets a new one.
    let tracker = tracker.restart().await;
    assert!(tracker.handle.admin_key().is_some());
}

#[tokio::test]
async fn when_a_key_was_used_is_known_after_a_restart() {
    let tracker = TestTracker::with_keys(|_| {});
    let made = tracker.make_key(&json!({"name": "a", "scope": "read"})).await;
    let _: Stats = ok(tracker.client_of(&made.key)(Method::GET, "/api/stats")).await;
    let tracker = tracker.restart().await;
    let page: KeysPage = ok(tracker.get("/api/keys")).await;
    let listed = page.keys.iter().find(|key| key.id == made.record.id).unwrap();
    assert!(listed.last_used.is_some());
}
