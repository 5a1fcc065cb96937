//! The ChunkStore actor: takes orders in, has the [`Library`] carry them out on other threads.
//!
//! It owns nothing that could be lost with it: the catalogue is on disk, what is open outlives it, and work that was
//! begun goes on. Handlers only start tasks.

use super::{
    handle::VerifyReport,
    library::Library,
    messages::{
        AddShare, FinishJob, FlushJobs, GiveUpJob, ListJobs, ListShares, OpenFile, OpenJob, RemoveFile,
        Reply, ResumeJob, VerifyFile,
    },
};
use actix::{Actor, Context, Handler, Message, MessageResult};
use fail::fail_point;
use std::{future::Future, sync::Arc};
use tokio::sync::oneshot;

/// Keeps shares and downloads.
#[derive(Debug)]
pub(super) struct ChunkStore {
    library: Arc<Library>,
}

impl ChunkStore {
    pub(super) fn new(library: Arc<Library>) -> Self {
        Self { library }
    }
}

impl Actor for ChunkStore {
    type Context = Context<Self>;
}

/// Starts `work` in a task of its own, so that neither the actor's end nor the asker's ends it.
fn begin<T, E, M>(work: impl Future<Output = Result<T, E>> + Send + 'static) -> MessageResult<M>
where
    M: Message<Result = Reply<T, E>>,
    T: Send + 'static,
    E: Send + 'static,
{
    let (answer, reply) = oneshot::channel();
    tokio::spawn(async move {
        // Whoever asked may have gone; the work is done all the same.
        answer.send(work.await).ok();
    });
    MessageResult(reply)
}

impl Handler<AddShare> for ChunkStore {
    type Result = MessageResult<AddShare>;

    fn handle(&mut self, AddShare(import): AddShare, _: &mut Self::Context) -> Self::Result {
        fail_point!("ChunkStore::AddShare");
        begin(Arc::clone(&self.library).add_share(import))
    }
}

impl Handler<OpenFile> for ChunkStore {
    type Result = MessageResult<OpenFile>;

    fn handle(&mut self, OpenFile(file): OpenFile, _: &mut Self::Context) -> Self::Result {
        fail_point!("ChunkStore::OpenFile");
        begin(Arc::clone(&self.library).open_file(file))
    }
}

impl Handler<OpenJob> for ChunkStore {
    type Result = MessageResult<OpenJob>;

    fn handle(&mut self, OpenJob(spec): OpenJob, _: &mut Self::Context) -> Self::Result {
        fail_point!("ChunkStore::OpenJob");
        begin(Arc::clone(&self.library).open_job(spec))
    }
}

impl Handler<ResumeJob> for ChunkStore {
    type Result = MessageResult<ResumeJob>;

    fn handle(&mut self, ResumeJob(file): ResumeJob, _: &mut Self::Context) -> Self::Result {
        fail_point!("ChunkStore::ResumeJob");
        begin(Arc::clone(&self.library).resume_job(file))
    }
}

impl Handler<FinishJob> for ChunkStore {
    type Result = MessageResult<FinishJob>;

    fn handle(&mut self, FinishJob(job): FinishJob, _: &mut Self::Context) -> Self::Result {
        fail_point!("ChunkStore::FinishJob");
        begin(Arc::clone(&self.library).finish_job(job))
    }
}

impl Handler<GiveUpJob> for ChunkStore {
    type Result = MessageResult<GiveUpJob>;

    fn handle(&mut self, GiveUpJob(job): GiveUpJob, _: &mut Self::Context) -> Self::Result {
        fail_point!("ChunkStore::GiveUpJob");
        begin(Arc::clone(&self.library).give_up_job(job))
    }
}

impl Handler<RemoveFile> for ChunkStore {
    type Result = MessageResult<RemoveFile>;

    fn handle(&mut self, RemoveFile(file): RemoveFile, _: &mut Self::Context) -> Self::Result {
        fail_point!("ChunkStore::RemoveFile");
        begin(Arc::clone(&self.library).remove(file))
    }
}

impl Handler<ListShares> for ChunkStore {
    type Result = MessageResult<ListShares>;

    fn handle(&mut self, _: ListShares, _: &mut Self::Context) -> Self::Result {
        fail_point!("ChunkStore::ListShares");
        begin(Arc::clone(&self.library).shares())
    }
}

impl Handler<ListJobs> for ChunkStore {
    type Result = MessageResult<ListJobs>;

    fn handle(&mut self, _: ListJobs, _: &mut Self::Context) -> Self::Result {
        fail_point!("ChunkStore::ListJobs");
        begin(Arc::clone(&self.library).jobs())
    }
}

impl Handler<VerifyFile> for ChunkStore {
    type Result = MessageResult<VerifyFile>;

    fn handle(&mut self, VerifyFile(file, progress): VerifyFile, _: &mut Self::Context) -> Self::Result {
        fail_point!("ChunkStore::VerifyFile");
        begin::<VerifyReport, _, _>(Arc::clone(&self.library).verify(file, progress))
    }
}

impl Handler<FlushJobs> for ChunkStore {
    type Result = MessageResult<FlushJobs>;

    fn handle(&mut self, _: FlushJobs, _: &mut Self::Context) -> Self::Result {
        fail_point!("ChunkStore::FlushJobs");
        begin(Arc::clone(&self.library).flush())
    }
}
