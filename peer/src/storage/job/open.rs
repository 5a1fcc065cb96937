//! Beginning a download, and going on with one that was cut short.

use super::{
    Body, Job, JobSpec, Live,
    front::Front,
    glance::Glance,
    journal::Head,
    keeper::Pace,
    ledger::Ledger,
    log::{self, Found, Log, Trust},
    place::{self, Place, open_folder},
    target::{self, FileTarget, FolderTarget, Target},
};
use crate::storage::{
    check::Check,
    disk::Boot,
    error::{CommitError, DiskError, Named as _, StoreError},
    import::{HashCache, HashOptions, Import, ScanOptions, SourceLayout, hash, share_scan},
    open_files::OpenFiles,
    served::Served,
};
use p2p_shared::{
    bitfield::Bitfield,
    id::ChunkIndex,
    manifest::{Manifest, ShareKind},
    merkle::merkle_root,
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, RwLock, atomic::AtomicBool},
    thread,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// What jobs are given by the store that opens them.
#[derive(Debug, Clone)]
pub(in crate::storage) struct Surroundings {
    /// The table of open files.
    pub(in crate::storage) files: OpenFiles,
    /// Hashes of files that were read before.
    pub(in crate::storage) cache: Option<HashCache>,
    /// This run of the operating system.
    pub(in crate::storage) boot: Boot,
    /// How long to wait for another who is writing the same download.
    pub(in crate::storage) patience: Duration,
}

/// What was found of an earlier run.
struct Earlier {
    /// Believed without a look.
    believed: Bitfield,
    /// To be hashed before it is believed.
    doubtful: Bitfield,
    /// The folder's files are where they belong.
    unpacked: bool,
    /// The whole-file hash of what is believed, if it can be.
    front: Option<Vec<u8>>,
}

impl Job {
    /// Begins the download or goes on with it. What stands under the final name already and is the same makes a job
    /// that is full from the beginning. Blocking, as long as hashing that (or what has to be checked) takes.
    pub(in crate::storage) fn open(
        mut spec: JobSpec,
        around: &Surroundings,
    ) -> Result<Arc<Self>, StoreError> {
        check_spec(&spec)?;
        let place = Place::open(&spec.output, &spec.manifest, around.patience)?;
        // It may have been relative to where this process is now.
        spec.output = place.output_path().to_owned();
        let manifest = &spec.manifest;
        let found = log::find(&place.folder, manifest).named("read the journal of", &place.path())?;
        let begun = !matches!(found, Found::Nothing);
        let target_path = place.target();
        if place.is_taken()? {
            let same = same_source(&place, manifest, around);
            let extends = same.is_none() && may_extend(&spec, &place)?;
            if same.is_some() || (!begun && !extends) {
                place.remove()?;
            }
            if let Some(source) = same {
                if begun && manifest.kind == ShareKind::Folder {
                    restamp(&place, manifest)?;
                }
                if let Some(index) = source.index() {
                    // A slip is a slip, also where there is nothing left to fetch.
                    spec.selection.choose(index)?;
                }
                return Ok(Arc::new(Self::there(spec, source, around)));
            }
            if !extends {
                return Err(match manifest.kind {
                    ShareKind::File => StoreError::TargetTaken(target_path),
                    ShareKind::Folder => StoreError::FolderTaken(target_path),
                });
            }
        }
        let live = Arc::new(Live::open(&spec, place, found, around)?);
        live.start_threads()?;
        live.take_up()?;
        Ok(Arc::new(Self {
            spec,
            target_path,
            body: Body::Live(live),
        }))
    }

    /// Bytes in the chunks that are stored of a download which is not open, by its journal.
    pub(in crate::storage) fn peek(output: &Path, manifest: &Manifest) -> u64 {
        let Ok(Some(folder)) = place::find(output, manifest) else {
            return 0;
        };
        match log::find(&folder, manifest) {
            Ok(Found::Journal(replay)) => super::bytes_of(manifest.layout(), replay.ledger.held()),
            _ => 0,
        }
    }

    /// The folder beside the final name in which a download is kept until it is whole, if that is there.
    pub(in crate::storage) fn folder_of(output: &Path, manifest: &Manifest) -> Option<PathBuf> {
        let found = place::find(output, manifest).ok().flatten();
        found.map(|_| output.join(place::hidden_name(manifest)))
    }

