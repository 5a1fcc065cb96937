//! Downloads as their callers see them: chunks in, the file out, and whatever may come between.

mod crash;
mod file;
mod folder;
mod lead;
mod selection;

use super::{Committed, Finished, Job, JobSpec, NotStored, Surroundings};
use crate::storage::{
    disk::Boot,
    error::{CommitError, FinishError, StoreError},
    fixture::{CHUNK, Download, import},
    import::Import,
    open_files::OpenFiles,
};
use p2p_shared::{hash::HashAlgorithm, id::ChunkIndex, manifest::Manifest, testing};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// The end of a job that wants everything.
fn whole(job: &Job) -> Import {
    match job.complete().unwrap() {
        Finished::Whole(import) => *import,
        part @ Finished::Part(_) => panic!("{part:?}"),
    }
}
