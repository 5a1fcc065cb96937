//! An authenticated conversation with one peer, about any number of files.
//!
//! How much may be asked of it ([`window`], [`requests`]), whether it is still there ([`liveness`]).

pub mod liveness;
pub mod requests;
pub mod window;
