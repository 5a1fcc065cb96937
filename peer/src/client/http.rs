//! HTTP to trackers: every call has a deadline, every answer a bound, connections are kept for the next call, and
//! nothing is ever sent to another host than the one that was named, or the environment's proxy on the way there. A
//! tracker on this machine is called without a proxy: what is local to us is not local to it.

use super::{CallError, TrackerUrl};
use crate::{
    config::ApiKey,
    proxy::{self, ProxySetting},
};
use bytes::{Bytes, BytesMut};
use p2p_shared::tracker_api::{API_KEY_HEADER, Problem, slug};
use reqwest::{
    Method, RequestBuilder, Response, StatusCode,
    header::{HeaderMap, HeaderValue, RETRY_AFTER},
    redirect,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

/// A tracker that does not accept a connection within this is treated as not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest silence within an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest that a call may take as a whole; the largest body either way is 3 MiB.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// An idle connection is kept longer than a heartbeat takes to come round.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// The largest answer that is read: 65,536 digests are 2 MiB, a page of peers far less.
const MAX_ANSWER: usize = 4 << 20;

/// Redirects followed, all on the same origin.
const MAX_REDIRECTS: usize = 3;

/// An HTTP client for trackers. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    plain: reqwest::Client,
    /// For trackers on this machine.
    near: reqwest::Client,
    /// Made when the first tracker needs it: loading the system's certificates takes tens of milliseconds.
    encrypted: Arc<OnceLock<Result<reqwest::Client, String>>>,
    proxy: Option<ProxySetting>,
    api_key: Option<HeaderValue>,
    /// The trackers that a person named: they alone are told the key. Anybody can put a tracker into a ticket.
    named: Arc<Mutex<HashSet<TrackerUrl>>>,
}

/// What a call carries beside its body.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Credentials<'a> {
    /// The token of the registration.
    pub(crate) token: Option<&'a str>,
}

