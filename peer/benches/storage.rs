//! What storage costs: hashing a file to share it, storing and serving chunks.
//!
//! `cargo bench -p p2p-peer --bench storage`. Figures are bytes per second; files lie in the temporary folder, so what
//! is read comes from the page cache and what is written goes there.
#![allow(clippy::unwrap_used, reason = "a bench that cannot run says why")]

use divan::{Bencher, counter::BytesCount};
use p2p_peer::selection::Selection;
use p2p_peer::storage::{
    BufferPool, ChunkStoreHandle, HashOptions, Import, JobSpec, ReceivedChunk, ScanOptions, VerifiedChunk,
    hash, share_scan, start, verify,
};
use p2p_shared::{
    chunker::CHUNK_SIZE,
    hash::HashAlgorithm,
    id::{ChunkIndex, PublicKey},
    supervision::Supervisor,
    testing,
};
use sha2::{Digest as _, Sha256};
use std::{fs, path::Path};
use tokio_util::sync::CancellationToken;

/// Bytes of the file: more than caches hold, little enough for many runs.
const SIZE: usize = 256 << 20;

const BOTH: [HashAlgorithm; 2] = [HashAlgorithm::Sha256, HashAlgorithm::Blake3];

fn main() {
    divan::main();
}

fn import(path: &Path, algorithm: HashAlgorithm) -> Import {
    let options = HashOptions {
        algorithm,
        cache: None,
        progress: &|_| {},
        cancel: &CancellationToken::new(),
    };
    hash(share_scan(path, ScanOptions::default()).unwrap(), options).unwrap()
}

fn file_of(size: usize) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, testing::content(1, size)).unwrap();
    (folder, path)
}

/// One core, bytes in memory, one hash: half of what sharing with SHA-256 has to do.
#[divan::bench(sample_count = 5)]
fn sha256_alone(bencher: Bencher<'_, '_>) {
    let bytes = testing::content(1, SIZE);
    bencher
        .counter(BytesCount::new(SIZE))
        .bench(|| Sha256::digest(&bytes));
}

#[divan::bench(args = BOTH, sample_count = 5)]
fn make_a_file_shareable(bencher: Bencher<'_, '_>, algorithm: HashAlgorithm) {
    let (_folder, path) = file_of(SIZE);
    bencher
        .counter(BytesCount::new(SIZE))
        .bench(|| import(&path, algorithm));
}

/// Within a system of actors, as a peer has it.
fn with_store(work: impl AsyncFnOnce(ChunkStoreHandle)) {
    let data = tempfile::tempdir().unwrap();
    p2p_shared::supervision::system(2).unwrap().block_on(async {
        let mut supervisor = Supervisor::new();
        work(start(&mut supervisor, data.path()).unwrap()).await;
    });
}

#[divan::bench(sample_count = 5)]
fn serve_a_file(bencher: Bencher<'_, '_>) {
    let (_folder, path) = file_of(SIZE);
    let import = import(&path, HashAlgorithm::Sha256);
    let chunks: Vec<_> = import.manifest.layout().indices().collect();
    with_store(async |store| {
        let served = store.add_share(import).await.unwrap();
        let mut out = Vec::with_capacity(CHUNK_SIZE as usize);
        bencher.counter(BytesCount::new(SIZE)).bench_local(|| {
            for chunk in &chunks {
                out.clear();
                served.read_chunk(*chunk, &mut out).unwrap();
            }
        });
    });
}

/// Verified, written, journaled, hashed whole, made durable and renamed.
#[divan::bench(args = BOTH, sample_count = 5)]
fn store_a_file(bencher: Bencher<'_, '_>, algorithm: HashAlgorithm) {
    let bytes = testing::content(1, SIZE);
    let (manifest, hashes) = testing::file(algorithm, "file", &bytes);
    let pool = BufferPool::default();
    let layout = manifest.layout();
    let received = |chunk: ChunkIndex| -> VerifiedChunk {
        let mut buffer = pool.try_acquire().unwrap();
        let extent = layout.extent(chunk);
        buffer.extend_from_slice(&bytes[extent.start as usize..extent.end as usize]);
        let length = buffer.len();
        let received = ReceivedChunk {
            peer: PublicKey([0; 32]),
            file: manifest.hash,
            chunk,
            bytes: buffer.into_chunk(0..length),
        };
        verify(received, &hashes[chunk.0 as usize], algorithm, layout).unwrap()
    };
    bencher.counter(BytesCount::new(SIZE)).bench_local(|| {
        let output = tempfile::tempdir().unwrap();
        with_store(async |store| {
            let spec = JobSpec {
                manifest: manifest.clone(),
                hashes: hashes.clone().into(),
                output: output.path().to_owned(),
                selection: Selection::default(),
            };
            let job = store.open_job(spec).await.unwrap();
            for chunk in layout.indices() {
                job.commit(received(chunk)).unwrap();
            }
            store.finish(job).await.unwrap();
        });
    });
}
