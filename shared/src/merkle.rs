//! The Merkle tree over chunk hashes.
