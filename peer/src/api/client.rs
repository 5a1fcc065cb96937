//! The other end of the local API: how a command gives orders to the running peer.

use super::ApiInfo;
use crate::{
    doctor::Verdict,
    error::Failure,
    event::{Done, Event, EventSink},
    operation::{DoctorRequest, FilesRequest, GetRequest, PeerStatus, ShareInfo, ShareRequest, Verified},
};
use bytes::BytesMut;
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;
use std::{path::Path, time::Duration};

/// A peer on this machine accepts at once, or it is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// An answer that is no stream. Removing a large download takes a while.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest line of a stream: a ticket is 8 KiB.
const MAX_LINE: usize = 1 << 20;

/// A connection to the peer that runs on a data folder.
#[derive(Debug)]
pub struct LocalClient {
    http: reqwest::Client,
    info: ApiInfo,
}

impl LocalClient {
    /// The running peer of `data`; none if none answers.
    pub async fn connect(data: &Path) -> Result<Option<Self>, Failure> {
        let Some(info) = ApiInfo::read(data)? else {
            return Ok(None);
        };
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            // The API is plain HTTP; loading certificates would take longer than most calls.
            .tls_certs_only([])
            .build()
            .map_err(|error| Failure::internal(format!("cannot make an HTTP client: {error}")))?;
        let client = Self { http, info };
        // A file that a killed peer left behind names a port that nobody (or somebody else) listens on.
        let answers = client.status().await.is_ok();
        Ok(answers.then_some(client))
    }

    /// The process that runs it.
    pub fn pid(&self) -> u32 {
        self.info.pid
    }

    /// Shares; events go to `sink`.
    pub async fn share(&self, request: &ShareRequest, sink: EventSink) -> Result<(), Failure> {
        let request = self.request(Method::POST, &["share"])?.json(request);
        self.follow(request, &sink, |_| None::<()>).await?;
        Ok(())
    }

    /// Fetches; events go to `sink`.
    pub async fn get(&self, request: &GetRequest, sink: EventSink) -> Result<Done, Failure> {
        let request = self.request(Method::POST, &["get"])?.json(request);
        let done = self.follow(request, &sink, |event| match event {
            Event::Done(done) => Some(done.clone()),
            _ => None,
        });
        done.await?.ok_or_else(|| self.gone())
    }

    /// Looks at what is in a share; its files go to `sink` as events.
    pub async fn files(&self, request: &FilesRequest, sink: EventSink) -> Result<(), Failure> {
        let request = self.request(Method::POST, &["files"])?.json(request);
        self.follow(request, &sink, |_| None::<()>).await?;
        Ok(())
    }

    /// Verifies a share; events go to `sink`.
    pub async fn verify(&self, id: &str, sink: EventSink) -> Result<Verified, Failure> {
        let request = self.request(Method::POST, &["shares", id, "verify"])?;
        let verified = self.follow(request, &sink, |event| match event {
            Event::Verified(verified) => Some(verified.clone()),
            _ => None,
        });
        verified.await?.ok_or_else(|| self.gone())
    }

    /// Looks at the network; findings go to `sink`.
    pub async fn doctor(&self, request: &DoctorRequest, sink: EventSink) -> Result<Verdict, Failure> {
        let request = self.request(Method::POST, &["doctor"])?.json(request);
        let verdict = self.follow(request, &sink, |event| match event {
            Event::Verdict(verdict) => Some(verdict.clone()),
            _ => None,
        });
        verdict.await?.ok_or_else(|| self.gone())
    }

    /// The peer's shares and downloads.
    pub async fn list(&self) -> Result<Vec<ShareInfo>, Failure> {
        self.json(self.request(Method::GET, &["shares"])?).await
    }

    /// How the peer is doing.
    pub async fn status(&self) -> Result<PeerStatus, Failure> {
        self.json(self.request(Method::GET, &["status"])?).await
    }

    /// Has a download stand still.
    pub async fn pause(&self, id: &str) -> Result<ShareInfo, Failure> {
        self.json(self.request(Method::POST, &["shares", id, "pause"])?)
            .await
    }

    /// Has a download go on.
    pub async fn go_on(&self, id: &str) -> Result<ShareInfo, Failure> {
        self.json(self.request(Method::POST, &["shares", id, "resume"])?)
            .await
    }

    /// Has the peer forget a share or download.
    pub async fn remove(&self, id: &str) -> Result<ShareInfo, Failure> {
        self.json(self.request(Method::DELETE, &["shares", id])?).await
    }

    /// A call of `path` (segments, unescaped: a person may have typed one).
    fn request(&self, method: Method, path: &[&str]) -> Result<RequestBuilder, Failure> {
        let url = Url::parse(&format!("http://{}/v1", self.info.address));
        let mut url = url.map_err(|error| self.odd(&error))?;
        // Fails for URLs that cannot have a path only; an http one can.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path);
        }
        Ok(self.http.request(method, url).bearer_auth(&self.info.token))
    }

    async fn json<A: DeserializeOwned>(&self, request: RequestBuilder) -> Result<A, Failure> {
        let response = self.answered(request.timeout(ANSWER_TIMEOUT)).await?;
        response.json().await.map_err(|error| self.broken(&error))
    }

    /// Passes the events of an answer on, until it ends; the result is what `result` finds in them, last.
    async fn follow<T>(
        &self,
        request: RequestBuilder,
        sink: &EventSink,
        result: impl Fn(&Event) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let mut response = self.answered(request).await?;
        let (mut lines, mut found) = (BytesMut::new(), None);
        while let Some(piece) = response.chunk().await.map_err(|error| self.broken(&error))? {
            lines.extend_from_slice(&piece);
            while let Some(end) = lines.iter().position(|byte| *byte == b'\n') {
                let line = lines.split_to(end + 1);
                let event: Event = serde_json::from_slice(&line).map_err(|error| self.odd(&error))?;
                if let Event::Error(failure) = event {
                    return Err(failure);
                }
                found = result(&event).or(found);
                sink.send(event);
            }
            if lines.len() > MAX_LINE {
                return Err(self.odd(&"a line without an end"));
            }
        }
        Ok(found)
    }

    async fn answered(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.broken(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        match response.json::<Failure>().await {
            Ok(failure) => Err(failure),
            Err(_) => Err(self.odd(&format!("HTTP status {status}"))),
        }
    }

    fn broken(&self, error: &reqwest::Error) -> Failure {
        match error.is_timeout() {
            true => Failure::unreachable(format!(
                "the running peer (process {}) does not answer",
                self.info.pid
            )),
            false => self.gone(),
        }
    }

    fn gone(&self) -> Failure {
        Failure::unreachable(format!(
            "the running peer (process {}) ended or was restarted meanwhile; the same command goes on where it was",
            self.info.pid
        ))
    }

    fn odd(&self, what: &dyn std::fmt::Display) -> Failure {
        Failure::internal(format!(
            "the running peer (process {}) answers with something unexpected ({what}); is it of another version?",
            self.info.pid
        ))
    }
}
