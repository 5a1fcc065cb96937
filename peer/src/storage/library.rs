//! What the chunk store does, one operation a function; the actor only starts them.
//!
//! Promise: the catalogue on disk is the truth and everything else is found again from it, so that an operation that
//! dies in the middle leaves something to go on from. What changes a file's entry waits for its turn. Everything
//! that blocks runs on a blocking thread.

use super::{
    catalogue::{Catalogue, Entry, Shelf},
    disk::Boot,
    error::{FinishError, StoreError},
    handle::{JobInfo, Removed, ShareInfo, VerifyReport},
    import::{HashCache, Import},
    job::{Finished, Job, JobSpec, Surroundings},
    living::Living,
    open_files::{DEFAULT_OPEN_FILES, OpenFiles},
    served::Served,
};
use crate::storage::error::Named as _;
use p2p_shared::id::FileHash;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::task::spawn_blocking;

/// How long a download that another process has open is waited for: long enough for one that is just ending.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everything the store works with. Outlives the actor.
#[derive(Debug)]
pub(super) struct Library {
    catalogue: Catalogue,
    cache: HashCache,
    around: Surroundings,
    living: Living,
}

/// Given the bytes that are done.
pub(super) type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// Runs what blocks, with the library; a panic in it is an error.
async fn blocking<T: Send + 'static, E: From<StoreError> + Send + 'static>(
    library: &Arc<Library>,
    work: impl FnOnce(&Library) -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    let library = Arc::clone(library);
    let done = spawn_blocking(move || work(&library)).await;
    done.unwrap_or_else(|error| Err(StoreError::Down(error.to_string()).into()))
}

impl Library {
    /// Opens the catalogue and the cache of hashes in the data directory. Blocking.
    pub(super) fn open(data: &Path) -> Result<Self, StoreError> {
        let cache = data.join("cache");
        let cache = HashCache::open(&cache).named("create", &cache)?;
        let around = Surroundings {
            files: OpenFiles::new(DEFAULT_OPEN_FILES),
            cache: Some(cache.clone()),
            boot: Boot::current(),
            patience: PATIENCE,
        };
        Ok(Self {
            catalogue: Catalogue::open(data.join("catalogue"))?,
            cache,
            around,
            living: Living::default(),
        })
    }

    pub(super) fn cache(&self) -> &HashCache {
        &self.cache
    }

    /// Takes up a share, in place of an earlier one of the same file.
    pub(super) async fn add_share(self: Arc<Self>, import: Arc<Import>) -> Result<Arc<Served>, StoreError> {
        let _turn = self.living.turn(import.manifest.hash).await;
        blocking(&self, move |library| {
            library.put_share(Arc::unwrap_or_clone(import))
        })
        .await
    }

    fn put_share(&self, import: Import) -> Result<Arc<Served>, StoreError> {
        self.catalogue.put_share(&import)?;
        let share = Arc::new(Served::share(import, self.around.files.clone()));
        self.living.put_share(&share);
        Ok(share)
    }

    /// What can be served of a file. Waits for nobody's turn: a peer that asks for it must not wait for a check.
    pub(super) async fn open_file(
        self: Arc<Self>,
        file: FileHash,
    ) -> Result<Option<Arc<Served>>, StoreError> {
        if let Some(share) = self.living.share(file) {
            return Ok(Some(share));
        }
        let share = blocking(&self, move |library| {
            let Some(import) = library.catalogue.share(file)? else {
                return Ok::<_, StoreError>(None);
            };
            let share = library
                .living
                .share_or(Arc::new(Served::share(import, library.around.files.clone())));
            // Removed in the meantime: it must not be found again.
            if !library.catalogue.has(Shelf::Shares, file) {
                library.living.remove_share(file);
                return Ok(None);
            }
            Ok(Some(share))
        });
        let share = share.await?;
        Ok(share.or_else(|| self.living.job(file).map(|job| Arc::new(Served::partial(job)))))
    }

    /// Begins a download or goes on with it.
    pub(super) async fn open_job(self: Arc<Self>, spec: JobSpec) -> Result<Arc<Job>, StoreError> {
        let _turn = self.living.turn(spec.manifest.hash).await;
        self.open_job_in_turn(spec).await
    }

