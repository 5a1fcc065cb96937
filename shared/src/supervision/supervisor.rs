//! Several children: started in order, stopped in reverse.

use super::{ChildSpec, Handle, Life, Outcome, supervise};
use actix::{Actor, Context};
use std::{fmt, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::Instant};
use tracing::info;

/// The exit code of a program that cannot go on because one of its actors cannot (EX_SOFTWARE of sysexits.h). The
/// service manager restarts it.
pub const EXIT_ESCALATED: u8 = 70;

/// A permanent child is down for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalation {
    /// Which.
    pub child: &'static str,
    /// Its last panic.
    pub reason: String,
}

impl fmt::Display for Escalation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} crashes again and again, the last time because: {}",
            self.child, self.reason
        )
    }
}

/// Somebody who counts how the children fare. Called on the actors' thread; must not wait, and must not panic.
pub trait Observer: fmt::Debug + Send + Sync {
    /// From now on there is a child of this name.
    fn on_start(&self, actor: &'static str);

    /// It crashed, and will be built anew.
    fn on_restart(&self, actor: &'static str);

    /// It was asked whether it is alive, as it is regularly, and came to the question after `waited`: a message that was sent at that moment
    /// waited as long for those before it.
    fn on_answer(&self, actor: &'static str, waited: Duration);
}

/// The children of a program, or of a part of it, in the order in which they depend on each other.
#[derive(Debug)]
pub struct Supervisor {
    children: Vec<Life>,
    escalate: mpsc::UnboundedSender<Escalation>,
    /// At most one a child.
    escalations: mpsc::UnboundedReceiver<Escalation>,
    observer: Option<Arc<dyn Observer>>,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::new()
    }
}

impl Supervisor {
    /// No children yet.
    pub fn new() -> Self {
        let (escalate, escalations) = mpsc::unbounded_channel();
        Self {
            children: Vec::new(),
            escalate,
            escalations,
            observer: None,
        }
    }

    /// The same, with somebody who counts how the children fare.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Starts a child that may use those started before it. Who needs it to have started waits for [`Handle::up`].
    ///
    /// # Panics
    ///
    /// Outside of a `LocalSet` (the thread of a [`system`](super::system())).
    pub fn start<A: Actor<Context = Context<A>>>(&mut self, mut spec: ChildSpec<A>) -> Handle<A> {
        self.children.retain(|life| !life.is_over());
        spec.escalate = Some(self.escalate.clone());
        spec.observer.clone_from(&self.observer);
        let (handle, life) = supervise(spec);
        if let Some(observer) = &self.observer {
            observer.on_start(life.name());
        }
        self.children.push(life);
        handle
    }

    /// The children that have not ended for good, in the order of their start.
    pub fn names(&self) -> Vec<&'static str> {
        let alive = self.children.iter().filter(|life| !life.is_over());
        alive.map(Life::name).collect()
    }

    /// Waits until a permanent child is down for good: then the program ends with [`EXIT_ESCALATED`]. Waits for ever
    /// as long as all is well; may be dropped and called again.
    pub async fn escalated(&mut self) -> Escalation {
        match self.escalations.recv().await {
            Some(escalation) => escalation,
            // Cannot be: `self.escalate` keeps the channel open.
            None => std::future::pending().await,
        }
    }

    /// Stops the children, the last one first, each when the one after it has ended. A child gets half of the time that
    /// is left, so that one that hangs leaves some for the others. Returns how each ended, in that order.
    pub async fn stop(self, within: Duration) -> Vec<(&'static str, Outcome)> {
        let until = Instant::now() + within;
        let mut ends = Vec::with_capacity(self.children.len());
        for life in self.children.into_iter().rev() {
            let name = life.name();
            let left = until.saturating_duration_since(Instant::now());
            let outcome = life.stop(left / 2).await;
            info!(actor = name, ?outcome, "actor ended");
            ends.push((name, outcome));
        }
        ends
    }
}
