//! Peers that an operator keeps out.

use crate::support::{RelaySocket, TestTracker, ok, problem};
use p2p_shared::{
    crypto::identity::Identity,
    protocol::relay::EndReason,
    tracker_api::{AuditPage, BanRecord, BansPage, HeartbeatRequest, PeerStatus},
};
use reqwest::{Method, StatusCode};
use serde_json::json;

#[tokio::test]
async fn a_banned_peer_is_out_at_once_and_stays_out_over_a_restart_until_it_is_let_in() {
    let tracker = TestTracker::with_keys(|_| {});
    let key = tracker.handle.admin_key().unwrap().to_owned();
    let secret = Identity::generate().unwrap();
    let anna = tracker.register(secret).await;
    let socket = RelaySocket::open(tracker.handle.address(), &key, anna.token())
        .await
        .ok()
        .unwrap();
    let path = format!("/api/bans/{}", anna.id());
    let put = tracker
        .request(Method::PUT, &path)
        .json(&json!({"reason": "floods"}));
    let ban: BanRecord = ok(put).await;
    assert_eq!((ban.peer_id.to_string(), &ban.reason[..]), (anna.id(), "floods"));
    assert!(key.contains(&ban.by));

    assert_eq!(socket.end().await, Some(EndReason::LeaseOver.code()));
    assert_eq!(tracker.record(&anna).await.status, PeerStatus::Offline);
    let heartbeat = tracker
        .post(
            &format!("/api/peers/{}/heartbeat", anna.id()),
            &HeartbeatRequest::default(),
        )
        .bearer_auth(anna.token());
    problem(heartbeat, 403, "peer-banned").await;
    let request = tracker.proved(&anna.identity).await;
    problem(tracker.post("/api/peers/register", &request), 403, "peer-banned").await;

    let tracker = tracker.restart().await;
    let request = tracker.proved(&anna.identity).await;
    problem(tracker.post("/api/peers/register", &request), 403, "peer-banned").await;
    let page: BansPage = ok(tracker.get("/api/bans")).await;
    assert_eq!((page.bans, page.next), (vec![ban], None));

    assert_eq!(
        tracker.delete(&path).send().await.unwrap().status(),
        StatusCode::NO_CONTENT
    );
    problem(tracker.delete(&path), 404, "peer-unknown").await;
    tracker.register(anna.identity).await;
    let audit: AuditPage = ok(tracker.get("/api/audit")).await;
    let acts: Vec<_> = audit
        .acts
        .iter()
        .map(|act| (&act.action[..], &act.detail[..]))
        .collect();
    assert_eq!(acts, [("peer.unban", ""), ("peer.ban", "floods")]);
}

#[tokio::test]
async fn an_operator_who_removes_a_file_is_in_the_audit_and_its_announcer_is_not() {
    let tracker = TestTracker::with_keys(|_| {});
    let anna = tracker.peer().await;
    let (one, two) = (
        crate::support::TestFile::new(1, 1000),
        crate::support::TestFile::new(2, 1000),
    );
    for file in [&one, &two] {
        tracker.announce(&anna, &file.full()).await;
    }
    let removed = tracker.delete(&one.path("")).send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    let removed = tracker
        .delete(&two.path(""))
        .bearer_auth(anna.token())
        .send()
        .await
        .unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    let audit: AuditPage = ok(tracker.get("/api/audit")).await;
    let acts: Vec<_> = audit
        .acts
        .iter()
        .map(|act| (&act.action[..], act.target.clone()))
        .collect();
    assert_eq!(acts, [("file.remove", one.hash().to_string())]);
}
