//! The rendezvous of a real tracker, over real datagrams.

use p2p_shared::crypto::identity::Identity;
use p2p_shared::holepunch::stun::{self, BindingError};
use p2p_tests::lab::Lab;
use p2p_tests::process::{Launch, PATIENCE};
use p2p_tests::programs::Tracker;
use p2p_tests::stun_client::{ask, binding, socket};
use p2p_tests::tracker_caller::Caller;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Instant;

const ID: stun::TransactionId = *b"transaction!";

/// The shortest request there is, as public clients send it.
const BARE: &[u8; 20] = b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!";

/// A tracker and where it answers.
fn tracker(lab: &Lab) -> (Tracker, [SocketAddr; 2]) {
    let tracker = Tracker::start(lab);
    let caller = Caller::new(&tracker.url());
    let session = caller.register(&Identity::from_secret([1; 32]), 6881).unwrap();
    let ports: [u16; 2] = session.udp_ports.try_into().expect("two ports");
    let at = ports.map(|port| SocketAddr::new(tracker.address().ip(), port));
    (tracker, at)
}

#[test]
fn a_peer_learns_its_address_and_the_other_port_at_each_of_two_ports() {
    let lab = Lab::new();
    let (_tracker, at) = tracker(&lab);
    let socket = socket();
    for (asked, other) in [(at[0], at[1]), (at[1], at[0])] {
        let request = stun::request(ID);
        let answer = ask(&socket, asked, &request).unwrap();
        assert!(answer.len() <= request.len());
        let reply = stun::read_reply(&answer, ID).unwrap();
        assert_eq!(reply.mapped, socket.local_addr().unwrap());
        assert_eq!(reply.other, Some(other));
    }
}

#[test]
fn bare_requests_are_answered_within_a_ration_and_padded_ones_always() {
    const ROUNDS: usize = 300;
    let lab = Lab::new();
    let (_tracker, at) = tracker(&lab);
    let socket = socket();
    let answer = ask(&socket, at[0], BARE).unwrap();
    assert_eq!(answer.len(), 32, "a type, a length, and the address alone");
    let reply = stun::read_reply(&answer, ID).unwrap();
    assert_eq!(reply.mapped, socket.local_addr().unwrap());
    let begin = std::time::Instant::now();
    let mut rationed = 0;
    for _ in 0..ROUNDS {
        // The answer to the second comes behind that to the first, if there is one.
        socket.send_to(BARE, at[0]).unwrap();
        let mut answer = ask(&socket, at[0], &stun::request(ID)).expect("a padded request is answered");
        if answer.len() == 32 {
            rationed += 1;
            let mut buffer = [0; 1500];
            let (len, _) = socket
                .recv_from(&mut buffer)
                .expect("a padded request is answered");
            answer = buffer[..len].to_vec();
        }
        assert!(answer.len() > 32);
    }
    // Ten that were saved up, and ten a second, however long this took.
    let most = 10.0 + 10.0 * begin.elapsed().as_secs_f64();
    assert!(
        f64::from(rationed) <= most,
        "{rationed} of {ROUNDS}, at most {most}"
    );
}

#[test]
fn what_is_no_request_gets_nothing_and_what_is_not_understood_is_refused() {
    let lab = Lab::new();
    let (_tracker, at) = tracker(&lab);
    let socket = socket();
    for junk in [&b""[..], b"hello", &[0; 20], &[0xff; 1400]] {
        socket.send_to(junk, at[0]).unwrap();
    }
    // RFC 5780 CHANGE-REQUEST, which has to be understood.
    let mut change = BARE.to_vec();
    change.extend([0, 3, 0, 4, 0, 0, 0, 2]);
    change[3] = 8;
    let answer = ask(&socket, at[0], &change).unwrap();
    assert_eq!(stun::read_reply(&answer, ID), Err(BindingError::Refused(420)));
}

#[test]
fn an_address_that_is_taken_is_named() {
    let lab = Lab::new();
    let holds = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = holds.local_addr().unwrap().to_string();
    let launch: Launch = Tracker::launch(&lab.folder("tracker"))
        .args([
            "--listen",
            "127.0.0.1:0",
            "--udp-listen",
            "127.0.0.1:0",
            "--udp-listen",
        ])
        .arg(&taken);
    let ended = launch.run().expect_code(2);
    assert!(
        ended.err.contains(&taken) && ended.err.contains("--udp-listen"),
        "{}",
        ended.err
    );
}

/// Whether a program of others is there. Where it is not, that is said, and in CI the test fails: it must not be lost unseen.
fn is_installed(program: &str) -> bool {
    let is_there = Command::new(program).arg("-h").output().is_ok();
    if !is_there {
        assert!(
            std::env::var_os("CI").is_none(),
            "in CI this must run: {program} is not installed"
        );
        println!("skipped: {program} is not installed");
    }
    is_there
}

/// With a client that is not ours, where there is one (Debian: coturn).
#[test]
fn a_public_client_works_against_it() {
    let client = "turnutils_stunclient";
    if !is_installed(client) {
        return;
    }
    let lab = Lab::new();
    let (_tracker, at) = tracker(&lab);
    let port = at[0].port().to_string();
    let said = Command::new(client)
        .args(["-p", &port, "127.0.0.1"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    println!("{said}");
    assert!(said.contains("reflexive addr: 127.0.0.1:"), "{said}");
}

/// Our client at a server that is not ours, where there is one (Debian: coturn).
#[test]
fn our_client_works_against_a_public_server() {
    if !is_installed("turnserver") {
        return;
    }
    let lab = Lab::new();
    // It takes no port 0; a free one may be taken by somebody else meanwhile, on which it ends and the test says so.
    let at = socket().local_addr().unwrap();
    let path = |name: &str| lab.at(name).to_str().unwrap().to_owned();
    let server = Launch::new("/usr/bin/turnserver", &lab.folder("turnserver"))
        .args([
            "-n",
            "--no-tls",
            "--no-dtls",
            "--stun-only",
            "--no-cli",
            "--log-file",
            "stdout",
        ])
        .args(["-L", "127.0.0.1", "-p", &at.port().to_string()])
        .args(["--pidfile", &path("pid"), "--userdb", &path("users")])
        .start();
    let begin = Instant::now();
    let reply = loop {
        match binding(at) {
            Ok(reply) => break reply,
            Err(error) => assert!(begin.elapsed() < PATIENCE, "{error}: {}", server.err_text()),
        }
    };
    let mapped = reply.expect("an address").mapped;
    assert!(mapped.ip().is_loopback() && mapped.port() != 0, "{mapped}");
}

#[test]
fn our_client_hears_when_nobody_answers() {
    let silent = socket();
    assert!(binding(silent.local_addr().unwrap()).is_err());
}
