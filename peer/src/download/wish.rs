//! What the owner of a download wants of it: kept beside the actor, so that no crash of it forgets.
//!
//! Promises that a pause and a policy hold for every later life of the actor, and that after a stop no job is opened any more, so that what is
//! removed does not come back.

use crate::connection::Policy;
use std::sync::{
    PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::{Mutex, MutexGuard};

/// What the owner wants.
#[derive(Debug)]
pub(super) struct Wish {
    paused: AtomicBool,
    stopped: AtomicBool,
    /// By which paths it may come.
    policy: RwLock<Policy>,
    /// Held while the job on disk is being opened.
    opening: Mutex<()>,
}

impl Wish {
    pub(super) fn new(paused: bool, policy: Policy) -> Self {
        Self {
            paused: AtomicBool::new(paused),
            stopped: AtomicBool::new(false),
            policy: RwLock::new(policy),
            opening: Mutex::new(()),
        }
    }

    /// Stand still, or go on.
    pub(super) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::SeqCst);
    }

    /// Whether it is to stand still.
    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// By these paths from now on.
    pub(super) fn set_policy(&self, policy: Policy) {
        // One value is written whole.
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = policy;
    }

    /// By which paths it may come.
    pub(super) fn policy(&self) -> Policy {
        *self.policy.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// End.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Waits for its turn to open the job; nothing if it is to end.
    pub(super) async fn begin_opening(&self) -> Option<MutexGuard<'_, ()>> {
        let turn = self.opening.lock().await;
        (!self.stopped.load(Ordering::SeqCst)).then_some(turn)
    }

    /// Waits until nothing is being opened; after [`Self::stop`], for good.
    pub(super) async fn opened(&self) {
        drop(self.opening.lock().await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn what_is_stopped_opens_nothing_any_more_and_waits_for_what_it_was_opening() {
        let wish = Wish::new(false, Policy::Auto);
        let opening = wish.begin_opening().now_or_never().unwrap();
        assert!(opening.is_some());
        wish.stop();
        assert!(wish.opened().now_or_never().is_none(), "it is still being opened");
        drop(opening);
        assert!(wish.opened().now_or_never().is_some());
        assert!(wish.begin_opening().now_or_never().unwrap().is_none());
    }
}
