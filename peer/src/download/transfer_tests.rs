//! Whole downloads: real sockets, real disks, peers that lie, stall, vanish and come back.

use super::testing::{Manner, Node, bytes_are_at_least, content, same, until};
use super::{Pause, Stage};
use crate::event::{Event, EventSink};
use p2p_shared::{chunker::CHUNK_SIZE, hash::HashAlgorithm};
use std::{fs, time::Duration};

const CHUNK: usize = CHUNK_SIZE as usize;

#[actix_rt::test]
async fn a_file_arrives_as_it_is_under_both_hashes() {
    for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Blake3] {
        let (seeder, leecher) = (Node::start(1, Manner::Honest), Node::start(2, Manner::Honest));
        let path = content(seeder.folder.path(), 64 * 1024 * 1024 + 77);
        let import = seeder.share(&path, algorithm).await;
        let (download, mut events) = leecher.get(&import, &[&seeder]);
        let done = download.finished().await.unwrap();
        assert!(same(&path, &done.path));
        assert_eq!(done.path, leecher.output().join("content"));
        assert_eq!(done.bytes_by_path.direct, 64 * 1024 * 1024 + 77);
        drop(download);
        let mut seen = Vec::new();
        while let Some(event) = events.next().await {
            let over = matches!(event, Event::Done(_));
            seen.push(event);
            if over {
                break;
            }
        }
        let phases = seen.iter().filter_map(|event| match event {
            Event::Phase { phase } => Some(format!("{phase:?}")),
            _ => None,
        });
        assert_eq!(
            phases.collect::<Vec<_>>(),
            ["Connecting", "Downloading", "Verifying"]
        );
        assert!(
            seen.iter()
                .any(|event| matches!(event, Event::Path(path) if path.peer == seeder.key()))
        );
        assert!(
            !seen.iter().any(|event| matches!(event, Event::Warning { .. })),
            "{seen:?}"
        );
    }
}

#[actix_rt::test]
async fn files_around_the_size_of_a_chunk_arrive() {
    for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1] {
        let (seeder, leecher) = (Node::start(1, Manner::Honest), Node::start(2, Manner::Honest));
        let path = content(seeder.folder.path(), size);
        let import = seeder.share(&path, HashAlgorithm::Sha256).await;
        let (download, _events) = leecher.get(&import, &[&seeder]);
        let done = download.finished().await.unwrap();
        assert!(same(&path, &done.path), "{size} bytes");
    }
}

#[actix_rt::test]
async fn a_folder_arrives_with_its_files() {
    let (seeder, leecher) = (Node::start(1, Manner::Honest), Node::start(2, Manner::Honest));
    let folder = seeder.folder.path().join("folder");
    fs::create_dir_all(folder.join("empty")).unwrap();
    fs::create_dir_all(folder.join("deep/er")).unwrap();
    for n in 0..200 {
        fs::write(folder.join(format!("deep/er/{n}")), vec![n as u8; 3000 + n]).unwrap();
    }
    let import = seeder.share(&folder, HashAlgorithm::Sha256).await;
    let (download, _events) = leecher.get(&import, &[&seeder]);
    let done = download.finished().await.unwrap();
    assert!(done.path.join("empty").is_dir());
    for n in 0..200 {
        let name = format!("deep/er/{n}");
        assert!(same(&folder.join(&name), &done.path.join(&name)));
    }
}

#[actix_rt::test]
async fn every_seeder_takes_part() {
    let seeders: Vec<_> = (1..=3)
        .map(|n| Node::start(n, Manner::Slow(Duration::from_millis(5))))
        .collect();
    let leecher = Node::start(9, Manner::Honest);
    let path = content(seeders[0].folder.path(), 60 * CHUNK);
    let mut import = None;
    for seeder in &seeders {
        import = Some(seeder.share(&path, HashAlgorithm::Sha256).await);
    }
    let all: Vec<_> = seeders.iter().collect();
    let (download, _events) = leecher.get(&import.unwrap(), &all);
    let done = download.finished().await.unwrap();
    assert!(same(&path, &done.path));
    let served: Vec<_> = seeders.iter().map(Node::served).collect();
    assert!(served.iter().all(|chunks| *chunks >= 5), "{served:?}");
    // Only at the end may something be asked for twice.
    assert!(served.iter().sum::<usize>() <= 60 + 3, "{served:?}");
}

