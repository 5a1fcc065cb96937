//! root
mod failure;
pub mod identity;
pub mod lock;
