//! The threads of a program: one for the actors, a shared runtime for everything else.

use actix_rt::{System, SystemRunner};
use std::io;

/// Starts an actix system whose actors all live on the calling thread, with `workers` threads beside it for tasks
/// (`tokio::spawn`) and as many as tokio allows for blocking work (`spawn_blocking`).
///
/// What runs inside `SystemRunner::block_on` (and what it spawns with `actix_rt::spawn`) is on the actors' thread.
///
/// # Errors
///
/// When the operating system gives no threads.
pub fn system(workers: usize) -> io::Result<SystemRunner> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers.max(1))
        .thread_name("worker")
        .enable_all()
        .build()?;
    Ok(System::with_tokio_rt(|| runtime))
}