#[actix_rt::test]
async fn leechers_fetch_from_each_other() {
    let seeder = Node::start(1, Manner::Slow(Duration::from_millis(20)));
    let leechers: Vec<_> = (2..=4).map(|n| Node::start(n, Manner::Honest)).collect();
    let path = content(seeder.folder.path(), 100 * CHUNK);
    let import = seeder.share(&path, HashAlgorithm::Sha256).await;
    let downloads: Vec<_> = leechers
        .iter()
        .map(|leecher| {
            let mut others = vec![&seeder];
            others.extend(&leechers);
            leecher.get(&import, &others)
        })
        .collect();
    for (download, _) in &downloads {
        let done = download.finished().await.unwrap();
        assert!(same(&path, &done.path));
    }
    // Three downloads of 100 chunks, and the seeder sent far fewer.
    assert!(
        seeder.served() <= 220,
        "{} chunks came from the seeder",
        seeder.served()
    );
}

#[actix_rt::test]
async fn among_liars_one_honest_seeder_is_enough_and_the_liars_are_banned() {
    let liars: Vec<_> = (1..=4).map(|n| Node::start(n, Manner::Liar)).collect();
    let honest = Node::start(8, Manner::Slow(Duration::from_millis(2)));
    let leecher = Node::start(9, Manner::Honest);
    let path = content(honest.folder.path(), 40 * CHUNK);
    let import = honest.share(&path, HashAlgorithm::Sha256).await;
    for liar in &liars {
        liar.share(&path, HashAlgorithm::Sha256).await;
    }
    let mut all: Vec<_> = liars.iter().collect();
    all.push(&honest);
    let (download, _events) = leecher.get(&import, &all);
    let done = download.finished().await.unwrap();
    assert!(same(&path, &done.path));
    let peers: Vec<_> = leecher
        .table
        .sessions()
        .await
        .unwrap()
        .into_iter()
        .map(|info| info.peer)
        .collect();
    for liar in &liars {
        assert!(
            !peers.contains(&liar.key()) || liar.served() == 0,
            "a liar is still there"
        );
    }
}

#[actix_rt::test]
async fn a_lone_liar_is_found_out_and_nothing_appears() {
    let (liar, leecher) = (Node::start(1, Manner::Liar), Node::start(2, Manner::Honest));
    let path = content(liar.folder.path(), 4 * CHUNK);
    let import = liar.share(&path, HashAlgorithm::Sha256).await;
    let (download, _events) = leecher.get(&import, &[&liar]);
    until(&download, |status| {
        status
            .trouble
            .as_ref()
            .is_some_and(|trouble| trouble.contains("not asked again"))
    })
    .await;
    until(&download, |status| {
        status.stage == Stage::Connecting && status.peers == 0
    })
    .await;
    assert!(!leecher.output().join("content").exists());
}

#[actix_rt::test]
async fn a_seeder_that_can_read_nothing_costs_no_more_than_its_session() {
    let (empty, honest) = (
        Node::start(1, Manner::Empty),
        Node::start(2, Manner::Slow(Duration::from_millis(2))),
    );
    let leecher = Node::start(9, Manner::Honest);
    let path = content(honest.folder.path(), 40 * CHUNK);
    let import = honest.share(&path, HashAlgorithm::Sha256).await;
    empty.share(&path, HashAlgorithm::Sha256).await;
    let (download, _events) = leecher.get(&import, &[&empty, &honest]);
    let done = download.finished().await.unwrap();
    assert!(same(&path, &done.path));
}

#[actix_rt::test]
async fn a_seeder_that_vanishes_and_comes_back_is_gone_on_with() {
    let seeder = Node::start(1, Manner::Slow(Duration::from_millis(10)));
    let leecher = Node::start(2, Manner::Honest);
    let path = content(leecher.folder.path(), 60 * CHUNK);
    let import = seeder.share(&path, HashAlgorithm::Sha256).await;
    let (download, _events) = leecher.get(&import, &[&seeder]);
    until(&download, bytes_are_at_least(5 * CHUNK as u64)).await;
    let address = seeder.address;
    let folder = seeder.stop().await;
    until(&download, |status| status.stage == Stage::Connecting).await;
    let seeder = Node::at(1, Manner::Honest, folder, address);
    let done = download.finished().await.unwrap();
    assert!(same(&path, &done.path));
    assert!(
        seeder.served() <= 55,
        "{} chunks were fetched again",
        seeder.served()
    );
}

#[actix_rt::test]
async fn a_download_that_was_stopped_is_gone_on_with_where_it_was() {
    let seeder = Node::start(1, Manner::Slow(Duration::from_millis(10)));
    let leecher = Node::start(2, Manner::Honest);
    let path = content(seeder.folder.path(), 60 * CHUNK);
    let import = seeder.share(&path, HashAlgorithm::Sha256).await;
    let (download, _events) = leecher.get(&import, &[&seeder]);
    until(&download, bytes_are_at_least(20 * CHUNK as u64)).await;
    download.stop(false).await;
    assert!(download.finished().await.is_err());
    let (download, _events) = leecher.get(&import, &[&seeder]);
    let done = download.finished().await.unwrap();
    assert!(same(&path, &done.path));
    assert!(
        done.bytes_by_path.direct <= 40 * CHUNK as u64,
        "{:?}",
        done.bytes_by_path
    );
}

