//! A task without a mailbox that is to run as long as there is something for it to do.

use crate::backoff::{Backoff, Retries};
use std::time::Duration;
use tokio::{task::JoinHandle, time::Instant};

/// Pauses before a task that panicked begins again.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
/// Who ran so long has not panicked again and again.
const LASTING: Duration = Duration::from_secs(60);

/// Runs what `begin` makes, and again after a growing pause whenever it panics, until it ends by itself. `name` is for the log.
///
/// Unlike a [permanent](super::Restart::Permanent) actor it never escalates: for what the program can do without for a while.
///
/// # Panics
/// Outside of a runtime.
pub fn keep<F>(name: &'static str, begin: impl Fn() -> F + Send + 'static) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        let mut retries = Retries::new(PAUSES);
        loop {
            let began = Instant::now();
            match tokio::spawn(begin()).await {
                Err(error) if error.is_panic() => {}
                _ => return,
            }
            if began.elapsed() >= LASTING {
                retries.on_success();
            }
            let pause = retries.on_failure(u32::MAX);
            tracing::error!(task = name, ?pause, "a task panicked and begins again");
            tokio::time::sleep(pause).await;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_begins_again_after_growing_pauses_and_one_that_ends_has_ended() {
        let lives = Arc::new(AtomicU32::new(0));
        let (counted, began) = (Arc::clone(&lives), Instant::now());
        let task = keep("test", move || {
            let life = counted.fetch_add(1, Ordering::SeqCst);
            async move { assert!(life >= 3, "life {life}") }
        });
        task.await.unwrap();
        assert_eq!(lives.load(Ordering::SeqCst), 4);
        assert_eq!(began.elapsed().as_millis(), 100 + 200 + 400);
    }
}
