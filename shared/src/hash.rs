//! Content hashes.