    /// Removes what was stored of a download that is not open.
    pub(in crate::storage) fn discard_closed(spec: &JobSpec, patience: Duration) -> Result<(), StoreError> {
        let found = place::find(&spec.output, &spec.manifest);
        if found.named("open", &spec.output)?.is_some() {
            Place::open(&spec.output, &spec.manifest, patience)?.remove()?;
        }
        Ok(())
    }

    /// Fetches a folder's index and nothing else; writes nothing.
    pub(crate) fn glance(spec: JobSpec) -> Result<Arc<Self>, StoreError> {
        check_spec(&spec)?;
        let glance = Glance::new(spec.manifest.clone());
        Ok(Arc::new(Self {
            target_path: spec.output.join(spec.manifest.name.as_str()),
            body: Body::Glance(Box::new(glance)),
            spec,
        }))
    }

    fn there(spec: JobSpec, source: SourceLayout, around: &Surroundings) -> Self {
        let import = Import {
            manifest: spec.manifest.clone(),
            hashes: spec.hashes.clone(),
            source,
        };
        let served = Served::share(import.clone(), around.files.clone());
        Self {
            spec,
            target_path: import.source.root().to_owned(),
            body: Body::There(Box::new((served, import))),
        }
    }
}

fn check_spec(spec: &JobSpec) -> Result<(), StoreError> {
    let layout = spec.manifest.layout();
    let enough = spec.hashes.len() == layout.chunks() as usize;
    if spec.manifest.check().is_ok()
        && enough
        && merkle_root(layout, &spec.hashes) == spec.manifest.merkle_root
    {
        Ok(())
    } else {
        Err(StoreError::WrongHashes(spec.manifest.hash))
    }
}

/// Whether files may be added to what stands under the final name: some were selected, and it is a folder.
fn may_extend(spec: &JobSpec, place: &Place) -> Result<bool, DiskError> {
    Ok(!spec.selection.is_all() && spec.manifest.kind == ShareKind::Folder && place.standing()?.is_some())
}

/// What stands under the final name, if it is the file that is wanted.
fn same_source(place: &Place, manifest: &Manifest, around: &Surroundings) -> Option<SourceLayout> {
    let plan = share_scan(&place.target(), ScanOptions::default()).ok()?;
    if plan.kind() != manifest.kind || plan.size() != manifest.size {
        return None;
    }
    let options = HashOptions {
        algorithm: manifest.algorithm,
        cache: around.cache.as_ref(),
        progress: &|_| {},
        cancel: &CancellationToken::new(),
    };
    let import = hash(plan, options).ok()?;
    (import.manifest.hash == manifest.hash).then_some(import.source)
}

/// The last thing that finishing a folder does is to set its own mode and time; it may not have come to that.
fn restamp(place: &Place, manifest: &Manifest) -> Result<(), DiskError> {
    let target = place.target();
    let folder = open_folder(&place.output, manifest.name.as_str()).named("open", &target)?;
    target::stamp(folder, manifest.mode, manifest.modified).named("write", &target)
}

impl Live {
    fn open(spec: &JobSpec, place: Place, found: Found, around: &Surroundings) -> Result<Self, StoreError> {
        let manifest = &spec.manifest;
        let (target, intact) = match manifest.kind {
            ShareKind::File => {
                let (file, intact) = FileTarget::open(&place, manifest)?;
                (Target::File(file), intact)
            }
            ShareKind::Folder => {
                let folder =
                    FolderTarget::open(&place, manifest, spec.selection.clone(), around.files.clone())?;
                (Target::Folder(Box::new(folder)), true)
            }
        };
        let head = Head {
            boot: around.boot,
            inode: target.inode()?,
        };
        let log = resume(spec, &place, &target, intact, found, head)?;
        let layout = manifest.layout();
        Ok(Self {
            front: Front::new(manifest.algorithm, layout, log.ledger().front()),
            manifest: manifest.clone(),
            hashes: spec.hashes.clone(),
            layout,
            place,
            target,
            log: Mutex::new(log),
            pace: Pace::default(),
            checkpoint: Mutex::new(()),
            end: Mutex::new(None),
            closed: RwLock::new(false),
            names_durable: AtomicBool::new(false),
        })
    }

    /// Puts what an earlier run left where it belongs, and takes what has its final name already.
    fn take_up(&self) -> Result<(), StoreError> {
        match self.unpack() {
            Err(CommitError::Selection(nothing)) => return Err(nothing.into()),
            // Whoever commits the next chunk hears of it.
            Err(error) => {
                tracing::warn!(file = %self.manifest.hash, %error, "cannot unpack a folder yet");
            }
            Ok(()) => {}
        }
        match &self.target {
            Target::Folder(folder) => Ok(self.take_standing(folder)?),
            Target::File(_) => Ok(()),
        }
    }

