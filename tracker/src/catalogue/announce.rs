//! A peer announces what it holds.
//!
//! Of a known file it says how much it has. Of an unknown one it sends the record and the chunk hashes, in one call up to
//! 65,536 chunks, else in several; the file becomes visible when all of them are there and lead to the Merkle root. What
//! was announced first stays: nobody replaces another's record, nor adds to what another is still sending.

use super::record::{self, RecordError, WholeCheck};
use crate::{
    clock::Clock,
    registry::{Refused, RegistryError, RegistryHandle, swarm::Role, token::Session},
    storage::{
        Announcer, Store, StoreError, Unfinished, Write, Written, same_content,
        writer::{CommitError, StoreWriterHandle},
    },
};
use p2p_shared::{
    id::{ChunkHash, FileHash, PublicKey},
    manifest::Manifest,
};
use std::sync::Arc;

/// Digests checked at a time: 2 MiB, some 20 ms of hashing.
const PAGE: u32 = 65_536;

/// Why an announcement came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnnounceError {
    /// The chunk hashes are refused.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The file is known under another record.
    #[error("the file is known with {} bytes and Merkle root {}", .0.size, .0.merkle_root)]
    Differs(Box<Manifest>),
    /// The registry refuses or does not answer.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] CommitError),
    /// A check crashed.
    #[error("a check crashed")]
    Crashed,
}

impl From<StoreError> for AnnounceError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.into())
    }
}

/// What the tracker has after an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The whole record; the file has so many chunks.
    Complete {
        /// How many.
        chunks: u32,
    },
    /// The chunk hashes before this one.
    Wanted {
        /// The next one.
        next_chunk: u32,
    },
}

/// A run of chunk hashes.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// The chunk that the first one belongs to.
    pub(crate) first: u32,
    /// The hashes.
    pub(crate) hashes: Vec<ChunkHash>,
}

/// An announcing peer, and what its announcement goes through.
#[derive(Clone)]
pub(crate) struct Announcing {
    pub(crate) registry: RegistryHandle,
    pub(crate) writer: StoreWriterHandle,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) session: Session,
    pub(crate) key: PublicKey,
}

impl Announcing {
    /// Says how much of a file that the catalogue has the peer holds.
    pub(crate) async fn have(&self, hash: FileHash, role: Option<Role>) -> Result<Progress, AnnounceError> {
        let announcement = match self.registry.check_announce(self.session, hash, role).await {
            Err(RegistryError::Refused(Refused::FileUnknown)) if self.store.is_shared() => {
                // Announced at another tracker, perhaps.
                let Some(stored) = self.store.file(hash).await? else {
                    return Err(RegistryError::Refused(Refused::FileUnknown).into());
                };
                self.registry.add_file(hash, stored.file.size).await?;
                self.registry.check_announce(self.session, hash, role).await?
            }
            checked => checked?,
        };
        if announcement.news {
            let write = Write::SetHave {
                hash,
                peer: self.key,
                seeder: role.map(Role::is_seeder),
            };
            if self.writer.commit(write).await? == Written::Missing {
                return Err(RegistryError::Refused(Refused::FileUnknown).into());
            }
            self.registry.set_role(self.session, hash, role).await?;
        }
        Ok(Progress::Complete {
            chunks: announcement.chunks,
        })
    }

    /// Brings a record and some of its chunk hashes, then says how much the peer holds.
    pub(crate) async fn file(
        &self,
        file: Manifest,
        run: Run,
        role: Option<Role>,
    ) -> Result<Progress, AnnounceError> {
        record::check_run(&file, run.first, run.hashes.len())?;
        let (hash, size) = (file.hash, file.size);
        if let Some(there) = self.store.file(hash).await? {
            if !same_content(&there.file, &file) {
                return Err(AnnounceError::Differs(Box::new(there.file)));
            }
            return self.have_added(hash, size, role).await;
        }
        let whole = run.first == 0 && run.hashes.len() == file.layout().chunks() as usize;
        let written = if whole {
            self.add(file, run.hashes).await?
        } else {
            self.append(file, run).await?
        };
        match written {
            Written::Wanted(next_chunk) => Ok(Progress::Wanted { next_chunk }),
            Written::Differs(there) => Err(AnnounceError::Differs(there)),
            _ => self.have_added(hash, size, role).await,
        }
    }

    /// As [`Self::have`], of a file that the store has: the registry may not know it yet, because whoever brought it is
    /// still about to say so.
    async fn have_added(
        &self,
        hash: FileHash,
        size: u64,
        role: Option<Role>,
    ) -> Result<Progress, AnnounceError> {
        self.registry.add_file(hash, size).await?;
        self.have(hash, role).await
    }

    fn announcer(&self) -> Announcer {
        Announcer {
            peer: self.key,
            at: self.clock.now(),
        }
    }

    /// A record that came in one call.
    async fn add(&self, file: Manifest, hashes: Vec<ChunkHash>) -> Result<Written, AnnounceError> {
        let (file, digests) = in_background(move || {
            let mut check = WholeCheck::new(&file);
            check.push(&hashes);
            check.finish(&file)?;
            Ok((Box::new(file), hashes))
        })
        .await?;
        let by = self.announcer();
        Ok(self.writer.commit(Write::AddFile { file, digests, by }).await?)
    }

    /// A part of a record; with the last of them the file becomes visible.
    async fn append(&self, file: Manifest, run: Run) -> Result<Written, AnnounceError> {
        let (hash, by) = (file.hash, self.announcer());
        let append = Write::AppendDigests {
            file: Box::new(file.clone()),
            first: run.first,
            digests: run.hashes,
            by,
        };
        let written = self.writer.commit(append).await?;
        if written != Written::Wanted(file.layout().chunks()) {
            return Ok(written);
        }
        // What is checked is the record in the store, which another call of this peer may have begun anew; and only the
        // record that was checked is finished.
        let Some(Unfinished { id, file }) = self.store.unfinished(hash, self.key).await? else {
            return Ok(Written::Wanted(0));
        };
        if let Err(error) = self.check_unfinished(file).await {
            let peer = self.key;
            self.writer.commit(Write::DropUnfinished { hash, peer }).await?;
            return Err(error);
        }
        match self.writer.commit(Write::FinishFile { record: id, by }).await? {
            // Another call of this peer began it anew meanwhile.
            Written::Missing => Ok(Written::Wanted(0)),
            written => Ok(written),
        }
    }

    /// Checks a record that came in parts, a page of its hashes at a time.
    async fn check_unfinished(&self, file: Manifest) -> Result<(), AnnounceError> {
        let mut check = WholeCheck::new(&file);
        let chunks = file.layout().chunks();
        for start in (0..chunks).step_by(PAGE as usize) {
            let page = start..chunks.min(start.saturating_add(PAGE));
            let hashes = self.store.unfinished_digests(file.hash, self.key, page).await?;
            check = in_background(move || {
                check.push(&hashes.unwrap_or_default());
                Ok(check)
            })
            .await?;
        }
        Ok(check.finish(&file)?)
    }
}

/// Hashing off the threads that serve requests.
async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RecordError> + Send + 'static,
) -> Result<T, AnnounceError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(AnnounceError::Crashed),
    }
}
