//! The client against a scripted tracker, over real HTTP.

mod scripted;

use super::*;
use crate::config::ApiKey;
use p2p_shared::{
    chunker::{CHUNK_SIZE, Layout},
    hash::HashAlgorithm,
    id::{ChunkHash, FileHash, PublicKey},
    manifest::{Manifest, Modified, ShareKind},
    merkle::merkle_root,
    tracker_api::{FileMetadata, Have, PeerRecord, PeerStatus},
};
use scripted::{Said, Tracker};
use std::{sync::Arc, time::Duration};

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what comes soon or never.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("it did not come")
}

/// The client with its supervisor.
struct Bench {
    client: TrackerClientHandle,
    supervisor: Supervisor,
}

fn start_with(urls: &[&TrackerUrl], api_key: Option<&str>) -> Bench {
    let mut supervisor = Supervisor::new();
    let config = TrackerConfig {
        urls: urls.iter().copied().cloned().collect(),
        api_key: ApiKey::find(api_key.map(Into::into), None).unwrap(),
        ..TrackerConfig::default()
    };
    let identity = Arc::new(Identity::generate().unwrap());
    let client = start(
        &mut supervisor,
        &config,
        identity,
        super::addresses::Told::Found("127.0.0.1:6881".parse().unwrap()),
    )
    .unwrap();
    Bench { client, supervisor }
}

fn share(chunks: u32) -> Announcement {
    let hashes: Vec<_> = (0..chunks).map(|n| ChunkHash([n as u8; 32])).collect();
    let size = u64::from(chunks) * u64::from(CHUNK_SIZE);
    let manifest = Manifest {
        hash: FileHash([7; 32]),
        algorithm: HashAlgorithm::Sha256,
        size,
        merkle_root: merkle_root(Layout::new(size).unwrap(), &hashes),
        name: "film.mkv".parse().unwrap(),
        kind: ShareKind::File,
        mode: 0o644,
        modified: Modified::default(),
    };
    Announcement {
        manifest: Arc::new(manifest),
        hashes: Some(hashes.into()),
        have: Have::Seeder,
        fresh: true,
    }
}

/// An address that nobody listens on: it was free a moment ago, and is held by nobody.
fn nobody() -> TrackerUrl {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap()
}

fn is_announced(said: &Said) -> bool {
    matches!(said, Said::Announced { whole: true, .. })
}

#[actix_rt::test]
async fn a_share_is_announced_with_all_its_hashes_in_as_many_calls_as_it_takes() {
    let mut tracker = Tracker::start();
    tracker.script().hashes_a_call = 4;
    let bench = start_with(&[&tracker.url], None);
    let share = share(10);
    bench
        .client
        .announce(share.clone(), std::slice::from_ref(&tracker.url));
    let outcome = bench
        .client
        .announced(&share.manifest.hash, std::slice::from_ref(&tracker.url), PATIENCE)
        .await;
    assert_eq!(outcome, [(tracker.url.clone(), Ok(()))]);
    let said = tracker.heard(|said| said.iter().any(is_announced)).await;
    let announced = |first, whole| Said::Announced {
        have: Have::Seeder,
        full_from: Some(first),
        whole,
    };
    assert_eq!(
        said,
        [
            Said::Registered { port: 6881 },
            announced(0, false),
            announced(4, false),
            announced(8, true)
        ]
    );
    assert_eq!(
        tracker.script().files[&share.manifest.hash].1,
        share.hashes.unwrap().to_vec()
    );
}

#[actix_rt::test]
async fn a_tracker_that_forgot_everything_is_told_everything_again() {
    let mut tracker = Tracker::start();
    tracker.script().lease = 3;
    let bench = start_with(&[&tracker.url], None);
    bench
        .client
        .announce(share(1), std::slice::from_ref(&tracker.url));
    tracker.heard(|said| said.iter().any(is_announced)).await;
    tracker.script().forget_peers();
    tracker.script().files.clear();
    let announcements = |said: &[Said]| said.iter().filter(|said| is_announced(said)).count();
    let said = tracker.heard(|said| announcements(said) == 2).await;
    let registrations = said
        .iter()
        .filter(|said| matches!(said, Said::Registered { .. }))
        .count();
    assert_eq!(registrations, 2, "{said:?}");
}

#[actix_rt::test]
async fn heartbeats_go_on_while_nothing_else_happens() {
    let mut tracker = Tracker::start();
    tracker.script().lease = 3;
    let _bench = start_with(&[&tracker.url], None);
    tracker
        .heard(|said| said.iter().filter(|said| **said == Said::Heartbeat).count() == 2)
        .await;
}

