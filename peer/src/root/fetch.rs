//! `get`: from a ticket or a bare hash to a file under its name.

use super::{Orders, downloads::Fetch, orders::Online, trackers};
use crate::{
    client::TrackerUrl,
    config::Mode,
    download::{
        DownloadSpec, DownloadStatus, Pause, Stage,
        aim::Aim,
        swarm::{Nobody, Swarm, Trackers},
    },
    error::Failure,
    event::{Done, EventSink, Phase},
    operation::{GetRequest, Wanted},
    selection::Selection,
    storage::JobInfo,
};
use p2p_shared::{
    id::FileHash,
    manifest::{Manifest, ShareKind},
    protocol::PeerHint,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};

/// How long a bare hash waits for a tracker that does not answer, at most: without it there is nothing to wait for.
const TRACKER_PATIENCE: Duration = Duration::from_secs(10);

/// The pause before a tracker that did not answer is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// For ever, as a deadline: nobody waits a year for a peer.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

impl Orders {
    /// Fetches what `request` names; returns when it stands under its name, durable.
    ///
    /// The download goes on if the future is dropped. It is given up (and goes on in a peer that stays) when nobody was
    /// reached in time, and when the disk is full.
    pub async fn get(&self, mut request: GetRequest, sink: EventSink) -> Result<Done, Failure> {
        let online = self.online()?;
        self.trust(&request.trackers).await?;
        sink.phase(Phase::Connecting);
        let patience = patience(request.timeout);
        let deadline = Instant::now() + patience;
        let told = told(&request.what, &request.trackers, &online.client.configured())?;
        let manifest = match &request.what {
            Wanted::Ticket(ticket) => ticket.manifest.clone(),
            Wanted::Hash(hash) => look_up(online, hash, &told, deadline, &sink).await?,
        };
        if manifest.kind == ShareKind::File {
            request.selection.check_file(&manifest.name)?;
            request.selection = Selection::default();
        }
        let file = manifest.hash;
        let was_share = self.is_share(&file).await?;
        let name = manifest.name.to_string();
        // What the share is told to already, it stays told to.
        let before = if was_share {
            self.parts.book.of(&file)
        } else {
            Vec::new()
        };
        let all = trackers::union(&[&before, &told]);
        self.parts.book.set(file, &all).await?;
        let parts = Fetching {
            what: &request.what,
            manifest: manifest.clone(),
            told: &told,
            output: request.output.clone(),
            aim: Aim::Files(request.selection.clone()),
        };
        let was_paused = self.is_paused(&file);
        self.warn_of_left(&file, &request.output, &sink).await?;
        let fetch = self.fetch(parts, sink).await?;
        if was_paused {
            // Who asks for it wants it to go on.
            self.parts.paused.set(file, None).await?;
            // No answer: it is over already, or hears of it at its next tick.
            fetch.handle.resume().await.ok();
        }
        let ended = follow(&fetch, &name, patience, deadline).await;
        if ended.is_ok() {
            self.parts.seeders.set(file, None).await?;
        }
        let keeps = request.keep || was_share || self.parts.mode == Mode::Resume;
        let is_part = !request.selection.is_all() && ended.is_ok() && !self.is_share(&file).await?;
        match &ended {
            Ok(_) if is_part => self.parts.book.set(file, &[]).await?,
            Ok(_) if !keeps => self.forget(&file).await?,
            Ok(_) => self
                .parts
                .store
                .open(file)
                .await?
                .into_iter()
                .for_each(|served| self.keep_open(served)),
            Err(_) if self.parts.mode == Mode::OnDemand => online.downloads.stop(&file, true).await,
            _ => {}
        }
        ended
    }

