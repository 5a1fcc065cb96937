//! The UdpKeeper actor: sees to it that the UDP port is open and kept.
//!
//! Owns nothing: the [port](super::port), with every connection on it, outlives each of its lives.

use super::port::Port;
use actix::{Actor, AsyncContext as _, Context, Handler, Message};
use fail::fail_point;
use std::{sync::Arc, time::Duration};

/// How often it looks. A socket that failed is rare, and what was on it found another path by then.
const TICK: Duration = Duration::from_secs(1);

/// The actor.
pub(super) struct UdpKeeper {
    port: Arc<Port>,
}

/// Look whether everything runs.
#[derive(Message)]
#[rtype(result = "()")]
struct Tend;

impl UdpKeeper {
    pub(super) fn new(port: Arc<Port>) -> Self {
        Self { port }
    }
}

impl Actor for UdpKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.notify(Tend);
        ctx.run_interval(TICK, |_, ctx| ctx.notify(Tend));
    }
}

impl Handler<Tend> for UdpKeeper {
    type Result = ();
    fn handle(&mut self, _: Tend, _ctx: &mut Self::Context) {
        fail_point!("UdpKeeper::Tend");
        self.port.tend();
    }
}
