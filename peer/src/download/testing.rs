//! Whole peers for tests of downloads, with manners good and bad.

use super::{DownloadHandle, DownloadParts, DownloadSpec, aim::Aim, start, swarm::Nobody};
use crate::{
    connection::{self, ConnectionManagerHandle, ConnectionParts, Hint, Policy, direct::Caller},
    event::{self, EventSink, EventStream},
    p2p::{
        greeting::hello,
        listener::bind,
        session::SessionParts,
        shelf::{Shared, Shelf},
        testing::{identity, pool},
    },
    storage::{self, BufferPool, ChunkStoreHandle, HashOptions, Import, ReadError, ScanOptions},
};
use futures_util::future::BoxFuture;
use p2p_shared::{
    bitfield::Bitfield,
    chunker::Layout,
    hash::HashAlgorithm,
    id::{ChunkHash, ChunkIndex, FileHash, PublicKey},
    supervision::Supervisor,
};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What a seeder does with what it shares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Manner {
    Honest,
    /// Flips a bit in every chunk.
    Liar,
    /// Takes this long for each chunk.
    Slow(Duration),
    /// Claims every chunk and can read none.
    Empty,
}

/// A share with manners.
pub(super) struct Mannered {
    pub(super) real: Arc<dyn Shared>,
    pub(super) manner: Manner,
    pub(super) served: Arc<AtomicUsize>,
}

impl Shared for Mannered {
    fn layout(&self) -> Layout {
        self.real.layout()
    }

    fn held(&self) -> Bitfield {
        self.real.held()
    }

    fn hashes(&self) -> Arc<[ChunkHash]> {
        self.real.hashes()
    }

    fn read_chunk(&self, chunk: ChunkIndex, out: &mut Vec<u8>) -> Result<(), ReadError> {
        if let Manner::Slow(delay) = self.manner {
            std::thread::sleep(delay);
        }
        if self.manner == Manner::Empty {
            return Err(ReadError::Changed { path: "gone".into() });
        }
        self.real.read_chunk(chunk, out)?;
        if self.manner == Manner::Liar
            && let Some(last) = out.last_mut()
        {
            *last ^= 1;
        }
        self.served.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn read_cached(&self, _: ChunkIndex, _: &mut [u8]) -> bool {
        false
    }
}

pub(super) struct MannerlyShelf {
    pub(super) store: ChunkStoreHandle,
    pub(super) manner: Manner,
    pub(super) served: Arc<AtomicUsize>,
}

impl Shelf for MannerlyShelf {
    fn open(&self, file: FileHash) -> BoxFuture<'static, Option<Arc<dyn Shared>>> {
        let real = Shelf::open(&self.store, file);
        let (manner, served) = (self.manner, self.served.clone());
        Box::pin(async move {
            let real = real.await?;
            Some(Arc::new(Mannered { real, manner, served }) as Arc<dyn Shared>)
        })
    }
}

/// A whole peer but for trackers and surface.
pub(super) struct Node {
    pub(super) seed: u8,
    pub(super) folder: TempDir,
    pub(super) address: SocketAddr,
    pub(super) table: ConnectionManagerHandle,
    pub(super) parts: DownloadParts,
    pub(super) served: Arc<AtomicUsize>,
    pub(super) supervisor: Supervisor,
}

impl Node {
    pub(super) fn start(seed: u8, manner: Manner) -> Self {
        Self::at(
            seed,
            manner,
            tempfile::tempdir().unwrap(),
            SocketAddr::from(([127, 0, 0, 1], 0)),
        )
    }

    pub(super) fn at(seed: u8, manner: Manner, folder: TempDir, address: SocketAddr) -> Self {
        let mut supervisor = Supervisor::new();
        let store = storage::start(&mut supervisor, &folder.path().join("data")).unwrap();
        let listener = bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let receiving = BufferPool::default();
        let served = Arc::new(AtomicUsize::new(0));
        let shelf = MannerlyShelf {
            store: store.clone(),
            manner,
            served: served.clone(),
        };
        let parts = ConnectionParts {
            caller: Caller {
                identity: identity(seed),
                hello: hello(vec![address]),
                receiving: receiving.clone(),
            },
            sessions: SessionParts {
                shelf: Arc::new(shelf),
                serving: pool(8),
                goodbyes: TaskTracker::new(),
            },
            listener: Some(listener),
            policy: Policy::Auto,
            relays: None,
            punching: None,
        };
        let connections = connection::start(&mut supervisor, parts);
        Self {
            seed,
            folder,
            address,
            table: connections.clone(),
            parts: DownloadParts {
                store,
                connections,
                receiving,
            },
            served,
            supervisor,
        }
    }

    pub(super) fn key(&self) -> PublicKey {
        identity(self.seed).public_key()
    }

    pub(super) fn hint(&self) -> Hint {
        Hint {
            key: self.key(),
            addresses: vec![self.address],
            relays: Vec::new(),
        }
    }

    pub(super) fn output(&self) -> PathBuf {
        let output = self.folder.path().join("output");
        fs::create_dir_all(&output).unwrap();
        output
    }

    pub(super) async fn share(&self, path: &Path, algorithm: HashAlgorithm) -> Import {
        let path = path.to_owned();
        let hashing = move || {
            let plan = storage::share_scan(&path, ScanOptions::default()).unwrap();
            let options = HashOptions {
                algorithm,
                cache: None,
                progress: &|_| {},
                cancel: &CancellationToken::new(),
            };
            storage::hash(plan, options).unwrap()
        };
        let import = tokio::task::spawn_blocking(hashing).await.unwrap();
        self.parts.store.add_share(import.clone()).await.unwrap();
        import
    }

    pub(super) fn get(&self, import: &Import, seeders: &[&Self]) -> (DownloadHandle, EventStream) {
        let (sink, events) = event::channel();
        (self.get_to(import, seeders, self.output(), sink), events)
    }

    pub(super) fn get_to(
        &self,
        import: &Import,
        seeders: &[&Self],
        output: PathBuf,
        sink: EventSink,
    ) -> DownloadHandle {
        let spec = DownloadSpec {
            manifest: Arc::new(import.manifest.clone()),
            hashes: None,
            output,
            aim: Aim::all(),
            seeders: seeders.iter().map(|seeder| seeder.hint()).collect(),
            swarm: Arc::new(Nobody),
            paused: false,
            policy: Policy::Auto,
            sink,
        };
        start(self.parts.clone(), spec)
    }

    pub(super) fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }

    pub(super) async fn stop(self) -> TempDir {
        self.supervisor.stop(Duration::from_secs(5)).await;
        self.folder
    }
}

/// A file of `size` bytes that looks random.
pub(super) fn content(folder: &Path, size: usize) -> PathBuf {
    let mut state = size as u64 | 1;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .take(size.div_ceil(8))
    .flatten()
    .take(size)
    .collect();
    let path = folder.join("content");
    fs::write(&path, bytes).unwrap();
    path
}

pub(super) fn same(one: &Path, other: &Path) -> bool {
    fs::read(one).unwrap() == fs::read(other).unwrap()
}

/// Waits until a download's status is as `wanted`.
pub(super) async fn until(download: &DownloadHandle, wanted: impl FnMut(&super::DownloadStatus) -> bool) {
    download.status().wait_for(wanted).await.unwrap();
}

pub(super) fn bytes_are_at_least(bytes: u64) -> impl FnMut(&super::DownloadStatus) -> bool {
    move |status| status.report.bytes >= bytes
}
