//! Running sessions over connections in memory: with each other, and with a peer that is played by hand.

use super::{
    close::{CloseReason, Violation},
    news::{ChunkNews, Detached, SessionNews},
};
use crate::p2p::testing::{Heard, MemoryFile, MemoryShelf, Puppet, connection, pool, session};
use p2p_shared::{
    chunker::CHUNK_SIZE,
    crypto::record::RECORD_HEADER,
    id::ChunkIndex,
    protocol::{DetachReason, GoodbyeReason, PeerHint, PeerMessage, RejectReason},
};
use std::{sync::Arc, time::Duration};
use tokio::io::AsyncWriteExt as _;

const KERNEL: usize = 1 << 20;
const CHUNK: usize = CHUNK_SIZE as usize;

fn file(seed: u8) -> MemoryFile {
    MemoryFile::new(seed, 4 * CHUNK + 7)
}

fn at(chunk: u32) -> ChunkIndex {
    ChunkIndex(chunk)
}

async fn closed(heard: &mut Heard) -> (CloseReason, Vec<ChunkIndex>) {
    heard
        .find(|news| match news {
            ChunkNews::Detached {
                reason: Detached::Closed(reason),
                unfinished,
            } => Some((reason, unfinished)),
            _ => None,
        })
        .await
}

#[actix_rt::test]
async fn chunks_of_several_files_come_over_one_session_as_they_are() {
    let (near, far) = connection(KERNEL, pool(8)).await;
    let (one, other) = (file(1), MemoryFile::new(2, 5));
    let near = session(near, MemoryShelf::default());
    let _far = session(far, MemoryShelf::with([file(1), MemoryFile::new(2, 5)]));
    let mut first = Heard::of(&near.session, one.wanted());
    let mut second = Heard::of(&near.session, other.wanted());
    near.session.set_interest(one.file, true);
    first.unchoked().await;
    second.unchoked().await;
    near.session.request(one.file, vec![at(4), at(0)]);
    near.session.request(other.file, vec![at(0)]);
    assert_eq!(first.chunk().await, (4, one.chunk(4).to_vec()));
    assert_eq!(first.chunk().await, (0, one.chunk(0).to_vec()));
    assert_eq!(second.chunk().await, (0, other.chunk(0).to_vec()));
}

#[actix_rt::test]
async fn two_leechers_serve_each_other_what_they_hold() {
    let (near, far) = connection(KERNEL, pool(8)).await;
    let whole = file(1);
    let (left, right) = (file(1), file(1));
    left.held.lock().unwrap().clear(at(0));
    right.held.lock().unwrap().clear(at(1));
    let near = session(near, MemoryShelf::default());
    let far = session(far, MemoryShelf::default());
    let mut here = Heard::holding(&near.session, whole.wanted(), Some(Arc::new(left)));
    let mut there = Heard::holding(&far.session, whole.wanted(), Some(Arc::new(right)));
    near.session.set_interest(whole.file, true);
    far.session.set_interest(whole.file, true);
    here.unchoked().await;
    there.unchoked().await;
    near.session.request(whole.file, vec![at(0)]);
    far.session.request(whole.file, vec![at(1)]);
    assert_eq!(here.chunk().await.1, whole.chunk(0));
    assert_eq!(there.chunk().await.1, whole.chunk(1));
}

#[actix_rt::test]
async fn a_chunk_that_cannot_be_read_is_refused_and_the_others_come() {
    let (near, far) = connection(KERNEL, pool(8)).await;
    let mut broken = file(1);
    broken.unreadable.push(at(1));
    broken.held.lock().unwrap().clear(at(2));
    let near = session(near, MemoryShelf::default());
    let _far = session(far, MemoryShelf::with([broken]));
    let mut heard = Heard::of(&near.session, file(1).wanted());
    near.session.set_interest(file(1).file, true);
    heard.unchoked().await;
    near.session.request(file(1).file, vec![at(1), at(2), at(3)]);
    let rejected = |news| match news {
        ChunkNews::Rejected { chunk, reason, .. } => Some((chunk.0, reason)),
        _ => None,
    };
    assert_eq!(heard.find(rejected).await, (1, RejectReason::Unreadable));
    assert_eq!(heard.find(rejected).await, (2, RejectReason::NotHeld));
    assert_eq!(heard.chunk().await.0, 3);
}

#[actix_rt::test]
async fn hashes_come_with_their_proof_or_not_at_all() {
    let (near, far) = connection(KERNEL, pool(8)).await;
    let near = session(near, MemoryShelf::default());
    let _far = session(far, MemoryShelf::with([file(1)]));
    let mut heard = Heard::of(&near.session, file(1).wanted());
    let hashes = |news| match news {
        ChunkNews::Hashes { first, hashes } => Some((first, hashes)),
        _ => None,
    };
    heard
        .find(|news| matches!(news, ChunkNews::Attached(_)).then_some(()))
        .await;
    near.session.get_hashes(file(1).file, 1, 3);
    assert_eq!(heard.find(hashes).await, (1, file(1).hashes[1..4].to_vec()));
    near.session.get_hashes(file(1).file, 1, 30);
    assert_eq!(heard.find(hashes).await, (1, Vec::new()), "more than there are");
}

