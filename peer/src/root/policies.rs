//! By which paths the owner lets single files be fetched, kept over a restart: what was to go through relays only must not
//! take another way because the daemon was started anew, or because somebody asked for it again and did not say so.

use super::{note::Book, orders::Orders};
use crate::{connection::Policy, error::Failure};
use p2p_shared::id::FileHash;
use std::path::Path;

/// The policies of files, where they are not the peer's own.
pub(super) type Policies = Book<Policy>;

/// Those of the data folder.
pub(super) fn open(data: &Path) -> Result<Policies, Failure> {
    Book::open(
        data,
        "policies.json",
        "say --policy again of what is not to be reached in every way",
    )
}

impl Orders {
    /// By which paths `file` is fetched, beside what holds for the whole peer.
    pub(super) fn policy_of(&self, file: &FileHash) -> Policy {
        self.parts.policies.of(file).unwrap_or_default()
    }

    /// What holds for a `get` of `file` that `said` this; nothing in particular: what was said before.
    ///
    /// # Errors
    /// Usage, if what holds for the whole peer leaves no path.
    pub(super) fn policy_for(&self, file: &FileHash, said: Policy) -> Result<Policy, Failure> {
        let own = self.online()?.policy;
        let policy = match said {
            Policy::Auto => self.policy_of(file),
            said => said,
        };
        if own.agrees_with(policy) {
            return Ok(policy);
        }
        Err(Failure::usage(format!(
            "it is to be fetched {} and this peer is {}, which leaves no path; start the peer with another --policy",
            policy.as_str(),
            own.as_str()
        )))
    }

    /// From now on it is fetched by these.
    pub(super) async fn set_policy(&self, file: FileHash, policy: Policy) -> Result<(), Failure> {
        let noted = (policy != Policy::default()).then_some(policy);
        self.parts.policies.set(file, noted).await
    }
}
