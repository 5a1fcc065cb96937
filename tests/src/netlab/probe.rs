//! What gets through, found out by hand: TCP dials, and plain UDP hole punching.
//!
//! Promises what the laboratory does, not what a product makes of it: sockets made in the namespaces, one thread that sends and looks. What is expected
//! decides only how long is waited: a slow machine cannot make a packet pass that is filtered.

use super::kind::{Filtering, Nat};
use super::namespace::Namespace;
use super::net::{Net, Site, TRACKER_PORT};
use crate::process::PATIENCE;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// The port that a peer's socket has inside.
pub const INSIDE: u16 = 5000;

/// Where a machine on the internet is asked what it sees: two ports, as a rendezvous has.
const SEEN_AT: [u16; 2] = [3478, 3479];

/// How long is waited for what should not come: hundreds of round trips.
const QUIET: Duration = Duration::from_millis(700);

/// So often what should not come is sent before something that does come.
const ROUNDS: u32 = 20;

/// Between two datagrams of a punch.
const BEAT: Duration = Duration::from_millis(20);

/// What one side is found to be.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// The outside port for each of two ports asked; none when no datagram gets there.
    pub mapped: Option<[SocketAddr; 2]>,
    /// Who may send to it; none when no datagram gets out.
    pub filtering: Option<Filtering>,
    /// A connection to the tracker's port 443 is made.
    pub tcp_443: bool,
    /// A connection to another port of it is made.
    pub tcp_other: bool,
    /// A connection from a public machine is taken.
    pub tcp_in: bool,
}

