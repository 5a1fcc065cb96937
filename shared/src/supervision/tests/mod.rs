//! What supervision guarantees, shown on one small actor. Time is tokio's paused clock: it jumps to the next timer
//! when nothing else is to be done, so nothing here depends on the machine.

mod handle;
mod restart;
mod threads;
mod tree;

use super::*;
use actix::{Actor, ActorContext as _, AsyncContext as _, Context, Handler, Message};
use std::{cell::RefCell, future::Future, rc::Rc, time::Duration};
use tokio::{sync::oneshot, task::LocalSet};

/// What has happened, in order; stands for what is durable, since it outlives the actors.
type Log = Rc<RefCell<Vec<String>>>;

/// Notes what it is told, and dies in every way.
struct Worker {
    name: &'static str,
    log: Log,
}

impl Worker {
    /// A worker that notes in `log` when it is built.
    fn spec(name: &'static str, log: &Log) -> ChildSpec<Self> {
        let log = Rc::clone(log);
        ChildSpec::new(name, move |_| {
            note(&log, format!("{name} built"));
            Self {
                name,
                log: Rc::clone(&log),
            }
        })
    }
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Context<Self>) {
        note(&self.log, format!("{} stopped", self.name));
    }
}

macro_rules! messages {
    ($($message:ident -> $answer:ty),+) => {
        $(impl Message for $message {
            type Result = $answer;
        })+
    };
}

/// Noted.
struct Note(&'static str);
/// Noted, answered with the number of entries.
struct Count(&'static str);
/// Panics.
struct Crash;
/// The actor stops itself.
struct Finish;
/// The actor is deaf until the sender is dropped.
struct Hold(oneshot::Receiver<()>);

messages!(Note -> (), Count -> usize, Crash -> (), Finish -> (), Hold -> ());

impl Handler<Note> for Worker {
    type Result = ();
    fn handle(&mut self, Note(text): Note, _: &mut Context<Self>) {
        note(&self.log, text);
    }
}

impl Handler<Count> for Worker {
    type Result = usize;
    fn handle(&mut self, Count(text): Count, _: &mut Context<Self>) -> usize {
        note(&self.log, text);
        self.log.borrow().len()
    }
}

impl Handler<Crash> for Worker {
    type Result = ();
    fn handle(&mut self, _: Crash, _: &mut Context<Self>) {
        panic!("boom");
    }
}

impl Handler<Finish> for Worker {
    type Result = ();
    fn handle(&mut self, _: Finish, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

impl Handler<Hold> for Worker {
    type Result = ();
    fn handle(&mut self, Hold(released): Hold, ctx: &mut Context<Self>) {
        ctx.wait(actix::fut::wrap_future(async move {
            released.await.ok();
        }));
    }
}

fn note(log: &Log, text: impl Into<String>) {
    log.borrow_mut().push(text.into());
}

fn entries(log: &Log) -> Vec<String> {
    log.borrow().clone()
}

/// Runs a test where actors can live. What waits in vain fails after a day on the paused clock.
async fn with_actors<F: Future<Output = ()>>(test: impl FnOnce(Log) -> F) {
    let day = Duration::from_secs(24 * 60 * 60);
    let test = tokio::time::timeout(day, test(Log::default()));
    let ended = LocalSet::new().run_until(test).await;
    assert!(ended.is_ok(), "waits for something that never comes");
}
