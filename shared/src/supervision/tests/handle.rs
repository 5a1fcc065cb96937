//! Talking to an actor: bounds, deadlines, crashes, order.

use super::*;
use tokio::time::Instant;

/// Makes the worker deaf until the returned sender is dropped.
async fn hold(worker: &Handle<Worker>) -> oneshot::Sender<()> {
    let (release, hold) = oneshot::channel();
    worker.call(Hold(hold)).await.unwrap();
    release
}

#[tokio::test(start_paused = true)]
async fn more_than_the_permits_allow_is_refused_as_busy() {
    with_actors(|log| async move {
        let (worker, _life) = supervise(Worker::spec("worker", &log).permits(2));
        let release = hold(&worker).await;
        worker.tell(Note("one")).unwrap();
        worker.tell(Note("two")).unwrap();
        assert_eq!(worker.tell(Note("three")), Err(CallError::Busy));
        let impatient = worker.clone().with_deadline(Duration::from_secs(1));
        let begun = Instant::now();
        assert_eq!(impatient.call(Count("four")).await, Err(CallError::Busy));
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
        drop(release);
        assert!(worker.call(Count("five")).await.is_ok());
        assert_eq!(entries(&log), ["worker built", "one", "two", "five"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_its_turn_within_the_deadline() {
    with_actors(|log| async move {
        let (worker, _life) = supervise(Worker::spec("worker", &log).permits(1));
        let release = hold(&worker).await;
        worker.tell(Note("before")).unwrap();
        let call = worker.call(Count("waited"));
        let release = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            drop(release);
        };
        assert_eq!(tokio::join!(call, release).0, Ok(3));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_does_not_take_the_command_back() {
    with_actors(|log| async move {
        let (worker, _life) = supervise(Worker::spec("worker", &log).permits(2));
        let release = hold(&worker).await;
        let call = Box::pin(worker.call(Count("dropped")));
        assert!(futures_poll_once(call).is_none());
        worker.tell(Note("after it")).unwrap();
        assert_eq!(
            worker.tell(Note("no room")),
            Err(CallError::Busy),
            "it keeps its permit"
        );
        drop(release);
        worker.call(Count("later")).await.unwrap();
        assert_eq!(entries(&log), ["worker built", "dropped", "after it", "later"]);
    })
    .await;
}

/// Polls once; the future is dropped if it is not ready.
fn futures_poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(&mut future).poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_timed_out_is_still_carried_out() {
    with_actors(|log| async move {
        let (worker, _life) = supervise(Worker::spec("worker", &log));
        let release = hold(&worker).await;
        let impatient = worker.clone().with_deadline(Duration::from_secs(1));
        assert_eq!(impatient.call(Count("late")).await, Err(CallError::Timeout));
        drop(release);
        worker.call(Count("next")).await.unwrap();
        assert_eq!(entries(&log), ["worker built", "late", "next"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn messages_of_one_caller_are_handled_in_their_order() {
    with_actors(|log| async move {
        let (worker, _life) = supervise(Worker::spec("worker", &log));
        worker.tell(Note("1")).unwrap();
        worker.tell(Note("2")).unwrap();
        worker.call(Count("3")).await.unwrap();
        worker.tell(Note("4")).unwrap();
        worker.call(Count("5")).await.unwrap();
        assert_eq!(entries(&log)[1..], ["1", "2", "3", "4", "5"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn permits_come_back_when_messages_are_handled_and_when_the_actor_crashes() {
    with_actors(|log| async move {
        let (worker, _life) = supervise(Worker::spec("worker", &log).permits(2));
        for _ in 0..10 {
            worker.tell(Note("x")).unwrap();
            worker.call(Count("y")).await.unwrap();
        }
        let release = hold(&worker).await;
        worker.tell(Crash).unwrap();
        worker.tell(Note("lost")).unwrap();
        assert_eq!(worker.tell(Note("full")), Err(CallError::Busy));
        drop(release);
        worker.rebuilt_since(Incarnation(1)).await.unwrap();
        worker.tell(Note("a")).unwrap();
        worker.tell(Note("b")).unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_behind_a_crash_is_answered_as_crashed() {
    with_actors(|log| async move {
        let (worker, _life) = supervise(Worker::spec("worker", &log));
        let release = hold(&worker).await;
        worker.tell(Crash).unwrap();
        let queued = worker.call(Count("lost"));
        let answers = tokio::join!(queued, async { drop(release) });
        assert_eq!(answers.0, Err(CallError::Crashed));
        assert_eq!(
            worker.call(Count("kept")).await,
            Ok(4),
            "built, stopped, built, kept"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn telling_an_actor_between_two_lives_is_refused_and_calling_waits() {
    with_actors(|log| async move {
        let (worker, _life) = supervise(Worker::spec("worker", &log));
        assert_eq!(worker.call(Crash).await, Err(CallError::Crashed));
        tokio::task::yield_now().await;
        assert_eq!(worker.tell(Note("nobody there")), Err(CallError::Down));
        assert!(worker.call(Count("there again")).await.is_ok());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_is_gone_for_good_answers_down_at_once() {
    with_actors(|log| async move {
        let (worker, life) = supervise(Worker::spec("worker", &log));
        worker.up().await.unwrap();
        assert_eq!(
            life.stop(Duration::from_secs(1)).await,
            Outcome::Stopped { forced: false }
        );
        let begun = Instant::now();
        assert!(worker.is_over());
        assert_eq!(worker.call(Count("x")).await, Err(CallError::Down));
        assert_eq!(worker.tell(Note("x")), Err(CallError::Down));
        assert_eq!(worker.up().await, Err(CallError::Down));
        assert_eq!(worker.rebuilt_since(Incarnation(1)).await, Err(CallError::Down));
        assert_eq!(begun.elapsed(), Duration::ZERO);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_its_turn_hears_at_once_that_the_actor_is_gone() {
    with_actors(|log| async move {
        let (worker, life) = supervise(Worker::spec("worker", &log).permits(1));
        let _deaf = hold(&worker).await;
        worker.tell(Note("takes the permit")).unwrap();
        let begun = Instant::now();
        let stop = life.stop(Duration::from_secs(1));
        let (answer, outcome) = tokio::join!(worker.call(Count("waits")), stop);
        assert_eq!(answer, Err(CallError::Down));
        assert_eq!(outcome, Outcome::Stopped { forced: true });
        assert_eq!(
            begun.elapsed(),
            Duration::from_secs(1),
            "not the deadline of the call"
        );
    })
    .await;
}

/// Introduces itself to the worker, and to every later one.
struct Follower {
    worker: Handle<Worker>,
}

impl Actor for Follower {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let worker = self.worker.clone();
        worker.follow(ctx, |follower, _, _| {
            follower.worker.tell(Note("hello again")).unwrap();
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_follower_is_told_of_every_later_life() {
    with_actors(|log| async move {
        let (worker, _life) = supervise(Worker::spec("worker", &log));
        let followed = worker.clone();
        let (follower, _follower_life) = supervise(ChildSpec::new("follower", move |_| Follower {
            worker: followed.clone(),
        }));
        follower.up().await.unwrap();
        for life in 2..=4 {
            worker.tell(Crash).unwrap();
            assert_eq!(
                worker.rebuilt_since(Incarnation(life - 1)).await,
                Ok(Incarnation(life))
            );
            tokio::task::yield_now().await;
            worker.call(Count("-")).await.unwrap();
        }
        let hellos = entries(&log)
            .iter()
            .filter(|entry| *entry == "hello again")
            .count();
        assert_eq!(hellos, 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_after_a_crash_that_nobody_has_seen_yet_waits_for_the_next_life() {
    with_actors(|log| async move {
        let make = || Worker {
            name: "worker",
            log: Rc::clone(&log),
        };
        let (slot, seen) = slot::SlotOwner::new();
        let worker = Handle::new("worker", seen, 8, Duration::from_secs(5));
        let (first, end) = spawn_life(8, |_| make());
        slot.starting(first.clone());
        first.do_send(Finish);
        end.await.unwrap();
        let next_life = async {
            let (second, _) = spawn_life(8, |_| make());
            slot.down();
            slot.starting(second);
        };
        let (answer, ()) = tokio::join!(worker.call(Count("after")), next_life);
        assert_eq!(answer, Ok(2));
    })
    .await;
}