/// A UDP socket in a namespace.
pub fn socket(place: &Namespace, is_v6: bool, port: u16) -> UdpSocket {
    let any: IpAddr = if is_v6 {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    let socket = place.enter(|| UdpSocket::bind((any, port)));
    let socket = socket.unwrap_or_else(|error| panic!("{place:?}: UDP port {port}: {error}"));
    socket
        .set_nonblocking(true)
        .expect("a socket that does not block");
    socket
}

/// Two sockets on the tracker's machine that look where others come from.
#[derive(Debug)]
pub struct Watch {
    sockets: [UdpSocket; 2],
}

impl Watch {
    /// At the tracker of this laboratory.
    pub fn at_tracker(net: &Net, is_v6: bool) -> Self {
        Self {
            sockets: SEEN_AT.map(|port| socket(&net.tracker, is_v6, port)),
        }
    }

    /// Where they see a socket of this site; none when its datagrams do not get there.
    pub fn sees(&self, inside: &UdpSocket, site: &Site) -> Option<[SocketAddr; 2]> {
        seen(inside, &self.sockets, asked(site), site.kind.has_udp())
    }
}

fn asked(site: &Site) -> [SocketAddr; 2] {
    SEEN_AT.map(|port| SocketAddr::new(site.tracker(), port))
}

/// Looks at site 0 from the tracker's machine and from site 1, which has to be public.
pub fn look(net: &Net) -> Found {
    let (site, stranger) = (&net.sites[0], &net.sites[1]);
    let (kind, peer) = (site.kind, &site.peers[0]);
    let tracker = Watch::at_tracker(net, kind.is_v6);
    let mapped = tracker.sees(&socket(peer, kind.is_v6, INSIDE), site);
    let filtering = mapped.map(|_| {
        // Of its own: it must not have talked to the tracker's second port.
        let inside = socket(peer, kind.is_v6, INSIDE + 1);
        let stranger = socket(&stranger.peers[0], kind.is_v6, INSIDE);
        filtering(
            &inside,
            &tracker.sockets,
            asked(site)[0],
            &stranger,
            kind.filtering(),
        )
    });
    let at_tracker = |port| SocketAddr::new(site.tracker(), port);
    Found {
        mapped,
        filtering,
        tcp_443: dials(peer, &net.tracker, at_tracker(TRACKER_PORT), true),
        tcp_other: dials(peer, &net.tracker, at_tracker(8080), kind.home != Nat::Tcp443),
        tcp_in: dials(
            &stranger.peers[0],
            peer,
            SocketAddr::new(site.dialled(1), INSIDE),
            kind.takes_tcp(),
        ),
    }
}

/// Whether somebody connects to a listener at this address, of which `to` is told the port alone.
pub fn dials(from: &Namespace, to: &Namespace, at: SocketAddr, expected: bool) -> bool {
    let any: IpAddr = if at.is_ipv6() {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    let listener = to
        .enter(|| TcpListener::bind((any, at.port())))
        .expect("a port to listen at");
    let patience = if expected { PATIENCE } else { QUIET };
    let made = from.enter(|| TcpStream::connect_timeout(&at, patience)).is_ok();
    drop(listener);
    made
}

/// Where two sockets see a third one.
fn seen(
    inside: &UdpSocket,
    tracker: &[UdpSocket; 2],
    asked: [SocketAddr; 2],
    expected: bool,
) -> Option<[SocketAddr; 2]> {
    let mut found = [None; 2];
    let patience = if expected { PATIENCE } else { QUIET };
    wait(patience, || {
        for (n, socket) in tracker.iter().enumerate() {
            if found[n].is_none() {
                send(inside, b"?", asked[n]);
            }
            while let Some((_, from)) = receive(socket) {
                // The answer makes the flow one that is known in both directions.
                send(socket, b"!", from);
                found[n] = Some(from);
            }
        }
        found.iter().all(Option::is_some)
    });
    while receive(inside).is_some() {}
    Some([found[0]?, found[1]?])
}

/// Who gets through to a socket that talks to the tracker's first port: its second port, a stranger, or nobody else.
fn filtering(
    inside: &UdpSocket,
    tracker: &[UdpSocket; 2],
    asked: SocketAddr,
    stranger: &UdpSocket,
    expected: Filtering,
) -> Filtering {
    let (mut same_address, mut anybody, mut answers) = (false, false, 0);
    let ended = wait(PATIENCE, || {
        send(inside, b"?", asked);
        while let Some((_, from)) = receive(&tracker[0]) {
            send(stranger, b"stranger", from);
            send(&tracker[1], b"port", from);
            send(&tracker[0], b"known", from);
        }
        while let Some((text, _)) = receive(inside) {
            match &text[..] {
                b"stranger" => anybody = true,
                b"port" => same_address = true,
                b"known" => answers += 1,
                _ => {}
            }
        }
        match expected {
            Filtering::Anybody => anybody,
            Filtering::Address => same_address && answers >= ROUNDS,
            Filtering::AddressAndPort => answers >= ROUNDS,
        }
    });
    assert!(ended, "the tracker's answers do not arrive");
    match (anybody, same_address) {
        (true, _) => Filtering::Anybody,
        (_, true) => Filtering::Address,
        _ => Filtering::AddressAndPort,
    }
}

/// Punches between the first peers of sites 0 and 1. The time that it took, if both got an answer.
pub fn punch(net: &Net, expected: bool) -> Option<Duration> {
    let [a, b] = [&net.sites[0], &net.sites[1]];
    if a.kind.is_v6 != b.kind.is_v6 {
        return None;
    }
    let is_v6 = a.kind.is_v6;
    let tracker = Watch::at_tracker(net, is_v6);
    let sockets = [a, b].map(|site| socket(&site.peers[0], is_v6, INSIDE));
    let (outside_a, outside_b) = (tracker.sees(&sockets[0], a)?, tracker.sees(&sockets[1], b)?);
    between(&sockets, [outside_b[0], outside_a[0]], expected)
}

/// Sends from both sides, each to what it knows of the other and to wherever something came from.
pub fn between(sockets: &[UdpSocket; 2], known: [SocketAddr; 2], expected: bool) -> Option<Duration> {
    let mut candidates = known.map(|address| vec![address]);
    let mut answered = [false; 2];
    let begin = Instant::now();
    let done = wait(if expected { PATIENCE } else { QUIET }, || {
        for (n, socket) in sockets.iter().enumerate() {
            candidates[n].iter().for_each(|to| send(socket, b"punch", *to));
            while let Some((text, from)) = receive(socket) {
                match &text[..] {
                    b"punch" => send(socket, b"answer", from),
                    b"answer" => answered[n] = true,
                    _ => {}
                }
                if text == b"punch" && !candidates[n].contains(&from) {
                    candidates[n].push(from);
                }
            }
        }
        answered == [true; 2]
    });
    done.then(|| begin.elapsed())
}

/// Calls `step` at every beat until it is content or the time is over.
fn wait(patience: Duration, mut step: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while !step() {
        if begin.elapsed() > patience {
            return false;
        }
        // The beat of a punch; nothing is waited for by it.
        thread::sleep(BEAT);
    }
    true
}

/// A datagram that has no way is as good as one that is lost.
fn send(socket: &UdpSocket, text: &[u8], to: SocketAddr) {
    drop(socket.send_to(text, to));
}

fn receive(socket: &UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
    let mut buffer = [0; 64];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => return Some((buffer[..length].to_vec(), from)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            // What an ICMP message told about an earlier datagram.
            Err(_) => {}
        }
    }
}
