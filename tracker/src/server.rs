//! The HTTP server: its socket, its limits, its layers.
//!
//! Last up and first to stop. Knows no route; those are in [`api`].

use crate::{
    accepted,
    api::{self, Api},
    tls::Certificates,
};
use actix_http::{HttpService, error::DispatchError};
use actix_service::{ServiceFactoryExt as _, fn_service, map_config};
use actix_web::{
    App, HttpServer,
    body::MessageBody,
    dev::{AppConfig, Server, ServiceFactory, ServiceRequest, ServiceResponse},
    middleware::{Compress, from_fn},
    rt::net::TcpStream,
    web,
};
use p2p_shared::open_files;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

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

/// Starts serving on the socket; encrypted, if there are certificates.
pub(crate) fn start(
    listener: TcpListener,
    api: Api,
    workers: usize,
    certificates: Option<Arc<Certificates>>,
) -> io::Result<Server> {
    let data = web::Data::new(api);
    if let Some(certificates) = certificates {
        return start_encrypted(listener, data, workers, certificates);
    }
    let server = HttpServer::new(move || app(data.clone()))
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

/// The same behind TLS. `HttpServer` does TLS only together with HTTP/2, whose implementation has an advisory; so its parts are put together here.
fn start_encrypted(
    listener: TcpListener,
    data: web::Data<Api>,
    workers: usize,
    certificates: Arc<Certificates>,
) -> io::Result<Server> {
    let server = Server::build()
        .workers(workers)
        .worker_max_blocking_threads(BLOCKING_THREADS)
        .max_concurrent_connections(connections(workers))
        .shutdown_timeout(DRAIN.as_secs())
        .disable_signals()
        .listen("tracker", listener, move || {
            let certificates = Arc::clone(&certificates);
            let http = HttpService::build()
                .keep_alive(KEEP_ALIVE)
                .client_request_timeout(HEAD_PATIENCE)
                .on_connect_ext(|stream: &TlsStream<TcpStream>, data| {
                    accepted::on_connect(stream.get_ref().0, data);
                })
                .h1(map_config(app(data.clone()), |()| AppConfig::default()));
            fn_service(move |stream: TcpStream| encrypt(stream, certificates.acceptor())).and_then(http)
        })?;
    Ok(server.run())
}

/// Shakes hands with a client, under the certificate that is valid now.
async fn encrypt(
    stream: TcpStream,
    acceptor: TlsAcceptor,
) -> Result<(TlsStream<TcpStream>, Option<SocketAddr>), DispatchError> {
    let address = stream.peer_addr().ok();
    match timeout(HEAD_PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Ok((stream, address)),
        Ok(Err(error)) => {
            tracing::debug!(?address, %error, "no TLS with a client");
            Err(DispatchError::Io(error))
        }
        Err(_) => Err(DispatchError::SlowRequestTimeout),
    }
}

/// All layers around the routes.
fn app(
    data: web::Data<Api>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    // The first layer is the innermost.
    App::new()
        .app_data(data)
        .wrap(from_fn(api::guard::contain))
        .wrap(from_fn(api::auth::authorize))
        .wrap(from_fn(api::guard::drain))
        .wrap(from_fn(api::limits::limit))
        .wrap(from_fn(api::base::strip))
        .wrap(from_fn(api::logging::log))
        .wrap(Compress::default())
        .wrap(from_fn(api::compress::choose))
        .configure(api::configure)
}

/// How many connections each worker may serve, so that there are files left for the database.
fn connections(workers: usize) -> usize {
    let files = open_files::limit().saturating_sub(OWN_FILES);
    (files / workers.max(1) as u64).clamp(1, CONNECTIONS_A_WORKER) as usize
}
