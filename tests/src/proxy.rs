//! A TCP relay between two programs that counts what passes.
//!
//! Promises to count every byte before it is handed on, so that what a fetcher received is never more than [`Proxy::passed`]
//! says. Small send buffers keep what is counted and not yet received small. The target may change while it
//! runs: connections made from then on go there. It is the measure that does not depend on what the programs say of themselves.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use crate::process::PATIENCE;

/// Bytes handed on at a time, and what each socket may hold besides: small against the 16 MiB that tests allow.
const PIECE: usize = 64 << 10;

/// A running relay. Its threads end when their connections do.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    target: SocketAddr,
    passed: u64,
    connections: u32,
    open: Vec<TcpStream>,
    held: bool,
}

impl Proxy {
    /// A relay on a free port of the loopback address, to `target`.
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let address = listener.local_addr().expect("its address");
        let state = State {
            target,
            passed: 0,
            connections: 0,
            open: Vec::new(),
            held: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let ours = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                ours.accept(client);
            }
        });
        Self { address, shared }
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes that went from the target to those who connected, over all connections.
    pub fn passed(&self) -> u64 {
        self.shared.lock().passed
    }

    /// Connections taken so far.
    pub fn connections(&self) -> u32 {
        self.shared.lock().connections
    }

    /// From now on connections go to `target`.
    pub fn retarget(&self, target: SocketAddr) {
        self.shared.lock().target = target;
    }

    /// Cuts all connections, at once and without a goodbye.
    pub fn cut(&self) {
        for stream in self.shared.lock().open.drain(..) {
            // Fails only when it is closed already.
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    /// Holds back what comes from the target, from now on, until [`Proxy::release`].
    pub fn hold(&self) {
        self.shared.lock().held = true;
    }

    /// Lets what was held back go on.
    pub fn release(&self) {
        self.shared.lock().held = false;
        self.shared.changed.notify_all();
    }

    /// Waits until at least `bytes` have gone from the target to those who connected; says how many there were.
    #[track_caller]
    pub fn wait_passed(&self, bytes: u64) -> u64 {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.lock();
        while state.passed < bytes {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "{} of {bytes} bytes passed, then no more",
                state.passed
            );
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state.passed
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.release();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, client: TcpStream) {
        let target = self.lock().target;
        // A target that is not there (a killed seeder): the client sees its connection closed, as it would without us.
        let Ok(server) = TcpStream::connect(target) else {
            return;
        };
        let small = socket2::SockRef::from(&client).set_send_buffer_size(PIECE);
        small.expect("a smaller send buffer");
        let (Ok(client_too), Ok(server_too), Ok(kept)) =
            (client.try_clone(), server.try_clone(), client.try_clone())
        else {
            return;
        };
        let mut state = self.lock();
        state.connections += 1;
        state.open.push(kept);
        drop(state);
        let ours = Arc::clone(self);
        thread::spawn(move || pump(client_too, server_too, |_| {}));
        thread::spawn(move || pump(server, client, |bytes| ours.count(bytes)));
    }

    fn count(&self, bytes: usize) {
        let mut state = self.lock();
        while state.held {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.passed += bytes as u64;
        drop(state);
        self.changed.notify_all();
    }
}

/// Hands on what comes until either end closes, and closes the other.
fn pump(mut from: TcpStream, mut to: TcpStream, count: impl Fn(usize)) {
    let mut piece = vec![0; PIECE];
    while let Ok(n @ 1..) = from.read(&mut piece) {
        count(n);
        if to.write_all(&piece[..n]).is_err() {
            break;
        }
    }
    // Either may be closed already.
    drop(to.shutdown(Shutdown::Both));
    drop(from.shutdown(Shutdown::Both));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_counted_held_back_and_cut() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::to(server.local_addr().unwrap());
        let mut client = TcpStream::connect(proxy.address()).unwrap();
        let (mut served, _) = server.accept().unwrap();
        served.write_all(&[7; 100_000]).unwrap();
        let mut got = vec![0; 100_000];
        client.read_exact(&mut got).unwrap();
        assert_eq!(proxy.wait_passed(100_000), 100_000);
        client.write_all(b"up").unwrap();
        served.read_exact(&mut got[..2]).unwrap();
        assert_eq!(
            (&got[..2], proxy.passed()),
            (&b"up"[..], 100_000),
            "only one direction counts"
        );

        proxy.hold();
        served.write_all(b"later").unwrap();
        client.set_nonblocking(true).unwrap();
        assert_eq!(
            client.read(&mut got).unwrap_err().kind(),
            std::io::ErrorKind::WouldBlock
        );
        client.set_nonblocking(false).unwrap();
        proxy.release();
        client.read_exact(&mut got[..5]).unwrap();
        assert_eq!(
            (&got[..5], proxy.passed(), proxy.connections()),
            (&b"later"[..], 100_005, 1)
        );

        proxy.cut();
        assert_eq!(client.read(&mut got).unwrap(), 0);
        assert_eq!(served.read(&mut got).unwrap(), 0);
    }
}