    /// Starts a download, or finds the one that is under way; `sink` hears of it.
    pub(super) async fn fetch(&self, parts: Fetching<'_>, sink: EventSink) -> Result<Fetch, Failure> {
        let online = self.online()?;
        let Fetching {
            what,
            manifest,
            told,
            output,
            aim,
        } = parts;
        let file = manifest.hash;
        let seeders: Vec<PeerHint> = match what {
            Wanted::Ticket(ticket) => ticket
                .seeders
                .iter()
                .map(|seeder| PeerHint {
                    key: seeder.key,
                    addresses: seeder.addresses.clone(),
                })
                .collect(),
            Wanted::Hash(_) => self.seeders(&file),
        };
        if aim != Aim::Index && !seeders.is_empty() {
            let known = seeders.iter().map(|peer| (peer.key, peer.addresses.clone()));
            let known = known.collect();
            self.parts.seeders.set(file, Some(known)).await?;
        }
        // Of a look at the index nothing is written, so it is nowhere.
        let wished = (aim != Aim::Index).then(|| output.clone());
        if let Some(fetch) = online.downloads.find(&manifest.hash) {
            elsewhere(fetch, wished.as_deref())?;
        }
        let (swarm, wanted, hints) = (swarm(online, told), aim.clone(), seeders.clone());
        let fetch = online
            .downloads
            .start(manifest.hash, aim, move |sink| DownloadSpec {
                manifest: Arc::new(manifest),
                hashes: None,
                output,
                aim: wanted,
                seeders,
                swarm,
                paused: false,
                sink,
            });
        let fetch = fetch.await?;
        let fetch = elsewhere(fetch, wished.as_deref())?;
        // It may have been under way without them. No answer: it is over, or being rebuilt, and looks for peers by itself.
        fetch.handle.more_peers(hints).await.ok();
        fetch.listen(sink, Phase::Connecting);
        Ok(fetch)
    }

    /// Names what an earlier download of the same file left in another folder: from now on it is nobody's.
    async fn warn_of_left(&self, file: &FileHash, output: &Path, sink: &EventSink) -> Result<(), Failure> {
        // One that is under way is not left; it is refused to begin another.
        if self.online()?.downloads.find(file).is_some() {
            return Ok(());
        }
        let jobs = self.parts.store.jobs().await?;
        let elsewhere = |job: &&JobInfo| job.manifest.hash == *file && !is_same_folder(&job.output, output);
        if let Some(job) = jobs.iter().find(elsewhere)
            && let Some(folder) = &job.folder
        {
            let (folder, before) = (folder.display(), job.output.display());
            let message = format!(
                "an unfinished download of it stays in {folder} and is not gone on with; remove that folder if you do not want \
                 it, or interrupt this command and use --output {before} to go on there"
            );
            sink.warning("left-behind", message);
        }
        Ok(())
    }

    /// Whom the ticket of a download named, in this run or an earlier one.
    fn seeders(&self, file: &FileHash) -> Vec<PeerHint> {
        let seeders = self.parts.seeders.of(file).unwrap_or_default().into_iter();
        seeders
            .map(|(key, addresses)| PeerHint { key, addresses })
            .collect()
    }

    pub(super) async fn is_share(&self, file: &FileHash) -> Result<bool, Failure> {
        let shares = self.parts.store.shares().await?;
        Ok(shares.iter().any(|share| share.manifest.hash == *file))
    }

    /// What was fetched by a peer that ends with it is nobody's share; the file stays.
    async fn forget(&self, file: &FileHash) -> Result<(), Failure> {
        self.online()?.client.stop(file);
        self.parts.store.remove(*file).await?;
        self.parts.book.set(*file, &[]).await
    }

    /// Strikes out what is noted of downloads that are no more. Before anybody can begin one: its notes come before its job.
    pub(super) async fn tidy(&self) -> Result<(), Failure> {
        let jobs = self.parts.store.jobs().await?;
        let unfinished: Vec<_> = jobs.iter().map(|job| job.manifest.hash).collect();
        self.parts.paused.keep_only(unfinished.clone()).await?;
        self.parts.seeders.keep_only(unfinished).await
    }

    /// Takes up the shares and downloads of earlier runs.
    pub(super) async fn resume(&self) -> Result<(), Failure> {
        for share in self.parts.store.shares().await? {
            if let Err(failure) = self.resume_share(share.manifest).await {
                tracing::warn!(path = %share.path.display(), %failure, "a share is not taken up again");
            }
        }
        for job in self.parts.store.jobs().await? {
            let name = job.manifest.name.to_string();
            if let Err(failure) = self.resume_job(job.manifest.hash).await {
                tracing::warn!(name, %failure, "a download is not taken up again");
            }
        }
        Ok(())
    }

    async fn resume_share(&self, manifest: Manifest) -> Result<(), Failure> {
        let online = self.online()?;
        let told = trackers::union(&[&online.client.configured(), &self.parts.book.of(&manifest.hash)]);
        let Some(served) = self.parts.store.open(manifest.hash).await? else {
            return Err(Failure::not_found("it is gone"));
        };
        swarm(online, &told).announce(&Arc::new(manifest), served.hashes(), true);
        self.keep_open(served);
        Ok(())
    }

