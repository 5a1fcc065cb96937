//! Starting and stopping.

use crate::support::{PATIENCE, TestTracker, ok};
use p2p_shared::tracker_api::{Health, HealthStatus, Stats};
use p2p_tracker::{Config, DataError, Ending, StartError, Tracker};
use std::net::TcpListener;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

#[tokio::test]
async fn it_answers_as_soon_as_it_has_started() {
    let tracker = TestTracker::start();
    for path in ["/healthz", "/readyz"] {
        let health: Health = ok(tracker.get(path)).await;
        assert_eq!(health.status, HealthStatus::Ok);
    }
    let stats: Stats = ok(tracker.get("/api/stats")).await;
    assert_eq!(stats.version, env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn a_second_tracker_on_the_same_data_is_refused() {
    let tracker = TestTracker::start();
    let error = Tracker::start(tracker.config()).unwrap_err();
    assert!(matches!(&error, StartError::Data(DataError::Locked(path)) if *path == tracker.config().data));
    assert!(error.to_string().contains("another tracker runs"), "{error}");
    // The first one is none the worse for it, and when it is gone the next may start.
    let _: Stats = ok(tracker.get("/api/stats")).await;
    tracker.restart().await;
}

#[tokio::test]
async fn a_second_tracker_on_the_same_database_is_refused_whatever_its_data_folder() {
    let tracker = TestTracker::start();
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::loopback(folder.path());
    config.database = tracker.config().database;
    let error = Tracker::start(config.clone()).unwrap_err();
    assert!(
        matches!(&error, StartError::Data(DataError::DatabaseLocked(path)) if Some(path.as_path()) == config.database.path()),
        "{error}"
    );
    assert!(error.to_string().contains("--database"), "{error}");
    tracker.handle.shutdown().await;
    Tracker::start(config).unwrap().shutdown().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_and_nothing_is_left_running() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::loopback(folder.path());
    config.listen = taken.local_addr().unwrap();
    let error = Tracker::start(config.clone()).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, StartError::Listen { .. }));
    assert!(
        text.contains(&config.listen.to_string()) && text.contains("--listen"),
        "{text}"
    );
    config.listen.set_port(0);
    Tracker::start(config).unwrap();
}

#[tokio::test]
async fn a_request_in_flight_is_answered_before_it_stops() {
    let tracker = TestTracker::start();
    let address = tracker.handle.address();
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The request has begun when the server asks for its body.
    let head = "POST /api/peers/challenge HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 2\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");

    let stopping = tokio::spawn(tracker.handle.shutdown());
    // It is stopping when nobody is let in any more.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(b"{}").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 400") && answer.contains("public_key"),
        "{answer}"
    );
    let ending = tokio::time::timeout(PATIENCE, stopping).await.unwrap().unwrap();
    assert_eq!(ending, Ending::Stopped);
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let tracker = TestTracker::start();
    let mut idle = TcpStream::connect(tracker.handle.address()).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 15];
    idle.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    let ending = tokio::time::timeout(PATIENCE, tracker.handle.shutdown())
        .await
        .unwrap();
    assert_eq!(ending, Ending::Stopped);
}

#[tokio::test]
async fn dropping_its_handle_stops_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::loopback(folder.path());
    drop(Tracker::start(config.clone()).unwrap());
    // The data folder is free again when it has ended.
    while let Err(error) = Tracker::start(config.clone()) {
        assert!(matches!(error, StartError::Data(DataError::Locked(_))), "{error}");
        tokio::task::yield_now().await;
    }
}
