//! The HTTP server: its socket, its limits, its layers.
//!
//! Last up and first to stop. Knows no route; those are in [`api`].

use crate::{
    accepted,
    api::{self, Api},
};
use actix_web::{
    App, HttpServer,
    dev::Server,
    middleware::{Compress, from_fn},
    web,
};
use p2p_shared::open_files;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

/// Connections that wait to be accepted: a burst of peers after a restart.
const BACKLOG: i32 = 4096;

/// An idle connection stays open for longer than a peer's heartbeats are apart.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// A client has this long to send a request's head.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);

/// Connections a worker serves at most; further ones wait in the backlog.
const CONNECTIONS_A_WORKER: u64 = 20_000;

/// Files that the tracker needs for itself: database, threads, logs.
const OWN_FILES: u64 = 64;

/// Database reads and hashing of one worker at once.
const BLOCKING_THREADS: usize = 8;

/// How long requests in flight may take to finish when the tracker stops.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

/// Opens the listening socket.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // So that a restart does not wait for connections of the last run to be forgotten. It lets no two trackers share
    // a port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Starts serving on the socket.
pub(crate) fn start(listener: TcpListener, api: Api, workers: usize) -> io::Result<Server> {
    let data = web::Data::new(api);
    let server = HttpServer::new(move || {
        // The first layer is the innermost.
        App::new()
            .app_data(data.clone())
            .wrap(from_fn(api::guard::contain))
            .wrap(from_fn(api::auth::authorize))
            .wrap(from_fn(api::guard::drain))
            .wrap(from_fn(api::logging::log))
            .wrap(Compress::default())
            .wrap(from_fn(api::compress::choose))
            .configure(api::configure)
    })
    .workers(workers)
    .worker_max_blocking_threads(BLOCKING_THREADS)
    .max_connections(connections(workers))
    .keep_alive(KEEP_ALIVE)
    .client_request_timeout(HEAD_PATIENCE)
    .shutdown_timeout(DRAIN.as_secs())
    .disable_signals()
    .on_connect(accepted::on_connect)
    .listen(listener)?;
    Ok(server.run())
}

/// How many connections each worker may serve, so that there are files left for the database.
fn connections(workers: usize) -> usize {
    let files = open_files::limit().saturating_sub(OWN_FILES);
    (files / workers.max(1) as u64).clamp(1, CONNECTIONS_A_WORKER) as usize
}
