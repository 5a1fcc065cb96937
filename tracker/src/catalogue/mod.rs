//! How files come into the catalogue and leave it.
//!
//! [`announce`] is the way in: what a peer says it holds is checked ([`record`]), made durable by the store, and only then
//! counted by the registry. So what was acknowledged is never lost, and what is counted is always in the store.

pub(crate) mod announce;
pub(crate) mod record;

#[cfg(test)]
mod tests;
