//! Several actors: the order in which they come and go, and what they may do before they go.

use super::*;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn children_start_in_order_and_stop_in_reverse() {
    with_actors(|log| async move {
        let mut supervisor = Supervisor::new();
        for name in ["store", "registry", "server"] {
            supervisor.start(Worker::spec(name, &log));
        }
        assert_eq!(supervisor.names(), ["store", "registry", "server"]);
        let stopped = Outcome::Stopped { forced: false };
        let ends = supervisor.stop(10 * SECOND).await;
        assert_eq!(
            ends,
            [
                ("server", stopped.clone()),
                ("registry", stopped.clone()),
                ("store", stopped)
            ]
        );
        let built = ["store built", "registry built", "server built"];
        let ended = ["server stopped", "registry stopped", "store stopped"];
        assert_eq!(entries(&log), [built, ended].concat());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_is_handled_before_the_actor_stops() {
    with_actors(|log| async move {
        let (worker, life) = supervise(Worker::spec("worker", &log));
        worker.up().await.unwrap();
        worker.tell(Note("queued")).unwrap();
        life.stop(SECOND).await;
        assert_eq!(entries(&log), ["worker built", "queued", "worker stopped"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_is_drained_before_it_stops() {
    with_actors(|log| async move {
        let spec = Worker::spec("worker", &log).before_stop(|worker| async move {
            worker.call(Count("flushed")).await.unwrap();
        });
        let (_worker, life) = supervise(spec);
        assert_eq!(life.stop(SECOND).await, Outcome::Stopped { forced: false });
        assert_eq!(entries(&log), ["worker built", "flushed", "worker stopped"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_cut_off_and_leaves_time_for_the_others() {
    with_actors(|log| async move {
        let mut supervisor = Supervisor::new();
        supervisor.start(Worker::spec("store", &log).before_stop(|store| async move {
            store.call(Count("flushed")).await.unwrap();
        }));
        let hanging = supervisor.start(Worker::spec("hanging", &log));
        hanging.up().await.unwrap();
        let (_never_released, hold) = oneshot::channel();
        hanging.tell(Hold(hold)).unwrap();
        let begun = Instant::now();
        let ends = supervisor.stop(8 * SECOND).await;
        assert_eq!(begun.elapsed(), 4 * SECOND, "half of the time");
        let (forced, orderly) = (
            Outcome::Stopped { forced: true },
            Outcome::Stopped { forced: false },
        );
        assert_eq!(ends, [("hanging", forced), ("store", orderly)]);
        assert!(entries(&log).contains(&"flushed".to_owned()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_hangs_does_not_hold_up_the_end() {
    with_actors(|log| async move {
        let spec = Worker::spec("worker", &log).before_stop(|_| std::future::pending());
        let (_worker, life) = supervise(spec);
        let begun = Instant::now();
        life.stop(SECOND).await;
        assert_eq!(begun.elapsed(), SECOND);
        assert_eq!(entries(&log), ["worker built", "worker stopped"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_crashes_does_not_keep_the_actor_alive() {
    with_actors(|log| async move {
        let spec = Worker::spec("worker", &log).before_stop(|worker| async move {
            assert_eq!(worker.name(), "another", "a drain with a mistake in it");
        });
        let (_worker, life) = supervise(spec);
        assert_eq!(life.stop(SECOND).await, Outcome::Stopped { forced: false });
        assert_eq!(entries(&log), ["worker built", "worker stopped"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_waits_for_its_restart_can_be_stopped() {
    with_actors(|log| async move {
        let (worker, life) = supervise(Worker::spec("worker", &log));
        assert_eq!(worker.call(Crash).await, Err(CallError::Crashed));
        tokio::task::yield_now().await;
        let begun = Instant::now();
        assert_eq!(life.stop(SECOND).await, Outcome::Stopped { forced: false });
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(entries(&log), ["worker built", "worker stopped"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_life_that_nobody_holds_goes_on() {
    with_actors(|log| async move {
        let (worker, life) = supervise(Worker::spec("worker", &log));
        drop(life);
        worker.tell(Crash).unwrap();
        assert_eq!(worker.rebuilt_since(Incarnation(1)).await, Ok(Incarnation(2)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn only_a_permanent_child_escalates() {
    with_actors(|log| async move {
        let mut supervisor = Supervisor::new();
        let job = supervisor.start(Worker::spec("job", &log).restart(Restart::Temporary));
        job.tell(Crash).unwrap();
        let quiet = tokio::time::timeout(3600 * SECOND, supervisor.escalated()).await;
        assert!(quiet.is_err());
        assert!(supervisor.names().is_empty());
    })
    .await;
}
