//! PostgreSQL stopped, killed, failed over: what a caller of the tracker sees meanwhile, and how soon it is over.

use crate::{
    cluster::Cluster,
    postgres, setting,
    support::{PATIENCE, TestFile, TestPeer, TestTracker, ok},
};
use p2p_shared::{
    crypto::identity::Identity,
    tracker_api::{FilePeers, Have, HeartbeatRequest, HeartbeatResponse},
};
use reqwest::{RequestBuilder, StatusCode, header};
use std::time::{Duration, Instant};

/// Within this every call is answered (promise).
const ANSWER: Duration = Duration::from_secs(3);

/// Within this all is as before once PostgreSQL is back (promise).
const NORMAL: Duration = Duration::from_secs(5);

/// Within this writes flow after a failover (promise).
const FAILED_OVER: Duration = Duration::from_secs(10);

/// How long PostgreSQL is away, in seconds; 30 at full size.
const OUTAGE: u64 = 4;

fn tracker_on(url: &str) -> TestTracker {
    TestTracker::start_with(|config| config.database = postgres(url))
}

/// Sends it, and fails the test unless the answer comes in time.
async fn status(what: &str, request: RequestBuilder) -> StatusCode {
    let begin = Instant::now();
    let answer = request.send().await.unwrap();
    let took = begin.elapsed();
    let status = answer.status();
    assert!(took < ANSWER, "{what}: {status} after {took:?}");
    if status == StatusCode::SERVICE_UNAVAILABLE && what != "readyz" {
        assert!(answer.headers().contains_key(header::RETRY_AFTER), "{what}");
    }
    status
}

/// A peer with a file, and some more files to announce.
struct Scene {
    tracker: TestTracker,
    peer: TestPeer,
    file: TestFile,
    announced: Vec<TestFile>,
}

impl Scene {
    async fn on(url: &str) -> Self {
        let tracker = tracker_on(url);
        let peer = tracker.peer().await;
        let file = TestFile::new(0, 1000);
        tracker.announce(&peer, &file.full()).await;
        Self {
            tracker,
            peer,
            file,
            announced: Vec::new(),
        }
    }

    /// Announces a file that nobody did before; whether it was taken.
    async fn announce(&mut self) -> StatusCode {
        let file = TestFile::new(1, 1001 + self.announced.len());
        let announcing = self.tracker.announcing(&self.peer, &file.full());
        let status = status("announce", announcing).await;
        // Also one that came to nothing: it must not be taken for another.
        self.announced.push(file);
        status
    }

    /// What needs no database goes on; what does is refused in time.
    async fn while_away(&mut self) {
        let away = Duration::from_secs(setting("P2P_TEST_OUTAGE", OUTAGE));
        let begin = Instant::now();
        let mut longest = Duration::ZERO;
        while begin.elapsed() < away {
            let round = Instant::now();
            let beat = format!("/api/peers/{}/heartbeat", self.peer.id());
            let beat = self.tracker.post(&beat, &HeartbeatRequest::default());
            let beat = beat.bearer_auth(self.peer.token());
            assert_eq!(status("heartbeat", beat).await, StatusCode::OK);
            let swarm = self.tracker.get(&self.file.path("/peers"));
            assert_eq!(status("swarm", swarm).await, StatusCode::OK);
            assert_eq!(
                status("healthz", self.tracker.get("/healthz")).await,
                StatusCode::OK
            );
            for (what, path) in [
                ("readyz", "/readyz"),
                ("record", &self.file.path("")),
                ("list", "/api/files"),
            ] {
                let answer = status(what, self.tracker.get(path)).await;
                assert_eq!(answer, StatusCode::SERVICE_UNAVAILABLE, "{what}");
            }
            assert_eq!(self.announce().await, StatusCode::SERVICE_UNAVAILABLE);
            let register = self.tracker.proved(&Identity::generate().unwrap()).await;
            let register = self.tracker.post("/api/peers/register", &register);
            assert_eq!(
                status("register", register).await,
                StatusCode::SERVICE_UNAVAILABLE
            );
            longest = longest.max(round.elapsed());
        }
        println!("eight calls one after the other took {longest:?} at most");
    }

