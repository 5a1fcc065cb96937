//! The API's server: requests in, orders to the peer, answers and events out.

use super::{
    ApiInfo, NDJSON,
    guard::{self, Refusal},
    info::InfoFile,
};
use crate::{
    error::{Failure, FailureKind},
    event::{self, Event, EventSink, EventStream},
    metrics,
    operation::{DoctorRequest, FilesRequest, GetRequest, ShareInfo, ShareRequest},
    root::Orders,
};
use actix_web::{
    App, Error, HttpResponse, HttpServer, ResponseError,
    body::MessageBody,
    dev::{ServerHandle, ServiceRequest, ServiceResponse},
    http::{StatusCode, header::ContentType},
    middleware::{Next, from_fn},
    web,
};
use bytes::Bytes;
use std::{
    fmt,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{runtime, task::JoinHandle};

/// The largest body: a `share` of thousands of paths.
const MAX_BODY: usize = 1 << 20;

/// Connections at once; more than a person's scripts, fewer than would matter.
const MAX_CONNECTIONS: usize = 256;

/// The media type of Prometheus's text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How long an idle connection is kept, and how long a client may take to send its request.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often the file is looked for: commands wait ten times as long.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The running server.
pub(crate) struct LocalApi {
    server: ServerHandle,
    task: JoinHandle<std::io::Result<()>>,
    address: SocketAddr,
    /// Writes the file anew when it is gone.
    keeper: JoinHandle<()>,
    _watch: metrics::Watch,
    _file: InfoFile,
}

/// What handlers work with.
struct State {
    orders: Orders,
    token: String,
    /// Where operations run: they outlive the worker thread's connections.
    runtime: runtime::Handle,
}

/// Takes the address that the API is to listen on. A port that is taken is a usage failure naming it.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address)
        .map_err(|error| crate::root::cannot_listen("the local API", "--api", address, &error))
}

impl LocalApi {
    /// Serves `orders` on `listener`, and writes `DIR/api.json` for those who may use it.
    pub(crate) fn start(listener: TcpListener, data: &Path, orders: Orders) -> Result<Self, Failure> {
        let failed =
            |error: std::io::Error| Failure::internal(format!("cannot start the local API: {error}"));
        let info = ApiInfo::new(listener.local_addr().map_err(failed)?)?;
        let watch = metrics::Watch::start(orders.clone());
        let state = web::Data::from(Arc::new(State {
            orders,
            token: info.token.clone(),
            runtime: runtime::Handle::current(),
        }));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(state.clone())
                .app_data(
                    web::JsonConfig::default()
                        .limit(MAX_BODY)
                        .error_handler(|error, _| {
                            let status = error.status_code();
                            Answer(
                                status,
                                Failure::usage(format!("the body cannot be read: {error}")),
                            )
                            .into()
                        }),
                )
                .wrap(from_fn(only_the_owner))
                .service(
                    web::scope("/v1")
                        .route("/share", web::post().to(share))
                        .route("/get", web::post().to(get))
                        .route("/files", web::post().to(files))
                        .route("/doctor", web::post().to(doctor))
                        .route("/shares", web::get().to(list))
                        .route("/shares/{id}", web::delete().to(remove))
                        .route("/shares/{id}/verify", web::post().to(verify))
                        .route("/shares/{id}/pause", web::post().to(pause))
                        .route("/shares/{id}/resume", web::post().to(resume))
                        .route("/status", web::get().to(status)),
                )
                .route("/metrics", web::get().to(numbers))
                .default_service(web::to(nothing_here))
        })
        .workers(1)
        .max_connections(MAX_CONNECTIONS)
        .keep_alive(PATIENCE)
        .client_request_timeout(PATIENCE)
        .shutdown_timeout(1)
        .disable_signals()
        .listen(listener)
        .map_err(failed)?
        .run();
        let file = info.write(data)?;
        let (address, data) = (info.address, data.to_owned());
        Ok(Self {
            server: server.handle(),
            task: actix_rt::spawn(server),
            address,
            _watch: watch,
            keeper: actix_rt::spawn(async move { keep(&info, &data).await }),
            _file: file,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more orders; streams that are under way are cut off.
    pub(crate) async fn stop(self) {
        self.keeper.abort();
        self.server.stop(false).await;
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the local API ended with an error"),
            Err(error) => tracing::warn!(%error, "the local API crashed"),
        }
    }
}

/// Writes the file anew whenever somebody deleted it: without it no command finds this peer.
async fn keep(info: &ApiInfo, data: &Path) {
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        match info.restore(data) {
            Ok(false) => {}
            Ok(true) => tracing::warn!(data = %data.display(), "the file api.json was deleted; written anew"),
            Err(failure) => {
                tracing::warn!(%failure, "the file api.json was deleted, and is not written anew");
            }
        }
    }
}

async fn only_the_owner(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let state = request
        .app_data::<web::Data<State>>()
        .map(|state| state.token.as_str());
    // Without its state the server would be misbuilt; it then lets nobody in.
    let checked = state.map_or(Err(Refusal::NoToken), |token| {
        guard::check(request.headers(), token)
    });
    match checked {
        Ok(()) => next.call(request).await,
        Err(refusal) => Err(Answer(refusal.status(), Failure::refused(refusal.to_string())).into()),
    }
}