    pub(super) async fn resume_job(&self, file: FileHash) -> Result<(), Failure> {
        let online = self.online()?;
        let mut told = self.parts.book.of(&file);
        if told.is_empty() {
            told = online.client.configured();
        }
        let job = self.parts.store.resume_job(file).await?;
        let (paused, seeders) = (self.is_paused(&file), self.seeders(&file));
        let swarm = swarm(online, &told);
        let aim = Aim::Files(job.spec().selection.clone());
        let wanted = aim.clone();
        let start = online.downloads.start(file, aim, move |sink| DownloadSpec {
            manifest: Arc::new(job.manifest().clone()),
            hashes: Some(Arc::clone(job.hashes())),
            output: job.spec().output.clone(),
            aim: wanted,
            seeders,
            swarm,
            paused,
            sink,
        });
        let fetch = start.await?;
        tokio::spawn(self.clone().attend(fetch));
        Ok(())
    }

    /// Nobody waits for this download: what follows from its end is seen to here.
    async fn attend(self, fetch: Fetch) {
        let file = fetch.handle.file();
        // A failure is in the log, and its job is as it was.
        if fetch.handle.finished().await.is_err() {
            return;
        }
        let kept = match self.parts.store.open(file).await {
            Ok(Some(served)) => {
                self.keep_open(served);
                Ok(())
            }
            // A part of a folder is no share: nobody is told of it.
            Ok(None) => self.parts.book.set(file, &[]).await,
            Err(error) => Err(error.into()),
        };
        if let Err(failure) = kept {
            tracing::warn!(%file, %failure, "what was fetched is not watched for changes");
        }
    }
}

/// The download that is under way, unless it goes to another folder than the one that is wished.
fn elsewhere(fetch: Fetch, wished: Option<&Path>) -> Result<Fetch, Failure> {
    let apart =
        wished.is_some_and(|wished| fetch.aim != Aim::Index && !is_same_folder(&fetch.output, wished));
    if !apart {
        return Ok(fetch);
    }
    Err(Failure::disk(format!(
        "it is being fetched to {} already; wait until it is there, or end that with `p2p-peer remove {}`",
        fetch.output.display(),
        fetch.handle.file()
    )))
}

/// Whether both lead to the same place; what is not there yet is where its path says.
fn is_same_folder(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    a == b || place(a) == place(b)
}

/// What a download is started with.
pub(super) struct Fetching<'a> {
    pub(super) what: &'a Wanted,
    pub(super) manifest: Manifest,
    /// Trackers that are asked and told.
    pub(super) told: &'a [TrackerUrl],
    pub(super) output: PathBuf,
    pub(super) aim: Aim,
}

fn swarm(online: &Online, told: &[TrackerUrl]) -> Arc<dyn Swarm> {
    match told {
        [] => Arc::new(Nobody),
        urls => Arc::new(Trackers {
            client: online.client.clone(),
            urls: urls.into(),
        }),
    }
}

/// The trackers that are told of a download: the ticket's and those named with it; else those of the configuration.
pub(super) fn told(
    what: &Wanted,
    named: &[TrackerUrl],
    configured: &[TrackerUrl],
) -> Result<Vec<TrackerUrl>, Failure> {
    let of_ticket: Vec<TrackerUrl> = match what {
        Wanted::Ticket(ticket) => ticket
            .trackers
            .iter()
            .filter_map(|url| url.parse().ok())
            .collect(),
        Wanted::Hash(_) => Vec::new(),
    };
    let told = trackers::union(&[&of_ticket, named]);
    let told = if told.is_empty() {
        configured.to_vec()
    } else {
        told
    };
    match what {
        Wanted::Hash(hash) if told.is_empty() => Err(Failure::usage(format!(
            "the bare hash {hash} does not say where to look; add --tracker URL, or use the share's ticket"
        ))),
        _ => Ok(told),
    }
}

/// Seconds as they are given; 0: for ever.
pub(super) fn patience(seconds: u64) -> Duration {
    match seconds {
        0 => FOR_EVER,
        seconds => Duration::from_secs(seconds).min(FOR_EVER),
    }
}

