//! The actor that knows which peer is connected, and introduces them.
//!
//! Soft state: after a crash every session introduces itself again. No bytes of any tunnel come by here.

use super::{
    routes::{ConnectionNumber, Routes},
    session::Link,
};
use actix::{Actor, Context, Handler, Message, MessageResult};
use fail::fail_point;
use p2p_shared::{id::PublicKey, protocol::relay::EndReason};

/// A peer is connected.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Join {
    pub(super) peer: PublicKey,
    pub(super) number: ConnectionNumber,
    pub(super) link: Link,
}

/// A connection is over.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Leave {
    pub(super) peer: PublicKey,
    pub(super) number: ConnectionNumber,
}

/// Where is this peer?
#[derive(Message)]
#[rtype(result = "Option<Link>")]
pub(super) struct FindPeer(pub(super) PublicKey);

/// The table of connections.
#[derive(Default)]
pub(crate) struct RelayHub {
    routes: Routes<Link>,
}

impl Actor for RelayHub {
    type Context = Context<Self>;
}

impl Handler<Join> for RelayHub {
    type Result = ();

    fn handle(&mut self, Join { peer, number, link }: Join, _: &mut Self::Context) {
        fail_point!("RelayHub::Join");
        if let Some(replaced) = self.routes.join(peer, number, link) {
            replaced.hang_up(EndReason::Replaced);
        }
    }
}

impl Handler<Leave> for RelayHub {
    type Result = ();

    fn handle(&mut self, Leave { peer, number }: Leave, _: &mut Self::Context) {
        fail_point!("RelayHub::Leave");
        self.routes.leave(&peer, number);
    }
}

impl Handler<FindPeer> for RelayHub {
    type Result = MessageResult<FindPeer>;

    fn handle(&mut self, FindPeer(peer): FindPeer, _: &mut Self::Context) -> Self::Result {
        fail_point!("RelayHub::FindPeer");
        // One whose end was not told here, because that message was lost in a crash, is as good as gone.
        let link = self.routes.find(&peer).filter(|link| !link.is_over());
        MessageResult(link.cloned())
    }
}
