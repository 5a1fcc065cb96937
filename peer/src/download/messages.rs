//! What a download may be told, and what its own errands come back with.

use crate::{
    client::{HandOut, QueryError},
    connection::Hint,
    p2p::shelf::Shared,
    storage::{FinishError, Job, StoreError},
};
use actix::Message;
use p2p_shared::id::ChunkHash;
use std::{path::PathBuf, sync::Arc};

/// Stand still until told to go on.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct PauseDownload;

/// Go on.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ResumeDownload;

/// These are said to have it.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct MorePeers(pub Vec<Hint>);

/// By which paths it may come, or who has it, is not what it was: tell the table of connections.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct WantAgain;

/// End, keeping what is on the disk (the answer is the job, if it was open); `leave`: tell trackers that nothing of it is here any more.
#[derive(Message)]
#[rtype(result = "Option<Arc<Job>>")]
pub(super) struct StopDownload {
    pub leave: bool,
}

/// The hashes of all chunks were found, or not.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct HashesFound(pub Result<Vec<ChunkHash>, QueryError>);

/// The job on disk was opened, or not.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct JobOpened(pub Result<OpenJob, StoreError>);

/// A job, and the same as others may read it, if they may.
pub(super) struct OpenJob {
    pub job: Arc<Job>,
    pub shared: Option<Arc<dyn Shared>>,
}

/// The swarm was asked for peers.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct PeersFound(pub Result<HandOut, QueryError>);

/// The whole was checked and made durable, or not.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct JobFinished(pub Result<PathBuf, FinishError>);
