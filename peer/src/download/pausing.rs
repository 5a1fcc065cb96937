//! A download that stands still, and goes on: what [`Halt`](super::halt::Halt) says, carried out.

use super::{
    actor::DownloadCoordinator,
    kept::now,
    messages::{PauseDownload, ResumeDownload},
    status::{Pause, Stage},
};
use crate::error::Failure;
use actix::Handler;
use fail::fail_point;

impl DownloadCoordinator {
    /// Asks for nothing as long as something is in the way; else goes on.
    pub(super) fn heed(&mut self) {
        if let Some(why) = self.halt.reason() {
            let actions = self.state.pause();
            self.carry_out(actions);
            return self.stand_still(why);
        }
        if matches!(self.kept.status.borrow().stage, Stage::Paused(_)) {
            self.enter(Stage::Connecting);
        }
        // Until the job is open, nothing that comes could be stored.
        if self.job.is_some() {
            let actions = self.state.resume();
            self.carry_out(actions);
            self.finish_if_complete();
        }
    }

    fn stand_still(&self, why: Pause) {
        let by_owner = why == Pause::Owner;
        if self.kept.set_stage(Stage::Paused(why)) && by_owner {
            // For a `get` that waits for it.
            let (name, hash) = (&self.spec.manifest.name, self.file());
            let message = format!(
                "{} is paused; `p2p-peer resume {hash}` goes on with it",
                name.as_str()
            );
            self.spec.sink.warning("paused", message);
        }
    }

    /// As its owner said last, in this life of the actor or an earlier one.
    pub(super) fn heed_owner(&mut self) {
        self.halt.on_owner(self.kept.wish.is_paused());
        self.heed();
    }

    pub(super) fn no_room(&mut self, failure: Failure) {
        self.trouble("disk-full", failure.message.clone());
        self.halt.on_no_room(failure, now());
        self.heed();
    }
}

impl Handler<PauseDownload> for DownloadCoordinator {
    type Result = ();
    fn handle(&mut self, _: PauseDownload, _ctx: &mut Self::Context) {
        fail_point!("DownloadCoordinator::PauseDownload");
        self.heed_owner();
    }
}

impl Handler<ResumeDownload> for DownloadCoordinator {
    type Result = ();
    fn handle(&mut self, _: ResumeDownload, _ctx: &mut Self::Context) {
        fail_point!("DownloadCoordinator::ResumeDownload");
        self.heed_owner();
    }
}
