//! What this peer has already it need not fetch: a `get` of a share that is here is copied from there.
//!
//! Promises that every chunk is checked as one that comes from a peer is, that the share stays where it was, and that nobody else
//! hears of it: neither trackers nor peers. What the source does not have any more is left to be fetched from others. A
//! copy goes on when the `get` that began it goes away, and stops with the peer; what was copied stays.

use super::{Orders, meter::Meter, sought::Sought};
use crate::{
    error::Failure,
    event::{self, BytesByPath, Done, EventSink, Phase},
    selection::Selection,
    storage::{
        BUFFER_SIZE, BufferPool, CommitError, Job, JobSpec, NotStored, ReceivedChunk, Served, bytes_of,
    },
};
use p2p_shared::{
    chunker::Layout,
    id::{ChunkIndex, FileHash, PublicKey},
    manifest::Manifest,
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Buffers for the copy: one is filled while others are on their way to the disk.
const BUFFERS: usize = 4;

/// The copies of a peer.
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// One at a time: the disk would only be slower for two. Also so that a second `get` of the same finds what the first made.
    turn: tokio::sync::Mutex<()>,
    /// What is being copied.
    now: Mutex<Option<FileHash>>,
    stop: CancellationToken,
}

impl Copies {
    /// The peer ends: what is being copied stops after its chunk.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether this one is being copied.
    pub(super) fn is_copying(&self, file: &FileHash) -> bool {
        self.now().as_ref() == Some(file)
    }

    fn now(&self) -> MutexGuard<'_, Option<FileHash>> {
        // Replaced whole, so a panic in between leaves what was or what is.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Orders {
    /// Copies what is sought from this peer's own share of it. None if there is no share that is as it was, or if a
    /// download of it is under way: then it is to be fetched.
    pub(super) async fn copy(
        &self,
        sought: &Sought,
        output: &Path,
        sink: &EventSink,
    ) -> Result<Option<Done>, Failure> {
        let (orders, output, sink) = (self.clone(), output.to_owned(), sink.clone());
        let (manifest, selection) = (sought.manifest.clone(), sought.selection.clone());
        let copying = async move { orders.copy_share(manifest, output, selection, &sink).await };
        tokio::spawn(copying)
            .await
            .map_err(|error| Failure::internal(format!("copying crashed: {error}")))?
    }

    /// Goes on with a download of an earlier run, if it can be copied; nobody waits for it. Whether it can.
    pub(super) async fn copy_job(&self, job: &JobSpec) -> Result<bool, Failure> {
        if self.own_share(job.manifest.hash).await?.is_none() {
            return Ok(false);
        }
        let (orders, job) = (self.clone(), job.clone());
        tokio::spawn(async move {
            let name = job.manifest.name.to_string();
            let (sink, _events) = event::channel();
            match orders
                .copy_share(job.manifest, job.output, job.selection, &sink)
                .await
            {
                Ok(Some(_)) => {}
                Ok(None) => tracing::warn!(name, "what was being copied has changed; get it again"),
                Err(failure) => tracing::warn!(name, %failure, "a copy is not gone on with"),
            }
        });
        Ok(true)
    }

    async fn copy_share(
        &self,
        manifest: Manifest,
        output: PathBuf,
        selection: Selection,
        sink: &EventSink,
    ) -> Result<Option<Done>, Failure> {
        let began = Instant::now();
        let _turn = self.parts.copies.turn.lock().await;
        let Some(served) = self.own_share(manifest.hash).await? else {
            return Ok(None);
        };
        let spec = JobSpec {
            hashes: Arc::clone(served.hashes()),
            manifest,
            output,
            selection,
        };
        let job = self.parts.store.open_job(spec).await?;
        sink.phase(Phase::Downloading);
        *self.parts.copies.now() = Some(job.manifest().hash);
        let filled = self.fill(&job, Arc::clone(&served), sink).await;
        self.parts.copies.now().take();
        match filled? {
            Ok(()) => {}
            Err(Stop::Source(error)) => {
                sink.warning("changed", format!("{error}; the rest is fetched from others"));
                return Ok(None);
            }
            Err(Stop::Disk(error)) => return Err(self.not_copied(job, error).await?),
        }
        if self.parts.copies.stop.is_cancelled() {
            return Err(Failure::interrupted(
                "interrupted; the same command goes on where it was",
            ));
        }
        sink.phase(Phase::Verifying);
        let path = self.parts.store.finish(Arc::clone(&job)).await?;
        // Open until here: else the copy would have become the share.
        drop(served);
        Ok(Some(Done {
            hash: job.manifest().hash,
            path,
            bytes: bytes_of(job.manifest().layout(), &job.wanted()),
            seconds: began.elapsed(),
            bytes_by_path: BytesByPath::default(),
        }))
    }

