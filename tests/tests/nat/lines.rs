//! The laboratory's lines: slow, lossy, cut, mended; and that nothing of a laboratory stays behind.

use p2p_tests::netlab::{self, Namespace, Net, Plan, probe};
use std::net::{SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// A socket of the first site's peer that talks to one of the second's, and that one.
fn pair(net: &Net) -> (UdpSocket, UdpSocket) {
    let sockets = [0, 1].map(|n: usize| probe::socket(&net.sites[n].peers[0], false, 5000));
    for (n, socket) in sockets.iter().enumerate() {
        socket
            .connect(SocketAddr::new(net.sites[1 - n].address(1), 5000))
            .unwrap();
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    }
    let [a, b] = sockets;
    (a, b)
}

/// How many of so many datagrams arrive. Whatever arrives between two machines of one computer arrives within the time-out of the socket.
fn arrive(from: &UdpSocket, to: &UdpSocket, count: usize) -> usize {
    let mut buffer = [0; 16];
    let mut arrived = 0;
    for _ in 0..count {
        // No way at all is a loss as well.
        drop(from.send(b"passes?"));
        arrived += usize::from(to.recv(&mut buffer).is_ok());
    }
    arrived
}

/// Sends until something arrives.
#[track_caller]
fn assert_arrives(from: &UdpSocket, to: &UdpSocket) {
    let begin = Instant::now();
    while arrive(from, to, 1) == 0 {
        assert!(begin.elapsed() < PATIENCE, "nothing arrives");
    }
}

/// Sends this number until it arrives. Others are from before, and late.
#[track_caller]
fn assert_comes(from: &UdpSocket, to: &UdpSocket, number: u8) {
    let begin = Instant::now();
    let mut buffer = [0; 16];
    loop {
        assert!(begin.elapsed() < PATIENCE, "number {number} does not arrive");
        // No way at all is a loss as well.
        drop(from.send(&[number]));
        while let Ok(length) = to.recv(&mut buffer) {
            if buffer[..length] == [number] {
                return;
            }
        }
    }
}

#[test]
fn a_delay_is_what_was_asked_for_between_any_two() {
    if !netlab::permitted() {
        return;
    }
    let rtt = Duration::from_millis(40);
    let net = Plan::named(&["none", "none"]).rtt(rtt).build();
    let (a, b) = pair(&net);
    assert_arrives(&a, &b);
    let mut fastest = Duration::MAX;
    for number in 0..20 {
        let begin = Instant::now();
        assert_comes(&a, &b, number);
        assert_comes(&b, &a, number);
        fastest = fastest.min(begin.elapsed());
    }
    assert!(fastest >= rtt, "{fastest:?}");
    println!("{fastest:?} for {rtt:?}");
}

#[test]
fn a_lossy_line_loses_some_and_not_all() {
    if !netlab::permitted() {
        return;
    }
    let net = Plan::named(&["none", "none"]).loss(30.0).build();
    let (a, b) = pair(&net);
    assert_arrives(&a, &b);
    // Each way out of a site and into one: half of them.
    let arrived = arrive(&a, &b, 60);
    assert!((10..50).contains(&arrived), "{arrived} of 60");
}

#[test]
fn what_is_cut_or_parted_is_silent_until_it_is_mended() {
    if !netlab::permitted() {
        return;
    }
    for rtt in [0, 4] {
        let net = Plan::named(&["none", "none"])
            .rtt(Duration::from_millis(rtt))
            .build();
        let (a, b) = pair(&net);
        assert_arrives(&a, &b);
        net.cut(0);
        assert_eq!((arrive(&a, &b, 5), arrive(&b, &a, 5)), (0, 0));
        net.mend(0);
        assert_arrives(&a, &b);
        net.part(0, 1);
        assert_eq!((arrive(&a, &b, 5), arrive(&b, &a, 5)), (0, 0));
        let tracker = SocketAddr::new(netlab::TRACKER.into(), 80);
        assert!(
            probe::dials(&net.sites[0].peers[0], &net.tracker, tracker, true),
            "others are reached"
        );
        net.join(0);
        assert_arrives(&a, &b);
    }
}

#[test]
fn nothing_stays_behind_when_a_test_panics() {
    if !netlab::permitted() {
        return;
    }
    let stays = Namespace::new("stays");
    let device = "/proc/sys/net/ipv4/conf/probe/forwarding";
    let is_there = || stays.enter(|| std::path::Path::new(device).exists());
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let net = Plan::named(&["cgnat-port", "none"])
            .rtt(Duration::from_millis(1))
            .build();
        // Goes with the machine that its other end is in.
        let link = format!(
            "link add probe type veth peer name probe netns {}",
            net.sites[0].gateway.reference()
        );
        stays.ip(&link);
        assert!(is_there());
        panic!("as a test does");
    }));
    assert!(panicked.is_err());
    let begin = Instant::now();
    while is_there() {
        assert!(begin.elapsed() < PATIENCE, "the gateway still exists");
        std::thread::yield_now();
    }
}