impl Http {
    /// A client that says `api_key` with every call to one of the trackers that were [`named`](Self::name).
    pub(crate) fn new(
        api_key: Option<&ApiKey>,
        proxy: Option<&ProxySetting>,
    ) -> Result<Self, reqwest::Error> {
        let api_key = api_key.and_then(|key| {
            // `ApiKey` holds printable ASCII only, which every header value may.
            let mut value = HeaderValue::from_str(key.reveal()).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Ok(Self {
            plain: proxy::apply(builder().tls_certs_only([]), proxy)?.build()?,
            near: builder().tls_certs_only([]).no_proxy().build()?,
            encrypted: Arc::default(),
            proxy: proxy.cloned(),
            api_key,
            named: Arc::default(),
        })
    }

    /// A person named these trackers: they may be told the API key from now on.
    pub(crate) fn name(&self, trackers: &[TrackerUrl]) {
        self.named().extend(trackers.iter().cloned());
    }

    fn named(&self) -> MutexGuard<'_, HashSet<TrackerUrl>> {
        // A panic in between leaves a set that is still a set.
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `path` (segments) of `tracker` and reads the answer as JSON.
    pub(crate) async fn json<B: Serialize, A: DeserializeOwned>(
        &self,
        tracker: &TrackerUrl,
        method: Method,
        path: &[&str],
        credentials: Credentials<'_>,
        body: Option<&B>,
    ) -> Result<A, CallError> {
        let mut request = self.request(tracker, method, path, credentials)?;
        if let Some(body) = body {
            request = request.json(body);
        }
        let bytes = answer(tracker, request).await?;
        serde_json::from_slice(&bytes).map_err(|error| CallError::NotATracker {
            tracker: tracker.clone(),
            reason: format!("its answer cannot be read ({error})"),
        })
    }

    /// Calls `path` and expects no content.
    pub(crate) async fn command(
        &self,
        tracker: &TrackerUrl,
        method: Method,
        path: &[&str],
        credentials: Credentials<'_>,
    ) -> Result<(), CallError> {
        answer(tracker, self.request(tracker, method, path, credentials)?).await?;
        Ok(())
    }

    /// Gets `path` as bytes of the media type `accept`, only `range` (first and last byte) of them.
    pub(crate) async fn bytes(
        &self,
        tracker: &TrackerUrl,
        path: &[&str],
        accept: &str,
        range: (u64, u64),
    ) -> Result<Bytes, CallError> {
        let request = self
            .request(tracker, Method::GET, path, Credentials::default())?
            .header(reqwest::header::ACCEPT, accept)
            .header(reqwest::header::RANGE, format!("bytes={}-{}", range.0, range.1));
        answer(tracker, request).await
    }

    pub(super) fn request(
        &self,
        tracker: &TrackerUrl,
        method: Method,
        path: &[&str],
        credentials: Credentials<'_>,
    ) -> Result<RequestBuilder, CallError> {
        let client = self.client(tracker)?;
        let mut headers = HeaderMap::new();
        if let Some(key) = self.api_key.as_ref().filter(|_| self.named().contains(tracker)) {
            headers.insert(API_KEY_HEADER, key.clone());
        }
        let request = client.request(method, tracker.join(path)).headers(headers);
        Ok(match credentials.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    fn client(&self, tracker: &TrackerUrl) -> Result<&reqwest::Client, CallError> {
        let is_near = tracker.is_loopback();
        if !tracker.is_encrypted() && (is_near || !self.has_encrypted_proxy()) {
            return Ok(if is_near { &self.near } else { &self.plain });
        }
        let built = self
            .encrypted
            .get_or_init(|| self.build_encrypted().map_err(|error| innermost(&error)));
        built.as_ref().map_err(|reason| CallError::Unreachable {
            tracker: tracker.clone(),
            reason: format!("no encrypted connections can be made: {reason}"),
        })
    }
}

impl Http {
    fn build_encrypted(&self) -> Result<reqwest::Client, reqwest::Error> {
        proxy::apply(builder(), self.proxy.as_ref())?.build()
    }

    /// A proxy that is spoken to encrypted needs the certificates whatever the tracker is.
    fn has_encrypted_proxy(&self) -> bool {
        matches!(&self.proxy, Some(ProxySetting::Through(url)) if url.scheme() == "https")
    }

    /// The API key, if `tracker` is one that may be told it.
    pub(crate) fn api_key(&self, tracker: &TrackerUrl) -> Option<String> {
        let key = self.api_key.as_ref().filter(|_| self.named().contains(tracker));
        key.and_then(|key| key.to_str().ok()).map(str::to_owned)
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("p2p-peer/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .timeout(CALL_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .tcp_nodelay(true)
        .redirect(redirect::Policy::custom(same_origin_only))
}

/// A key or a token must not reach a host that nobody named.
fn same_origin_only(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let same_origin = attempt
        .previous()
        .iter()
        .all(|url| url.origin() == attempt.url().origin());
    if !same_origin {
        attempt.error("it redirects to another address")
    } else if attempt.previous().len() > MAX_REDIRECTS {
        attempt.error("it redirects in a circle")
    } else {
        attempt.follow()
    }
}

async fn answer(tracker: &TrackerUrl, request: RequestBuilder) -> Result<Bytes, CallError> {
    whole_answer(tracker, request).await.map(|(_, body)| body)
}

/// Sends `request` and reads the whole answer; an answer that is no success becomes an error.
pub(super) async fn whole_answer(
    tracker: &TrackerUrl,
    request: RequestBuilder,
) -> Result<(HeaderMap, Bytes), CallError> {
    let unreachable = |error: reqwest::Error| CallError::Unreachable {
        tracker: tracker.clone(),
        reason: innermost(&error),
    };
    let mut response = request.send().await.map_err(unreachable)?;
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(unreachable)? {
        if body.len() + piece.len() > MAX_ANSWER {
            return Err(CallError::NotATracker {
                tracker: tracker.clone(),
                reason: format!("its answer is longer than {MAX_ANSWER} bytes"),
            });
        }
        body.extend_from_slice(&piece);
    }
    if response.status().is_success() {
        Ok((std::mem::take(response.headers_mut()), body.freeze()))
    } else {
        Err(refusal(tracker, &response, &body))
    }
}

/// What an answer that is no success says.
fn refusal(tracker: &TrackerUrl, response: &Response, body: &[u8]) -> CallError {
    let status = response.status();
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) if is_ours(&problem, status) => CallError::Problem {
            tracker: tracker.clone(),
            problem: Box::new(problem),
            retry_after: retry_after(response),
        },
        // A proxy in front of a tracker that is away answers with its own pages.
        _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => CallError::Unreachable {
            tracker: tracker.clone(),
            reason: format!("HTTP status {status}"),
        },
        _ => CallError::NotATracker {
            tracker: tracker.clone(),
            reason: format!("HTTP status {status}"),
        },
    }
}

/// Whether a tracker says this of something it was asked. Below a wrong path even a tracker only says that nothing is there.
fn is_ours(problem: &Problem, status: StatusCode) -> bool {
    match problem.slug() {
        Some(slug::NO_SUCH_ROUTE) | None => status != StatusCode::NOT_FOUND && !status.is_server_error(),
        Some(_) => true,
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The cause at the bottom of an error, which says what happened; the ones above it say who called whom.
fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = cause.to_string();
    // "Connection refused (os error 111)": the number helps nobody.
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}
