//! What the chunk store accepts. Every message is answered at once with a [`Reply`]: the work takes as long as it takes,
//! without holding up who asks next.

use super::{
    error::{FinishError, StoreError},
    handle::{JobInfo, Removed, ShareInfo, VerifyReport},
    import::Import,
    job::{Job, JobSpec},
    library::Progress,
    served::Served,
};
use actix::Message;
use p2p_shared::id::FileHash;
use std::{path::PathBuf, sync::Arc};
use tokio::sync::oneshot;

/// Where the outcome will come. If its sender is dropped instead, the work panicked.
pub(super) type Reply<T, E = StoreError> = oneshot::Receiver<Result<T, E>>;

/// Takes up a share.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Reply<Arc<Served>>")]
pub(super) struct AddShare(pub(super) Arc<Import>);

/// Wants to serve a file.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Reply<Option<Arc<Served>>>")]
pub(super) struct OpenFile(pub(super) FileHash);

/// Begins a download or goes on with it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Reply<Arc<Job>>")]
pub(super) struct OpenJob(pub(super) JobSpec);

/// Goes on with a download of the catalogue.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Reply<Arc<Job>>")]
pub(super) struct ResumeJob(pub(super) FileHash);

/// Finishes a download and makes a share of it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Reply<PathBuf, FinishError>")]
pub(super) struct FinishJob(pub(super) Arc<Job>);

/// Ends a download that nothing was selected of.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Reply<()>")]
pub(super) struct GiveUpJob(pub(super) Arc<Job>);

/// Forgets a file.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Reply<Removed>")]
pub(super) struct RemoveFile(pub(super) FileHash);

/// Lists shares.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Reply<Vec<ShareInfo>>")]
pub(super) struct ListShares;

/// Lists downloads.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Reply<Vec<JobInfo>>")]
pub(super) struct ListJobs;

/// Compares a file with its hashes.
#[derive(Clone, Message)]
#[rtype(result = "Reply<VerifyReport>")]
pub(super) struct VerifyFile(pub(super) FileHash, pub(super) Progress);

/// Makes durable what is stored of all open downloads.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Reply<()>")]
pub(super) struct FlushJobs;