    /// Announces until it is taken, which it has to be within `limit` of `since`.
    async fn works_within(&mut self, limit: Duration, since: Instant) {
        while self.announce().await != StatusCode::OK {
            assert!(since.elapsed() < PATIENCE, "it does not come back");
            // Not to wait for a time to pass: to leave the machine to those who are at work.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let took = since.elapsed();
        println!("normal after {took:?}");
        assert!(took < limit, "normal after {took:?}");
        let beat = format!("/api/peers/{}/heartbeat", self.peer.id());
        let beat = self.tracker.post(&beat, &HeartbeatRequest::default());
        let _: HeartbeatResponse = ok(beat.bearer_auth(self.peer.token())).await;
        let last = self.announced.last().unwrap();
        let swarm: FilePeers = ok(self.tracker.get(&last.path("/peers"))).await;
        assert_eq!(swarm.seeders, 1);
        // And what was there before.
        self.tracker
            .announce(&self.peer, &self.file.have(Have::Partial))
            .await;
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_keeps_nobody_waiting() {
    let cluster = Cluster::start_on_port();
    let mut scene = Scene::on(&Cluster::url_of(&[&cluster])).await;
    cluster.freeze();
    scene.while_away().await;
    cluster.thaw();
    scene.works_within(NORMAL, Instant::now()).await;
    scene.tracker.handle.shutdown().await;
}

#[tokio::test]
async fn a_server_that_was_killed_is_used_again_when_it_is_back() {
    let mut cluster = Cluster::start_on_port();
    let mut scene = Scene::on(&Cluster::url_of(&[&cluster])).await;
    cluster.kill();
    scene.while_away().await;
    cluster.launch();
    scene.works_within(NORMAL, Instant::now()).await;
    scene.tracker.handle.shutdown().await;
}

/// Takes the primary away, makes the standby the primary.
async fn fail_over(take_away: impl FnOnce(&mut Cluster)) {
    let mut primary = Cluster::start_on_port();
    let standby = primary.standby();
    // Nothing is acknowledged that the standby does not have.
    primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.sql("SELECT pg_reload_conf()");
    let mut scene = Scene::on(&Cluster::url_of(&[&primary, &standby])).await;
    for _ in 0..50 {
        assert_eq!(scene.announce().await, StatusCode::OK);
    }
    take_away(&mut primary);
    let begin = Instant::now();
    assert_eq!(scene.announce().await, StatusCode::SERVICE_UNAVAILABLE);
    standby.promote();
    println!("promoted after {:?}", begin.elapsed());
    scene.works_within(FAILED_OVER, Instant::now()).await;
    for file in &scene.announced[..50] {
        assert_eq!(
            status("record", scene.tracker.get(&file.path(""))).await,
            StatusCode::OK
        );
    }
    // Were the old one to come back, it would be a second primary; that is for whoever runs the servers to prevent.
    assert_eq!(standby.sql("SELECT pg_is_in_recovery()"), "f");
    scene.tracker.handle.shutdown().await;
}

#[tokio::test]
async fn after_a_failover_writes_go_to_the_standby_that_was_promoted() {
    fail_over(Cluster::kill).await;
}

#[tokio::test]
async fn a_primary_that_went_silent_does_not_hold_up_the_failover() {
    fail_over(|primary| primary.freeze()).await;
}

#[tokio::test]
async fn a_standby_alone_is_no_database_to_start_on() {
    let primary = Cluster::start_on_port();
    let standby = primary.standby();
    let folder = tempfile::tempdir().unwrap();
    let mut config = p2p_tracker::Config::loopback(folder.path());
    config.database = postgres(&Cluster::url_of(&[&standby]));
    let error = p2p_tracker::Tracker::start(config).unwrap_err().to_string();
    assert!(error.contains("does not allow writes"), "{error}");
}