async fn share(state: web::Data<State>, request: web::Json<ShareRequest>) -> HttpResponse {
    let request = request.into_inner();
    stream(&state, move |orders, sink| async move {
        if let Err(failure) = orders.share(request, sink.clone()).await {
            sink.send(Event::Error(failure));
        }
    })
}

async fn get(state: web::Data<State>, request: web::Json<GetRequest>) -> HttpResponse {
    let request = request.into_inner();
    stream(&state, move |orders, sink| async move {
        sink.send(match orders.get(request, sink.clone()).await {
            Ok(done) => Event::Done(done),
            Err(failure) => Event::Error(failure),
        });
    })
}

async fn files(state: web::Data<State>, request: web::Json<FilesRequest>) -> HttpResponse {
    let request = request.into_inner();
    stream(&state, move |orders, sink| async move {
        if let Err(failure) = orders.files(request, sink.clone()).await {
            sink.send(Event::Error(failure));
        }
    })
}

async fn doctor(state: web::Data<State>, request: web::Json<DoctorRequest>) -> HttpResponse {
    let request = request.into_inner();
    stream(&state, move |orders, sink| async move {
        sink.send(match orders.doctor(request, sink.clone()).await {
            Ok(verdict) => Event::Verdict(verdict),
            Err(failure) => Event::Error(failure),
        });
    })
}

async fn verify(state: web::Data<State>, id: web::Path<String>) -> HttpResponse {
    let id = id.into_inner();
    stream(&state, move |orders, sink| async move {
        sink.send(match orders.verify(&id, sink.clone()).await {
            Ok(verified) => Event::Verified(verified),
            Err(failure) => Event::Error(failure),
        });
    })
}

async fn list(state: web::Data<State>) -> Result<HttpResponse, Answer> {
    let shares = state.orders.list().await?;
    Ok(HttpResponse::Ok().json(shares))
}

async fn remove(state: web::Data<State>, id: web::Path<String>) -> Result<HttpResponse, Answer> {
    change(&state, |orders| async move { orders.remove(&id).await }).await
}

async fn pause(state: web::Data<State>, id: web::Path<String>) -> Result<HttpResponse, Answer> {
    change(&state, |orders| async move { orders.pause(&id).await }).await
}

async fn resume(state: web::Data<State>, id: web::Path<String>) -> Result<HttpResponse, Answer> {
    change(&state, |orders| async move { orders.go_on(&id).await }).await
}

/// Changes a share, on a task of its own: a client that goes away does not leave half a change.
async fn change<F>(state: &State, work: impl FnOnce(Orders) -> F) -> Result<HttpResponse, Answer>
where
    F: Future<Output = Result<ShareInfo, Failure>> + Send + 'static,
{
    let changing = state.runtime.spawn(work(state.orders.clone()));
    let changed = changing
        .await
        .map_err(|error| Failure::internal(format!("the change crashed: {error}")))??;
    Ok(HttpResponse::Ok().json(changed))
}

async fn status(state: web::Data<State>) -> Result<HttpResponse, Answer> {
    let status = state.orders.status().await?;
    Ok(HttpResponse::Ok().json(status))
}

async fn numbers(state: web::Data<State>) -> Result<HttpResponse, Answer> {
    let text = metrics::text(&state.orders).await?;
    Ok(HttpResponse::Ok().content_type(PROMETHEUS).body(text))
}

async fn nothing_here() -> Result<HttpResponse, Answer> {
    Err(Answer(
        StatusCode::NOT_FOUND,
        Failure::not_found("there is nothing here"),
    ))
}

/// Starts an operation as a task of the peer, and answers with its events.
fn stream<W, F>(state: &State, work: W) -> HttpResponse
where
    W: FnOnce(Orders, EventSink) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let (sink, events) = event::channel();
    state.runtime.spawn(work(state.orders.clone(), sink));
    HttpResponse::Ok().content_type(NDJSON).streaming(lines(events))
}

/// One JSON object a line.
fn lines(events: EventStream) -> impl futures_util::Stream<Item = Result<Bytes, serde_json::Error>> {
    futures_util::stream::unfold(events, |mut events| async move {
        let event = events.next().await?;
        let line = serde_json::to_vec(&event).map(|mut line| {
            line.push(b'\n');
            Bytes::from(line)
        });
        Some((line, events))
    })
}

/// A failure as an answer: its kind and words in JSON, and a fitting status.
#[derive(Debug)]
struct Answer(StatusCode, Failure);

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        let status = match failure.kind {
            FailureKind::Usage => StatusCode::BAD_REQUEST,
            FailureKind::NotFound => StatusCode::NOT_FOUND,
            FailureKind::Unreachable => StatusCode::BAD_GATEWAY,
            FailureKind::Integrity => StatusCode::CONFLICT,
            FailureKind::Refused => StatusCode::FORBIDDEN,
            FailureKind::Disk | FailureKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            FailureKind::Interrupted => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, failure)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.1.fmt(f)
    }
}

impl ResponseError for Answer {
    fn status_code(&self) -> StatusCode {
        self.0
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.0)
            .insert_header(ContentType::json())
            .json(&self.1)
    }
}
