//! Shares and downloads of earlier runs: taken up where they were, and followed to their end although nobody waits for them.

use super::{Orders, downloads::Fetch, fetch::swarm, trackers};
use crate::{
    download::{DownloadSpec, aim::Aim},
    error::Failure,
};
use p2p_shared::{id::FileHash, manifest::Manifest};
use std::sync::Arc;

impl Orders {
    /// Strikes out what is noted of downloads that are no more. Before anybody can begin one: its notes come before its job.
    pub(super) async fn tidy(&self) -> Result<(), Failure> {
        let jobs = self.parts.store.jobs().await?;
        let unfinished: Vec<_> = jobs.iter().map(|job| job.manifest.hash).collect();
        let shares = self.parts.store.shares().await?;
        let shared = shares.iter().map(|share| share.manifest.hash);
        let known: Vec<_> = unfinished.iter().copied().chain(shared).collect();
        self.parts.book.let_go(move |hash| known.contains(hash)).await?;
        self.parts.paused.keep_only(unfinished.clone()).await?;
        self.parts.policies.keep_only(unfinished.clone()).await?;
        self.parts
            .seeders
            .let_go(move |hash| unfinished.contains(hash))
            .await
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
        if self.copy_job(job.spec()).await? {
            return Ok(());
        }
        let (paused, seeders) = (self.is_paused(&file), self.seeders(&file));
        let policy = self.policy_of(&file);
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
            policy,
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