    /// Goes on with a download of the catalogue. Not if its output folder is gone: a disk that is not mounted now would
    /// be fetched for again, to where it is not wanted.
    pub(super) async fn resume_job(self: Arc<Self>, file: FileHash) -> Result<Arc<Job>, StoreError> {
        let _turn = self.living.turn(file).await;
        let spec = blocking(&self, move |library| {
            let spec = library.catalogue.job(file)?.ok_or(StoreError::Unknown(file))?;
            std::fs::metadata(&spec.output).named("open", &spec.output)?;
            Ok::<_, StoreError>(spec)
        });
        self.open_job_in_turn(spec.await?).await
    }

    async fn open_job_in_turn(self: &Arc<Self>, spec: JobSpec) -> Result<Arc<Job>, StoreError> {
        if let Some(job) = self.living.job(spec.manifest.hash) {
            let job = same_output(job, &spec)?;
            if job.spec().selection == spec.selection {
                return Ok(job);
            }
            // Whoever has it is letting go of it; its place is waited for.
            self.living.remove_job(spec.manifest.hash);
        }
        blocking(self, move |library| {
            let before = library.catalogue.job(spec.manifest.hash);
            let job = Job::open(spec, &library.around)?;
            if let Ok(Some(before)) = before
                && before.output != job.spec().output
            {
                let (file, left) = (job.manifest().hash, before.output.display());
                tracing::warn!(%file, %left, "a download goes to another folder now; what it left there stays");
            }
            // Where the job says that it is: the folder may have been given relative to somewhere.
            library.catalogue.put_job(job.spec())?;
            library.living.put_job(&job);
            Ok(job)
        })
        .await
    }

    /// Ends a download that got nothing but its index, and that nothing was selected of. One that has more is left: the
    /// same selection said rightly goes on with it.
    pub(super) async fn give_up_job(self: Arc<Self>, job: Arc<Job>) -> Result<(), StoreError> {
        let file = job.manifest().hash;
        let _turn = self.living.turn(file).await;
        blocking(&self, move |library| {
            if job.held().and_not(&job.wanted()).is_empty() {
                job.discard()?;
                library.forget_job(file)?;
            }
            Ok(())
        })
        .await
    }

    /// Checks the whole of a download, gives it its name, and makes a share of it, unless there is one that is open and as it was.
    pub(super) async fn finish_job(self: Arc<Self>, job: Arc<Job>) -> Result<PathBuf, FinishError> {
        let file = job.manifest().hash;
        let _turn = self.living.turn(file).await;
        let finished = blocking(&self, move |library| {
            let finished = match job.complete() {
                Err(error @ (FinishError::Integrity(_) | FinishError::BadIndex(_))) => {
                    job.discard()?;
                    library.forget_job(file)?;
                    return Err(error);
                }
                finished => finished?,
            };
            let import = match finished {
                Finished::Whole(import) => *import,
                Finished::Part(path) => {
                    library.forget_job(file)?;
                    return Ok(path);
                }
            };
            let path = import.source.root().to_owned();
            import.remember(&library.cache);
            if !library.is_shared_elsewhere(file, &path)? {
                library.put_share(import)?;
            }
            library.forget_job(file)?;
            Ok(path)
        });
        finished.await
    }

    /// Whether what lies somewhere else is a share that somebody has open, and that is not known to have changed: it stays
    /// what it is. One that is not open may have changed unnoticed.
    fn is_shared_elsewhere(&self, file: FileHash, path: &Path) -> Result<bool, StoreError> {
        let open = self.living.share(file);
        if open.is_none_or(|share| share.changed().is_some()) {
            return Ok(false);
        }
        let share = self.catalogue.share(file)?;
        Ok(share.is_some_and(|share| share.source.root() != path))
    }

    fn forget_job(&self, file: FileHash) -> Result<bool, StoreError> {
        self.living.remove_job(file);
        Ok(self.catalogue.remove(Shelf::Jobs, file)?)
    }

    /// Forgets a share; ends a download and removes what was stored of it.
    pub(super) async fn remove(self: Arc<Self>, file: FileHash) -> Result<Removed, StoreError> {
        let _turn = self.living.turn(file).await;
        blocking(&self, move |library| {
            let share = library.catalogue.remove(Shelf::Shares, file)?;
            library.living.remove_share(file);
            if let Some(job) = library.living.job(file) {
                job.discard()?;
            } else if let Some(spec) = library.catalogue.job(file)? {
                Job::discard_closed(&spec, library.around.patience)?;
            }
            let job = library.forget_job(file)?;
            Ok(Removed { share, job })
        })
        .await
    }

