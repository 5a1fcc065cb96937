//! Makes a file or folder shareable and says how long that took (W3 of the measures), to be compared with
//! `openssl dgst -sha256` and `b3sum` on the same file:
//!
//! ```sh
//! cargo run --release -p p2p-peer --example hash_path -- PATH [sha256|blake3] [CACHE]
//! ```
//!
//! With a folder for the cache of hashes a second run shows what sharing again costs.
#![allow(clippy::print_stdout, reason = "it is what it is for")]

use p2p_peer::storage::{HashCache, HashOptions, ScanOptions, hash, share_scan};
use p2p_shared::hash::HashAlgorithm;
use std::{error::Error, path::Path, time::Instant};
use tokio_util::sync::CancellationToken;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("which file or folder?")?;
    let algorithm = arguments
        .next()
        .map_or(Ok(HashAlgorithm::Sha256), |name| name.parse())?;
    let cache = arguments
        .next()
        .map(|folder| HashCache::open(Path::new(&folder)))
        .transpose()?;
    let began = Instant::now();
    let plan = share_scan(Path::new(&path), ScanOptions::default())?;
    let scanned = began.elapsed();
    let options = HashOptions {
        algorithm,
        cache: cache.as_ref(),
        progress: &|_| {},
        cancel: &CancellationToken::new(),
    };
    let import = hash(plan, options)?;
    let took = began.elapsed();
    let (file, size) = (import.manifest.hash, import.manifest.size);
    let rate = size as f64 / took.as_secs_f64() / 1e6;
    println!("{file} {algorithm} {size} bytes, scanned in {scanned:.3?}, all in {took:.3?}, {rate:.0} MB/s");
    Ok(())
}
