//! What a job that adds to a folder finds there: chunks whose bytes stand under final names already.
//!
//! Promise: none of them is fetched again if its bytes are what they should be, and none is taken for held because a
//! journal says so: what has its final name is its owner's to change, so it is hashed whenever the job is opened.

use super::{Live, target::FolderTarget};
use crate::storage::{
    check::Check,
    error::{DiskError, Named as _},
};
use p2p_shared::{bitfield::Bitfield, id::ChunkIndex};

impl Live {
    /// Looks at the chunks that have something of files which stand there: those that are not as they should be are held
    /// no more, those that are, from now on.
    pub(super) fn take_standing(&self, folder: &FolderTarget) -> Result<(), DiskError> {
        let standing = folder.standing_chunks();
        if standing.is_empty() {
            return Ok(());
        }
        let held = self.log().ledger().held().clone();
        let mut at_hand = standing.clone();
        at_hand.intersect(&held);
        for chunk in self.wrong(&at_hand, &|chunk, out| self.read(chunk, out)) {
            self.log()
                .lost(chunk)
                .named("write the journal of", &self.place.path())?;
            // What it followed is not what is there.
            self.front.reset();
        }
        let new = standing.and_not(&held);
        let read = |chunk, out: &mut Vec<u8>| folder.read_standing(self.layout.extent(chunk), out);
        let mut right = new.clone();
        for chunk in self.wrong(&new, &read) {
            right.clear(chunk);
        }
        let taken = right.count();
        for chunk in right.ones() {
            self.take(chunk, &read)?;
        }
        tracing::info!(file = %self.manifest.hash, taken, "chunks stand under their final names already");
        Ok(())
    }

    fn take(
        &self,
        chunk: ChunkIndex,
        read: &impl Fn(ChunkIndex, &mut Vec<u8>) -> Result<(), DiskError>,
    ) -> Result<(), DiskError> {
        let mut bytes = Vec::new();
        read(chunk, &mut bytes)?;
        // Files that stand there are compared, and what the chunk has of others is kept with the job.
        self.write(chunk, &bytes)?;
        self.front.on_stored(chunk, None, self);
        Ok(())
    }

    fn wrong(
        &self,
        chunks: &Bitfield,
        read: &(impl Fn(ChunkIndex, &mut Vec<u8>) -> Result<(), DiskError> + Sync),
    ) -> Vec<ChunkIndex> {
        let check = Check {
            algorithm: self.manifest.algorithm,
            layout: self.layout,
            hashes: &self.hashes,
            read: &|chunk, out| read(chunk, out).is_ok(),
            progress: &|_| {},
        };
        check.wrong(&chunks.ones().collect::<Vec<_>>())
    }
}
