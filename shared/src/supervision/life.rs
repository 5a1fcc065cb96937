//! One life of an actor, and how its owner learns about the end.

use actix::{Actor, Addr, AsyncContext as _, Context};
use std::time::Duration;
use tokio::{
    sync::oneshot,
    task::{JoinError, JoinHandle},
    time::Instant,
};

/// Starts an actor and returns its address with a handle that tells how it ended: `Ok` when it stopped itself, a
/// [`JoinError`] that [is a panic](JoinError::is_panic) when it crashed. `make` builds it and may already use its
/// context. Nothing restarts it.
///
/// # Panics
///
/// Outside of a `LocalSet` (the thread of a [`system`](super::system())), and when `make` panics.
pub fn spawn_life<A: Actor<Context = Context<A>>>(
    mailbox: usize,
    make: impl FnOnce(&mut Context<A>) -> A,
) -> (Addr<A>, JoinHandle<()>) {
    let mut ctx = Context::new();
    ctx.set_mailbox_capacity(mailbox);
    let actor = make(&mut ctx);
    let address = ctx.address();
    (address, actix_rt::spawn(ctx.into_future(actor)))
}

/// How a supervised child ended for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It stopped itself, its work being done.
    Finished,
    /// It was told to stop; `forced`: it did not in time and was cut off.
    Stopped {
        /// Whether it was cut off.
        forced: bool,
    },
    /// It crashed, and children of its kind are not restarted.
    Crashed {
        /// The panic's message.
        reason: String,
    },
    /// It crashed more often than its budget allows.
    GivenUp {
        /// The last panic's message.
        reason: String,
    },
}

/// The owner's side of a supervised child. Dropping it changes nothing for the child.
#[must_use = "a life tells how it ended, and can be ended"]
#[derive(Debug)]
pub struct Life {
    name: &'static str,
    stop: Option<oneshot::Sender<Instant>>,
    keeper: JoinHandle<Outcome>,
    outcome: Option<Outcome>,
}

impl Life {
    pub(super) fn new(
        name: &'static str,
        stop: oneshot::Sender<Instant>,
        keeper: JoinHandle<Outcome>,
    ) -> Self {
        Self {
            name,
            stop: Some(stop),
            keeper,
            outcome: None,
        }
    }

    /// The child's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it has ended for good.
    pub fn is_over(&self) -> bool {
        self.outcome.is_some() || self.keeper.is_finished()
    }

    /// Waits until it has ended for good. May be dropped and called again.
    pub async fn ended(&mut self) -> Outcome {
        if let Some(outcome) = &self.outcome {
            return outcome.clone();
        }
        let outcome = match (&mut self.keeper).await {
            Ok(outcome) => outcome,
            Err(error) if error.is_panic() => Outcome::Crashed {
                reason: panic_text(error),
            },
            // Cut off together with everything on its thread.
            Err(_) => Outcome::Stopped { forced: true },
        };
        self.outcome.insert(outcome).clone()
    }

    /// Stops it and waits for the end: what is queued is handled first; what is not done `within` that time is cut off.
    pub async fn stop(mut self, within: Duration) -> Outcome {
        if let Some(stop) = self.stop.take() {
            // An error means that it has ended already.
            stop.send(Instant::now() + within).ok();
        }
        self.ended().await
    }
}

/// The message of a panic.
pub(super) fn panic_text(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(payload) => payload_text(&*payload),
        Err(error) => error.to_string(),
    }
}

/// The text in a panic's payload, if it is one.
pub(super) fn payload_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}
