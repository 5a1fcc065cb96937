//! What of a share a download is to get, and what that comes to while a folder's index comes in.
//!
//! Only the index says which chunks the selected files are in, so what is wanted grows once: from the chunks of the index to
//! those of the files in it.

use super::{actor::DownloadCoordinator, kept::now, messages::JobFinished, state::Action};
use crate::{
    selection::{NothingChosen, Selection},
    storage::{FinishError, Job},
};
use std::sync::Arc;

/// What of a share a download is to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aim {
    /// These files, to the disk.
    Files(Selection),
    /// A folder's index, for a look at it: nothing is written, announced or served.
    Index,
}

impl Aim {
    /// The whole share.
    pub fn all() -> Self {
        Self::Files(Selection::default())
    }

    /// Whether who wants `other` need not begin another download.
    pub fn serves(&self, other: &Self) -> bool {
        self == other || *other == Self::Index
    }

    /// The files that it selects.
    pub(super) fn selection(&self) -> Selection {
        match self {
            Self::Files(selection) => selection.clone(),
            Self::Index => Selection::default(),
        }
    }

    /// Whether it is the whole share.
    pub(super) fn is_all(&self) -> bool {
        matches!(self, Self::Files(selection) if selection.is_all())
    }
}

/// Bytes that are here, of those that are wanted.
pub(super) fn standing(job: &Job) -> (u64, u64) {
    job.standing()
}

impl DownloadCoordinator {
    /// More of the folder's index may be known: then what is wanted is, too, and perhaps stands there already.
    pub(super) fn look_again(&mut self) -> Vec<Action> {
        let job = self.job.as_ref().map(|opened| Arc::clone(&opened.job));
        let Some(job) = job.filter(|_| !self.index_is_known) else {
            return Vec::new();
        };
        self.note_index(&job);
        if self.spec.aim.is_all() {
            return Vec::new();
        }
        let (bytes, total) = standing(&job);
        self.progress.on_changed(bytes, total, now());
        match self.index_is_known {
            true => self.state.restart(job.held(), job.wanted()),
            false => self.state.select(job.wanted()),
        }
    }

    /// Tells whoever watches what is in the folder, as soon as that is known.
    pub(super) fn note_index(&mut self, job: &Job) {
        let Some(index) = job.index() else { return };
        self.index_is_known = true;
        self.kept.status.send_modify(|status| status.index = Some(index));
        for glob in job.chosen().map_or(&[][..], |chosen| chosen.unused()) {
            let message = format!("nothing in the share matches --exclude {glob:?}");
            self.spec.sink.warning("unmatched", message);
        }
    }

    /// The index has come, and nothing in it is selected: what was fetched for that goes, then the download fails.
    pub(super) fn nothing_chosen(&mut self, nothing: NothingChosen) {
        let Some(job) = self.job.as_ref().map(|opened| Arc::clone(&opened.job)) else {
            return;
        };
        if std::mem::replace(&mut self.finishing, true) {
            return;
        }
        let actions = self.state.pause();
        self.carry_out(actions);
        let (store, itself, file) = (self.parts.store.clone(), self.itself.clone(), self.file());
        tokio::spawn(async move {
            if let Err(error) = store.give_up(job).await {
                tracing::warn!(%file, %error, "what was fetched of a folder for its index stays behind");
            }
            itself.do_send(JobFinished(Err(FinishError::Selection(nothing))));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_download_serves_who_wants_the_index_and_others_only_their_like() {
        let some = Aim::Files(Selection::new(&["a"], &[]).unwrap());
        assert!(some.serves(&Aim::Index) && Aim::all().serves(&Aim::Index) && Aim::Index.serves(&Aim::Index));
        assert!(some.serves(&some.clone()) && !some.serves(&Aim::all()) && !Aim::all().serves(&some));
        assert!(!Aim::Index.serves(&some) && !Aim::Index.serves(&Aim::all()));
    }
}