    /// The share of this file that is here and as it was, unless a download of it is under way.
    async fn own_share(&self, file: FileHash) -> Result<Option<Arc<Served>>, Failure> {
        if self.online()?.downloads.find(&file).is_some() {
            return Ok(None);
        }
        let here = self.parts.store.open(file).await?;
        Ok(here.filter(|served| !served.is_partial() && served.changed().is_none()))
    }

    async fn fill(
        &self,
        job: &Arc<Job>,
        served: Arc<Served>,
        sink: &EventSink,
    ) -> Result<Result<(), Stop>, Failure> {
        let copy = Copy {
            served,
            us: self.online()?.identity.public_key(),
            layout: job.manifest().layout(),
            job: Arc::clone(job),
            pool: BufferPool::new(BUFFERS * BUFFER_SIZE),
            runtime: tokio::runtime::Handle::current(),
            stop: self.parts.copies.stop.clone(),
            sink: sink.clone(),
        };
        tokio::task::spawn_blocking(move || copy.run())
            .await
            .map_err(|error| Failure::internal(format!("copying crashed: {error}")))
    }

    async fn not_copied(&self, job: Arc<Job>, error: CommitError) -> Result<Failure, Failure> {
        match error {
            CommitError::Closed => {
                let name = &job.manifest().name;
                return Ok(Failure::interrupted(format!(
                    "{name} was removed while it was copied"
                )));
            }
            // What was copied for that goes.
            CommitError::Selection(_) => self.parts.store.give_up(job).await?,
            _ => {}
        }
        Ok(error.into())
    }
}

/// One copy, on a blocking thread.
struct Copy {
    served: Arc<Served>,
    job: Arc<Job>,
    /// In whose name chunks come in: our own.
    us: PublicKey,
    layout: Layout,
    pool: BufferPool,
    runtime: tokio::runtime::Handle,
    stop: CancellationToken,
    sink: EventSink,
}

/// Why a copy went no further.
enum Stop {
    /// The share is not what it was.
    Source(String),
    /// The copy cannot be written.
    Disk(CommitError),
}

impl Copy {
    /// Returns when all is copied, and when it is to stop.
    fn run(&self) -> Result<(), Stop> {
        loop {
            let missing = self.missing();
            if missing.is_empty() {
                return Ok(());
            }
            let total = bytes_of(self.layout, &self.job.wanted());
            let meter = Meter::new(total, self.sink.clone());
            let to_do: u64 = missing.iter().map(|chunk| self.length(*chunk)).sum();
            let mut done = total.saturating_sub(to_do);
            for chunk in self.first(missing) {
                if self.stop.is_cancelled() {
                    return Ok(());
                }
                self.copy(chunk)?;
                done += self.length(chunk);
                meter.at(done);
            }
        }
    }

    fn missing(&self) -> Vec<ChunkIndex> {
        self.job.wanted().and_not(&self.job.held()).ones().collect()
    }

    /// What a folder's index is in goes before the rest: only then is it known what is wanted.
    fn first(&self, missing: Vec<ChunkIndex>) -> Vec<ChunkIndex> {
        let first = self.job.wanted_first();
        let of_index: Vec<_> = missing
            .iter()
            .copied()
            .filter(|chunk| first.contains(&chunk.0))
            .collect();
        match of_index.is_empty() {
            true => missing,
            false => of_index,
        }
    }

    fn length(&self, chunk: ChunkIndex) -> u64 {
        u64::from(self.layout.length(chunk))
    }

    fn copy(&self, chunk: ChunkIndex) -> Result<(), Stop> {
        let mut buffer = self.runtime.block_on(self.pool.acquire());
        buffer.clear();
        let read = self.served.read_chunk(chunk, &mut buffer);
        read.map_err(|error| Stop::Source(error.to_string()))?;
        let received = ReceivedChunk {
            peer: self.us,
            file: self.job.manifest().hash,
            chunk,
            bytes: buffer.into_chunk(0..self.layout.length(chunk) as usize),
        };
        match self.job.store(received) {
            Ok(_) => Ok(()),
            Err(NotStored::Bad(bad)) => Err(Stop::Source(bad.to_string())),
            Err(NotStored::Commit(error)) => Err(Stop::Disk(error)),
        }
    }
}
