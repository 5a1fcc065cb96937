//! Supervision that really restarts.
//!
//! A panic in a handler ends an actix actor, its mailbox and its `actix::Supervisor` together, and nothing brings them
//! back (`tests/actix_probes.rs` shows it). So children are watched from outside: [`supervise`] builds the actor, waits for
//! its end, and builds it again from durable state, with a growing pause, at most 5 times in 60 s. Over that, a
//! [permanent](Restart::Permanent) child escalates and the program ends with [`EXIT_ESCALATED`], so that systemd or
//! Kubernetes takes over; a transient one ends, and its owner hears why.
//!
//! - [`Handle`]: how others talk to a child, from any thread. It outlives crashes, bounds what is queued (*busy is an
//!   answer*), and tells when the actor behind it is a new one.
//! - [`ChildSpec`], [`supervise`], [`Life`]: one child. [`Supervisor`]: several, started in order, stopped in reverse.
//! - Liveness: each child is asked regularly whether it still comes to its messages, and is replaced if not. A handler
//!   that never returns holds up the whole thread; that is for [`Watchdog`], which runs on a thread of its own.
//! - [`keep`]: a task without a mailbox, begun again when it panics.
//! - [`system()`]: one thread for all actors, a shared runtime of many threads for everything else.
//!
//! Never decides what a crash means for the work: that is in the rebuilding closure (read back what is durable) and in
//! whoever [follows](Handle::follow) a rebuilt actor (introduce yourself again).

mod budget;
mod child;
mod control;
mod handle;
mod life;
mod slot;
mod supervisor;
mod system;
mod task;
mod watchdog;

pub use budget::{Restart, RestartBudget};
pub use child::{ChildSpec, Probe, supervise};
pub use handle::{CallError, Handle};
pub use life::{Life, Outcome, spawn_life};
pub use slot::Incarnation;
pub use supervisor::{EXIT_ESCALATED, Escalation, Observer, Supervisor};
pub use system::system;
pub use task::keep;
pub use watchdog::Watchdog;

#[cfg(test)]
mod tests;
