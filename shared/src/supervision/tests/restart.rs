//! Crashes and what follows from them.

use super::*;
use std::cell::Cell;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_crashed_actor_is_rebuilt_from_what_is_durable_within_a_second() {
    with_actors(|log| async move {
        let (worker, _life) = supervise(Worker::spec("worker", &log));
        worker.tell(Note("done before")).unwrap();
        assert_eq!(worker.call(Crash).await, Err(CallError::Crashed));
        let crashed = Instant::now();
        assert_eq!(worker.call(Count("done after")).await, Ok(5));
        assert!(
            crashed.elapsed() < Duration::from_secs(1),
            "{:?}",
            crashed.elapsed()
        );
        let expected = [
            "worker built",
            "done before",
            "worker stopped",
            "worker built",
            "done after",
        ];
        assert_eq!(entries(&log), expected);
        assert_eq!(worker.incarnation(), Incarnation(2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_one_actor_does_not_touch_another() {
    with_actors(|log| async move {
        let (one, _life) = supervise(Worker::spec("one", &log));
        let (other, _other_life) = supervise(Worker::spec("other", &log));
        one.tell(Crash).unwrap();
        assert!(other.call(Count("untouched")).await.is_ok());
        assert!(one.rebuilt_since(Incarnation(1)).await.is_ok());
        assert_eq!(other.incarnation(), Incarnation(1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_sixth_crash_within_a_minute_escalates_without_a_spin() {
    with_actors(|log| async move {
        let mut supervisor = Supervisor::new();
        let worker = supervisor.start(Worker::spec("worker", &log));
        let begun = Instant::now();
        for crash in 1..=6 {
            assert_eq!(worker.call(Crash).await, Err(CallError::Crashed), "crash {crash}");
        }
        let escalation = supervisor.escalated().await;
        assert_eq!(
            escalation,
            Escalation {
                child: "worker",
                reason: "boom".into()
            }
        );
        let built = entries(&log)
            .iter()
            .filter(|entry| *entry == "worker built")
            .count();
        assert_eq!(built, 6, "one start and five restarts");
        assert_eq!(
            begun.elapsed().as_millis(),
            100 + 200 + 400 + 800 + 1600,
            "all of it was waiting"
        );
        assert_eq!(worker.call(Count("too late")).await, Err(CallError::Down));
        assert!(supervisor.names().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn crashes_that_are_far_apart_do_not_escalate() {
    with_actors(|log| async move {
        let (worker, life) = supervise(Worker::spec("worker", &log));
        for _ in 0..20 {
            assert_eq!(worker.call(Crash).await, Err(CallError::Crashed));
            tokio::time::sleep(Duration::from_secs(13)).await;
        }
        assert!(worker.up().await.is_ok());
        assert!(!life.is_over());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_factory_that_panics_counts_as_a_crash_and_is_asked_again() {
    with_actors(|log| async move {
        let tries = Rc::new(Cell::new(0));
        let counted = Rc::clone(&tries);
        let (worker, _life) = supervise(ChildSpec::new("worker", move |_| {
            counted.set(counted.get() + 1);
            assert!(counted.get() > 2, "what is durable cannot be read yet");
            Worker {
                name: "worker",
                log: Rc::clone(&log),
            }
        }));
        assert_eq!(worker.up().await, Ok(Incarnation(1)), "the first that came to be");
        assert_eq!(tries.get(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_permanent_actor_that_ends_by_itself_is_brought_back() {
    with_actors(|log| async move {
        let (worker, _life) = supervise(Worker::spec("worker", &log));
        worker.tell(Finish).unwrap();
        assert_eq!(worker.rebuilt_since(Incarnation(1)).await, Ok(Incarnation(2)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_transient_actor_is_restarted_after_a_crash_and_not_when_it_has_finished() {
    with_actors(|log| async move {
        let (worker, mut life) = supervise(Worker::spec("worker", &log).restart(Restart::Transient));
        worker.tell(Crash).unwrap();
        worker.rebuilt_since(Incarnation(1)).await.unwrap();
        worker.tell(Finish).unwrap();
        assert_eq!(life.ended().await, Outcome::Finished);
        assert_eq!(life.ended().await, Outcome::Finished, "can be asked again");
        assert_eq!(worker.tell(Note("too late")), Err(CallError::Down));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_transient_actor_that_is_given_up_tells_its_owner_why() {
    with_actors(|log| async move {
        let none = RestartBudget::new(
            0,
            Duration::from_secs(60),
            crate::backoff::Backoff::new(Duration::ZERO, Duration::ZERO),
        );
        let spec = Worker::spec("worker", &log)
            .restart(Restart::Transient)
            .budget(none);
        let told = Rc::clone(&log);
        let (worker, mut life) = supervise(spec.on_end(move |outcome| note(&told, format!("{outcome:?}"))));
        worker.tell(Crash).unwrap();
        let given_up = Outcome::GivenUp {
            reason: "boom".into(),
        };
        assert_eq!(life.ended().await, given_up);
        assert_eq!(
            entries(&log),
            [
                "worker built".into(),
                "worker stopped".into(),
                format!("{given_up:?}")
            ]
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_temporary_actor_is_not_restarted() {
    with_actors(|log| async move {
        let (worker, mut life) = supervise(Worker::spec("worker", &log).restart(Restart::Temporary));
        worker.tell(Crash).unwrap();
        assert_eq!(
            life.ended().await,
            Outcome::Crashed {
                reason: "boom".into()
            }
        );
        assert_eq!(worker.up().await, Err(CallError::Down));
        assert_eq!(entries(&log), ["worker built", "worker stopped"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_does_not_come_to_its_messages_is_replaced() {
    with_actors(|log| async move {
        let (worker, _life) = supervise(Worker::spec("worker", &log));
        worker.up().await.unwrap();
        let (_never_released, hold) = oneshot::channel();
        worker.tell(Hold(hold)).unwrap();
        let begun = Instant::now();
        worker.rebuilt_since(Incarnation(1)).await.unwrap();
        let Probe { every, within, .. } = Probe::default();
        let pause = Duration::from_millis(100);
        assert_eq!(begun.elapsed(), every + within + pause);
        assert!(worker.call(Count("works again")).await.is_ok());
    })
    .await;
}

/// Comes to its messages when it has read what is durable.
struct Reader(Option<oneshot::Receiver<()>>);

impl Actor for Reader {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        if let Some(read) = self.0.take() {
            ctx.wait(actix::fut::wrap_future(async move { read.await.unwrap() }));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_is_up_when_it_has_started() {
    with_actors(|_| async move {
        let (read, reading) = oneshot::channel();
        let mut reading = Some(reading);
        let (reader, _life) = supervise(ChildSpec::new("reader", move |_| Reader(reading.take())));
        let early = tokio::time::timeout(Duration::from_secs(50), reader.up()).await;
        assert!(early.is_err(), "not up while it reads");
        read.send(()).unwrap();
        assert_eq!(reader.up().await, Ok(Incarnation(1)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_never_gets_through_its_start_is_replaced() {
    with_actors(|_| async move {
        let (_never_read, reading) = oneshot::channel();
        let mut reading = Some(reading);
        let (reader, _life) = supervise(ChildSpec::new("reader", move |_| Reader(reading.take())));
        let begun = Instant::now();
        assert_eq!(reader.up().await, Ok(Incarnation(2)));
        assert_eq!(
            begun.elapsed(),
            Probe::default().start + Duration::from_millis(100)
        );
    })
    .await;
}
