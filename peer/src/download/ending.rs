//! How a download ends: checked and under its name, failed, or stopped.
//!
//! Promises that there is one way out, after which nobody is asked for anything, and that what the swarm is told of it is
//! true: a whole share is here, or nothing.

use super::{
    actor::DownloadCoordinator,
    aim::{Aim, standing},
    kept::now,
    messages::JobFinished,
    status::Stage,
};
use crate::{
    error::Failure,
    event::{Done, Event},
};
use actix::{ActorContext as _, Context};
use p2p_shared::protocol::DetachReason;
use std::{path::PathBuf, sync::Arc};

impl DownloadCoordinator {
    pub(super) fn finish_if_complete(&mut self) {
        let ready = self.state.is_complete() && !self.finishing && !self.halt.is_on();
        let Some(opened) = self.job.as_ref().filter(|_| ready) else {
            return;
        };
        let (store, job, itself) = (
            self.parts.store.clone(),
            Arc::clone(&opened.job),
            self.itself.clone(),
        );
        self.finishing = true;
        if self.spec.aim == Aim::Index {
            return itself.do_send(JobFinished(Ok(job.target().to_owned())));
        }
        self.enter(Stage::Verifying);
        tokio::spawn(async move {
            itself.do_send(JobFinished(store.finish(job).await));
        });
    }

    /// It stands under its name.
    pub(super) fn done(&mut self, path: PathBuf, ctx: &mut Context<Self>) {
        let job = self.job.as_ref().map(|opened| &opened.job);
        let is_everything = job.is_none_or(|job| job.is_of_everything());
        let done = Done {
            hash: self.file(),
            path,
            bytes: job.map_or(self.spec.manifest.size, |job| standing(job).1),
            seconds: now().saturating_duration_since(self.kept.began),
            bytes_by_path: self.kept.fetched(),
        };
        match self.kept.hashes.get() {
            Some(hashes) if is_everything => self.spec.swarm.announce(&self.spec.manifest, hashes, true),
            // What was selected is its owner's; nothing of it is served from now on.
            _ if self.spec.aim != Aim::Index => self.spec.swarm.stop(&self.file()),
            _ => {}
        }
        self.kept.status.send_modify(|status| status.trouble = None);
        self.spec.sink.send(Event::Done(done.clone()));
        self.enter(Stage::Done(done));
        self.end(is_everything, DetachReason::Finished, ctx);
    }

    pub(super) fn fail(&mut self, failure: Failure, ctx: &mut Context<Self>) {
        tracing::warn!(file = %self.file(), %failure, "a download cannot go on");
        self.enter(Stage::Failed(failure));
        self.end(true, DetachReason::Stopped, ctx);
    }

    /// The one end: nobody is asked for anything any more. What is here is still served, if `serving`.
    pub(super) fn end(&mut self, serving: bool, reason: DetachReason, ctx: &mut Context<Self>) {
        let file = self.file();
        self.detach_all(serving, reason);
        let connections = self.parts.connections.clone();
        tokio::spawn(async move {
            // No answer: a table that crashed wants nothing.
            connections.unwant(file).await.ok();
        });
        ctx.stop();
    }
}
