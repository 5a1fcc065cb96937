//! An authenticated conversation with one peer, about any number of files.
//!
//! In reading order: what may be said ([`p2p_shared::protocol`]), what is said and answered ([`state`], and what follows
//! from what the peer says, `incoming`; when it hears what we have, `having`), about which file ([`attachment`]), how much may be asked ([`window`],
//! [`requests`]), whether the other side is still there ([`liveness`]), the end of one that another replaces (`retiring`), how a session ends ([`close`]), what it reports
//! ([`news`]). Around that: the actor, the tasks that read, write and serve, and the [`SessionHandle`].

mod actor;
pub mod attachment;
pub mod close;
mod farewell;
mod handle;
mod having;
mod incoming;
pub mod liveness;
mod messages;
pub mod news;
pub mod requests;
mod retiring;
mod server;
mod start;
pub mod state;
mod tasks;
pub mod traffic;
pub mod window;
mod writer;

pub use handle::{About, SessionHandle};
pub use start::{SessionParts, Started, start};

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod session_tests;
