//! How a supervisor reaches into the actor that it watches, without the actor having to know.
//!
//! The orders are read by a future in the actor's own context: it is polled after the mailbox was emptied, so an
//! answered ping means that the actor comes to its messages, and a stop takes effect behind what was queued before it.
//! An actor that is flooded, or deaf in a `ctx.wait`, answers no ping.

use actix::{Actor, ActorContext as _, AsyncContext as _, Context, fut::ActorFuture};
use std::{
    pin::Pin,
    task::{self, Poll, ready},
};
use tokio::sync::{mpsc, oneshot};

enum Order {
    Ping(oneshot::Sender<()>),
    Stop,
}

/// The supervisor's end.
pub(super) struct Control(mpsc::Sender<Order>);

impl Control {
    /// Installs the actor's end.
    pub(super) fn install<A: Actor<Context = Context<A>>>(ctx: &mut Context<A>) -> Self {
        // One ping and one stop can be outstanding.
        let (sender, receiver) = mpsc::channel(2);
        ctx.spawn(Orders(receiver));
        Self(sender)
    }

    /// Comes back when the actor has; never if it has ended or is stuck.
    pub(super) async fn ping(&self) {
        let (answer, answered) = oneshot::channel();
        if self.0.send(Order::Ping(answer)).await.is_err() || answered.await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Asks the actor to stop, once it has handled what is queued.
    pub(super) fn stop(&self) {
        // Full or closed: it does not listen any more, and the deadline decides.
        self.0.try_send(Order::Stop).ok();
    }
}

struct Orders(mpsc::Receiver<Order>);

impl<A: Actor<Context = Context<A>>> ActorFuture<A> for Orders {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        _: &mut A,
        ctx: &mut Context<A>,
        task: &mut task::Context<'_>,
    ) -> Poll<()> {
        while let Some(order) = ready!(self.0.poll_recv(task)) {
            match order {
                // Whoever asked may have stopped waiting; then nobody needs the answer.
                Order::Ping(answer) => drop(answer.send(())),
                Order::Stop => {
                    ctx.stop();
                    break;
                }
            }
        }
        Poll::Ready(())
    }
}