#[actix_rt::test]
async fn a_paused_download_stands_still_until_it_is_resumed() {
    let seeder = Node::start(1, Manner::Slow(Duration::from_millis(50)));
    let leecher = Node::start(2, Manner::Honest);
    let path = content(seeder.folder.path(), 40 * CHUNK);
    let import = seeder.share(&path, HashAlgorithm::Sha256).await;
    let (download, _events) = leecher.get(&import, &[&seeder]);
    until(&download, bytes_are_at_least(3 * CHUNK as u64)).await;
    download.pause().await.unwrap();
    until(&download, |status| status.stage == Stage::Paused(Pause::Owner)).await;
    download.resume().await.unwrap();
    let done = download.finished().await.unwrap();
    assert!(same(&path, &done.path));
}

#[actix_rt::test]
async fn an_output_that_cannot_be_used_fails_the_download_with_its_path() {
    let (seeder, leecher) = (Node::start(1, Manner::Honest), Node::start(2, Manner::Honest));
    let path = content(seeder.folder.path(), CHUNK);
    let import = seeder.share(&path, HashAlgorithm::Sha256).await;
    let file = leecher.folder.path().join("not a folder");
    fs::write(&file, "").unwrap();
    let download = leecher.get_to(&import, &[&seeder], file.join("below"), EventSink::none());
    let failure = download.finished().await.unwrap_err();
    assert_eq!(failure.exit_code(), 7);
    assert!(failure.message.contains("not a folder"), "{failure}");
}

#[cfg(feature = "failpoints")]
#[actix_rt::test]
async fn a_download_that_crashes_is_back_and_fetches_nothing_twice() {
    let scenario = fail::FailScenario::setup();
    let seeder = Node::start(1, Manner::Slow(Duration::from_millis(5)));
    let leecher = Node::start(2, Manner::Honest);
    let path = content(seeder.folder.path(), 60 * CHUNK);
    let import = seeder.share(&path, HashAlgorithm::Sha256).await;
    let (download, _events) = leecher.get(&import, &[&seeder]);
    until(&download, bytes_are_at_least(5 * CHUNK as u64)).await;
    fail::cfg("DownloadCoordinator::ChunkStored", "1*panic").unwrap();
    let done = download.finished().await.unwrap();
    scenario.teardown();
    assert!(same(&path, &done.path));
    // What was under way when it crashed: a window, no more.
    assert!(seeder.served() <= 60 + 32, "{}", seeder.served());
}

#[cfg(feature = "failpoints")]
#[actix_rt::test]
async fn a_pause_that_crashes_the_download_holds() {
    let scenario = fail::FailScenario::setup();
    let seeder = Node::start(1, Manner::Slow(Duration::from_millis(50)));
    let leecher = Node::start(2, Manner::Honest);
    let path = content(seeder.folder.path(), 40 * CHUNK);
    let import = seeder.share(&path, HashAlgorithm::Sha256).await;
    let (download, _events) = leecher.get(&import, &[&seeder]);
    until(&download, bytes_are_at_least(3 * CHUNK as u64)).await;
    fail::cfg("DownloadCoordinator::PauseDownload", "1*panic").unwrap();
    download.pause().await.unwrap();
    until(&download, |status| status.stage == Stage::Paused(Pause::Owner)).await;
    fail::cfg("DownloadCoordinator::ResumeDownload", "1*panic").unwrap();
    download.resume().await.unwrap();
    let done = download.finished().await.unwrap();
    scenario.teardown();
    assert!(same(&path, &done.path));
}

#[cfg(feature = "failpoints")]
#[actix_rt::test]
async fn a_download_that_crashes_over_its_removal_does_not_come_back() {
    let scenario = fail::FailScenario::setup();
    let seeder = Node::start(1, Manner::Slow(Duration::from_millis(50)));
    let leecher = Node::start(2, Manner::Honest);
    let path = content(seeder.folder.path(), 40 * CHUNK);
    let import = seeder.share(&path, HashAlgorithm::Sha256).await;
    let (download, _events) = leecher.get(&import, &[&seeder]);
    until(&download, bytes_are_at_least(3 * CHUNK as u64)).await;
    fail::cfg("DownloadCoordinator::StopDownload", "1*panic").unwrap();
    download.stop(true).await;
    scenario.teardown();
    assert!(download.finished().await.is_err());
    let store = &leecher.parts.store;
    assert!(store.remove(import.manifest.hash).await.unwrap().job);
    assert_eq!(store.jobs().await.unwrap(), []);
    assert_eq!(leecher.table.reach(import.manifest.hash).await.unwrap().active, 0);
}
