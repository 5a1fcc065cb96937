//! One download: from a manifest and its chunk hashes to a file under its name.
//!
//! In reading order: where each chunk is ([`chunks`]), which one comes next ([`picker`]), what a peer is good for
//! ([`score`], [`source`]), what to do about all of it ([`state`]), how far it is ([`progress`]).

pub mod chunks;
pub mod picker;
pub mod progress;
pub mod score;
pub mod source;
pub mod state;