/// Asks for the record of a bare hash until somebody answers or the time is up.
pub(super) async fn look_up(
    online: &Online,
    hash: &FileHash,
    trackers: &[TrackerUrl],
    deadline: Instant,
    sink: &EventSink,
) -> Result<Manifest, Failure> {
    let deadline = deadline.min(Instant::now() + TRACKER_PATIENCE);
    let mut warned = false;
    loop {
        let error = match online.client.file(hash, trackers).await {
            Ok(manifest) => return Ok(manifest),
            Err(error) => error,
        };
        if error.is_file_unknown() {
            let names: Vec<_> = trackers.iter().map(ToString::to_string).collect();
            return Err(Failure::not_found(format!(
                "no tracker knows {hash} (asked: {}); check the hash, or ask for the share's ticket",
                names.join(", ")
            )));
        }
        if !error.is_worth_retrying() || Instant::now() + ASK_AGAIN >= deadline {
            return Err(Failure::from(&error));
        }
        if !std::mem::replace(&mut warned, true) {
            sink.warning("tracker", format!("{error}; trying again"));
        }
        sleep(ASK_AGAIN).await;
    }
}

/// Waits for the end of a download, but not longer than until `deadline` for the first peer, nor for room on the disk.
async fn follow(fetch: &Fetch, name: &str, patience: Duration, deadline: Instant) -> Result<Done, Failure> {
    wait_for_peer(fetch, name, patience, deadline).await?;
    let mut status = fetch.handle.status();
    tokio::select! {
        // An error means that the download is gone; `finished` then says so.
        _ = status.wait_for(has_stopped) => (),
        () = lasts(fetch.handle.status(), patience, |status| status.reach.is_banned()) => {
            return Err(lied_to(name));
        }
        () = lasts(fetch.handle.status(), patience, |status| status.source_changed) => {
            return Err(changed(name, patience));
        }
    }
    let full = match &status.borrow().stage {
        Stage::Paused(Pause::NoSpace(failure)) => Some(failure.clone()),
        _ => None,
    };
    match full {
        Some(failure) => Err(failure),
        None => fetch.handle.finished().await,
    }
}

/// Waits for the first peer, or for the download's end.
pub(super) async fn wait_for_peer(
    fetch: &Fetch,
    name: &str,
    patience: Duration,
    deadline: Instant,
) -> Result<(), Failure> {
    let mut status = fetch.handle.status();
    let mut reached = fetch.reached.clone();
    let settled = async {
        tokio::select! {
            // An error means that the download is gone; `finished` says so afterwards.
            _ = reached.wait_for(|reached| *reached) => (),
            _ = status.wait_for(has_stopped) => (),
        }
    };
    let in_time = timeout_at(deadline, settled).await;
    in_time.map_err(|_| nobody(&status.borrow(), name, patience))
}

/// Whether there is nothing more to wait for.
fn has_stopped(status: &DownloadStatus) -> bool {
    status.stage.is_over() || matches!(status.stage, Stage::Paused(Pause::NoSpace(_)))
}

/// Waits until `is_so` has been so for as long as `patience`.
async fn lasts(
    mut status: watch::Receiver<DownloadStatus>,
    patience: Duration,
    is_so: impl Fn(&DownloadStatus) -> bool,
) {
    loop {
        if status.wait_for(&is_so).await.is_err() {
            // The download is gone, which somebody else says.
            return std::future::pending().await;
        }
        let is_over = status.wait_for(|status| !is_so(status));
        if timeout(patience, is_over).await.is_err() {
            return;
        }
    }
}

fn changed(name: &str, patience: Duration) -> Failure {
    Failure::unreachable(format!(
        "{name} has changed where it was shared, and nobody else who has it as it was turned up within {} s; ask for a new \
         ticket, or find somebody else who seeds it and run the same command again",
        patience.as_secs()
    ))
}

fn lied_to(name: &str) -> Failure {
    Failure::integrity(format!(
        "every peer that is known to have {name} sent chunks that are not what their hashes say, and is not asked again; \
         nothing wrong was stored, find somebody else who seeds it and run the same command again"
    ))
}

pub(super) fn nobody(status: &DownloadStatus, name: &str, patience: Duration) -> Failure {
    let known = match status.reach.known + status.reach.pending + status.reach.backing_off {
        0 => "nobody is known to have it".to_owned(),
        1 => "one peer is known to have it and does not answer".to_owned(),
        peers => format!("{peers} peers are known to have it and none answers"),
    };
    let trouble = status
        .trouble
        .as_ref()
        .map(|trouble| format!(" ({trouble})"))
        .unwrap_or_default();
    Failure::unreachable(format!(
        "nobody could be reached for {name} within {} s: {known}{trouble}; check that somebody seeds it, and run the same \
         command again",
        patience.as_secs()
    ))
}
