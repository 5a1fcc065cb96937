//! `get`: from a ticket or a bare hash to a file under its name.
//!
//! Promises that a download that is given up is as it was, to be gone on with, and that what was a share stays one.

use super::{
    Orders,
    downloads::Fetch,
    follow::follow,
    orders::Online,
    sought::{Question, Sought},
    trackers,
};
use crate::{
    client::TrackerUrl,
    config::Mode,
    connection::Hint,
    download::{
        DownloadSpec,
        aim::Aim,
        swarm::{Nobody, Swarm, Trackers},
    },
    error::Failure,
    event::{Done, EventSink, Phase},
    operation::{GetRequest, Wanted},
    storage::JobInfo,
};
use p2p_shared::id::FileHash;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

impl Orders {
    /// Fetches what `request` names; returns when it stands under its name, durable.
    ///
    /// The download goes on if the future is dropped. It is given up (and goes on in a peer that stays) when nobody was
    /// reached in time, and when the disk is full. What this peer shares itself is copied instead.
    pub async fn get(&self, request: GetRequest, sink: EventSink) -> Result<Done, Failure> {
        let question = Question {
            what: &request.what,
            trackers: &request.trackers,
            timeout: request.timeout,
            policy: request.policy,
            selection: &request.selection,
        };
        let mut sought = self.seek(question, &sink).await?;
        let file = sought.manifest.hash;
        sought.policy = self.policy_for(&file, request.policy)?;
        let was_share = self.is_share(&file).await?;
        self.warn_of_left(&file, &request.output, &sink).await?;
        if was_share && let Some(done) = self.copy(&sought, &request.output, &sink).await? {
            return Ok(done);
        }
        // What the share is told to already, it stays told to.
        let before = if was_share {
            self.parts.book.of(&file)
        } else {
            Vec::new()
        };
        let all = trackers::union(&[&before, &sought.told]);
        let was_paused = self.is_paused(&file);
        let aim = Aim::Files(sought.selection.clone());
        // Each waits for the disk by itself, and a first chunk waits for all of them.
        tokio::try_join!(
            self.parts.book.set(file, &all),
            self.set_policy(file, sought.policy),
            self.note_seeders(&sought)
        )?;
        let fetch = self.fetch(&sought, request.output, aim, sink).await?;
        if was_paused {
            // Who asks for it wants it to go on.
            self.parts.paused.set(file, None).await?;
            // No answer: it is over already, or hears of it at its next tick.
            fetch.handle.resume().await.ok();
        }
        let ended = follow(&fetch, &sought).await;
        if ended.is_ok() {
            self.parts.seeders.let_go(move |other| *other != file).await?;
            self.parts.policies.let_go(move |other| *other != file).await?;
        }
        let keeps = request.keep || was_share || self.parts.mode == Mode::Resume;
        self.settle(&sought, &ended, keeps).await?;
        ended
    }

    /// What follows from the end of a download, or from nobody waiting for it any more.
    async fn settle(
        &self,
        sought: &Sought,
        ended: &Result<Done, Failure>,
        keeps: bool,
    ) -> Result<(), Failure> {
        let file = sought.manifest.hash;
        let is_part = !sought.selection.is_all() && ended.is_ok() && !self.is_share(&file).await?;
        match ended {
            Ok(_) if is_part => self.parts.book.set(file, &[]).await?,
            Ok(_) if !keeps => self.forget(&file).await?,
            Ok(_) => self
                .parts
                .store
                .open(file)
                .await?
                .into_iter()
                .for_each(|served| self.keep_open(served)),
            Err(_) if self.parts.mode == Mode::OnDemand => self.online()?.downloads.stop(&file, true).await,
            _ => {}
        }
        Ok(())
    }

    /// Starts a download, or finds the one that is under way; `sink` hears of it. A look at the index goes to no folder.
    pub(super) async fn fetch(
        &self,
        sought: &Sought,
        output: PathBuf,
        aim: Aim,
        sink: EventSink,
    ) -> Result<Fetch, Failure> {
        let online = self.online()?;
        let file = sought.manifest.hash;
        let seeders = self.named_seeders(sought);
        // Of a look at the index nothing is written, so it is nowhere.
        let wished = (aim != Aim::Index).then(|| output.clone());
        if let Some(fetch) = online.downloads.find(&file) {
            elsewhere(fetch, wished.as_deref())?;
        }
        let manifest = Arc::new(sought.manifest.clone());
        let (swarm, wanted, hints) = (swarm(online, &sought.told), aim.clone(), seeders.clone());
        let policy = sought.policy;
        let fetch = online.downloads.start(file, aim, move |sink| DownloadSpec {
            manifest,
            hashes: None,
            output,
            aim: wanted,
            seeders,
            swarm,
            paused: false,
            policy,
            sink,
        });
        let fetch = fetch.await?;
        let fetch = elsewhere(fetch, wished.as_deref())?;
        // It may have been under way otherwise, and without them. No answer: it is over, or being rebuilt, and wants again by itself.
        if fetch.aim != Aim::Index {
            fetch.handle.set_policy(policy).await.ok();
        }
        fetch.handle.more_peers(hints).await.ok();
        fetch.listen(sink, Phase::Connecting);
        Ok(fetch)
    }

    /// Writes down whom the ticket names, for when the download is gone on with.
    async fn note_seeders(&self, sought: &Sought) -> Result<(), Failure> {
        let seeders = self.named_seeders(sought);
        if seeders.is_empty() {
            return Ok(());
        }
        let known = seeders.into_iter().map(|peer| (peer.key, peer.addresses));
        let known = known.collect();
        self.parts.seeders.set(sought.manifest.hash, Some(known)).await
    }

    /// Whom the ticket names; of a bare hash, whom an earlier ticket named.
    fn named_seeders(&self, sought: &Sought) -> Vec<Hint> {
        let Wanted::Ticket(ticket) = &sought.what else {
            return self.seeders(&sought.manifest.hash);
        };
        let seeders = ticket.seeders.iter().map(|seeder| Hint {
            key: seeder.key,
            addresses: seeder.addresses.clone(),
            relays: Vec::new(),
        });
        seeders.collect()
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
    pub(super) fn seeders(&self, file: &FileHash) -> Vec<Hint> {
        let seeders = self.parts.seeders.of(file).unwrap_or_default().into_iter();
        seeders
            .map(|(key, addresses)| Hint {
                key,
                addresses,
                relays: Vec::new(),
            })
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
        let file = *file;
        self.parts.book.let_go(move |other| *other != file).await
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

/// Who tells of the peers of a share, and is told of it.
pub(super) fn swarm(online: &Online, told: &[TrackerUrl]) -> Arc<dyn Swarm> {
    match told {
        [] => Arc::new(Nobody),
        urls => Arc::new(Trackers {
            client: online.client.clone(),
            urls: urls.into(),
        }),
    }
}