#[actix_rt::test]
async fn one_more_chunk_is_told_to_whoever_attached() {
    let (near, far) = connection(KERNEL, pool(8)).await;
    let partial = file(1);
    partial.held.lock().unwrap().clear(at(2));
    let near = session(near, MemoryShelf::default());
    let far = session(far, MemoryShelf::with([partial]));
    let mut heard = Heard::of(&near.session, file(1).wanted());
    let attached = heard.find(|news| match news {
        ChunkNews::Attached(bits) => Some(bits.count()),
        _ => None,
    });
    assert_eq!(attached.await, 4);
    far.session.have(file(1).file, at(2));
    let has = heard.find(|news| match news {
        ChunkNews::Has(chunk) => Some(chunk),
        _ => None,
    });
    assert_eq!(has.await, at(2));
}

#[actix_rt::test]
async fn peers_that_are_named_are_reported() {
    let (near, far) = connection(KERNEL, pool(8)).await;
    let mut near = session(near, MemoryShelf::with([file(1)]));
    let far = session(far, MemoryShelf::default());
    let mut heard = Heard::of(&far.session, file(1).wanted());
    heard
        .find(|news| matches!(news, ChunkNews::Attached(_)).then_some(()))
        .await;
    let hint = PeerHint {
        key: near.session.about().peer,
        addresses: vec!["192.0.2.1:5".parse().unwrap()],
    };
    far.session.name_peers(file(1).file, vec![hint.clone()]);
    assert!(matches!(
        near.reports.recv().await,
        Some(SessionNews::Attached(_))
    ));
    let news = near.reports.recv().await;
    assert!(matches!(news, Some(SessionNews::Learned { peers, .. }) if peers == [hint]));
}

#[actix_rt::test]
async fn an_orderly_end_is_told_to_both_sides() {
    let (near, far) = connection(KERNEL, pool(8)).await;
    let near = session(near, MemoryShelf::default());
    let far = session(far, MemoryShelf::with([file(1)]));
    let mut heard = Heard::of(&near.session, file(1).wanted());
    heard
        .find(|news| matches!(news, ChunkNews::Attached(_)).then_some(()))
        .await;
    far.session.close(CloseReason::Ours(GoodbyeReason::Stopped));
    let (reason, _) = closed(&mut heard).await;
    assert!(
        matches!(reason, CloseReason::Theirs(GoodbyeReason::Stopped)),
        "{reason:?}"
    );
    assert!(matches!(
        near.closed.await,
        Ok(CloseReason::Theirs(GoodbyeReason::Stopped))
    ));
    assert!(matches!(
        far.closed.await,
        Ok(CloseReason::Ours(GoodbyeReason::Stopped))
    ));
}

#[actix_rt::test]
async fn who_attaches_to_a_session_that_is_over_hears_that_it_is() {
    let (near, far) = connection(KERNEL, pool(8)).await;
    let near = session(near, MemoryShelf::default());
    let far = session(far, MemoryShelf::with([file(1)]));
    let mut before = Heard::of(&near.session, file(1).wanted());
    far.session.close(CloseReason::Ours(GoodbyeReason::Stopped));
    closed(&mut before).await;
    let mut after = Heard::of(&near.session, file(1).wanted());
    let over = |news| match news {
        ChunkNews::Detached { reason, .. } => Some(reason),
        _ => None,
    };
    // It may be ending still, and then says why.
    assert!(matches!(
        after.find(over).await,
        Detached::Over | Detached::Closed(_)
    ));
}

#[actix_rt::test]
async fn an_end_without_a_goodbye_returns_what_was_asked_for() {
    let (near, far) = connection(KERNEL, pool(8)).await;
    let near = session(near, MemoryShelf::default());
    let mut puppet = Puppet::new(far);
    let mut heard = Heard::of(&near.session, file(1).wanted());
    puppet.offer(file(1).file, 5).await;
    heard.unchoked().await;
    near.session.request(file(1).file, vec![at(0), at(3)]);
    puppet
        .find(|message| {
            matches!(message, PeerMessage::Request { chunk, .. } if *chunk == at(3)).then_some(())
        })
        .await;
    drop(puppet);
    let (reason, unfinished) = closed(&mut heard).await;
    assert!(
        matches!(reason, CloseReason::Truncated | CloseReason::Io(_)),
        "{reason:?}"
    );
    assert_eq!(unfinished, [at(0), at(3)]);
}

