//! root
pub mod identity;
pub mod lock;
