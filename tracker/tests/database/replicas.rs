//! Several trackers on one database: what one of them was told, all of them know.

use crate::{
    cluster::Cluster,
    postgres,
    support::{TestFile, TestTracker, eventually, ok, problem},
};
use p2p_shared::tracker_api::{FilePeers, FileRecord, Have, PeerStatus};
use std::collections::HashSet;

/// As many trackers of one database.
fn trackers(cluster: &Cluster, count: usize) -> Vec<TestTracker> {
    let start = |number: usize| {
        TestTracker::start_with(|config| {
            config.database = postgres(&cluster.url());
            config.replica = Some(format!("replica {number}"));
        })
    };
    (0..count).map(start).collect()
}

/// The ids of the peers of a file, as this tracker hands them out.
async fn ids(tracker: &TestTracker, file: &TestFile) -> Vec<String> {
    let swarm: FilePeers = ok(tracker.get(&file.path("/peers"))).await;
    swarm.peers.iter().map(|peer| peer.peer_id.to_string()).collect()
}

#[tokio::test]
async fn a_swarm_is_one_however_many_trackers_its_peers_are_at() {
    let cluster = Cluster::start();
    let trackers = trackers(&cluster, 3);
    let file = TestFile::new(0, 1000);
    let mut peers = Vec::new();
    for tracker in &trackers {
        peers.push(tracker.peer().await);
    }
    // The first brings the record; to the others it is known already.
    trackers[0].announce(&peers[0], &file.full()).await;
    for at in [1, 2] {
        trackers[at].announce(&peers[at], &file.have(Have::Partial)).await;
    }
    let expected: HashSet<String> = peers.iter().map(|peer| peer.id()).collect();
    for tracker in &trackers {
        let all = eventually(|| ids(tracker, &file), |ids| ids.len() == 3).await;
        assert_eq!(all.into_iter().collect::<HashSet<_>>(), expected);
        let record: FileRecord = ok(tracker.get(&file.path(""))).await;
        assert_eq!((record.seeders, record.leechers), (1, 2));
        for peer in &peers {
            assert_eq!(tracker.record(peer).await.status, PeerStatus::Online);
        }
    }
    // Who asks is not told of itself, also when it asks elsewhere than where it is at home; who leaves is gone everywhere.
    let leave = trackers[1].delete(&format!("/api/peers/{}", peers[1].id()));
    assert!(
        leave
            .bearer_auth(peers[1].token())
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
    eventually(|| ids(&trackers[2], &file), |ids| !ids.contains(&peers[1].id())).await;
    // What is removed at one is there at none.
    let removed = trackers[2].delete(&file.path("")).send().await.unwrap();
    assert!(removed.status().is_success(), "{}", removed.status());
    for tracker in &trackers {
        problem(tracker.get(&file.path("")), 404, "file-unknown").await;
    }
    for tracker in trackers {
        tracker.handle.shutdown().await;
    }
}

#[tokio::test]
async fn a_peer_whose_tracker_goes_is_at_home_at_the_next_one() {
    let cluster = Cluster::start();
    let mut trackers = trackers(&cluster, 2);
    let (second, first) = (trackers.pop().unwrap(), trackers.pop().unwrap());
    let file = TestFile::new(0, 1000);
    let peer = first.peer().await;
    first.announce(&peer, &file.full()).await;
    first.handle.shutdown().await;
    // Its address is as good as before, until its lease would be over.
    eventually(|| ids(&second, &file), |ids| *ids == [peer.id()]).await;
    let again = second.register(peer.identity).await;
    second.announce(&again, &file.have(Have::Seeder)).await;
    let swarm = eventually(|| second.swarm(file.hash()), |swarm| swarm.seeders == 1).await;
    assert_eq!(swarm.peers.len(), 1, "{swarm:?}");
    second.handle.shutdown().await;
    assert_eq!(
        cluster.sql("SELECT count(*) FROM replicas WHERE heard_at = 0"),
        "2"
    );
}
