use super::*;
use crate::{
    storage::{Announcer, Touch},
    testing::{file_of, live},
};
use p2p_shared::{hash::HashAlgorithm, id::PublicKey};

fn key(seed: u8) -> PublicKey {
    PublicKey([seed; 32])
}

fn put(seed: u8) -> Write {
    Write::PutPeer(live::peer(key(seed), 5))
}

fn touch(seed: u8) -> Write {
    Write::TouchPeers(vec![Touch {
        peer: PeerId::of(&key(seed)),
        last_seen: 5,
        contact: None,
        is_relayed: false,
    }])
}

fn end(seed: u8) -> Write {
    Write::EndPeers(vec![PeerId::of(&key(seed))])
}

fn add(seed: u8) -> Write {
    let (mut file, digests) = file_of(HashAlgorithm::Sha256, b"x");
    file.hash = FileHash([seed; 32]);
    let by = Announcer { peer: key(1), at: 5 };
    let file = Box::new(file);
    Write::AddFile { file, digests, by }
}

fn have(file: u8, peer: u8) -> Write {
    Write::SetHave {
        hash: FileHash([file; 32]),
        peer: key(peer),
        seeder: Some(true),
    }
}

/// The kinds in each step, in the order in which they are done.
fn steps(writes: &[Write]) -> Vec<Vec<usize>> {
    let places = |step: Step| match step {
        Step::Single(at) => vec![at],
        Step::Wave(wave) => [wave.ends, wave.puts, wave.touches, wave.adds, wave.haves].concat(),
    };
    plan(writes).into_iter().map(places).collect()
}

#[test]
fn first_announcements_of_many_peers_are_one_wave() {
    let writes = [
        put(1),
        add(1),
        have(1, 1),
        put(2),
        have(1, 2),
        put(3),
        add(2),
        have(2, 3),
    ];
    assert_eq!(steps(&writes), [vec![0, 3, 5, 1, 6, 2, 4, 7]]);
}

#[test]
fn what_comes_later_about_the_same_peer_or_file_is_done_later() {
    // A registration forgets what was announced before it.
    assert_eq!(steps(&[have(1, 1), put(1)]), [vec![0], vec![1]]);
    assert_eq!(steps(&[put(1), put(1)]), [vec![0], vec![1]]);
    assert_eq!(steps(&[touch(1), end(1)]), [vec![0], vec![1]]);
    assert_eq!(steps(&[add(1), add(1)]), [vec![0], vec![1]]);
    assert_eq!(steps(&[have(1, 1), add(1)]), [vec![0], vec![1]]);
    assert_eq!(steps(&[have(1, 1), have(1, 1)]), [vec![0], vec![1]]);
    // Others are not kept waiting.
    assert_eq!(steps(&[have(1, 1), put(2), add(2)]), [vec![1, 2, 0]]);
    assert_eq!(steps(&[end(1), put(1), touch(1), touch(1)]), [vec![0, 1, 2, 3]]);
}

#[test]
fn what_has_to_look_first_goes_alone_and_keeps_its_place() {
    let remove = Write::RemoveFile(FileHash([1; 32]));
    assert_eq!(steps(&[add(1), remove, have(1, 1)]), [vec![0], vec![1], vec![2]]);
    assert!(plan(&[]).is_empty());
}
