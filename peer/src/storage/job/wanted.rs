//! What of a share a job is to get: all of it, the files that were selected, or a folder's index.
//!
//! Promise: what is wanted is known as far as the folder's index is, and then does not change; what is not wanted may be held
//! all the same, and counts for nothing.

use super::{Body, Job, Live, target::Target};
use crate::selection::Chosen;
use p2p_shared::{bitfield::Bitfield, manifest::FolderIndex};
use std::sync::Arc;

impl Job {
    /// The chunks that are wanted: all, but when files were selected, or only the index. While the index is not known,
    /// then, the chunks that it is in as far as is known; it is known when they are held.
    #[must_use]
    pub fn wanted(&self) -> Bitfield {
        match &self.body {
            Body::Live(live) => live.wanted(),
            Body::There(there) => there.0.held(),
            Body::Glance(glance) => glance.wanted(),
        }
    }

    /// What is in the folder, once that is known.
    #[must_use]
    pub fn index(&self) -> Option<Arc<FolderIndex>> {
        match &self.body {
            Body::Live(live) => live.index(),
            Body::There(there) => there.1.source.index().cloned().map(Arc::new),
            Body::Glance(glance) => glance.index(),
        }
    }

    /// What of it was selected, once that is known.
    #[must_use]
    pub fn chosen(&self) -> Option<&Chosen> {
        match &self.body {
            Body::Live(live) => live.chosen(),
            Body::There(..) | Body::Glance(_) => None,
        }
    }

    /// Whether it is to be finished as a whole, so that it can be a share; as far as is known.
    #[must_use]
    pub fn is_of_everything(&self) -> bool {
        match &self.body {
            Body::Live(live) => live.target.wants_everything(),
            Body::There(..) => true,
            Body::Glance(_) => false,
        }
    }
}

impl Live {
    pub(super) fn wanted(&self) -> Bitfield {
        match &self.target {
            Target::File(_) => Bitfield::full(self.layout.chunks()),
            Target::Folder(folder) => {
                let held = self.log().ledger().held().clone();
                folder.wanted(&held)
            }
        }
    }

    fn index(&self) -> Option<Arc<FolderIndex>> {
        match &self.target {
            Target::File(_) => None,
            Target::Folder(folder) => folder.index().cloned(),
        }
    }

    fn chosen(&self) -> Option<&Chosen> {
        match &self.target {
            Target::File(_) => None,
            Target::Folder(folder) => folder.chosen(),
        }
    }
}
