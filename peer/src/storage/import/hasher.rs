//! Reads a planned share once and ends with its manifest and hashes.
use super::{HashCache, Import, Plan};
use crate::storage::error::ImportError;
use p2p_shared::hash::HashAlgorithm;
use tokio_util::sync::CancellationToken;

/// How to hash, and whom to tell.
#[derive(Clone, Copy)]
pub struct HashOptions<'a> {
    /// SHA-256 or BLAKE3.
    pub algorithm: HashAlgorithm,
    /// Where hashes of what was read before are found and kept; none: everything is read.
    pub cache: Option<&'a HashCache>,
    /// Given the bytes done so far, often, from hashing threads.
    pub progress: &'a (dyn Fn(u64) + Sync),
    /// Ends the work within some milliseconds; what was hashed is kept in the cache and gone on with next time.
    pub cancel: &'a CancellationToken,
}

/// Reads what was planned, on all cores. Blocking.
pub fn hash(plan: Plan, options: HashOptions<'_>) -> Result<Import, ImportError> {
    let _ = (plan, options);
    todo!()
}
