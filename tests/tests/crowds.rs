//! Two thousand sockets that send a byte a second: at a peer's door and at a tracker's, and nobody who is good is kept out.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use p2p_shared::open_files;
use p2p_tests::fixtures;
use p2p_tests::lab::Lab;
use p2p_tests::process::PATIENCE;
use p2p_tests::programs::{Peer, Sharing, Tracker, listening};
use p2p_tests::tree;
use socket2::{Domain, Protocol, Socket, Type};

const SOCKETS: usize = 2000;

/// Between two bytes of each.
const BEAT: Duration = Duration::from_secs(1);

/// Sockets at one door. Who is sent away comes again a second later.
struct Crowd {
    is_over: Arc<AtomicBool>,
    /// Something for each time that all of them have sent a byte, or come again.
    beats: mpsc::Receiver<()>,
    /// How many were sent away.
    sent_away: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    /// Half of them come from one address and half from many; they say `words`, byte by byte, and then the last byte again and again.
    fn at(door: SocketAddr, words: &'static [u8]) -> Self {
        // Each is a file of this process.
        open_files::raise_limit().expect("files for all of them");
        let (is_over, sent_away) = <(Arc<AtomicBool>, Arc<AtomicUsize>)>::default();
        let (until, away) = (Arc::clone(&is_over), Arc::clone(&sent_away));
        let (beat, beats) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut members: Vec<Member> = (0..SOCKETS).map(|n| Member::new(n, door)).collect();
            while !until.load(Ordering::Acquire) {
                let begin = Instant::now();
                let gone = members.iter_mut().filter_map(|member| member.say(words)).count();
                away.fetch_add(gone, Ordering::AcqRel);
                // Nobody may be counting any more.
                beat.send(()).ok();
                // The beat of what is tried here; nothing is waited for by it.
                thread::park_timeout(BEAT.saturating_sub(begin.elapsed()));
            }
        });
        Self {
            is_over,
            beats,
            sent_away,
            thread: Some(thread),
        }
    }

    /// Waits until all of them have been there for so many beats.
    fn wait_beats(&self, beats: usize) {
        for _ in 0..beats {
            self.beats.recv_timeout(PATIENCE).expect("a crowd that is there");
        }
    }

    fn sent_away(&self) -> usize {
        self.sent_away.load(Ordering::Acquire)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            assert!(
                thread.join().is_ok() || thread::panicking(),
                "the crowd fell over"
            );
        }
    }
}

/// One of them.
struct Member {
    from: Ipv4Addr,
    door: SocketAddr,
    stream: Option<TcpStream>,
    said: usize,
}

impl Member {
    fn new(number: usize, door: SocketAddr) -> Self {
        let [high, low] = ((number / 2) as u16 + 2).to_be_bytes();
        let from = match number % 2 {
            0 => Ipv4Addr::LOCALHOST,
            _ => Ipv4Addr::new(127, 7, high, low),
        };
        Self {
            from,
            door,
            stream: None,
            said: 0,
        }
    }

    /// Says its next byte, or comes (again) if it is not there. Something: it was sent away.
    fn say(&mut self, words: &[u8]) -> Option<()> {
        let Some(stream) = &mut self.stream else {
            self.come();
            return None;
        };
        let byte = words[self.said.min(words.len() - 1)];
        self.said += 1;
        let waits = |error: &std::io::Error| error.kind() == ErrorKind::WouldBlock;
        let is_heard = stream.write(&[byte]).map_or_else(|error| waits(&error), |_| true);
        let is_kept = stream
            .read(&mut [0; 64])
            .map_or_else(|error| waits(&error), |length| length > 0);
        if is_heard && is_kept {
            return None;
        }
        self.stream = None;
        Some(())
    }

    fn come(&mut self) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
        socket
            .bind(&SocketAddr::from((self.from, 0)).into())
            .expect("an address of loopback");
        socket
            .set_nonblocking(true)
            .expect("a socket that does not block");
        match socket.connect(&self.door.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => panic!("{error}"),
            _ => {}
        }
        self.said = 0;
        self.stream = Some(socket.into());
    }
}

/// Fetches what a peer shares while a crowd stands at the door of it or of the tracker.
fn fetch_past(lab: &Lab, tracker: &Tracker, sharing: &Sharing, crowd: &Crowd) {
    // Longer than anybody may take to say who he is.
    crowd.wait_beats(8);
    let (output, begin) = (lab.folder("output"), Instant::now());
    let fetcher = Peer::new(lab, "fetcher").tracker(tracker);
    let get = fetcher
        .get(&sharing.ticket, &output)
        .args(["--policy", "direct-only"]);
    let _ended = get.run().expect_code(0);
    tree::assert_same(&lab.at("shared.bin"), &output.join("shared.bin"));
    println!(
        "fetched past {SOCKETS} sockets in {:.2} s; {} were sent away",
        begin.elapsed().as_secs_f64(),
        crowd.sent_away()
    );
    // Each has its time to say who it is, and no more.
    let away = crowd.sent_away();
    assert!(away >= SOCKETS / 2, "{away} were sent away");
}

fn scene(lab: &Lab) -> (Tracker, Sharing, SocketAddr) {
    let tracker = Tracker::start(lab);
    fixtures::write_file(&lab.at("shared.bin"), 4, 3 << 20);
    let program = Peer::new(lab, "sharer")
        .tracker(&tracker)
        .share(&lab.at("shared.bin"))
        .start();
    let (listens, _) = program.wait_err(0, "where it listens", listening);
    (tracker, Sharing::wait(program), listens)
}

#[test]
fn a_byte_a_second_on_two_thousand_sockets_keeps_nobody_from_a_peer() {
    let lab = Lab::new();
    let (tracker, sharing, listens) = scene(&lab);
    // A first message of the handshake: its length, and some of it.
    let crowd = Crowd::at(listens, b"\x00\x60\x5a");
    fetch_past(&lab, &tracker, &sharing, &crowd);
}

#[test]
fn a_byte_a_second_on_two_thousand_sockets_keeps_nobody_from_a_tracker() {
    let lab = Lab::new();
    let (tracker, sharing, _) = scene(&lab);
    let crowd = Crowd::at(tracker.address(), b"GET /healthz HTTP/1.1\r\nX-Slow: a");
    fetch_past(&lab, &tracker, &sharing, &crowd);
}
