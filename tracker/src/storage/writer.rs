//! The one who writes.
//!
//! Everything that is asked for while a commit is under way goes into the next one: one `fsync` for many answers, and
//! none is given before its write is durable. Stateless: after a crash the next one goes on with the same store. What
//! was waiting is answered as failed, and its sender asks again.

use super::{Store, StoreError, Write, Written};
use crate::clock::Clock;
use actix::{
    Actor, ActorFutureExt as _, AsyncContext as _, Context, Handler, Message, ResponseFuture, WrapFuture as _,
};
use fail::fail_point;
use p2p_shared::supervision::{CallError, Handle};
use std::{sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// Writes of one transaction at most: a group takes some tens of milliseconds, and nobody waits for more than two.
const GROUP: usize = 4096;

/// How often the store is looked through for what nobody needs any more.
const SWEEP: Duration = Duration::from_secs(600);

/// An unfinished record with which nobody went on for so long (in milliseconds) is dropped.
const ABANDONED: u64 = 3_600_000;

/// A peer that was not heard of for so long (30 days, in milliseconds) is forgotten. It is known again when it registers.
const FORGOTTEN: u64 = 30 * 86_400_000;

/// Why a write was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CommitError {
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The writer did not answer.
    #[error("the store's writer: {0}")]
    Call(#[from] CallError),
}

type Answer = Result<Written, StoreError>;

/// Do this, and say when it is durable.
#[derive(Message)]
#[rtype(result = "Answer")]
struct Commit(Write);

/// Do this some time.
#[derive(Message)]
#[rtype(result = "()")]
struct WriteSoon(Write);

/// Time passed.
#[derive(Message)]
#[rtype(result = "()")]
struct SweepTick;

/// A write and who waits for it, if anybody does.
type Job = (Write, Option<oneshot::Sender<Answer>>);

/// The only writer of the store.
pub(crate) struct StoreWriter {
    store: Arc<dyn Store>,
    clock: Clock,
    waiting: Vec<Job>,
    committing: bool,
}

impl StoreWriter {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self {
            store,
            clock,
            waiting: Vec::new(),
            committing: false,
        }
    }

    fn add(&mut self, job: Job, ctx: &mut Context<Self>) {
        self.waiting.push(job);
        self.commit_next(ctx);
    }

    fn commit_next(&mut self, ctx: &mut Context<Self>) {
        if self.committing || self.waiting.is_empty() {
            return;
        }
        self.committing = true;
        let rest = self.waiting.split_off(self.waiting.len().min(GROUP));
        let group = std::mem::replace(&mut self.waiting, rest);
        let commit = commit_group(Arc::clone(&self.store), group);
        let next = commit.into_actor(self).map(|(), actor, ctx| {
            actor.committing = false;
            actor.commit_next(ctx);
        });
        ctx.spawn(next);
    }
}

async fn commit_group(store: Arc<dyn Store>, group: Vec<Job>) {
    let (writes, waiting): (Vec<_>, Vec<_>) = group.into_iter().unzip();
    let answers = match store.commit(writes).await {
        Ok(written) => written.into_iter().map(Ok).collect(),
        Err(error) => {
            tracing::error!(%error, writes = waiting.len(), "commit failed");
            vec![Err(error); waiting.len()]
        }
    };
    for (waiting, answer) in waiting.into_iter().zip(answers) {
        if let Some(waiting) = waiting {
            // Whoever asked may have gone; the write is done all the same.
            drop(waiting.send(answer));
        }
    }
}

impl Actor for StoreWriter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.notify(SweepTick);
        ctx.run_interval(SWEEP, |_, ctx| ctx.notify(SweepTick));
    }
}

impl Handler<Commit> for StoreWriter {
    type Result = ResponseFuture<Answer>;

    fn handle(&mut self, Commit(write): Commit, ctx: &mut Self::Context) -> Self::Result {
        fail_point!("StoreWriter::Commit");
        let (answer, waiting) = oneshot::channel();
        self.add((write, Some(answer)), ctx);
        Box::pin(async move { waiting.await.unwrap_or(Err(StoreError::Crashed)) })
    }
}

impl Handler<WriteSoon> for StoreWriter {
    type Result = ();

    fn handle(&mut self, WriteSoon(write): WriteSoon, ctx: &mut Self::Context) {
        fail_point!("StoreWriter::WriteSoon");
        self.add((write, None), ctx);
    }
}

impl Handler<SweepTick> for StoreWriter {
    type Result = ();

    fn handle(&mut self, SweepTick: SweepTick, ctx: &mut Self::Context) {
        fail_point!("StoreWriter::SweepTick");
        let now = self.clock.now();
        for sweep in [
            Write::DropUnfinishedBefore(now.saturating_sub(ABANDONED)),
            Write::ForgetPeersBefore(now.saturating_sub(FORGOTTEN)),
        ] {
            self.add((sweep, None), ctx);
        }
    }
}

/// Asks the writer.
#[derive(Clone)]
pub(crate) struct StoreWriterHandle {
    writer: Handle<StoreWriter>,
}

impl StoreWriterHandle {
    pub(crate) fn new(writer: Handle<StoreWriter>) -> Self {
        Self { writer }
    }

    /// Does a write. Comes back when it is durable, together with whatever was asked for before it.
    pub(crate) async fn commit(&self, write: Write) -> Result<Written, CommitError> {
        Ok(self.writer.call(Commit(write)).await??)
    }

    /// Does a write some time soon, whose loss would do no harm.
    pub(crate) fn tell(&self, write: Write) -> Result<(), CallError> {
        self.writer.tell(WriteSoon(write))
    }

    /// Comes back when everything that was asked for before is durable, or cannot be.
    pub(crate) async fn flush(self) {
        if let Err(error) = self.commit(Write::TouchPeers(Vec::new())).await {
            tracing::error!(%error, "the last writes may be lost");
        }
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
