//! Whether a tracker answers, how soon, and what time it is there.

use super::{
    CallError, TrackerUrl,
    http::{Credentials, Http, whole_answer},
};
use actix_web::http::header::HttpDate;
use p2p_shared::tracker_api::Health;
use reqwest::{Method, header};
use std::time::{Duration, Instant, SystemTime};

/// An answer of a tracker to a question that needs no registration.
#[derive(Debug)]
pub(crate) struct Probe {
    /// There and back, on a connection that stands.
    pub(crate) latency: Duration,
    /// What the tracker's clock said.
    pub(crate) date: Option<SystemTime>,
    /// What ours said at about that time.
    pub(crate) at: SystemTime,
    /// The tracker's version.
    pub(crate) version: String,
}

impl Http {
    /// Asks `tracker` twice how it is: the first time makes the connection.
    pub(crate) async fn probe(&self, tracker: &TrackerUrl) -> Result<Probe, CallError> {
        self.health(tracker).await?;
        self.health(tracker).await
    }

    async fn health(&self, tracker: &TrackerUrl) -> Result<Probe, CallError> {
        let request = self.request(tracker, Method::GET, &["healthz"], Credentials::default())?;
        let (begin, at) = (Instant::now(), SystemTime::now());
        let (headers, body) = whole_answer(tracker, request).await?;
        let latency = begin.elapsed();
        let health: Health = serde_json::from_slice(&body).map_err(|error| CallError::NotATracker {
            tracker: tracker.clone(),
            reason: format!("its answer cannot be read ({error})"),
        })?;
        let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
        Ok(Probe {
            latency,
            date: date
                .and_then(|date| date.parse::<HttpDate>().ok())
                .map(SystemTime::from),
            at: at + latency / 2,
            version: health.version,
        })
    }
}
