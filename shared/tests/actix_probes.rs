//! What actix really does, as far as this project relies on it or guards against it. If an update of actix makes one
//! of these fail, `p2p_shared::supervision` has to be thought through again.
//!
//! Numbered as in `docs/actors.md`. E10 and E11 (restart, escalation) are the tests of `supervision` itself.

#![cfg(feature = "actors")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "panics are what is probed, and how a test fails"
)]

use actix::{
    Actor, ActorContext as _, Addr, AsyncContext as _, Context, Handler, MailboxError, Message,
    ResponseFuture, Supervised, Supervisor, SyncArbiter, SyncContext, SystemService,
};
use p2p_shared::supervision::spawn_life;
use std::{
    cell::RefCell,
    future::Future,
    pin::pin,
    rc::Rc,
    task::{Poll, Waker},
    thread::{self, ThreadId},
};
use tokio::{sync::oneshot, task::LocalSet};

/// What has happened, in order.
type Log = Rc<RefCell<Vec<String>>>;

#[derive(Default)]
struct Probe {
    log: Log,
    panic_in_stopped: bool,
}

impl Probe {
    fn new(log: &Log) -> Self {
        Self {
            log: Rc::clone(log),
            panic_in_stopped: false,
        }
    }
}

impl Actor for Probe {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Context<Self>) {
        note(&self.log, format!("stopped, panicking: {}", thread::panicking()));
        assert!(!self.panic_in_stopped, "a panic in stopped");
    }
}

impl Supervised for Probe {
    fn restarting(&mut self, _: &mut Context<Self>) {
        note(&self.log, "restarting");
    }
}

impl SystemService for Probe {}

/// Noted; answered with the thread.
struct Note(&'static str);
/// Panics in the handler.
struct Crash;
/// Panics in the future that the handler returns.
struct CrashLater;
/// The actor handles nothing until the sender is dropped.
struct Hold(oneshot::Receiver<()>);
/// Noted, and passed on to the other actor.
struct PassOn(Addr<Probe>);

impl Message for Note {
    type Result = Option<ThreadId>;
}
impl Message for Crash {
    type Result = ();
}
impl Message for CrashLater {
    type Result = ();
}
impl Message for Hold {
    type Result = ();
}
impl Message for PassOn {
    type Result = ();
}

impl Handler<Note> for Probe {
    type Result = Option<ThreadId>;
    fn handle(&mut self, Note(text): Note, _: &mut Context<Self>) -> Option<ThreadId> {
        note(&self.log, text);
        Some(thread::current().id())
    }
}

impl Handler<Crash> for Probe {
    type Result = ();
    fn handle(&mut self, _: Crash, _: &mut Context<Self>) {
        panic!("a panic in a handler");
    }
}

impl Handler<CrashLater> for Probe {
    type Result = ResponseFuture<()>;
    fn handle(&mut self, _: CrashLater, _: &mut Context<Self>) -> ResponseFuture<()> {
        Box::pin(async { panic!("a panic in a response") })
    }
}

impl Handler<Hold> for Probe {
    type Result = ();
    fn handle(&mut self, Hold(released): Hold, ctx: &mut Context<Self>) {
        ctx.wait(actix::fut::wrap_future(async move {
            released.await.ok();
        }));
    }
}

impl Handler<PassOn> for Probe {
    type Result = ();
    fn handle(&mut self, PassOn(other): PassOn, _: &mut Context<Self>) {
        note(&self.log, "flood");
        other.do_send(Note("other"));
    }
}

fn note(log: &Log, text: impl Into<String>) {
    log.borrow_mut().push(text.into());
}

fn count(log: &Log, text: &str) -> usize {
    log.borrow().iter().filter(|entry| *entry == text).count()
}

fn start(log: &Log) -> Addr<Probe> {
    Probe::new(log).start()
}

/// An actor that handles nothing until the sender is dropped.
async fn held(log: &Log) -> (Addr<Probe>, oneshot::Sender<()>) {
    let address = start(log);
    let (release, hold) = oneshot::channel();
    address.send(Hold(hold)).await.unwrap();
    (address, release)
}

/// Runs a probe where actors can live.
async fn with_actors<F: Future<Output = ()>>(probe: impl FnOnce(Log) -> F) {
    LocalSet::new().run_until(probe(Log::default())).await;
}

#[tokio::test]
async fn e1_a_panic_in_a_handler_ends_that_actor_and_leaves_its_neighbour_and_their_thread_alone() {
    with_actors(|log| async move {
        let (crashing, neighbour) = (start(&log), start(&log));
        let before = neighbour.send(Note("before")).await.unwrap();
        let (crash, queued) = tokio::join!(crashing.send(Crash), crashing.send(Note("queued")));
        assert!(matches!(crash, Err(MailboxError::Closed)));
        assert!(
            matches!(queued, Err(MailboxError::Closed)),
            "what was queued is lost, and its sender hears it"
        );
        assert!(!crashing.connected());
        assert_eq!(neighbour.send(Note("after")).await.unwrap(), before);
    })
    .await;
}

#[tokio::test]
async fn e2_a_supervisor_of_actix_does_not_restart_after_a_panic() {
    with_actors(|log| async move {
        let seen = Rc::clone(&log);
        let supervised = Supervisor::start(move |_| Probe::new(&seen));
        assert!(supervised.send(Crash).await.is_err());
        assert!(!supervised.connected());
        assert_eq!(count(&log, "restarting"), 0);
    })
    .await;
}

#[tokio::test]
async fn e3_stopped_runs_while_the_panic_unwinds() {
    with_actors(|log| async move {
        let crashing = start(&log);
        assert!(crashing.send(Crash).await.is_err());
        assert_eq!(*log.borrow(), ["stopped, panicking: true"]);
    })
    .await;
}

#[test]
fn e4_a_panic_in_stopped_while_a_panic_unwinds_ends_the_process() {
    use std::os::unix::process::ExitStatusExt as _;
    let ended = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "e4_in_its_own_process", "--ignored"])
        .output()
        .unwrap();
    const SIGABRT: i32 = 6;
    assert_eq!(
        ended.status.signal(),
        Some(SIGABRT),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
}

