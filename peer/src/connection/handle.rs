//! The way to the table of connections.

use super::{
    actor::ConnectionManager,
    hint::Hint,
    messages::{Ban, DescribeReach, ListSessions, SwarmEvent, Unwant, Want},
    policy::Policy,
    roster::SharedRoster,
    state::Reach,
};
use crate::p2p::session::news::SessionInfo;
use actix::{Actor, Context, Recipient};
use p2p_shared::{
    id::{FileHash, PublicKey},
    supervision::{CallError, Handle, Incarnation},
};

/// The way to the table of connections. Clones lead to the same one, also after it was rebuilt.
#[derive(Clone, Debug)]
pub struct ConnectionManagerHandle {
    pub(super) handle: Handle<ConnectionManager>,
    pub(super) roster: SharedRoster,
}

impl ConnectionManagerHandle {
    /// Wants `file` by paths that `policy` allows: `owner` is told of every session over which it may be had, until
    /// [`Self::unwant`]. What is wanted is forgotten when the table crashes; [`Self::follow`] says when to want again.
    pub async fn want(
        &self,
        file: FileHash,
        policy: Policy,
        hints: Vec<Hint>,
        owner: Recipient<SwarmEvent>,
    ) -> Result<(), CallError> {
        let owner = Some((owner, policy));
        self.handle.call(Want { file, hints, owner }).await
    }

    /// Names more peers that may have a file which is wanted.
    pub async fn hint(&self, file: FileHash, hints: Vec<Hint>) -> Result<(), CallError> {
        let owner = None;
        self.handle.call(Want { file, hints, owner }).await
    }

    /// Wants `file` no more.
    pub async fn unwant(&self, file: FileHash) -> Result<(), CallError> {
        self.handle.call(Unwant(file)).await
    }

    /// Never deals with `peer` again, until the program ends.
    pub async fn ban(&self, peer: PublicKey) -> Result<(), CallError> {
        // Written down first, so that no crash of the table can forget it.
        self.roster.look().ban(peer);
        self.handle.call(Ban(peer)).await
    }

    /// How the peers of a wanted file stand.
    pub async fn reach(&self, file: FileHash) -> Result<Reach, CallError> {
        self.handle.call(DescribeReach(file)).await
    }

    /// Every session there is.
    pub async fn sessions(&self) -> Result<Vec<SessionInfo>, CallError> {
        let sessions = self.handle.call(ListSessions).await?;
        let described = sessions.iter().map(|(session, reason)| async move {
            let about = session.describe().await?;
            Some(SessionInfo {
                reason: *reason,
                ..about
            })
        });
        let described = futures_util::future::join_all(described).await;
        // Those that ended meanwhile have nothing to say.
        Ok(described.into_iter().flatten().collect())
    }

    /// Has an actor told about each later life of the table, so that it wants again what it wants.
    pub fn follow<B: Actor<Context = Context<B>>>(
        &self,
        ctx: &mut Context<B>,
        on_rebuilt: impl FnMut(&mut B, Incarnation, &mut Context<B>) + Unpin + 'static,
    ) {
        self.handle.follow(ctx, on_rebuilt);
    }
}