    fn start_threads(self: &Arc<Self>) -> Result<(), DiskError> {
        let follow = Arc::clone(self);
        let keep = Arc::clone(self);
        let started = thread::Builder::new()
            .name("job-front".into())
            .spawn(move || follow.front.follow(&*follow))
            .and_then(|_| {
                thread::Builder::new()
                    .name("job-keeper".into())
                    .spawn(move || keep.keep())
            });
        if started.is_err() {
            self.stop();
        }
        started.map(drop).named("start threads for", &self.place.path())
    }
}

/// Takes up what an earlier run left, as far as it can be believed.
fn resume(
    spec: &JobSpec,
    place: &Place,
    target: &Target,
    intact: bool,
    found: Found,
    head: Head,
) -> Result<Log, StoreError> {
    let chunks = spec.manifest.layout().chunks();
    let begin = |ledger, replaces| {
        let log = Log::begin(&place.folder, head, &spec.manifest, ledger, replaces);
        log.named("write the journal of", &place.path())
    };
    let (mut earlier, replay) = match found {
        Found::Nothing => return Ok(begin(Ledger::new(chunks), false)?),
        Found::Unusable => (Earlier::unknown(chunks, target), None),
        Found::Journal(replay) => {
            let trust = if intact {
                log::trust(replay.head, head.boot, head.inode)
            } else {
                Trust::Nothing
            };
            let earlier = Earlier::of(&replay.ledger, &trust);
            (earlier, (trust == Trust::Everything).then_some(replay))
        }
    };
    if let Target::Folder(folder) = target
        && earlier.unpacked
        && !folder.reopen_tree(place)?
    {
        earlier = Earlier::nothing(chunks);
    } else if let Some(replay) = replay {
        let log = Log::go_on(&place.folder, replay);
        return Ok(log.named("write the journal of", &place.path())?);
    }
    earlier.check(spec, target);
    Ok(begin(earlier.ledger(), true)?)
}

impl Earlier {
    fn nothing(chunks: u32) -> Self {
        Self {
            believed: Bitfield::new(chunks),
            doubtful: Bitfield::new(chunks),
            unpacked: false,
            front: None,
        }
    }

    /// With no journal that can be used, everything may be there.
    fn unknown(chunks: u32, target: &Target) -> Self {
        Self {
            doubtful: Bitfield::full(chunks),
            unpacked: matches!(target, Target::Folder(_)),
            ..Self::nothing(chunks)
        }
    }

    fn of(ledger: &Ledger, trust: &Trust) -> Self {
        let nothing = Self::nothing(ledger.held().len());
        let (believed, doubtful) = match trust {
            Trust::Everything => (ledger.held().clone(), nothing.doubtful),
            Trust::Durable => (ledger.durable().clone(), ledger.unproven()),
            Trust::Nothing => (nothing.believed, ledger.held().clone()),
        };
        let front = ledger
            .front()
            .filter(|_| *trust != Trust::Nothing)
            .map(<[u8]>::to_vec);
        Self {
            believed,
            doubtful,
            unpacked: ledger.is_unpacked(),
            front,
        }
    }

    /// Hashes what is doubtful; what is wrong is doubtful no more, but missing.
    fn check(&mut self, spec: &JobSpec, target: &Target) {
        let layout = spec.manifest.layout();
        let check = Check {
            algorithm: spec.manifest.algorithm,
            layout,
            hashes: &spec.hashes,
            read: &|chunk, out| target.read(layout.extent(chunk), out).is_ok(),
            progress: &|_| {},
        };
        let doubtful: Vec<ChunkIndex> = self.doubtful.ones().collect();
        let wrong = check.wrong(&doubtful);
        let (file, checked, wrong_count) = (spec.manifest.hash, doubtful.len(), wrong.len());
        tracing::info!(%file, checked, wrong = wrong_count, "checked what an earlier run left of a download");
        for chunk in wrong {
            self.doubtful.clear(chunk);
        }
    }

    /// What is held now.
    fn ledger(self) -> Ledger {
        let mut ledger = Ledger::new(self.believed.len());
        if self.unpacked {
            ledger.on_unpacked();
        }
        self.believed.ones().for_each(|chunk| ledger.on_had(chunk));
        ledger.on_mark();
        ledger.on_durable(self.front.unwrap_or_default());
        self.doubtful.ones().for_each(|chunk| ledger.on_had(chunk));
        ledger
    }
}
