//! Whole peers in this process: what starting, sharing, fetching and ending promise.

use super::*;
use crate::{
    event::{self, Event, TicketLine},
    operation::{GetRequest, ShareRequest, ShareState},
};
use std::{fs, path::Path};

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test where peers run: one thread for actors, others for everything else.
fn run(test: impl Future<Output = ()>) {
    p2p_shared::supervision::system(2).unwrap().block_on(test);
}

async fn start(folder: &Path) -> PeerHandle {
    Peer::start(Config::loopback(folder)).await.unwrap()
}

async fn share(peer: &PeerHandle, path: &Path) -> TicketLine {
    let (sink, mut events) = event::channel();
    let request = ShareRequest {
        paths: vec![path.to_owned()],
        algorithm: Default::default(),
        skip_unreadable: false,
        trackers: Vec::new(),
    };
    peer.share(request, sink).await.unwrap();
    while let Some(event) = events.next().await {
        if let Event::Ticket(line) = event {
            return line;
        }
    }
    panic!("no ticket");
}

fn get_of(ticket: &str, output: &Path) -> GetRequest {
    GetRequest {
        what: ticket.parse().unwrap(),
        trackers: Vec::new(),
        output: output.to_owned(),
        timeout: 30,
        keep: false,
    }
}

#[test]
fn a_share_is_fetched_by_its_ticket_alone_and_is_nobodys_share_afterwards() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letter.txt");
        fs::write(&path, vec![7; 600_000]).unwrap();
        let sharer = start(&folder.path().join("sharer")).await;
        let fetcher = start(&folder.path().join("fetcher")).await;
        let line = share(&sharer, &path).await;
        let output = folder.path().join("output");
        let (sink, _events) = event::channel();
        let got = tokio::time::timeout(PATIENCE, fetcher.get(get_of(&line.ticket, &output), sink)).await;
        let done = got.expect("it does not end").unwrap();
        assert_eq!(done.path, output.join("letter.txt"));
        assert_eq!(done.bytes_by_path.direct, 600_000);
        assert_eq!(fs::read(&done.path).unwrap(), fs::read(&path).unwrap());
        assert_eq!(fetcher.list().await.unwrap(), []);
        assert_eq!(sharer.list().await.unwrap()[0].state, ShareState::Seeding);
        fetcher.shutdown().await.unwrap();
        sharer.shutdown().await.unwrap();
    });
}

#[test]
fn a_download_that_nobody_can_be_reached_for_is_given_up_in_time_and_kept_for_the_next_try() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letter.txt");
        fs::write(&path, "dear").unwrap();
        let sharer = start(&folder.path().join("sharer")).await;
        let line = share(&sharer, &path).await;
        sharer.shutdown().await.unwrap();
        let fetcher = start(&folder.path().join("fetcher")).await;
        let request = GetRequest {
            timeout: 1,
            ..get_of(&line.ticket, &folder.path().join("output"))
        };
        let (sink, _events) = event::channel();
        let failure = fetcher.get(request, sink).await.unwrap_err();
        assert_eq!(failure.exit_code(), 4);
        assert!(failure.message.contains("letter.txt"), "{failure}");
        fetcher.shutdown().await.unwrap();
    });
}

#[test]
fn a_second_peer_on_a_data_folder_is_refused_and_the_folder_is_free_after_the_first() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let first = start(folder.path()).await;
        let failure = Peer::start(Config::loopback(folder.path())).await.unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        first.shutdown().await.unwrap();
        start(folder.path()).await.shutdown().await.unwrap();
    });
}

#[test]
fn a_port_that_is_taken_is_named_with_the_flag_that_chooses_another() {
    run(async {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config = Config::loopback(folder.path());
        for (config, flag) in [
            (
                Config {
                    listen: address,
                    ..config.clone()
                },
                "--listen",
            ),
            (
                Config {
                    api: address,
                    ..config.clone()
                },
                "--api",
            ),
        ] {
            let failure = Peer::start(config).await.unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            assert!(
                failure.message.contains(&address.to_string()) && failure.message.contains(flag),
                "{failure}"
            );
        }
    });
}

#[test]
fn a_peer_that_resumes_seeds_what_it_shared_before() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letter.txt");
        fs::write(&path, "dear").unwrap();
        let data = folder.path().join("data");
        let first = start(&data).await;
        let line = share(&first, &path).await;
        first.shutdown().await.unwrap();
        let config = Config {
            mode: Mode::Resume,
            ..Config::loopback(&data)
        };
        let again = Peer::start(config).await.unwrap();
        let listed = again.list().await.unwrap();
        assert_eq!(
            (listed[0].hash, listed[0].state),
            (line.hash, ShareState::Seeding)
        );
        again.shutdown().await.unwrap();
    });
}

#[test]
fn a_peer_that_is_offline_lists_and_connects_to_nobody() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            mode: Mode::Offline,
            ..Config::loopback(folder.path())
        };
        let peer = Peer::start(config).await.unwrap();
        assert_eq!(peer.list().await.unwrap(), []);
        assert!(!folder.path().join("api.json").exists());
        assert!(!folder.path().join("identity").exists());
        peer.shutdown().await.unwrap();
    });
}
