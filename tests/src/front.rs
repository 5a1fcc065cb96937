//! What may stand in front of a tracker and change what passes: a path for WebSockets that leads nowhere, a clock that is wrong.
//!
//! Puts something as long in the place of what an answer says, and knows no more of HTTP than that takes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// What it does with what passes.
#[derive(Debug, Clone, Copy)]
pub enum Meddling {
    /// The relay is said to be where nothing is.
    NoRelay,
    /// Every answer was given at this time, written as HTTP writes it.
    Date(&'static str),
}

/// Something in front of a tracker. Its threads end when their connections do.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
}

impl Front {
    /// In front of `target`.
    pub fn start(target: SocketAddr, meddling: Meddling) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                thread::spawn(move || pass(client, target, meddling));
            }
        });
        Self { address }
    }

    /// Where a peer finds the tracker behind it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn pass(client: TcpStream, target: SocketAddr, meddling: Meddling) {
    // A tracker that is gone is noticed by who waits for its answer.
    let Ok(tracker) = TcpStream::connect(target) else {
        return;
    };
    let pair = Arc::new((client, tracker));
    let back = Arc::clone(&pair);
    thread::spawn(move || hand_on(&back.1, &back.0, |answer| meddle(answer, meddling)));
    hand_on(&pair.0, &pair.1, |_| ());
}

fn hand_on(mut from: &TcpStream, mut to: &TcpStream, change: impl Fn(&mut [u8])) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(len @ 1..) = from.read(&mut piece) {
        change(&mut piece[..len]);
        if to.write_all(&piece[..len]).is_err() {
            break;
        }
    }
    // Fails only when it is closed already.
    drop(to.shutdown(Shutdown::Write));
}

fn meddle(answer: &mut [u8], meddling: Meddling) {
    match meddling {
        Meddling::NoRelay => replace(answer, b"/relay\"", 0, b"/waste\""),
        Meddling::Date(date) => replace(answer, b"\r\ndate: ", 8, date.as_bytes()),
    }
}

/// Writes `new` `behind` bytes behind the beginning of `mark`, where that stands, in any case.
fn replace(answer: &mut [u8], mark: &[u8], behind: usize, new: &[u8]) {
    let found = answer
        .windows(mark.len())
        .position(|window| window.eq_ignore_ascii_case(mark));
    let place = found.and_then(|at| answer.get_mut(at + behind..at + behind + new.len()));
    if let Some(place) = place {
        place.copy_from_slice(new);
    }
}