#[tokio::test]
#[ignore = "ends its process; run by the probe above"]
async fn e4_in_its_own_process() {
    with_actors(|log| async move {
        let mut probe = Probe::new(&log);
        probe.panic_in_stopped = true;
        let crashing = probe.start();
        assert!(crashing.send(Crash).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn e5_the_mailbox_is_no_bound_for_senders_that_clone() {
    const MANY: usize = 1_000;
    with_actors(|log| async move {
        let (address, life) = spawn_life(1, |_| Probe::new(&log));
        let (release, hold) = oneshot::channel();
        address.send(Hold(hold)).await.unwrap();
        let mut sends: Vec<_> = (0..MANY).map(|_| Box::pin(address.send(Note("sent")))).collect();
        for send in &mut sends {
            assert!(poll_once(send.as_mut()).is_pending());
        }
        for _ in 0..MANY {
            assert!(
                address.clone().try_send(Note("tried")).is_ok(),
                "a fresh clone is always let in once"
            );
        }
        let through_one = (0..MANY)
            .filter(|_| address.try_send(Note("one")).is_ok())
            .count();
        assert!(through_one <= 1, "only one shared address is ever refused");
        drop(release);
        address.send(Note("last")).await.unwrap();
        assert_eq!(
            (count(&log, "sent"), count(&log, "tried")),
            (MANY, MANY),
            "capacity was 1"
        );
        life.abort();
    })
    .await;
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn e6_dropping_a_send_takes_its_message_back() {
    with_actors(|log| async move {
        let (address, release) = held(&log).await;
        {
            let send = pin!(address.send(Note("dropped")));
            assert!(poll_once(send).is_pending());
        }
        drop(release);
        address.send(Note("kept")).await.unwrap();
        assert_eq!((count(&log, "dropped"), count(&log, "kept")), (0, 1));
    })
    .await;
}

#[tokio::test]
async fn e7_a_flooded_actor_starves_its_neighbours() {
    const FLOOD: usize = 10_000;
    with_actors(|log| async move {
        let (flooded, release) = held(&log).await;
        let other = start(&log);
        flooded.do_send(PassOn(other.clone()));
        for _ in 0..FLOOD {
            flooded.do_send(PassOn(other.clone()));
        }
        drop(release);
        while count(&log, "other") == 0 {
            tokio::task::yield_now().await;
        }
        let first = log.borrow().iter().position(|entry| entry == "other");
        assert_eq!(
            first,
            Some(FLOOD + 1),
            "ready since the first message, run after the last"
        );
    })
    .await;
}

#[tokio::test]
async fn e8_a_panic_in_a_response_future_fails_only_that_request() {
    with_actors(|log| async move {
        let address = start(&log);
        assert!(matches!(
            address.send(CrashLater).await,
            Err(MailboxError::Closed)
        ));
        assert!(address.connected());
        assert!(address.send(Note("still there")).await.is_ok());
    })
    .await;
}

struct Blocking;

impl Actor for Blocking {
    type Context = SyncContext<Self>;
}

impl Handler<Crash> for Blocking {
    type Result = ();
    fn handle(&mut self, _: Crash, _: &mut SyncContext<Self>) {
        panic!("a panic in a blocking actor");
    }
}

#[test]
fn e9_panics_use_up_the_threads_of_a_sync_arbiter_for_good() {
    actix_rt::System::new().block_on(async {
        let address = SyncArbiter::start(2, || Blocking);
        // Two panics end both threads; the next message finds nobody, which ends the dispatcher.
        while address.connected() {
            assert!(address.send(Crash).await.is_err());
        }
    });
}

#[tokio::test]
async fn e10_the_handle_of_a_life_tells_a_panic_from_an_end() {
    with_actors(|log| async move {
        let (crashing, life) = spawn_life(16, |_| Probe::new(&log));
        crashing.do_send(Crash);
        assert!(life.await.unwrap_err().is_panic());
        let (_ending, life) = spawn_life(16, |ctx: &mut Context<Probe>| {
            ctx.stop();
            Probe::new(&log)
        });
        assert!(life.await.is_ok());
    })
    .await;
}

#[test]
fn e12_the_registry_hands_out_the_address_of_a_dead_actor() {
    actix_rt::System::new().block_on(async {
        assert!(Probe::from_registry().send(Crash).await.is_err());
        let again = Probe::from_registry();
        assert!(!again.connected());
        assert!(again.send(Note("nobody there")).await.is_err());
    });
}
