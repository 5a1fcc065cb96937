//! The practical limit of one encrypted, verified transfer on this machine: what a bench compares the product with.
//!
//! Plain threads, no framework, no protocol, one process. The sharer's thread reads the file, seals each chunk (AES-256-GCM) and
//! writes it to a loopback TCP socket. The fetcher's thread reads and opens; a second verifies each chunk and writes it where
//! it belongs; a third follows the whole-file hash. Queues of 16 chunks between them; buffers are used again, since
//! a fresh 256 KiB is 64 page faults and costs more than decrypting it.
//!
//! `LIMIT_SYNC=1` in the environment: the time includes making the file durable. The answer is one line of JSON.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Instant;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use clap::{Parser, ValueEnum};
use sha2::{Digest, Sha256};

const CHUNK: usize = 256 << 10;
const TAG: usize = 16;

/// Chunks between two threads.
const QUEUE: usize = 16;

#[derive(Parser)]
#[command(about = "The practical limit of one encrypted, verified transfer")]
struct Options {
    /// The file to send.
    file: PathBuf,
    /// Where to write it.
    out: PathBuf,
    /// What is hashed.
    #[arg(value_enum, default_value = "sha256x2")]
    hash: Hash,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Hash {
    /// Each chunk.
    Sha256,
    /// Each chunk and the whole, as a SHA-256 share needs.
    Sha256x2,
    /// Each chunk, as a BLAKE3 share needs.
    Blake3,
    /// Nothing.
    None,
}

fn main() {
    let options = Options::parse();
    let size = std::fs::metadata(&options.file).expect("the file").len();
    let chunks = size.div_ceil(CHUNK as u64);
    let out = File::create(&options.out).expect("the output");
    let start = Instant::now();

    let sharer = Sharer::listen();
    let address = sharer.address();
    thread::scope(|scope| {
        scope.spawn(|| sharer.serve(&options.file, size));
        let spare = Spare::new();
        let (to_verify, from_net) = sync_channel(QUEUE);
        let (to_whole, from_verify) = sync_channel(QUEUE);
        let (back, back_too) = (spare.back.clone(), spare.back.clone());
        let file = &out;
        scope.spawn(move || verify(&from_net, &to_whole, options.hash, file, &back));
        scope.spawn(move || follow(&from_verify, &back_too));
        fetch(address, chunks, size, &spare, &to_verify);
    });
    if std::env::var_os("LIMIT_SYNC").is_some() {
        out.sync_data().expect("a durable file");
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{{\"seconds\":{seconds:.3},\"bytes\":{size}}}");
}

/// Which chunk, and its bytes.
type Chunk = (u64, Arc<Vec<u8>>);

fn key() -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[1; 32]).expect("32 bytes are a key"))
}

fn nonce(chunk: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&chunk.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

fn length(chunk: u64, size: u64) -> usize {
    let left = size - chunk * CHUNK as u64;
    usize::try_from(left).unwrap_or(CHUNK).min(CHUNK)
}

struct Sharer(TcpListener);

impl Sharer {
    fn listen() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").expect("a port on loopback"))
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("its address")
    }

    fn serve(&self, path: &Path, size: u64) {
        let (mut stream, _) = self.0.accept().expect("a fetcher");
        let file = File::open(path).expect("the file");
        let key = key();
        let mut buffer = vec![0; CHUNK + TAG];
        for chunk in 0..size.div_ceil(CHUNK as u64) {
            let n = length(chunk, size);
            file.read_exact_at(&mut buffer[..n], chunk * CHUNK as u64)
                .expect("a chunk of the file");
            let tag = key
                .seal_in_place_separate_tag(nonce(chunk), Aad::empty(), &mut buffer[..n])
                .expect("sealed");
            buffer[n..n + TAG].copy_from_slice(tag.as_ref());
            stream.write_all(&buffer[..n + TAG]).expect("sent");
        }
    }
}

/// Buffers that have been used and may be again.
struct Spare {
    back: Sender<Vec<u8>>,
    used: Receiver<Vec<u8>>,
}

impl Spare {
    fn new() -> Self {
        let (back, used) = channel();
        Self { back, used }
    }

    fn take(&self) -> Vec<u8> {
        self.used.try_recv().unwrap_or_default()
    }
}

fn give_back(chunk: Arc<Vec<u8>>, back: &Sender<Vec<u8>>) {
    if let Ok(buffer) = Arc::try_unwrap(chunk) {
        // Nobody to take it: the transfer is over.
        back.send(buffer).ok();
    }
}

fn fetch(address: SocketAddr, chunks: u64, size: u64, spare: &Spare, to_verify: &SyncSender<Chunk>) {
    let mut stream = TcpStream::connect(address).expect("connected");
    let key = key();
    for chunk in 0..chunks {
        let mut buffer = spare.take();
        buffer.resize(length(chunk, size) + TAG, 0);
        stream.read_exact(&mut buffer).expect("a sealed chunk");
        let opened = key
            .open_in_place(nonce(chunk), Aad::empty(), &mut buffer)
            .expect("opened")
            .len();
        buffer.truncate(opened);
        to_verify
            .send((chunk, Arc::new(buffer)))
            .expect("somebody verifies");
    }
}

fn verify(
    from: &Receiver<Chunk>,
    on: &SyncSender<Arc<Vec<u8>>>,
    hash: Hash,
    out: &File,
    back: &Sender<Vec<u8>>,
) {
    for (chunk, bytes) in from {
        match hash {
            Hash::Sha256 | Hash::Sha256x2 => drop(black_box(Sha256::digest(&bytes[..]))),
            Hash::Blake3 => drop(black_box(blake3::hash(&bytes))),
            Hash::None => {}
        }
        out.write_all_at(&bytes, chunk * CHUNK as u64).expect("written");
        if hash == Hash::Sha256x2 {
            on.send(bytes).expect("somebody follows");
        } else {
            give_back(bytes, back);
        }
    }
}

fn follow(from: &Receiver<Arc<Vec<u8>>>, back: &Sender<Vec<u8>>) {
    let mut hasher = Sha256::new();
    for bytes in from {
        hasher.update(&bytes[..]);
        give_back(bytes, back);
    }
    black_box(hasher.finalize());
}