    /// All shares.
    pub(super) async fn shares(self: Arc<Self>) -> Result<Vec<ShareInfo>, StoreError> {
        blocking(&self, |library| {
            let entries = library.catalogue.list(Shelf::Shares)?;
            let share = entries.into_iter().map(|entry| ShareInfo {
                changed: library
                    .living
                    .share(entry.manifest.hash)
                    .and_then(|share| share.changed()),
                manifest: entry.manifest,
                path: entry.path,
            });
            Ok(share.collect())
        })
        .await
    }

    /// All downloads that are not finished.
    pub(super) async fn jobs(self: Arc<Self>) -> Result<Vec<JobInfo>, StoreError> {
        blocking(&self, |library| {
            let entries = library.catalogue.list(Shelf::Jobs)?;
            let job = entries.into_iter().map(|entry| {
                let open = library.living.job(entry.manifest.hash);
                let (held_bytes, wanted_bytes) = match &open {
                    Some(job) => {
                        let (held, wanted) = job.standing();
                        (held, Some(wanted))
                    }
                    None => library.standing_of_closed(&entry),
                };
                JobInfo {
                    held_bytes,
                    wanted_bytes,
                    open: open.is_some(),
                    folder: Job::folder_of(&entry.path, &entry.manifest),
                    manifest: entry.manifest,
                    output: entry.path,
                }
            });
            Ok(job.collect())
        })
        .await
    }

    /// Bytes that are stored of a download that is not open, and that are wanted.
    fn standing_of_closed(&self, entry: &Entry) -> (u64, Option<u64>) {
        let held = Job::peek(&entry.path, &entry.manifest);
        // One that cannot be read is named by whoever goes on with it.
        let spec = self.catalogue.job(entry.manifest.hash).ok().flatten();
        let is_of_all = spec.is_some_and(|spec| spec.selection.is_all());
        (held, is_of_all.then_some(entry.manifest.size))
    }

    /// Reads a share, or what is stored of a download, and compares it with its hashes.
    pub(super) async fn verify(
        self: Arc<Self>,
        file: FileHash,
        progress: Progress,
    ) -> Result<VerifyReport, StoreError> {
        let import = blocking(&self, move |library| library.catalogue.share(file)).await?;
        if let Some(import) = import {
            return self.verify_share(import, progress).await;
        }
        let job = Arc::clone(&self).resume_job(file).await?;
        blocking(&self, move |_| {
            let (checked, wrong) = job.recheck(&*progress)?;
            let files = if wrong.is_empty() {
                Vec::new()
            } else {
                vec![job.target().to_owned()]
            };
            Ok(VerifyReport {
                checked,
                wrong,
                files,
            })
        })
        .await
    }

    /// Nobody else need wait meanwhile: it only reads. Files that were touched but are what they were get their new
    /// identity, so that serving them need not hash every chunk.
    async fn verify_share(
        self: &Arc<Self>,
        import: Import,
        progress: Progress,
    ) -> Result<VerifyReport, StoreError> {
        let file = import.manifest.hash;
        let checked = blocking(self, move |library| {
            let (report, refreshed) = super::served::verify(import, library.around.files.clone(), &*progress);
            Ok::<_, StoreError>((report, refreshed))
        });
        let (report, refreshed) = checked.await?;
        if let Some(refreshed) = refreshed {
            let _turn = self.living.turn(file).await;
            blocking(self, move |library| {
                // Not if it was removed or shared anew meanwhile.
                let now = library.catalogue.share(file)?;
                let same = now.is_some_and(|now| now.source.root() == refreshed.source.root());
                if same {
                    library.put_share(refreshed).map(drop)
                } else {
                    Ok(())
                }
            })
            .await?;
        }
        Ok(report)
    }

    /// Makes durable what is stored of all open downloads, for a clean stop.
    pub(super) async fn flush(self: Arc<Self>) -> Result<(), StoreError> {
        blocking(&self, |library| {
            for job in library.living.jobs() {
                if let Err(error) = job.flush() {
                    tracing::warn!(file = %job.manifest().hash, %error, "cannot make durable what is stored");
                }
            }
            Ok(())
        })
        .await
    }
}

/// The same job for whoever wants it in the same place.
fn same_output(job: Arc<Job>, spec: &JobSpec) -> Result<Arc<Job>, StoreError> {
    let wanted = spec.output.canonicalize().unwrap_or_else(|_| spec.output.clone());
    if job.target().parent() == Some(wanted.as_path()) {
        Ok(job)
    } else {
        Err(StoreError::InUse(job.target().to_owned()))
    }
}