#[actix_rt::test]
async fn a_chunk_nobody_asked_for_a_twin_and_a_wrong_length_end_the_session_with_their_name() {
    for fault in 0..3 {
        let (near, far) = connection(KERNEL, pool(8)).await;
        let near = session(near, MemoryShelf::default());
        let mut puppet = Puppet::new(far);
        let content = file(1);
        let mut heard = Heard::of(&near.session, content.wanted());
        puppet.offer(content.file, 5).await;
        heard.unchoked().await;
        near.session.request(content.file, vec![at(0)]);
        puppet
            .find(|message| matches!(message, PeerMessage::Request { .. }).then_some(()))
            .await;
        match fault {
            0 => puppet.send_chunk(content.file, 1, content.chunk(1)).await,
            1 => puppet.send_chunk(content.file, 0, &content.chunk(0)[1..]).await,
            _ => {
                puppet.send_chunk(content.file, 0, content.chunk(0)).await;
                puppet.send_chunk(content.file, 0, content.chunk(0)).await;
            }
        }
        let (reason, _) = closed(&mut heard).await;
        let named = match fault {
            0 => matches!(reason, CloseReason::Violation(Violation::Unsolicited(_, chunk)) if chunk == at(1)),
            1 => matches!(reason, CloseReason::Violation(Violation::Length { got, .. }) if got == CHUNK - 1),
            _ => matches!(reason, CloseReason::Violation(Violation::Unsolicited(_, chunk)) if chunk == at(0)),
        };
        assert!(named, "{reason:?}");
        let told = puppet.find(|message| match message {
            PeerMessage::Goodbye { reason } => Some(*reason),
            _ => None,
        });
        assert_eq!(told.await, GoodbyeReason::Misbehaved);
    }
}

#[actix_rt::test]
async fn a_record_that_was_changed_or_is_too_large_ends_the_session() {
    for header in [[0xff; RECORD_HEADER], [0, 0, 0, 64]] {
        let (near, far) = connection(KERNEL, pool(8)).await;
        let near = session(near, MemoryShelf::default());
        let mut puppet = Puppet::new(far);
        puppet.sink.write_all(&header).await.unwrap();
        puppet.sink.write_all(&[7; 64]).await.unwrap();
        assert!(matches!(near.closed.await, Ok(CloseReason::Forged)));
    }
}

#[actix_rt::test]
async fn a_second_hello_ends_the_session() {
    let (near, far) = connection(KERNEL, pool(8)).await;
    let near = session(near, MemoryShelf::default());
    let mut puppet = Puppet::new(far);
    let hello = crate::p2p::greeting::hello(Vec::new());
    puppet.say(&PeerMessage::Hello(hello)).await;
    assert!(matches!(
        near.closed.await,
        Ok(CloseReason::Violation(Violation::Hello))
    ));
}

#[actix_rt::test]
async fn a_silent_peer_is_given_up_after_twenty_seconds() {
    let (near, far) = connection(KERNEL, pool(8)).await;
    let near = session(near, MemoryShelf::default());
    let _puppet = Puppet::new(far);
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    assert!(matches!(near.closed.await, Ok(CloseReason::Silent)));
    assert!(
        (20..=21).contains(&began.elapsed().as_secs()),
        "{:?}",
        began.elapsed()
    );
}

#[actix_rt::test]
async fn what_is_fetched_for_somebody_who_crashed_and_does_not_come_back_is_given_up() {
    let (near, far) = connection(KERNEL, pool(8)).await;
    let near = session(near, MemoryShelf::default());
    let mut puppet = Puppet::new(far);
    let heard = Heard::of(&near.session, file(1).wanted());
    puppet
        .find(|message| matches!(message, PeerMessage::Attach { .. }).then_some(()))
        .await;
    drop(heard);
    puppet.offer(file(1).file, 5).await;
    tokio::time::pause();
    let reason = puppet
        .find(|message| match message {
            PeerMessage::Detach { reason, .. } => Some(*reason),
            _ => None,
        })
        .await;
    assert_eq!(reason, DetachReason::Stopped);
}

#[actix_rt::test]
async fn a_peer_that_does_not_read_is_given_up_though_it_goes_on_talking() {
    let (near, far) = connection(64 * 1024, pool(8)).await;
    let near = session(near, MemoryShelf::with([file(1)]));
    let mut puppet = Puppet::new(far);
    puppet.say(&PeerMessage::Attach { file: file(1).file }).await;
    puppet.say(&PeerMessage::Interested { file: file(1).file }).await;
    puppet
        .find(|message| matches!(message, PeerMessage::Unchoke).then_some(()))
        .await;
    for chunk in 0..4 {
        puppet
            .say(&PeerMessage::Request {
                file: file(1).file,
                chunk: at(chunk),
            })
            .await;
    }
    tokio::time::pause();
    let talking = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            puppet.say(&PeerMessage::Pong { nonce: 0 }).await;
        }
    };
    tokio::select! {
        reason = near.closed => assert!(matches!(reason, Ok(CloseReason::Silent)), "{reason:?}"),
        () = talking => {}
    }
}

