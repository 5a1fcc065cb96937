//! Peers whose address changes in the middle of a file: the transfer goes on, others hear where they are now, and a hole is punched anew.

use crate::scene::{MIB, Scene};
use p2p_tests::netlab;
use p2p_tests::process::Program;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Much, for what may be on its way when the address changes.
const SIZE: u64 = 384 * MIB;

/// More than a request window holds, so that the new path has carried some.
const MORE: u64 = 64 * MIB;

/// What the fetcher has found out of where others may find it, from this line of its log on: that it moved, to there.
fn finds_itself(get: &Program, from: usize, at: IpAddr) {
    let at = format!("{at}:");
    let said = |line: &str| {
        let looked = line.contains("where others may find the UDP port");
        (looked && line.contains(&at) && !line.contains("moves: 0")).then_some(())
    };
    get.wait_err(from, "where it is now", said);
}

/// Both lives of a transfer: `change` happens to the fetcher in the middle; where it is then is what comes back.
fn goes_on(kinds: &[&str], change: impl FnOnce(&Scene) -> IpAddr) {
    let scene = Scene::new(kinds, SIZE, &[]);
    let punched = scene.wait_path(0, "punched");
    scene.wait_bytes(8 * MIB);
    let said = scene.get.lines().1;
    let (at, begin) = (change(&scene), Instant::now());
    let pause = scene.longest_pause(MORE);
    finds_itself(&scene.get, said, at);
    println!(
        "nothing came for {:.2} s after the address had changed",
        pause.as_secs_f64()
    );
    // Ten seconds are the promise; a machine that does other things besides is slower, not wrong.
    assert!(pause < Duration::from_secs(15), "{pause:?}");
    scene.wait_path(punched, "punched");
    println!(
        "punched again {:.2} s after the address had changed",
        begin.elapsed().as_secs_f64()
    );
    let bytes = scene.check();
    assert!(bytes["punched"].as_u64().unwrap() >= 16 * MIB, "{bytes}");
}

#[test]
fn a_fetcher_that_gets_another_address_in_mid_transfer_goes_on() {
    if netlab::permitted() {
        goes_on(&["port", "port"], |scene| scene.net.readdress(1, 77));
    }
}

#[test]
fn a_fetcher_whose_way_out_moves_to_another_network_goes_on() {
    if netlab::permitted() {
        goes_on(&["port", "port", "port"], |scene| {
            let there = scene.net.plug_into(1, 2);
            scene.net.leave_by(1, 2);
            there
        });
    }
}
