//! With real threads and real time: where actors run, and what happens when their thread is stuck.

use super::*;
use std::{
    sync::{Arc, Mutex, mpsc},
    thread::{self, ThreadId},
    time::Duration,
};

struct Where;

impl Message for Where {
    type Result = Option<ThreadId>;
}

/// Blocks the thread until the sender is dropped, and panics if it never is.
struct Block(mpsc::Receiver<()>);

impl Message for Block {
    type Result = ();
}

impl Handler<Where> for Worker {
    type Result = Option<ThreadId>;
    fn handle(&mut self, _: Where, _: &mut Context<Self>) -> Option<ThreadId> {
        Some(thread::current().id())
    }
}

impl Handler<Block> for Worker {
    type Result = ();
    fn handle(&mut self, Block(released): Block, _: &mut Context<Self>) {
        let end = released.recv_timeout(Duration::from_secs(60));
        assert_eq!(end, Err(mpsc::RecvTimeoutError::Disconnected), "nobody noticed");
    }
}

#[test]
fn actors_stay_on_one_thread_and_are_called_from_any() {
    system(2).unwrap().block_on(async {
        let log = Log::default();
        let (worker, _life) = supervise(Worker::spec("worker", &log));
        let here = thread::current().id();
        let caller = worker.clone();
        let from_elsewhere = tokio::spawn(async move {
            assert_ne!(thread::current().id(), here);
            assert_eq!(caller.call(Where).await, Ok(Some(here)));
            assert_eq!(caller.call(Crash).await, Err(CallError::Crashed));
            // A call that arrives while the crash is still unwinding would share its fate.
            caller.rebuilt_since(Incarnation(1)).await.unwrap();
            caller.call(Where).await
        });
        assert_eq!(from_elsewhere.await.unwrap(), Ok(Some(here)));
        assert_eq!(worker.incarnation(), Incarnation(2));
    });
}

#[test]
fn a_thread_that_is_stuck_is_noticed_from_outside() {
    system(1).unwrap().block_on(async {
        let log = Log::default();
        let (worker, _life) = supervise(Worker::spec("worker", &log));
        let (stuck, blocked) = mpsc::channel::<()>();
        // Being called drops the sender, which releases the actor: the test ends only if the watchdog notices.
        let _watchdog = Watchdog::start(Duration::from_millis(20), move || drop(stuck)).unwrap();
        let patient = worker.with_deadline(Duration::from_secs(600));
        assert_eq!(patient.call(Block(blocked)).await, Ok(()));
    });
}

#[test]
fn a_watchdog_that_is_dropped_keeps_quiet() {
    system(1).unwrap().block_on(async {
        let called = Arc::new(Mutex::new(false));
        let (ended, end) = tokio::sync::oneshot::channel::<()>();
        let noted = Arc::clone(&called);
        let watchdog = Watchdog::start(Duration::from_secs(600), move || {
            *noted.lock().unwrap() = true;
            drop(ended);
        });
        drop(watchdog.unwrap());
        assert!(
            matches!(
                tokio::time::timeout(Duration::from_secs(60), end).await,
                Ok(Err(_))
            ),
            "its thread has ended and dropped what it was given"
        );
        assert!(!*called.lock().unwrap());
    });
}
