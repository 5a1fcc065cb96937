//! Whole peers in this process: what starting, sharing, fetching and ending promise.

use super::*;
use crate::{
    event::{self, Event, TicketLine},
    operation::{GetRequest, ShareRequest, ShareState},
    selection::Selection,
    storage::JobSpec,
};
use p2p_shared::id::ChunkIndex;
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
        policy: crate::connection::Policy::default(),
        selection: Selection::default(),
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
fn a_download_that_was_gone_on_with_unattended_is_watched_for_changes_as_any_share() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letter.txt");
        fs::write(&path, vec![7; 600_000]).unwrap();
        let sharer = start(&folder.path().join("sharer")).await;
        let line = share(&sharer, &path).await;
        let shared = sharer.orders.parts.store.open(line.hash).await.unwrap().unwrap();
        let (data, output) = (folder.path().join("data"), folder.path().join("output"));
        let first = start(&data).await;
        let spec = JobSpec {
            manifest: shared.manifest().clone(),
            hashes: shared.hashes().clone(),
            output: output.clone(),
            selection: Selection::default(),
        };
        fs::create_dir(&output).unwrap();
        drop(first.orders.parts.store.open_job(spec).await.unwrap());
        first.shutdown().await.unwrap();

        let config = Config {
            mode: Mode::Resume,
            ..Config::loopback(&data)
        };
        let again = Peer::start(config).await.unwrap();
        let under_way = again.orders.online().unwrap().downloads.find(&line.hash).unwrap();
        let hint = crate::connection::Hint {
            relays: Vec::new(),
            key: sharer.id().unwrap().public_key,
            addresses: vec![sharer.orders.online().unwrap().listen],
        };
        under_way.handle.more_peers(vec![hint]).await.unwrap();
        let done = tokio::time::timeout(PATIENCE, under_way.handle.finished()).await;
        let done = done.expect("it does not end").unwrap();
        let kept = async {
            while !again.orders.keeps_open(&line.hash) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, kept)
            .await
            .expect("it is kept open");

        fs::write(&done.path, "edited").unwrap();
        let served = again.orders.parts.store.open(line.hash).await.unwrap().unwrap();
        assert!(served.read_chunk(ChunkIndex(0), &mut Vec::new()).is_err());
        drop(served);
        assert_eq!(again.list().await.unwrap()[0].state, ShareState::Changed);
        again.shutdown().await.unwrap();
        sharer.shutdown().await.unwrap();
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

#[test]
fn a_shared_folder_comes_without_the_peers_own_data() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        let sharer = start(&home.join(".p2p")).await;
        fs::write(home.join("letter.txt"), "dear").unwrap();
        let line = share(&sharer, &home).await;
        let fetcher = start(&folder.path().join("fetcher")).await;
        let (sink, _events) = event::channel();
        let got = fetcher.get(get_of(&line.ticket, &folder.path().join("output")), sink);
        let done = tokio::time::timeout(PATIENCE, got)
            .await
            .expect("it does not end");
        let names = fs::read_dir(done.unwrap().path).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["letter.txt"]);
        fetcher.shutdown().await.unwrap();
        sharer.shutdown().await.unwrap();
    });
}

#[test]
fn what_is_fetched_to_one_folder_is_not_said_to_be_fetched_to_another() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letter.txt");
        fs::write(&path, "dear").unwrap();
        let sharer = start(&folder.path().join("sharer")).await;
        let line = share(&sharer, &path).await;
        sharer.shutdown().await.unwrap();
        let fetcher = start(&folder.path().join("fetcher")).await;
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        let (sink, mut events) = event::channel();
        let waiting = tokio::spawn({
            let (orders, request) = ((*fetcher).clone(), get_of(&line.ticket, &first));
            async move { orders.get(request, sink).await }
        });
        // Reported by the download: it is under way.
        while !matches!(events.next().await, Some(Event::Progress(_))) {}
        let (sink, _events) = event::channel();
        let refused = fetcher
            .get(get_of(&line.ticket, &second), sink)
            .await
            .unwrap_err();
        assert_eq!(refused.exit_code(), 7);
        assert!(refused.message.contains(first.to_str().unwrap()), "{refused}");
        fetcher.shutdown().await.unwrap();
        assert!(waiting.await.unwrap().is_err());
    });
}

#[test]
fn trackers_that_know_of_a_share_are_not_forgotten_when_it_is_fetched() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letter.txt");
        fs::write(&path, "dear").unwrap();
        let peer = start(&folder.path().join("peer")).await;
        let line = share(&peer, &path).await;
        let tracker = "http://tracker.example:8080".parse().unwrap();
        peer.parts
            .book
            .set(line.hash, std::slice::from_ref(&tracker))
            .await
            .unwrap();
        let request = GetRequest {
            timeout: 1,
            ..get_of(&line.ticket, &folder.path().join("output"))
        };
        let (sink, _events) = event::channel();
        peer.get(request, sink).await.unwrap();
        assert_eq!(peer.parts.book.of(&line.hash), [tracker]);
        peer.shutdown().await.unwrap();
    });
}

#[test]
fn a_policy_that_leaves_no_path_is_refused() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letter.txt");
        fs::write(&path, "dear").unwrap();
        let sharer = start(&folder.path().join("sharer")).await;
        let line = share(&sharer, &path).await;
        let config = Config {
            policy: Policy::DirectOnly,
            ..Config::loopback(folder.path().join("fetcher"))
        };
        let fetcher = Peer::start(config).await.unwrap();
        let request = GetRequest {
            policy: Policy::RelayOnly,
            ..get_of(&line.ticket, &folder.path().join("output"))
        };
        let failure = fetcher.get(request, event::channel().0).await.unwrap_err();
        assert_eq!(failure.exit_code(), 2, "{failure}");
        fetcher.shutdown().await.unwrap();
        sharer.shutdown().await.unwrap();
    });
}

/// Without a relay nothing comes through relays only.
#[test]
fn what_was_to_come_through_relays_only_does_until_somebody_says_otherwise_and_then_it_does_at_once() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letter.txt");
        fs::write(&path, "dear").unwrap();
        let sharer = start(&folder.path().join("sharer")).await;
        let config = Config {
            mode: Mode::Resume,
            ..Config::loopback(folder.path().join("fetcher"))
        };
        let fetcher = Peer::start(config).await.unwrap();
        let line = share(&sharer, &path).await;
        let request = |policy, timeout| GetRequest {
            policy,
            timeout,
            ..get_of(&line.ticket, &folder.path().join("output"))
        };
        let (sink, mut events) = event::channel();
        let hidden = fetcher.get(request(Policy::RelayOnly, 60), sink);
        let by_word = async {
            // It is under way.
            while events.next().await.is_some() {
                if fetcher.policy_of(&line.hash) == Policy::RelayOnly {
                    break;
                }
            }
            let failure = fetcher.get(request(Policy::Auto, 1), event::channel().0).await;
            assert_eq!(failure.unwrap_err().exit_code(), 4, "nobody said otherwise");
            assert_eq!(fetcher.policy_of(&line.hash), Policy::RelayOnly);
            fetcher
                .get(request(Policy::DirectOnly, 60), event::channel().0)
                .await
                .unwrap();
        };
        let (first, ()) = tokio::join!(hidden, by_word);
        assert_eq!(first.unwrap().bytes_by_path.direct, 4, "it is the same download");
        assert_eq!(
            fs::read(folder.path().join("output/letter.txt")).unwrap(),
            b"dear"
        );
        fetcher.shutdown().await.unwrap();
        sharer.shutdown().await.unwrap();
    });
}