#[actix_rt::test]
async fn while_no_buffer_is_free_nothing_is_read_and_nobody_is_blamed() {
    let receiving = pool(1);
    let (near, far) = connection(64 * 1024, receiving.clone()).await;
    let near = session(near, MemoryShelf::default());
    let _far = session(far, MemoryShelf::with([file(1)]));
    let content = file(1);
    let mut heard = Heard::of(&near.session, content.wanted());
    near.session.set_interest(content.file, true);
    heard.unchoked().await;
    let held = receiving.acquire().await;
    near.session.request(content.file, vec![at(0), at(1)]);
    tokio::time::pause();
    // Longer than a silent peer is borne with, and than a late chunk.
    let something = heard.find(|news| (!matches!(news, ChunkNews::RoundTrip(_))).then_some(news));
    let nothing = tokio::time::timeout(Duration::from_secs(15), something).await;
    assert!(nothing.is_err(), "{nothing:?}");
    tokio::time::resume();
    drop(held);
    assert_eq!(heard.chunk().await, (0, content.chunk(0).to_vec()));
    assert_eq!(heard.chunk().await, (1, content.chunk(1).to_vec()));
}

#[actix_rt::test]
async fn a_late_chunk_is_named() {
    let (near, far) = connection(KERNEL, pool(8)).await;
    let near = session(near, MemoryShelf::default());
    let mut puppet = Puppet::new(far);
    let mut heard = Heard::of(&near.session, file(1).wanted());
    puppet.offer(file(1).file, 5).await;
    heard.unchoked().await;
    near.session.request(file(1).file, vec![at(2)]);
    tokio::time::pause();
    let late = heard.find(|news| match news {
        ChunkNews::Late { chunks, room } => Some((chunks, room.free)),
        _ => None,
    });
    assert_eq!(late.await, (vec![at(2)], 0));
}

#[actix_rt::test]
async fn who_takes_over_a_file_hears_of_it_from_the_beginning() {
    let (near, far) = connection(KERNEL, pool(8)).await;
    let near = session(near, MemoryShelf::default());
    let _far = session(far, MemoryShelf::with([file(1)]));
    let content = file(1);
    let mut crashed = Heard::of(&near.session, content.wanted());
    near.session.set_interest(content.file, true);
    crashed.unchoked().await;
    near.session.request(content.file, vec![at(0), at(1)]);
    let mut next = Heard::of(&near.session, content.wanted());
    let whole = next.find(|news| match news {
        ChunkNews::Attached(bits) => Some(bits.is_full()),
        _ => None,
    });
    assert!(whole.await);
    // Chunk 1 was asked for by the other one already: either it is on its way, or withdrawn in time.
    near.session.request(content.file, vec![at(1), at(2)]);
    let first = next.find(|news| match news {
        ChunkNews::Received { chunk, .. } => Some((chunk.chunk.0, None)),
        ChunkNews::Rejected { chunk, reason, .. } => Some((chunk.0, Some(reason))),
        _ => None,
    });
    let (chunk, rejected) = first.await;
    assert_eq!(chunk, 1);
    if let Some(reason) = rejected {
        assert_eq!(reason, RejectReason::Cancelled);
    }
    assert_eq!(next.chunk().await.0, 2);
    drop(crashed);
}

#[actix_rt::test]
async fn a_file_that_the_peer_stops_sharing_is_detached_and_the_session_goes_on() {
    let (near, far) = connection(KERNEL, pool(8)).await;
    let near = session(near, MemoryShelf::default());
    let mut puppet = Puppet::new(far);
    let content = file(1);
    let mut heard = Heard::of(&near.session, content.wanted());
    puppet.offer(content.file, 5).await;
    heard.unchoked().await;
    near.session.request(content.file, vec![at(0)]);
    let (file, reason) = (content.file, DetachReason::Stopped);
    puppet
        .find(|message| matches!(message, PeerMessage::Request { .. }).then_some(()))
        .await;
    puppet.say(&PeerMessage::Detach { file, reason }).await;
    // Its answer was on the way and is nobody's fault.
    puppet.send_chunk(file, 0, content.chunk(0)).await;
    let detached = heard.find(|news| match news {
        ChunkNews::Detached {
            reason: Detached::Theirs(reason),
            unfinished,
        } => Some((reason, unfinished)),
        _ => None,
    });
    assert_eq!(detached.await, (DetachReason::Stopped, vec![at(0)]));
    let info = near.session.describe().await.unwrap();
    assert_eq!(info.received, content.chunk(0).len() as u64);
}
