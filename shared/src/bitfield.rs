//! The set of chunks that somebody holds.
