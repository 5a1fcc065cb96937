//! A line between two devices, with a delay and losses: what the kernel's netem does, where there is none.
//!
//! Promises to carry every frame that arrives at one device out of the other, in order, after the delay, or to lose it by chance; the chances come from a fixed
//! seed. One thread a line; it ends with the value. The senders must have their offloads off (see `Namespace::without_offloads`), or frames
//! come that are too long for a wire and have unfinished checksums.

use super::namespace::Namespace;
use crate::fixtures::draw;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::mem;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, SockAddrStorage, Socket, Type};

/// The longest Ethernet frame of these devices, with room to spare.
const FRAME: usize = 2048;

/// What the kernel keeps for us while others have the processor: some 40 ms of a gigabit.
const BACKLOG: libc::c_int = 8 << 20;

/// Frames taken from one side before the other has its turn.
const TURN: usize = 64;

/// Of <linux/if_packet.h>.
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

/// What a line does to what passes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fault {
    /// How much later it arrives, in each direction.
    pub delay: Duration,
    /// Percent of the frames that do not.
    pub loss: f64,
}

/// A line that is carrying.
#[derive(Debug)]
pub struct Line {
    thread: Option<JoinHandle<()>>,
    end: Option<UnixStream>,
}

impl Line {
    /// A line between two devices of a namespace, of which neither is in a bridge.
    pub fn between(place: &Namespace, one: &str, other: &str, fault: Fault) -> Self {
        let (a, b) = place.enter(|| (tap(one), tap(other)));
        let (end, ended) = UnixStream::pair().expect("a pair of sockets");
        let thread = thread::spawn(move || carry(a, b, &ended, fault));
        Self {
            thread: Some(thread),
            end: Some(end),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !thread::panicking()
        {
            panic!("a line broke");
        }
    }
}

/// Frames that come in at one side and go out at the other.
struct Way {
    from: Socket,
    waiting: VecDeque<(Instant, Vec<u8>)>,
    seen: u64,
}

fn carry(a: Socket, b: Socket, ended: &UnixStream, fault: Fault) {
    let way = |from| Way {
        from,
        waiting: VecDeque::new(),
        seen: 0,
    };
    let mut ways = [way(a), way(b)];
    loop {
        send_due(&mut ways);
        let next = ways.iter().filter_map(|way| Some(way.waiting.front()?.0)).min();
        let wait = next.map(|due| timespec(due.saturating_duration_since(Instant::now())));
        let mut ready = [
            PollFd::new(&ways[0].from, PollFlags::IN),
            PollFd::new(&ways[1].from, PollFlags::IN),
            PollFd::new(ended, PollFlags::IN),
        ];
        match poll(&mut ready, wait.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("poll: {error}"),
        }
        if !ready[2].revents().is_empty() {
            return;
        }
        let ready = [0, 1].map(|n: usize| !ready[n].revents().is_empty());
        for (n, way) in ways.iter_mut().enumerate().filter(|(n, _)| ready[*n]) {
            way.take_in(fault, n as u64);
        }
    }
}

impl Way {
    fn take_in(&mut self, fault: Fault, seed: u64) {
        for _ in 0..TURN {
            let mut frame = vec![0; FRAME];
            // An error is that there is none, or that the device is down, of which its owner knows.
            let Ok(length) = self.from.read(&mut frame) else {
                return;
            };
            self.seen += 1;
            // Hundredths of a percent.
            let lost = fault.loss > 0.0 && (draw(seed, self.seen, 10_000) as f64) < fault.loss * 100.0;
            if !lost {
                frame.truncate(length);
                self.waiting.push_back((Instant::now() + fault.delay, frame));
            }
        }
    }
}

/// Sends what has waited long enough.
fn send_due(ways: &mut [Way; 2]) {
    let now = Instant::now();
    let [one, other] = ways;
    for (way, out) in [(&mut one.waiting, &other.from), (&mut other.waiting, &one.from)] {
        while way.front().is_some_and(|(due, _)| *due <= now) {
            let (_, frame) = way.pop_front().expect("it was looked at");
            // A device that is down or full loses it, as a wire would.
            drop((&mut &*out).write(&frame));
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs() as i64,
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

/// A socket that hears every frame of a device, and sends there.
fn tap(device: &str) -> Socket {
    let made = || -> io::Result<Socket> {
        // Without a protocol it hears nothing until it is bound.
        let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
        // Not what we send ourselves.
        set(&socket, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)?;
        set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, BACKLOG)?;
        socket.bind(&address(device)?)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    made().unwrap_or_else(|error| panic!("a packet socket on {device}: {error}"))
}

fn address(device: &str) -> io::Result<SockAddr> {
    let name = std::ffi::CString::new(device)?;
    // SAFETY: the name ends with a zero byte and is only read.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: the storage is zeroed, as large as any socket address and aligned for all.
    let link = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    link.sll_family = libc::AF_PACKET as u16;
    link.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    link.sll_ifindex = index.cast_signed();
    let length = mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: what the storage holds is an address of this length.
    Ok(unsafe { SockAddr::new(storage, length) })
}

fn set(socket: &Socket, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: the pointer is to a value of this length, which is only read.
    let done =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