#[actix_rt::test]
async fn a_peer_that_stops_takes_its_leave() {
    let mut tracker = Tracker::start();
    let bench = start_with(&[&tracker.url], None);
    tracker.heard(|said| !said.is_empty()).await;
    bench
        .client
        .status()
        .wait_for(|status| status.trackers[&tracker.url].is_registered())
        .await
        .unwrap();
    bench.supervisor.stop(PATIENCE).await;
    let said = tracker.heard(|said| said.contains(&Said::Left)).await;
    assert_eq!(said.last(), Some(&Said::Left));
}

#[actix_rt::test]
async fn a_share_that_ends_is_taken_back() {
    let mut tracker = Tracker::start();
    let bench = start_with(&[&tracker.url], None);
    bench
        .client
        .announce(share(1), std::slice::from_ref(&tracker.url));
    tracker.heard(|said| said.iter().any(is_announced)).await;
    bench.client.stop(&FileHash([7; 32]));
    tracker
        .heard(|said| {
            matches!(
                said.last(),
                Some(Said::Announced {
                    have: Have::Stopped,
                    ..
                })
            )
        })
        .await;
}

#[actix_rt::test]
async fn a_tracker_that_is_only_used_for_one_share_is_left_with_it() {
    let mut tracker = Tracker::start();
    let bench = start_with(&[], None);
    bench
        .client
        .announce(share(1), std::slice::from_ref(&tracker.url));
    tracker.heard(|said| said.iter().any(is_announced)).await;
    bench.client.stop(&FileHash([7; 32]));
    tracker.heard(|said| said.last() == Some(&Said::Left)).await;
    assert!(bench.client.status().borrow().trackers.is_empty());
}

#[actix_rt::test]
async fn a_tracker_that_is_away_costs_the_others_nothing_and_is_named() {
    let tracker = Tracker::start();
    let away = nobody();
    let bench = start_with(&[&tracker.url, &away], None);
    let both = [tracker.url.clone(), away.clone()];
    bench.client.announce(share(1), &both);
    let mut status = bench.client.status();
    let settled = status.wait_for(|status| {
        let here = status
            .trackers
            .get(&both[0])
            .is_some_and(|tracker| !tracker.announced.is_empty());
        let away = status
            .trackers
            .get(&both[1])
            .is_some_and(|tracker| tracker.error.is_some());
        here && away
    });
    drop(soon(settled).await.unwrap());
    let outcome = bench
        .client
        .announced(&FileHash([7; 32]), &both, Duration::ZERO)
        .await;
    assert_eq!(outcome[0].1, Ok(()));
    let failure = Failure::from(outcome[1].1.as_ref().unwrap_err());
    assert_eq!(failure.exit_code(), 4);
    assert!(failure.message.contains(&away.to_string()), "{failure}");
    assert!(bench.client.peers(&FileHash([7; 32]), &both).await.is_ok());
}

#[actix_rt::test]
async fn a_tracker_that_comes_back_is_registered_with() {
    let mut tracker = Tracker::start();
    let address = tracker.url.host_and_port().1;
    tracker.stop().await;
    let bench = start_with(&[&tracker.url], None);
    let mut status = bench.client.status();
    let failed = |status: &ClientStatus| {
        status
            .trackers
            .get(&tracker.url)
            .is_some_and(|t| t.error.is_some())
    };
    drop(soon(status.wait_for(failed)).await.unwrap());
    tracker = Tracker::start_on(address);
    tracker
        .heard(|said| said.contains(&Said::Registered { port: 6881 }))
        .await;
}

#[actix_rt::test]
async fn a_wrong_api_key_is_a_refusal_that_says_what_to_set() {
    let tracker = Tracker::start();
    tracker.script().api_key = Some("right");
    let bench = start_with(&[&tracker.url], Some("wrong"));
    bench
        .client
        .announce(share(1), std::slice::from_ref(&tracker.url));
    let outcome = bench
        .client
        .announced(&FileHash([7; 32]), std::slice::from_ref(&tracker.url), PATIENCE)
        .await;
    let failure = Failure::from(outcome[0].1.as_ref().unwrap_err());
    assert_eq!(failure.exit_code(), 6);
    assert!(failure.message.contains("P2P_API_KEY"), "{failure}");
}

#[actix_rt::test]
async fn the_right_api_key_goes_with_every_call() {
    let mut tracker = Tracker::start();
    tracker.script().api_key = Some("right");
    let bench = start_with(&[&tracker.url], Some("right"));
    bench
        .client
        .announce(share(1), std::slice::from_ref(&tracker.url));
    tracker.heard(|said| said.iter().any(is_announced)).await;
    let trackers = [tracker.url.clone()];
    assert!(bench.client.file(&FileHash([7; 32]), &trackers).await.is_ok());
    assert!(bench.client.peers(&FileHash([7; 32]), &trackers).await.is_ok());
}

