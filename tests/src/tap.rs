//! Somebody on the path between two programs, who keeps what passes and may change it.
//!
//! Promises to hand on every byte in its order, changed only where it is told to, and to have kept a byte before it is handed on.
//! Keeps everything: for transfers of a few megabytes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Which way bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From who dialled.
    There,
    /// To who dialled.
    Back,
}

/// What is about to be handed on.
#[derive(Debug)]
pub struct Passing<'a> {
    /// Which connection, from 0.
    pub connection: usize,
    /// Which way.
    pub way: Way,
    /// How many bytes went this way before.
    pub before: usize,
    /// The bytes, which may be changed.
    pub bytes: &'a mut [u8],
}

/// What one connection carried.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// From who dialled.
    pub there: Vec<u8>,
    /// To who dialled.
    pub back: Vec<u8>,
}

/// A running tap. Its threads end when their connections do.
#[derive(Debug)]
pub struct Tap {
    address: SocketAddr,
    kept: Arc<Mutex<Vec<Kept>>>,
}

impl Tap {
    /// Between a free port of the loopback address and `target`.
    pub fn to(target: SocketAddr) -> Self {
        Self::changing(target, |_| {})
    }

    /// The same; `change` sees what passes before it is handed on. What is kept is what came.
    pub fn changing(target: SocketAddr, change: impl Fn(Passing<'_>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let address = listener.local_addr().expect("its address");
        let kept = Arc::default();
        let ours = Arc::clone(&kept);
        let change = Arc::new(change);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                connect(client, target, &ours, &change);
            }
        });
        Self { address, kept }
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What passed so far, connection by connection.
    pub fn kept(&self) -> Vec<Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn connect<F: Fn(Passing<'_>) + Send + Sync + 'static>(
    client: TcpStream,
    target: SocketAddr,
    kept: &Arc<Mutex<Vec<Kept>>>,
    change: &Arc<F>,
) {
    let Ok(server) = TcpStream::connect(target) else {
        return;
    };
    let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    let connection = {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(Kept::default());
        kept.len() - 1
    };
    for (way, from, to) in [(Way::There, client, server), (Way::Back, server_too, client_too)] {
        let (kept, change) = (Arc::clone(kept), Arc::clone(change));
        thread::spawn(move || {
            pump(from, to, |bytes| {
                let before = keep(&kept, connection, way, bytes);
                change(Passing {
                    connection,
                    way,
                    before,
                    bytes,
                });
            });
        });
    }
}

/// Keeps a copy; says how many bytes there were before.
fn keep(kept: &Mutex<Vec<Kept>>, connection: usize, way: Way, bytes: &[u8]) -> usize {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    let all = match way {
        Way::There => &mut kept[connection].there,
        Way::Back => &mut kept[connection].back,
    };
    let before = all.len();
    all.extend_from_slice(bytes);
    before
}

/// Hands on what comes until either end closes, and closes the other.
fn pump(mut from: TcpStream, mut to: TcpStream, mut see: impl FnMut(&mut [u8])) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(n @ 1..) = from.read(&mut piece) {
        see(&mut piece[..n]);
        if to.write_all(&piece[..n]).is_err() {
            break;
        }
    }
    // Either may be closed already.
    drop(to.shutdown(Shutdown::Both));
    drop(from.shutdown(Shutdown::Both));
}
