//! The end of a download: the whole is checked, made durable and given its name; or it is given up.

use super::{Live, target::Published};
use crate::storage::{
    check::Check,
    error::{CommitError, DiskError, FinishError},
    import::Import,
};
use p2p_shared::id::ChunkIndex;
use std::{io, path::PathBuf, sync::PoisonError};

/// What is durable and under its final name.
#[derive(Debug, Clone)]
pub(in crate::storage) enum Finished {
    /// The whole, which can be a share.
    Whole(Box<Import>),
    /// The files that were selected, in this folder.
    Part(PathBuf),
}

/// What the end of a job was.
#[derive(Debug)]
pub(super) enum End {
    /// It is there, durable, and under its final name.
    Finished(Finished),
    /// It was given up, and what was stored removed.
    GivenUp,
}

impl Live {
    /// Checks the whole, makes it durable and gives it its name.
    pub(super) fn complete(&self) -> Result<Finished, FinishError> {
        // Held to the end: who asks meanwhile waits for the same answer.
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        match &*end {
            Some(End::Finished(finished)) => return Ok(finished.clone()),
            Some(End::GivenUp) => return Err(FinishError::Closed),
            None => {}
        }
        self.unpack().map_err(|error| match error {
            CommitError::BadIndex(fault) => FinishError::BadIndex(fault),
            CommitError::Selection(nothing) => FinishError::Selection(nothing),
            CommitError::NoSpace(error) | CommitError::Permission(error) | CommitError::Io(error) => {
                error.into()
            }
            CommitError::OtherFile(_) | CommitError::Closed => FinishError::Closed,
        })?;
        match self.check_whole() {
            Err(error @ FinishError::Integrity(_)) => {
                *end = Some(End::GivenUp);
                self.close()?;
                return Err(error);
            }
            checked => checked?,
        }
        let finished = match self.publish()? {
            Published::Whole(source) => Finished::Whole(Box::new(Import {
                manifest: self.manifest.clone(),
                hashes: self.hashes.clone(),
                source,
            })),
            Published::Part => Finished::Part(self.place.target()),
        };
        *end = Some(End::Finished(finished.clone()));
        if let Err(error) = self.close() {
            // The file is there, whole and durable; what is left over is found when the same is fetched again.
            tracing::warn!(%error, "cannot remove what is left of a finished download");
        }
        Ok(finished)
    }

    /// Ends the job and removes what was stored of it, unless it is finished.
    pub(super) fn discard(&self) -> Result<(), DiskError> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        if end.is_none() {
            *end = Some(End::GivenUp);
            self.close()?;
        }
        Ok(())
    }

    /// Nothing is written any more; the job's folder goes.
    fn close(&self) -> Result<(), DiskError> {
        // Waits for who is writing.
        *self.closed.write().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop();
        // A checkpoint on its way would write into what is removed.
        let _none = self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
        self.place.remove()
    }

    fn check_whole(&self) -> Result<(), FinishError> {
        let missing = self.wanted().and_not(self.log().ledger().held());
        if !missing.is_empty() {
            return Err(FinishError::Missing(missing.count()));
        }
        if !self.target.wants_everything() {
            // Each chunk was checked against the Merkle root, which is all there is to check of a part.
            return Ok(());
        }
        match self.whole_hash() {
            Ok(true) => return Ok(()),
            Err(FinishError::Closed) => return Err(FinishError::Closed),
            // Is it the disk or the manifest?
            Ok(false) | Err(_) => self.give_up_damaged()?,
        }
        self.front.reset();
        if self.whole_hash()? {
            return Ok(());
        }
        Err(FinishError::Integrity(self.manifest.hash))
    }

    /// Whether the whole is what it should be.
    fn whole_hash(&self) -> Result<bool, FinishError> {
        let hash = self.front.finish()?.ok_or(FinishError::Closed)?;
        Ok(hash == self.manifest.hash)
    }

    fn give_up_damaged(&self) -> Result<(), FinishError> {
        let (_, wrong) = self.recheck(&|_| {})?;
        match u32::try_from(wrong.len()).unwrap_or(u32::MAX) {
            0 => Ok(()),
            wrong => Err(FinishError::Damaged(wrong)),
        }
    }

    fn publish(&self) -> Result<Published, FinishError> {
        // Twice: what somebody did to the files may be of no consequence once it is undone.
        if !self.settle()? {
            self.give_up_damaged()?;
            if !self.settle()? {
                let tampered = io::Error::other("somebody else changes the files in it");
                return Err(DiskError::new("finish", self.place.path(), tampered).into());
            }
        }
        if self.target.moves_files() {
            // From here on files leave their places one by one, and what the journal says of them is no longer so.
            let closed = self.log().give_up();
            closed.map_err(|error| DiskError::new("write the journal of", self.place.path(), error))?;
        }
        let published = self.target.publish(&self.place)?;
        published.ok_or_else(|| FinishError::TargetTaken(self.place.target()))
    }

    fn settle(&self) -> Result<bool, DiskError> {
        let settled = self.target.settle(&self.place);
        if settled.is_err() {
            // What the disk had not written may be lost; it tells only once.
            self.log().distrust();
        }
        settled
    }

    /// Hashes what is stored and gives up what is not as it should be.
    pub(super) fn recheck(
        &self,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(u32, Vec<ChunkIndex>), DiskError> {
        let held: Vec<_> = self.log().ledger().held().ones().collect();
        let check = Check {
            algorithm: self.manifest.algorithm,
            layout: self.layout,
            hashes: &self.hashes,
            read: &|chunk, out| self.read(chunk, out).is_ok(),
            progress,
        };
        let wrong = check.wrong(&held);
        for chunk in &wrong {
            let lost = self.log().lost(*chunk);
            lost.map_err(|error| DiskError::new("write the journal of", self.place.path(), error))?;
        }
        if !wrong.is_empty() {
            tracing::warn!(file = %self.manifest.hash, chunks = wrong.len(), "stored chunks are damaged and given up");
            self.front.reset();
        }
        // Fits: there are no more than chunks.
        Ok((held.len() as u32, wrong))
    }
}