#[actix_rt::test]
async fn nothing_is_said_to_a_host_that_a_tracker_redirects_to() {
    let (tracker, other) = (Tracker::start(), Tracker::start());
    tracker.script().redirect = Some(other.url.to_string());
    let bench = start_with(&[&tracker.url], Some("secret"));
    let error = bench
        .client
        .file(&FileHash([7; 32]), std::slice::from_ref(&tracker.url))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("redirects to another address"),
        "{error}"
    );
    assert_eq!(Failure::from(&error).exit_code(), 4);
}

#[actix_rt::test]
async fn a_file_is_asked_for_at_all_trackers_and_unknown_only_if_none_knows_it() {
    let (knows, does_not) = (Tracker::start(), Tracker::start());
    let share = share(3);
    let metadata = FileMetadata::from(&*share.manifest);
    knows.script().files.insert(
        share.manifest.hash,
        (metadata, share.hashes.clone().unwrap().to_vec()),
    );
    let bench = start_with(&[], None);
    let both = [does_not.url.clone(), knows.url.clone()];
    assert_eq!(
        bench.client.file(&share.manifest.hash, &both).await.as_ref(),
        Ok(&*share.manifest)
    );
    let error = bench
        .client
        .file(&share.manifest.hash, &both[..1])
        .await
        .unwrap_err();
    assert!(error.is_file_unknown());
    assert_eq!(Failure::from(&error).exit_code(), 3);
    let error = bench
        .client
        .file(&share.manifest.hash, &[does_not.url.clone(), nobody()])
        .await
        .unwrap_err();
    assert!(!error.is_file_unknown() && error.is_worth_retrying());
    assert_eq!(Failure::from(&error).exit_code(), 4);
}

#[actix_rt::test]
async fn chunk_hashes_that_do_not_lead_to_the_root_are_refused_and_another_tracker_is_asked() {
    let (honest, liar) = (Tracker::start(), Tracker::start());
    let share = share(3);
    let hashes = share.hashes.clone().unwrap().to_vec();
    let mut wrong = hashes.clone();
    wrong[1].0[0] ^= 1;
    let metadata = FileMetadata::from(&*share.manifest);
    honest
        .script()
        .files
        .insert(share.manifest.hash, (metadata.clone(), hashes.clone()));
    liar.script().files.insert(share.manifest.hash, (metadata, wrong));
    let bench = start_with(&[], None);
    let both = [liar.url.clone(), honest.url.clone()];
    assert_eq!(
        bench.client.chunk_hashes(&share.manifest, &both).await,
        Ok(hashes)
    );
    let error = bench
        .client
        .chunk_hashes(&share.manifest, &both[..1])
        .await
        .unwrap_err();
    assert_eq!(Failure::from(&error).exit_code(), 5);
}

#[actix_rt::test]
async fn peers_of_several_trackers_are_put_together() {
    let (one, two) = (Tracker::start(), Tracker::start());
    let share = share(1);
    let peer = |key: u8, address: &str| PeerRecord {
        peer_id: p2p_shared::id::PeerId::of(&PublicKey([key; 32])),
        public_key: PublicKey([key; 32]),
        addresses: vec![address.parse().unwrap()],
        status: PeerStatus::Online,
        files: 1,
        last_seen: 0,
        bandwidth: None,
        relay_url: None,
        seeder: Some(true),
    };
    for (tracker, peers) in [
        (&one, vec![peer(1, "10.0.0.1:1"), peer(2, "10.0.0.2:1")]),
        (&two, vec![peer(1, "10.0.0.9:1")]),
    ] {
        let mut script = tracker.script();
        script.files.insert(
            share.manifest.hash,
            (FileMetadata::from(&*share.manifest), Vec::new()),
        );
        script.peers = peers;
    }
    let bench = start_with(&[], None);
    let both = [one.url.clone(), two.url.clone()];
    let hand_out = bench.client.peers(&share.manifest.hash, &both).await.unwrap();
    assert_eq!(hand_out.interval, Duration::from_secs(30));
    let addresses: Vec<_> = hand_out
        .peers
        .iter()
        .map(|peer| (peer.key.0[0], peer.addresses.len()))
        .collect();
    assert_eq!(addresses, [(1, 2), (2, 1)]);
}

#[actix_rt::test]
async fn a_tracker_that_nobody_named_is_not_told_the_api_key() {
    let (named, of_a_ticket) = (Tracker::start(), Tracker::start());
    of_a_ticket.script().api_key = Some("right");
    let bench = start_with(&[&named.url], Some("right"));
    let trackers = [of_a_ticket.url.clone()];
    let hash = FileHash([7; 32]);
    let failure = Failure::from(&bench.client.file(&hash, &trackers).await.unwrap_err());
    assert_eq!(failure.exit_code(), 6);
    assert!(failure.message.contains("--tracker"), "{failure}");
    bench.client.name(&trackers);
    let failure = Failure::from(&bench.client.file(&hash, &trackers).await.unwrap_err());
    assert_eq!(failure.exit_code(), 3, "it was let in: {failure}");
}
